// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds where libc's malloc, calloc and realloc may return to. Begins with the uses of what the
 * tables hold, then spreads from each function that may leave by a tail jump to those that call it.
 */
#include "probe/find/returns.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/paths.h"
#include "probe/find/builder.h"
#include "probe/find/guards.h"

/*
 * The exported functions that end in `return table.function(...)`, or in realloc's
 * `return PyMem_RawRealloc(...)` (Objects/obmalloc.c). The plan of an interpreter warns of others.
 */
const struct return_export return_exports[] = {
	{"PyMem_RawMalloc", false}, {"PyMem_RawCalloc", false},  {"PyMem_RawRealloc", false},
	{"PyMem_Realloc", false},   {"PyObject_Realloc", false}, {"PyMem_Malloc", true},
	{"PyMem_Calloc", true},     {"PyObject_Malloc", true},   {"PyObject_Calloc", true},
};

const unsigned return_export_count = array_size(return_exports);

/* Instructions followed from the load of a slot to the call. */
#define FOLLOW_MAX 40
/* Instructions looked back through for what a base register holds. */
#define BASE_MAX 40

enum leak { LEAK_NONE, LEAK_MALLOC_ONLY, LEAK_SLOW, LEAK_ALWAYS };

struct runtime_load { /* an instruction that makes a register point to _PyRuntime */
	uint64_t address;
	uint8_t number;
};

struct collector {
	struct builder *builder;
	struct return_point *points;
	size_t point_count, point_capacity;
	uint8_t *leaks;             /* enum leak, by function of the listing */
	struct runtime_load *loads; /* sorted by address */
	size_t load_count, load_capacity;
	uint32_t *queue; /* functions whose leak has risen */
	size_t queue_count, queue_capacity;
};

static struct error *point_add(struct collector *collector, uint64_t address, enum leak leak)
{
	if (leak == LEAK_NONE)
		return NULL;
	try(array_reserve(&collector->points, &collector->point_capacity, collector->point_count, 1,
			  sizeof(*collector->points)));
	collector->points[collector->point_count++] =
		(struct return_point){address, leak == LEAK_MALLOC_ONLY, leak == LEAK_SLOW};
	return NULL;
}

/* The function that holds ADDRESS may leave by the tail jump there. */
static struct error *leak_add(struct collector *collector, uint64_t address, enum leak leak)
{
	const struct listing *listing = collector->builder->listing;
	const struct listing_function *function = listing_function_at(listing, address);
	size_t index;

	if (leak == LEAK_NONE)
		return NULL;
	if (!function) {
		builder_warn(collector->builder,
			     "%#llx: a tail jump to an allocator in no known function",
			     (unsigned long long)address);
		return NULL;
	}
	index = function - listing->functions;
	if (collector->leaks[index] >= leak)
		return NULL;
	collector->leaks[index] = leak;
	try(array_reserve(&collector->queue, &collector->queue_capacity, collector->queue_count, 1,
			  sizeof(*collector->queue)));
	collector->queue[collector->queue_count++] = index;
	return NULL;
}

/* INSTRUCTION calls, or jumps to, what may leave to libc. */
static struct error *use_add(struct collector *collector, const struct x86_instruction *instruction,
			     enum leak leak)
{
	if (instruction->kind == X86_CALL || instruction->kind == X86_CALL_INDIRECT)
		return point_add(collector, instruction->address + instruction->length, leak);
	return leak_add(collector, instruction->address, leak);
}

static struct error *raw_uses(struct collector *collector)
{
	const struct plan *plan = collector->builder->plan;

	for (size_t i = 0; i < plan->site_count; i++) {
		const struct site *site = &plan->sites[i];

		if (site->kind != SITE_RAW || site->operation == SITE_FREE)
			continue;
		if (site->tail)
			try(leak_add(collector, site->address, LEAK_ALWAYS));
		else
			try(point_add(collector, site->returns, LEAK_ALWAYS));
	}
	return NULL;
}

/* A guard's slow edge is taken only where the table holds something else than it did at first. */
static struct error *guard_uses(struct collector *collector)
{
	const struct builder *builder = collector->builder;

	for (size_t i = 0; i < builder->guard_count; i++) {
		const struct guard *guard = &builder->guards[i];

		if (guard->operation == SITE_FREE)
			continue;
		if (guard->returns)
			try(point_add(collector, guard->returns, LEAK_SLOW));
		else
			try(leak_add(collector, guard->call, LEAK_MALLOC_ONLY));
	}
	return NULL;
}

static enum leak slot_leak(unsigned domain, unsigned operation)
{
	if (operation == SITE_FREE)
		return LEAK_NONE;
	return domain == TABLES_RAW || operation == SITE_REALLOC ? LEAK_ALWAYS : LEAK_MALLOC_ONLY;
}

