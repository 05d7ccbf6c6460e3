// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The model: how a snapshot is built, and what it says about itself. */
#include "snapshot/snapshot.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "snapshot/filter.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <math.h>
#include <string.h>

struct snapshot_builder {
	struct snapshot *snapshot;
	size_t trace_capacity;
	struct lookup sums; /* of the traces that were summed */
	struct snapshot_totals totals;
};

static bool trace_equal(const void *context, uint32_t position, const void *key)
{
	const struct snapshot *snapshot = context;
	const struct trace *wanted = key;
	const struct trace *trace = &snapshot->traces[position];

	return trace->domain == wanted->domain && trace->traceback == wanted->traceback;
}

struct error *snapshot_builder_create(struct tables *tables, struct snapshot_builder **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;

	builder = calloc(1, sizeof(*builder));
	if (builder)
		builder->snapshot = calloc(1, sizeof(*builder->snapshot));
	if (!builder || !builder->snapshot)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	builder->snapshot->info.coverage = -1;
	if (tables)
		builder->snapshot->tables = tables_reference(tables);
	else
		try(tables_create(&builder->snapshot->tables));
	*ret = take(builder);
	return NULL;
}

void snapshot_builder_destroy(struct snapshot_builder *builder)
{
	if (!builder)
		return;
	lookup_deinit(&builder->sums);
	snapshot_destroy(builder->snapshot);
	free(builder);
}

struct tables *snapshot_builder_tables(struct snapshot_builder *builder)
{
	return builder->snapshot->tables;
}

static bool sum_add(uint64_t *sum, uint64_t term)
{
	return !__builtin_add_overflow(*sum, term, sum) && *sum <= INT64_MAX;
}

static bool totals_add(struct snapshot_totals *totals, const struct trace *trace)
{
	return sum_add(&totals->count, trace->count) && sum_add(&totals->size, trace->size) &&
	       sum_add(&totals->total_count, trace->total_count) &&
	       sum_add(&totals->total_size, trace->total_size);
}

/*
 * The error of a sum: its terms' errors are taken to be independent of each other. (They are
 * calibrated to one total, so that they make up for each other.)
 */
static uint64_t errors_add(uint64_t left, uint64_t right)
{
	double error = hypot((double)left, (double)right);

	return error < (double)INT64_MAX ? (uint64_t)(error + 0.5) : INT64_MAX;
}

/* Adds to the totals, and a row for TRACE unless it goes to the row SUM. */
static struct error *trace_add(struct snapshot_builder *builder, const struct trace *trace,
			       struct trace *sum)
{
	struct snapshot *snapshot = builder->snapshot;
	struct snapshot_totals totals = builder->totals;

	if (trace->traceback >= snapshot->tables->traceback_count)
		return error_create(ERROR_FAILED, "a trace names a traceback that is not there");
	if (!totals_add(&totals, trace))
		return error_create(ERROR_FAILED, "the sizes of all traces exceed 63 bits");
	if (sum) {
		sum->count += trace->count;
		sum->size += trace->size;
		sum->total_count += trace->total_count;
		sum->total_size += trace->total_size;
		sum->size_error = errors_add(sum->size_error, trace->size_error);
	} else {
		try(array_reserve(&snapshot->traces, &builder->trace_capacity,
				  snapshot->trace_count, 1, sizeof(*snapshot->traces)));
		snapshot->traces[snapshot->trace_count++] = *trace;
	}
	builder->totals = totals;
	return NULL;
}

struct error *snapshot_builder_trace(struct snapshot_builder *builder, const struct trace *trace)
{
	return trace_add(builder, trace, NULL);
}

struct error *snapshot_builder_sum(struct snapshot_builder *builder, const struct trace *trace)
{
	struct snapshot *snapshot = builder->snapshot;
	uint64_t hash = lookup_hash_number(trace->domain, trace->traceback);
	uint32_t found = lookup_find(&builder->sums, hash, trace_equal, snapshot, trace);

	if (found != LOOKUP_NONE)
		return trace_add(builder, trace, &snapshot->traces[found]);
	if (snapshot->trace_count >= LOOKUP_NONE)
		return error_create(ERROR_FAILED, "a snapshot holds at most %u traces that add up",
				    LOOKUP_NONE - 1);
	try(trace_add(builder, trace, NULL));
	return lookup_add(&builder->sums, hash, (uint32_t)(snapshot->trace_count - 1));
}

struct snapshot_info *snapshot_builder_info(struct snapshot_builder *builder)
{
	return &builder->snapshot->info;
}

struct error *snapshot_builder_finish(struct snapshot_builder *builder, struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *owned = builder;
	struct snapshot_info *info = &builder->snapshot->info;
	char **texts[] = {&info->command_line,   &info->executable,     &info->host,
			  &info->container,      &info->boot_id,        &info->mode,
			  &info->coverage_basis, &info->container_name, &info->image,
			  &info->cgroup};

	for (size_t i = 0; i < array_size(texts); i++) {
		if (!*texts[i])
			*texts[i] = strdup("");
		if (!*texts[i])
			return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	}
	*ret = take(owned->snapshot);
	return NULL;
}

