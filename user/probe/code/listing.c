// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sweeps an image's code once and indexes what it saw. Later, single instructions are decoded again
 * where a finder asks for them.
 */
#include "probe/code/listing.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/unwind.h"

static bool is_plt(const char *name)
{
	return !strncmp(name, ".plt", 4);
}

static int section_compare(const void *a, const void *b)
{
	const struct listing_section *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

static struct error *sections_collect(struct listing *listing)
{
	const struct image *image = listing->image;

	listing->sections =
		calloc(image->section_count ? image->section_count : 1, sizeof(*listing->sections));
	if (!listing->sections)
		return error_create(ERROR_FAILED, "%s: no memory for its sections", image->path);
	for (size_t i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (section->type != SHT_PROGBITS || !(section->flags & SHF_EXECINSTR) ||
		    !section->data || !section->size)
			continue;
		listing->sections[listing->section_count++] =
			(struct listing_section){section->address, section->address + section->size,
						 section->data, is_plt(section->name)};
	}
	if (!listing->section_count)
		return error_create(ERROR_FAILED, "%s: no section with code in it", image->path);
	qsort(listing->sections, listing->section_count, sizeof(*listing->sections),
	      section_compare);
	for (size_t i = 1; i < listing->section_count; i++) {
		if (listing->sections[i].start < listing->sections[i - 1].end)
			return error_create(ERROR_FAILED, "%s: sections with code overlap",
					    image->path);
	}
	listing->start = listing->sections[0].start;
	listing->end = listing->sections[listing->section_count - 1].end;
	if (listing->end <= listing->start || listing->end - listing->start > LISTING_SPAN_MAX)
		return error_create(ERROR_FAILED,
				    "%s: code spans more than %llu MiB, too much to look through",
				    image->path, LISTING_SPAN_MAX >> 20);
	return NULL;
}

static struct error *edge_add(struct listing_edge **edges, size_t *count, size_t *capacity,
			      uint64_t target, uint64_t source)
{
	try(array_reserve(edges, capacity, *count, 1, sizeof(**edges)));
	(*edges)[(*count)++] = (struct listing_edge){target, source};
	return NULL;
}

static bool is_watched(const uint64_t *watched, size_t count, uint64_t address)
{
	size_t low = 0;

	if (!count || address < watched[0] || address > watched[count - 1])
		return false;
	while (count > 1) {
		size_t half = count / 2;

		if (watched[low + half] <= address)
			low += half;
		count -= half;
	}
	return watched[low] == address;
}

static struct error *mention_add(struct listing *listing, uint64_t named, uint64_t address)
{
	try(array_reserve(&listing->mentions, &listing->mention_capacity, listing->mention_count, 1,
			  sizeof(*listing->mentions)));
	listing->mentions[listing->mention_count++] = (struct listing_mention){named, address};
	return NULL;
}

static struct error *outline_record(struct listing *listing, const struct x86_outline *outline,
				    uint64_t address, const struct listing_watch *watch)
{
	uint64_t source = address - listing->start, target = outline->target - listing->start;
	bool inside = outline->target >= listing->start && outline->target < listing->end;

	if (inside && outline->kind == X86_CALL)
		return edge_add(&listing->calls, &listing->call_count, &listing->call_capacity,
				target, source);
	if (inside && (outline->kind == X86_JUMP || outline->kind == X86_BRANCH))
		return edge_add(&listing->jumps, &listing->jump_count, &listing->jump_capacity,
				target, source);
	if (outline->has_address &&
	    is_watched(watch->addresses, watch->address_count, outline->named))
		try(mention_add(listing, outline->named, address));
	if (outline->has_constant &&
	    is_watched(watch->addresses, watch->address_count, outline->constant))
		try(mention_add(listing, outline->constant, address));
	if (outline->has_displacement &&
	    is_watched(watch->displacements, watch->displacement_count, outline->displacement)) {
		try(array_reserve(&listing->displaced, &listing->displaced_capacity,
				  listing->displaced_count, 1, sizeof(*listing->displaced)));
		listing->displaced[listing->displaced_count++] = address;
	}
	return NULL;
}

/*
 * A linear sweep that starts anew at each function: what stands between functions (padding, or
 * data in hand-written code) cannot put it out of step for longer than to the next one.
 */
static struct error *section_sweep(struct listing *listing, const struct listing_section *section,
				   const struct listing_watch *watch)
{
	uint64_t address = section->start;
	size_t next = 0;

	while (address < section->end) {
		struct x86_outline outline;
		uint64_t limit = section->end;

		while (next < listing->function_count && listing->functions[next].start <= address)
			next++;
		if (next < listing->function_count && listing->functions[next].start < limit)
			limit = listing->functions[next].start;
		if (!x86_outline(section->data + (address - section->start), limit - address,
				 address, &outline)) {
			listing->bad_instructions++;
			address++;
			continue;
		}
		listing->lengths[address - listing->start] = outline.length;
		listing->instruction_count++;
		try(outline_record(listing, &outline, address, watch));
		address += outline.length;
	}
	return NULL;
}

static int edge_compare(const void *a, const void *b)
{
	const struct listing_edge *left = a, *right = b;

	if (left->target != right->target)
		return left->target < right->target ? -1 : 1;
	return left->source < right->source ? -1 : left->source > right->source;
}

static int mention_compare(const void *a, const void *b)
{
	const struct listing_mention *left = a, *right = b;

	if (left->named != right->named)
		return left->named < right->named ? -1 : 1;
	return left->address < right->address ? -1 : left->address > right->address;
}

struct error *listing_create(const struct image *image, const struct listing_watch *watch,
			     struct listing **ret)
{
	cleanup(listing_cleanup) struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return error_create(ERROR_FAILED, "%s: no memory to look through it", image->path);
	listing->image = image;
	try(sections_collect(listing));
	listing->lengths = calloc(listing->end - listing->start, 1);
	if (!listing->lengths)
		return error_create(ERROR_FAILED, "%s: no memory to look through it", image->path);
	try(unwind_functions(image, &listing->functions, &listing->function_count));
	for (size_t i = 0; i < listing->section_count; i++)
		try(section_sweep(listing, &listing->sections[i], watch));
	if (listing->jump_count)
		qsort(listing->jumps, listing->jump_count, sizeof(*listing->jumps), edge_compare);
	if (listing->call_count)
		qsort(listing->calls, listing->call_count, sizeof(*listing->calls), edge_compare);
	if (listing->mention_count)
		qsort(listing->mentions, listing->mention_count, sizeof(*listing->mentions),
		      mention_compare);
	*ret = take(listing);
	return NULL;
}

void listing_destroy(struct listing *listing)
{
	if (!listing)
		return;
	free(listing->sections);
	free(listing->lengths);
	free(listing->functions);
	free(listing->jumps);
	free(listing->calls);
	free(listing->mentions);
	free(listing->displaced);
	free(listing);
}

static const struct listing_section *section_at(const struct listing *listing, uint64_t address)
{
	size_t low = 0, count = listing->section_count;

	while (count > 1) {
		size_t half = count / 2;

		if (listing->sections[low + half].start <= address)
			low += half;
		count -= half;
	}
	if (address < listing->sections[low].start || address >= listing->sections[low].end)
		return NULL;
	return &listing->sections[low];
}

/* How many functions begin at ADDRESS or before. */
static size_t functions_upto(const struct listing *listing, uint64_t address)
{
	size_t low = 0;

	for (size_t high = listing->function_count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (listing->functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Whether the sweep comes to ADDRESS. It begins at *AT if that is on the way, else where it last
 * starts anew. *AT becomes where it got to.
 */
static bool starts_at(const struct listing *listing, uint64_t address, uint64_t *at)
{
	const struct listing_section *section = section_at(listing, address);
	size_t next = functions_upto(listing, address);
	uint64_t start, limit;

	if (!section || section->is_plt)
		return false;
	start = section->start;
	limit = section->end;
	if (next && listing->functions[next - 1].start > start)
		start = listing->functions[next - 1].start;
	if (next < listing->function_count && listing->functions[next].start < limit)
		limit = listing->functions[next].start;
	if (*at < start || *at > address)
		*at = start;
	for (;;) {
		struct x86_outline outline;
		bool is_instruction = x86_outline(section->data + (*at - section->start),
						  limit - *at, *at, &outline);

		if (*at >= address)
			return *at == address && is_instruction;
		*at += is_instruction ? outline.length : 1;
	}
}

struct error *listing_starts(const struct image *image, const uint64_t *addresses, size_t count,
			     bool *ret)
{
	cleanup(listing_cleanup) struct listing *listing = calloc(1, sizeof(*listing));
	uint64_t at = 0;

	if (!listing)
		return error_create(ERROR_FAILED, "%s: no memory to look through it", image->path);
	listing->image = image;
	try(sections_collect(listing));
	try(unwind_functions(image, &listing->functions, &listing->function_count));
	*ret = false;
	for (size_t i = 0; i < count; i++)
		if (!starts_at(listing, addresses[i], &at))
			return NULL;
	*ret = true;
	return NULL;
}

bool listing_contains(const struct listing *listing, uint64_t address)
{
	const struct listing_section *section = section_at(listing, address);

	return section && !section->is_plt;
}

const uint8_t *listing_bytes(const struct listing *listing, uint64_t address, size_t *ret_size)
{
	const struct listing_section *section = section_at(listing, address);

	if (!section)
		return NULL;
	*ret_size = section->end - address;
	return section->data + (address - section->start);
}

bool listing_decode(struct listing *listing, uint64_t address, struct x86_instruction *ret)
{
	size_t size;
	const uint8_t *bytes = listing_bytes(listing, address, &size);

	if (!bytes || !listing->lengths[address - listing->start] ||
	    listing->decodes >= LISTING_DECODES_MAX)
		return false;
	listing->decodes++;
	return x86_decode(bytes, size, address, ret);
}

bool listing_previous(const struct listing *listing, uint64_t address, uint64_t *ret)
{
	if (address <= listing->start || address > listing->end)
		return false;
	for (unsigned length = 1; length <= X86_LENGTH_MAX; length++) {
		if (address - listing->start < length)
			return false;
		if (listing->lengths[address - listing->start - length] != length)
			continue;
		*ret = address - length;
		return true;
	}
	return false;
}

const struct listing_function *listing_function_at(const struct listing *listing, uint64_t address)
{
	size_t low = 0, count = listing->function_count;

	if (!count)
		return NULL;
	while (count > 1) {
		size_t half = count / 2;

		if (listing->functions[low + half].start <= address)
			low += half;
		count -= half;
	}
	if (address < listing->functions[low].start || address >= listing->functions[low].end)
		return NULL;
	return &listing->functions[low];
}

static const struct listing_edge *edges_find(const struct listing_edge *edges, size_t count,
					     uint32_t target, size_t *ret_count)
{
	size_t low = 0, end;

	for (size_t high = count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (edges[middle].target < target)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < count && edges[end].target == target; end++)
		;
	*ret_count = end - low;
	return edges + low;
}

const struct listing_edge *listing_jumps_to(const struct listing *listing, uint64_t target,
					    size_t *ret_count)
{
	*ret_count = 0;
	if (target < listing->start || target >= listing->end)
		return NULL;
	return edges_find(listing->jumps, listing->jump_count, target - listing->start, ret_count);
}

const struct listing_edge *listing_calls_to(const struct listing *listing, uint64_t target,
					    size_t *ret_count)
{
	*ret_count = 0;
	if (target < listing->start || target >= listing->end)
		return NULL;
	return edges_find(listing->calls, listing->call_count, target - listing->start, ret_count);
}

const struct listing_mention *listing_mentions_of(const struct listing *listing, uint64_t named,
						  size_t *ret_count)
{
	size_t low = 0, end;

	for (size_t high = listing->mention_count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (listing->mentions[middle].named < named)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < listing->mention_count && listing->mentions[end].named == named;
	     end++)
		;
	*ret_count = end - low;
	return listing->mentions + low;
}