/*
 * The slot's content is in register NUMBER behind LOAD: to which call does it come? Guards are left
 * out.
 */
static struct error *load_follow(struct collector *collector, const struct x86_instruction *load,
				 enum leak leak)
{
	struct listing *listing = collector->builder->listing;
	uint8_t number = load->operands[0].number;
	uint64_t pending[8] = {load->address + load->length};
	unsigned pending_count = 1, left = FOLLOW_MAX;
	uint16_t start = 1u << number, holds[8] = {start};

	while (pending_count && left) {
		uint64_t address = pending[--pending_count];
		uint16_t holding = holds[pending_count];

		for (; left && holding; left--) {
			struct x86_instruction instruction;
			const struct x86_operand *to, *from;

			if (!listing_decode(listing, address, &instruction))
				break;
			to = &instruction.operands[0];
			from = &instruction.operands[1];
			if ((instruction.kind == X86_CALL_INDIRECT ||
			     instruction.kind == X86_JUMP_INDIRECT) &&
			    to->kind == X86_REGISTER && (holding >> to->number & 1)) {
				try(use_add(collector, &instruction, leak));
				break;
			}
			if (instruction.kind == X86_BRANCH &&
			    guard_at(collector->builder, instruction.address))
				break;
			if (instruction.kind == X86_CALL || instruction.kind == X86_CALL_INDIRECT)
				holding &= ~X86_CALL_CLOBBERS;
			if (!path_flows(&instruction) && instruction.kind != X86_JUMP)
				break;
			if (instruction.kind == X86_MOVE && to->kind == X86_REGISTER &&
			    to->width == 64 && from->kind == X86_REGISTER &&
			    (holding >> from->number & 1))
				holding |= 1u << to->number;
			else
				holding &= ~instruction.writes;
			if (instruction.kind == X86_BRANCH && pending_count < array_size(pending)) {
				pending[pending_count] = instruction.target;
				holds[pending_count++] = holding;
			}
			address = instruction.kind == X86_JUMP ? instruction.target
							       : address + instruction.length;
		}
	}
	return NULL;
}

static struct error *slot_use(struct collector *collector,
			      const struct x86_instruction *instruction, enum leak leak)
{
	const struct x86_operand *to = &instruction->operands[0];

	if (instruction->kind == X86_CALL_INDIRECT || instruction->kind == X86_JUMP_INDIRECT)
		return to->kind == X86_MEMORY ? use_add(collector, instruction, leak) : NULL;
	if (instruction->kind == X86_MOVE && to->kind == X86_REGISTER && to->width == 64 &&
	    to->number != X86_NONE)
		return load_follow(collector, instruction, leak);
	return NULL;
}

/* Uses of the live tables' slots by address. */
static struct error *slot_uses(struct collector *collector)
{
	const struct builder *builder = collector->builder;

	for (unsigned domain = 0; domain < 3; domain++) {
		for (unsigned operation = 0; operation < 4; operation++) {
			uint64_t slot = builder->tables.live[domain] + 8 + 8 * operation;
			const struct listing_mention *mentions;
			size_t count;

			if (!builder->tables.live[domain] || operation == SITE_FREE)
				continue;
			mentions = listing_mentions_of(builder->listing, slot, &count);
			for (size_t i = 0; i < count; i++) {
				struct x86_instruction instruction;

				if (listing_decode(builder->listing, mentions[i].address,
						   &instruction))
					try(slot_use(collector, &instruction,
						     slot_leak(domain, operation)));
			}
		}
	}
	return NULL;
}

/* The register that INSTRUCTION makes point to _PyRuntime, from its GOT word or by address. */
static uint8_t runtime_register(const struct builder *builder,
				const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];

	if (to->kind != X86_REGISTER || to->width != 64 || from->kind != X86_MEMORY ||
	    from->base != X86_NONE || from->index != X86_NONE)
		return X86_NONE;
	if (instruction->kind == X86_LEA && (uint64_t)from->constant == builder->runtime)
		return to->number;
	for (unsigned i = 0; instruction->kind == X86_MOVE && i < builder->runtime_words.count;
	     i++) {
		if (builder->runtime_words.slots[i].slot == (uint64_t)from->constant)
			return to->number;
	}
	return X86_NONE;
}

static int load_compare(const void *a, const void *b)
{
	const struct runtime_load *left = a, *right = b;

	return left->address < right->address ? -1 : left->address > right->address;
}

static struct error *loads_collect(struct collector *collector)
{
	const struct builder *builder = collector->builder;