struct error *snapshot_info_loss(struct snapshot_info *info, const char *name, const char *text,
				 uint64_t count)
{
	cleanup_free char *name_copy = NULL;
	cleanup_free char *text_copy = NULL;
	struct loss *losses;

	for (size_t i = 0; i < info->loss_count; i++) {
		if (strcmp(info->losses[i].name, name) != 0)
			continue;
		if (__builtin_add_overflow(info->losses[i].count, count, &info->losses[i].count))
			info->losses[i].count = UINT64_MAX;
		return NULL;
	}
	name_copy = strdup(name);
	text_copy = strdup(text);
	losses = reallocarray(info->losses, info->loss_count + 1, sizeof(*losses));
	if (losses)
		info->losses = losses;
	if (!name_copy || !text_copy || !losses)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the losses of a snapshot");
	losses[info->loss_count++] = (struct loss){take(name_copy), take(text_copy), count};
	return NULL;
}

static void snapshot_info_deinit(struct snapshot_info *info)
{
	free(info->command_line);
	free(info->executable);
	free(info->host);
	free(info->container);
	free(info->container_name);
	free(info->image);
	free(info->cgroup);
	free(info->boot_id);
	free(info->mode);
	free(info->coverage_basis);
	for (size_t i = 0; i < info->loss_count; i++) {
		free(info->losses[i].name);
		free(info->losses[i].text);
	}
	free(info->losses);
}

void snapshot_destroy(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	snapshot_info_deinit(&snapshot->info);
	tables_release(snapshot->tables);
	free(snapshot->traces);
	free(snapshot);
}

bool snapshot_info_tells_losses(const struct snapshot_info *info)
{
	return info->loss_count > 0 || info->coverage >= 0 || *info->coverage_basis;
}

void snapshot_python_version(uint32_t hexversion, char *buffer, size_t size)
{
	unsigned int major = hexversion >> 24, minor = hexversion >> 16 & 0xff;
	unsigned int micro = hexversion >> 8 & 0xff, level = hexversion >> 4 & 0xf;
	const char *suffix = level == 0xa ? "a" : level == 0xb ? "b" : level == 0xc ? "rc" : "";

	if (hexversion == 0)
		snprintf(buffer, size, "%s", "");
	else if (*suffix)
		snprintf(buffer, size, "%u.%u.%u%s%u", major, minor, micro, suffix,
			 hexversion & 0xf);
	else
		snprintf(buffer, size, "%u.%u.%u", major, minor, micro);
}

struct snapshot_totals snapshot_totals(const struct snapshot *snapshot)
{
	struct snapshot_totals totals = {0};

	for (size_t i = 0; i < snapshot->trace_count; i++)
		totals_add(&totals, &snapshot->traces[i]);
	return totals;
}

static struct error *info_copy(const struct snapshot_info *info, struct snapshot_info *to)
{
	char **texts[] = {&to->command_line,   &to->executable,     &to->host,
			  &to->container,      &to->boot_id,        &to->mode,
			  &to->coverage_basis, &to->container_name, &to->image,
			  &to->cgroup};
	bool failed = false;

	*to = *info;
	to->losses = NULL;
	to->loss_count = 0;
	for (size_t i = 0; i < array_size(texts); i++) {
		*texts[i] = strdup(*texts[i]);
		failed = failed || !*texts[i];
	}
	if (failed)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	for (size_t i = 0; i < info->loss_count; i++)
		try(snapshot_info_loss(to, info->losses[i].name, info->losses[i].text,
				       info->losses[i].count));
	return NULL;
}

struct error *snapshot_filter(const struct snapshot *snapshot, const struct filter *filters,
			      size_t count, struct snapshot **ret)
{
	cleanup(matcher_cleanup) struct matcher *matcher = NULL;
	cleanup(snapshot_cleanup) struct snapshot *filtered = calloc(1, sizeof(*filtered));
	struct trace *traces;

	if (!filtered)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	filtered->tables = tables_reference(snapshot->tables);
	try(info_copy(&snapshot->info, &filtered->info));
	try(matcher_create(filters, count, snapshot->tables, &matcher));
	filtered->traces = calloc(snapshot->trace_count + 1, sizeof(*filtered->traces));
	if (!filtered->traces)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		if (matcher_passes(matcher, &snapshot->traces[i]))
			filtered->traces[filtered->trace_count++] = snapshot->traces[i];
	}
	traces = reallocarray(filtered->traces, filtered->trace_count + 1, sizeof(*traces));
	if (traces)
		filtered->traces = traces;
	*ret = take(filtered);
	return NULL;
}
