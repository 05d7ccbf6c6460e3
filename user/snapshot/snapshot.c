// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/snapshot.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include <errno.h>
#include <string.h>

struct snapshot_builder {
	struct snapshot *snapshot;
	size_t string_capacity, frame_capacity, traceback_capacity, trace_capacity;
	struct lookup strings, tracebacks, traces;
	struct snapshot_totals totals;
};

struct string_key {
	const char *text;
	size_t size;
};

struct traceback_key {
	const struct frame *frames;
	uint32_t nframe, total_nframe;
};

static bool string_equal(const void *context, uint32_t position, const void *key)
{
	const struct snapshot *snapshot = context;
	const struct string_key *wanted = key;
	const char *text = snapshot->strings[position];

	return strncmp(text, wanted->text, wanted->size) == 0 && text[wanted->size] == '\0';
}

static bool traceback_equal(const void *context, uint32_t position, const void *key)
{
	const struct snapshot *snapshot = context;
	const struct traceback_key *wanted = key;
	const struct traceback *traceback = &snapshot->tracebacks[position];

	return traceback->nframe == wanted->nframe &&
	       traceback->total_nframe == wanted->total_nframe &&
	       (wanted->nframe == 0 || memcmp(&snapshot->frames[traceback->first], wanted->frames,
					      wanted->nframe * sizeof(*wanted->frames)) == 0);
}

static bool trace_equal(const void *context, uint32_t position, const void *key)
{
	const struct snapshot *snapshot = context;
	const struct trace *wanted = key;
	const struct trace *trace = &snapshot->traces[position];

	return trace->domain == wanted->domain && trace->traceback == wanted->traceback;
}

static struct error *snapshot_too_large(const char *what)
{
	return error_create(ERROR_FAILED, "a snapshot holds at most %u %s", UINT32_MAX - 1, what);
}

struct error *snapshot_builder_create(struct snapshot_builder **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;
	uint32_t empty;

	builder = calloc(1, sizeof(*builder));
	if (builder)
		builder->snapshot = calloc(1, sizeof(*builder->snapshot));
	if (!builder || !builder->snapshot)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	builder->snapshot->info.coverage = -1;
	try(snapshot_builder_string(builder, "", 0, &empty));
	*ret = take(builder);
	return NULL;
}

void snapshot_builder_destroy(struct snapshot_builder *builder)
{
	if (!builder)
		return;
	lookup_deinit(&builder->strings);
	lookup_deinit(&builder->tracebacks);
	lookup_deinit(&builder->traces);
	snapshot_destroy(builder->snapshot);
	free(builder);
}

static struct error *string_add(struct snapshot_builder *builder, const struct string_key *key,
				uint64_t hash, uint32_t *ret)
{
	struct snapshot *snapshot = builder->snapshot;
	cleanup_free char *copy = NULL;

	if (snapshot->string_count >= LOOKUP_NONE)
		return snapshot_too_large("strings");
	try(array_reserve(&snapshot->strings, &builder->string_capacity, snapshot->string_count, 1,
			  sizeof(*snapshot->strings)));
	copy = strndup(key->text, key->size);
	if (!copy)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a string of %zu bytes", key->size);
	try(lookup_add(&builder->strings, hash, snapshot->string_count));
	snapshot->strings[snapshot->string_count] = take(copy);
	*ret = snapshot->string_count++;
	return NULL;
}

/* TEXT with each NUL as c0 80; the caller's to free, NULL without memory. */
static char *nul_escape(const char *text, size_t size, size_t *ret_size)
{
	char *escaped = reallocarray(NULL, size, 2);
	size_t length = 0;

	for (size_t i = 0; escaped && i < size; i++) {
		if (text[i] == '\0') {
			escaped[length++] = '\xc0';
			escaped[length++] = '\x80';
		} else {
			escaped[length++] = text[i];
		}
	}
	*ret_size = length;
	return escaped;
}

struct error *snapshot_builder_string(struct snapshot_builder *builder, const char *text,
				      size_t size, uint32_t *ret)
{
	struct string_key key = {text, size};
	cleanup_free char *escaped = NULL;
	uint64_t hash;
	uint32_t found;

	if (size > 0 && memchr(text, '\0', size)) {
		escaped = nul_escape(text, size, &key.size);
		if (!escaped)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a string of %zu bytes",
						  size);
		key.text = escaped;
	}
	hash = lookup_hash(0, key.text, key.size);
	found = lookup_find(&builder->strings, hash, string_equal, builder->snapshot, &key);
	if (found == LOOKUP_NONE)
		return string_add(builder, &key, hash, ret);
	*ret = found;
	return NULL;
}