	for (unsigned i = 0; i <= builder->runtime_words.count; i++) {
		uint64_t named = i ? builder->runtime_words.slots[i - 1].slot : builder->runtime;
		const struct listing_mention *mentions;
		size_t count;

		mentions = listing_mentions_of(builder->listing, named, &count);
		for (size_t j = 0; j < count; j++) {
			struct runtime_load load = {mentions[j].address, X86_NONE};
			struct x86_instruction instruction;

			if (listing_decode(builder->listing, load.address, &instruction))
				load.number = runtime_register(builder, &instruction);
			if (load.number == X86_NONE)
				continue;
			try(array_reserve(&collector->loads, &collector->load_capacity,
					  collector->load_count, 1, sizeof(*collector->loads)));
			collector->loads[collector->load_count++] = load;
		}
	}
	if (collector->load_count)
		qsort(collector->loads, collector->load_count, sizeof(*collector->loads),
		      load_compare);
	return NULL;
}

/*
 * Whether somewhere in the function that holds ADDRESS register NUMBER is made to point to
 * _PyRuntime.
 */
static bool function_loads_runtime(const struct collector *collector, uint64_t address,
				   uint8_t number)
{
	const struct listing_function *function;
	size_t low = 0;

	function = listing_function_at(collector->builder->listing, address);
	if (!function)
		return false;
	for (size_t high = collector->load_count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (collector->loads[middle].address < function->start)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < collector->load_count && collector->loads[low].address < function->end;
	     low++) {
		if (collector->loads[low].number == number)
			return true;
	}
	return false;
}

/*
 * Whether register NUMBER points to _PyRuntime at ADDRESS: as the code just before it tells, or,
 * for a register that calls preserve, as somewhere in the function it is made to.
 */
static bool is_runtime(const struct collector *collector, uint64_t address, uint8_t number)
{
	const struct builder *builder = collector->builder;
	bool preserved = !(X86_CALL_CLOBBERS >> number & 1);
	uint64_t at = address;

	if (!function_loads_runtime(collector, address, number))
		return false;
	for (unsigned i = 0; i < BASE_MAX && listing_previous(builder->listing, at, &at); i++) {
		struct x86_instruction instruction;

		if (!listing_decode(builder->listing, at, &instruction) ||
		    !path_flows(&instruction))
			break;
		if (runtime_register(builder, &instruction) == number)
			return true;
		if (instruction.writes >> number & 1)
			return false;
		if ((instruction.kind == X86_CALL || instruction.kind == X86_CALL_INDIRECT) &&
		    !preserved)
			return false;
	}
	return preserved;
}

/* Uses of slots as _PyRuntime plus an offset, in position-independent code from 3.12 on. */
static struct error *runtime_uses(struct collector *collector)
{
	const struct builder *builder = collector->builder;
	const struct listing *listing = builder->listing;

	if (listing->displaced_count)
		try(loads_collect(collector));
	for (size_t i = 0; i < listing->displaced_count; i++) {
		struct x86_instruction instruction;
		unsigned domain, operation;

		if (!listing_decode(builder->listing, listing->displaced[i], &instruction))
			continue;
		for (unsigned j = 0; j < 2; j++) {
			const struct x86_operand *operand = &instruction.operands[j];

			if (operand->kind != X86_MEMORY || operand->base == X86_NONE ||
			    operand->index != X86_NONE || operand->segment ||
			    !tables_slot(&builder->tables, builder->runtime + operand->constant,
					 &domain, &operation) ||
			    !is_runtime(collector, instruction.address, operand->base))
				continue;
			try(slot_use(collector, &instruction, slot_leak(domain, operation)));
		}
	}
	return NULL;
}

/* Calls of, and jumps to, the code at TARGET, a function's first byte or its PLT entry. */
static struct error *target_uses(struct collector *collector, uint64_t target, enum leak leak)
{
	const struct listing *listing = collector->builder->listing;
	const struct listing_edge *edges;
	size_t count;

	edges = listing_calls_to(listing, target, &count);
	for (size_t i = 0; i < count; i++) {
		uint32_t source = edges[i].source;

		try(point_add(collector, listing->start + source + listing->lengths[source], leak));
	}
	edges = listing_jumps_to(listing, target, &count);
	for (size_t i = 0; i < count; i++) {
		const struct listing_function *at;

		at = listing_function_at(listing, listing->start + edges[i].source);
		if (at && at->start <= target && target < at->end)
			continue; /* a loop back to its own first instruction */
		try(leak_add(collector, listing->start + edges[i].source, leak));
	}
	return NULL;
}

/* Jumps from elsewhere into FUNCTION behind its first byte: another part of the same function. */
static struct error *part_uses(struct collector *collector, const struct listing_function *function,
			       enum leak leak)
{
	const struct listing *listing = collector->builder->listing;
	uint64_t start = function->start - listing->start, end = function->end - listing->start;
	size_t low = 0;

