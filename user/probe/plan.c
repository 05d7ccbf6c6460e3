// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/plan.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/builder.h"

#define SITES_MAX    65536
#define WARNINGS_MAX 200

const char *operation_name(enum site_operation operation)
{
	static const char *const names[] = {"malloc", "calloc", "realloc", "free"};

	return (unsigned)operation < array_size(names) ? names[operation] : "?";
}

void builder_warn(struct builder *builder, const char *format, ...)
{
	struct plan *plan = builder->plan;
	char *line = NULL;
	va_list arguments;
	int length;

	plan->audit.warnings++;
	if (plan->warning_count == WARNINGS_MAX)
		return;
	va_start(arguments, format);
	length = vasprintf(&line, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if (!plan->warnings)
		plan->warnings = calloc(WARNINGS_MAX, sizeof(*plan->warnings));
	if (!plan->warnings) {
		free(line);
		return;
	}
	plan->warnings[plan->warning_count++] = line;
}

struct error *builder_site(struct builder *builder, const struct site *site)
{
	struct plan *plan = builder->plan;
	struct x86_instruction instruction;
	struct site complete = *site;
	const uint8_t *bytes;
	size_t size;

	if (!listing_decode(builder->listing, site->address, &instruction) ||
	    !image_offset(builder->image, site->address, &complete.offset))
		return error_create(ERROR_FAILED, "%s: %#llx is no instruction in the file",
				    builder->image->path, (unsigned long long)site->address);
	if (plan->site_count == SITES_MAX)
		return error_create(ERROR_FAILED, "%s: more than %u places to probe",
				    builder->image->path, SITES_MAX);
	bytes = listing_bytes(builder->listing, site->address, &size);
	complete.length = instruction.length;
	memcpy(complete.bytes, bytes, instruction.length);
	try(array_reserve(&plan->sites, &builder->site_capacity, plan->site_count, 1,
			  sizeof(*plan->sites)));
	plan->sites[plan->site_count++] = complete;
	return NULL;
}

struct site *builder_site_at(struct builder *builder, uint64_t address)
{
	struct plan *plan = builder->plan;

	for (size_t i = 0; i < plan->site_count; i++) {
		if (plan->sites[i].address == address)
			return &plan->sites[i];
	}
	return NULL;
}

static int site_compare(const void *a, const void *b)
{
	const struct site *left = a, *right = b;

	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	return (int)left->kind - (int)right->kind;
}

static struct error *builder_run(struct builder *builder)
{
	struct plan *plan = builder->plan;

	memcpy(plan->functions, builder->tables.functions, sizeof(plan->functions));
	plan->audit.bad_instructions = builder->listing->bad_instructions;
	tables_settle(&builder->tables, builder->listing);
	memcpy(plan->tables, builder->tables.live, sizeof(plan->tables));
	try(guards_find(builder));
	try(guards_sites(builder));
	try(entries_sites(builder));
	try(raw_sites(builder));
	if (builder->listing->decodes >= LISTING_DECODES_MAX)
		return error_create(ERROR_FAILED, "%s: too much code to look at closely",
				    builder->image->path);
	qsort(plan->sites, plan->site_count, sizeof(*plan->sites), site_compare);
	return NULL;
}

static int address_compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* What the sweep is to take note of: the implementations, and every slot of every table. */
static struct error *watched_collect(const struct builder *builder, uint64_t **ret,
				     size_t *ret_count)
{
	const struct tables *tables = &builder->tables;
	cleanup_free uint64_t *watched = NULL;
	size_t count = 0, capacity = 0;

	try(array_reserve(&watched, &capacity, 0, 8 + 5 * (2 * TABLES_COPIES_MAX + 3),
			  sizeof(*watched)));
	for (unsigned i = 0; i < 8; i++)
		watched[count++] = tables->functions[i / 4][i % 4];
	for (unsigned raw = 0; raw < 2; raw++) {
		for (unsigned i = 0; i < tables->copy_count[raw]; i++) {
			for (unsigned word = 0; word < TABLE_WORDS; word++)
				watched[count++] = tables->copies[raw][i] + 8 * word;
		}
	}
	qsort(watched, count, sizeof(*watched), address_compare);
	*ret = take(watched);
	*ret_count = count;
	return NULL;
}

struct error *plan_create_image(const struct image *image, uint32_t version, uint64_t runtime,
				const uint64_t *live, struct plan **ret)
{
	cleanup(plan_cleanup) struct plan *plan = calloc(1, sizeof(*plan));
	cleanup(listing_cleanup) struct listing *listing = NULL;
	struct builder builder = {
		.image = image, .version = version, .runtime = runtime, .plan = plan};
	cleanup_free uint64_t *watched = NULL;
	size_t watched_count;
	struct error *error;

	if (!plan)
		return error_create(ERROR_FAILED, "no memory for a plan");
	try(tables_find(image, live, &builder.tables));
	try(watched_collect(&builder, &watched, &watched_count));
	try(listing_create(image, watched, watched_count, &listing));
	builder.listing = listing;
	error = builder_run(&builder);
	free(builder.guards);
	if (error)
		return error;
	*ret = take(plan);
	return NULL;
}

struct error *plan_create(const struct python *python, struct plan **ret)
{
	const struct python_layout *layout = &python->layout;
	uint64_t runtime = python->runtime ? python->runtime - python->bias : 0;
	uint64_t live[3] = {runtime + layout->runtime.allocators_raw,
			    runtime + layout->runtime.allocators_mem,
			    runtime + layout->runtime.allocators_obj};
	bool by_layout = runtime && layout->runtime.allocators_raw != PYTHON_NO_OFFSET;

	return plan_create_image(python->image, python->version, runtime, by_layout ? live : NULL,
				 ret);
}

void plan_destroy(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->warning_count; i++)
		free(plan->warnings[i]);
	free(plan->warnings);
	free(plan->sites);
	free(plan);
}