static struct error *traceback_add(struct snapshot_builder *builder,
				   const struct traceback_key *key, uint64_t hash, uint32_t *ret)
{
	struct snapshot *snapshot = builder->snapshot;

	if (snapshot->traceback_count >= LOOKUP_NONE)
		return snapshot_too_large("tracebacks");
	if (snapshot->frame_count + key->nframe >= LOOKUP_NONE)
		return snapshot_too_large("frames");
	for (uint32_t i = 0; i < key->nframe; i++) {
		if (key->frames[i].filename >= snapshot->string_count ||
		    key->frames[i].name >= snapshot->string_count)
			return error_create(ERROR_FAILED,
					    "frame %u of a traceback names a string that is not "
					    "there",
					    i);
	}
	try(array_reserve(&snapshot->tracebacks, &builder->traceback_capacity,
			  snapshot->traceback_count, 1, sizeof(*snapshot->tracebacks)));
	try(array_reserve(&snapshot->frames, &builder->frame_capacity, snapshot->frame_count,
			  key->nframe, sizeof(*snapshot->frames)));
	try(lookup_add(&builder->tracebacks, hash, snapshot->traceback_count));
	if (key->nframe)
		memcpy(&snapshot->frames[snapshot->frame_count], key->frames,
		       key->nframe * sizeof(*key->frames));
	snapshot->tracebacks[snapshot->traceback_count] = (struct traceback){
		.first = snapshot->frame_count,
		.nframe = key->nframe,
		.total_nframe = key->total_nframe,
	};
	snapshot->frame_count += key->nframe;
	*ret = snapshot->traceback_count++;
	return NULL;
}

struct error *snapshot_builder_traceback(struct snapshot_builder *builder,
					 const struct frame *frames, uint32_t nframe,
					 uint32_t total_nframe, uint32_t *ret)
{
	struct traceback_key key = {frames, nframe, total_nframe};
	uint64_t hash;
	uint32_t found;

	if (total_nframe < nframe)
		return error_create(ERROR_FAILED, "a traceback of %u frames with %u in all", nframe,
				    total_nframe);
	hash = lookup_hash(total_nframe, frames, nframe * sizeof(*frames));
	found = lookup_find(&builder->tracebacks, hash, traceback_equal, builder->snapshot, &key);
	if (found == LOOKUP_NONE)
		return traceback_add(builder, &key, hash, ret);
	*ret = found;
	return NULL;
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

struct error *snapshot_builder_trace(struct snapshot_builder *builder, const struct trace *trace)
{
	struct snapshot *snapshot = builder->snapshot;
	struct snapshot_totals totals = builder->totals;
	struct trace *sum;
	uint64_t hash;
	uint32_t found;

	if (trace->traceback >= snapshot->traceback_count)
		return error_create(ERROR_FAILED, "a trace names a traceback that is not there");
	if (!totals_add(&totals, trace))
		return error_create(ERROR_FAILED, "the sizes of all traces exceed 63 bits");
	hash = lookup_hash_number(trace->domain, trace->traceback);
	found = lookup_find(&builder->traces, hash, trace_equal, snapshot, trace);
	if (found == LOOKUP_NONE) {
		if (snapshot->trace_count >= LOOKUP_NONE)
			return snapshot_too_large("traces");
		try(array_reserve(&snapshot->traces, &builder->trace_capacity,
				  snapshot->trace_count, 1, sizeof(*snapshot->traces)));
		try(lookup_add(&builder->traces, hash, snapshot->trace_count));
		snapshot->traces[snapshot->trace_count++] = *trace;
	} else {
		sum = &snapshot->traces[found];
		sum->count += trace->count;
		sum->size += trace->size;
		sum->total_count += trace->total_count;
		sum->total_size += trace->total_size;
	}
	builder->totals = totals;
	return NULL;
}

struct snapshot_info *snapshot_builder_info(struct snapshot_builder *builder)
{
	return &builder->snapshot->info;
}

struct error *snapshot_builder_finish(struct snapshot_builder *builder, struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *owned = builder;
	struct snapshot_info *info = &builder->snapshot->info;
	char **texts[] = {&info->command_line, &info->executable, &info->host,
			  &info->container,    &info->mode,       &info->coverage_basis};

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
	for (size_t i = 0; i < snapshot->string_count; i++)
		free(snapshot->strings[i]);
	free(snapshot->strings);
	free(snapshot->frames);
	free(snapshot->tracebacks);
	free(snapshot->traces);
	free(snapshot);
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

const char *snapshot_filename(const struct snapshot *snapshot, const struct frame *frame)
{
	return frame && frame->filename ? snapshot->strings[frame->filename] : "<unknown>";
}

struct snapshot_totals snapshot_totals(const struct snapshot *snapshot)
{
	struct snapshot_totals totals = {0};

	for (size_t i = 0; i < snapshot->trace_count; i++)
		totals_add(&totals, &snapshot->traces[i]);
	return totals;
}