	for (size_t high = listing->jump_count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (listing->jumps[middle].target <= start)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < listing->jump_count && listing->jumps[low].target < end; low++) {
		uint64_t source = listing->jumps[low].source;

		if (source < start || source >= end)
			try(leak_add(collector, listing->start + source, leak));
	}
	return NULL;
}

static bool is_known_export(const char *name, enum leak leak)
{
	for (unsigned i = 0; i < return_export_count; i++) {
		if (!strcmp(return_exports[i].name, name))
			return leak == LEAK_MALLOC_ONLY || !return_exports[i].malloc_only;
	}
	return leak == LEAK_MALLOC_ONLY;
}

/* The names under which FUNCTION is exported: calls by name go through the PLT. */
static struct error *name_uses(struct collector *collector, uint64_t function, enum leak leak)
{
	const struct image *image = collector->builder->image;
	size_t low = 0;

	for (size_t high = image->symbol_count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (image->symbols[middle].address < function)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < image->symbol_count && image->symbols[low].address == function; low++) {
		const struct image_symbol *symbol = &image->symbols[low];
		uint64_t plt;

		if (!symbol->global || !symbol->function)
			continue;
		plt = image_plt(image, symbol->name);
		if (plt)
			try(target_uses(collector, plt, leak));
		if (!is_known_export(symbol->name, leak))
			collector->builder->plan->audit.exports_unknown++;
	}
	return NULL;
}

static struct error *leaks_spread(struct collector *collector)
{
	const struct listing *listing = collector->builder->listing;

	while (collector->queue_count) {
		uint32_t index = collector->queue[--collector->queue_count];
		const struct listing_function *function = &listing->functions[index];
		enum leak leak = collector->leaks[index];

		if (function->start < listing->start || function->end > listing->end)
			continue;
		try(target_uses(collector, function->start, leak));
		try(part_uses(collector, function, leak));
		try(name_uses(collector, function->start, leak));
	}
	return NULL;
}

/* Exported functions of another image, or of this one where its own calls are by name. */
static struct error *export_uses(struct collector *collector)
{
	struct builder *builder = collector->builder;

	for (unsigned i = 0; i < return_export_count; i++) {
		enum leak leak = return_exports[i].malloc_only ? LEAK_MALLOC_ONLY : LEAK_ALWAYS;
		uint64_t plt = image_plt(builder->image, return_exports[i].name);

		if (plt)
			try(target_uses(collector, plt, leak));
		for (unsigned j = 0; j < builder->exports.count; j++) {
			const struct listing_mention *mentions;
			size_t count;

			if (builder->exports.slots[j].function != i)
				continue;
			mentions = listing_mentions_of(builder->listing,
						       builder->exports.slots[j].slot, &count);
			for (size_t k = 0; k < count; k++) {
				struct x86_instruction instruction;

				if (listing_decode(builder->listing, mentions[k].address,
						   &instruction) &&
				    listing_contains(builder->listing, instruction.address))
					try(slot_use(collector, &instruction, leak));
			}
		}
	}
	return NULL;
}

static int point_compare(const void *a, const void *b)
{
	const struct return_point *left = a, *right = b;

	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	if (left->malloc_only != right->malloc_only)
		return (int)left->malloc_only - (int)right->malloc_only;
	return (int)left->slow - (int)right->slow;
}

static struct error *collector_run(struct collector *collector)
{
	try(raw_uses(collector));
	try(guard_uses(collector));
	try(slot_uses(collector));
	try(runtime_uses(collector));
	try(export_uses(collector));
	return leaks_spread(collector);
}

struct error *returns_collect(struct builder *builder, struct return_point **ret, size_t *ret_count)
{
	struct collector collector = {.builder = builder};
	struct error *error;
	size_t kept = 0;

	collector.leaks = calloc(builder->listing->function_count + 1, 1);
	if (!collector.leaks)
		return error_create(ERROR_FAILED, "%s: no memory to look through it",
				    builder->image->path);
	error = collector_run(&collector);
	free(collector.leaks);
	free(collector.queue);
	free(collector.loads);
	if (error) {
		free(collector.points);
		return error;
	}
	if (collector.point_count)
		qsort(collector.points, collector.point_count, sizeof(*collector.points),
		      point_compare);
	for (size_t i = 0; i < collector.point_count; i++) {
		if (!kept || collector.points[kept - 1].address != collector.points[i].address)
			collector.points[kept++] = collector.points[i];
	}
	*ret = collector.points;
	*ret_count = kept;
	return NULL;
}
