// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Adds sites and warnings to a plan in the making. */
#include "probe/find/builder.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

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
	if (plan->warning_count == PLAN_WARNINGS_MAX)
		return;
	va_start(arguments, format);
	length = vasprintf(&line, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if (!plan->warnings)
		plan->warnings = calloc(PLAN_WARNINGS_MAX, sizeof(*plan->warnings));
	if (!plan->warnings) {
		free(line);
		return;
	}
	plan->warnings[plan->warning_count++] = line;
}

struct error *builder_check(const struct builder *builder)
{
	if (builder->listing->decodes >= LISTING_DECODES_MAX)
		return error_create(ERROR_FAILED, "%s: too much code to look at closely",
				    builder->image->path);
	return NULL;
}

static bool site_equal(const void *context, uint32_t position, const void *key)
{
	const struct plan *plan = context;

	return plan->sites[position].address == *(const uint64_t *)key;
}

struct site *builder_site_at(struct builder *builder, uint64_t address)
{
	struct plan *plan = builder->plan;
	uint32_t position = lookup_find(&builder->by_address, lookup_hash_number(0, address),
					site_equal, plan, &address);

	return position == LOOKUP_NONE ? NULL : &plan->sites[position];
}

struct error *builder_site(struct builder *builder, const struct site *site)
{
	struct plan *plan = builder->plan;
	struct x86_instruction instruction;
	struct site complete = *site;
	const uint8_t *bytes;
	size_t size;

	try(builder_check(builder));
	if (!listing_decode(builder->listing, site->address, &instruction) ||
	    !image_offset(builder->image, site->address, &complete.offset))
		return error_create(ERROR_FAILED, "%s: %#llx is no instruction in the file",
				    builder->image->path, (unsigned long long)site->address);
	if (builder_site_at(builder, site->address))
		return error_create(ERROR_FAILED, "%s: two reasons to probe %#llx",
				    builder->image->path, (unsigned long long)site->address);
	if (plan->site_count == PLAN_SITES_MAX)
		return error_create(ERROR_FAILED, "%s: more than %u places to probe",
				    builder->image->path, PLAN_SITES_MAX);
	bytes = listing_bytes(builder->listing, site->address, &size);
	complete.length = instruction.length;
	memcpy(complete.bytes, bytes, instruction.length);
	try(array_reserve(&plan->sites, &builder->site_capacity, plan->site_count, 1,
			  sizeof(*plan->sites)));
	try(lookup_add(&builder->by_address, lookup_hash_number(0, complete.address),
		       plan->site_count));
	plan->sites[plan->site_count++] = complete;
	return NULL;
}

void builder_deinit(struct builder *builder)
{
	listing_destroy(builder->listing);
	free(builder->guards);
	lookup_deinit(&builder->by_address);
}
