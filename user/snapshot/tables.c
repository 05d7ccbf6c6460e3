// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Strings, frames and tracebacks, each kept once. */
#include "snapshot/tables.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define UNKNOWN "<unknown>"

struct string_key {
	const char *text;
	size_t size;
};

struct traceback_key {
	const uint32_t *frames;
	uint32_t nframe, total_nframe;
};

static bool string_equal(const void *context, uint32_t position, const void *key)
{
	const struct tables *tables = context;
	const struct string_key *wanted = key;
	const char *text = tables->strings[position];

	return strncmp(text, wanted->text, wanted->size) == 0 && text[wanted->size] == '\0';
}

static bool frame_equal(const void *context, uint32_t position, const void *key)
{
	const struct tables *tables = context;

	return memcmp(&tables->frames[position], key, sizeof(struct frame)) == 0;
}

static bool traceback_equal(const void *context, uint32_t position, const void *key)
{
	const struct tables *tables = context;
	const struct traceback_key *wanted = key;
	const struct traceback *traceback = &tables->tracebacks[position];

	return traceback->nframe == wanted->nframe &&
	       traceback->total_nframe == wanted->total_nframe &&
	       memcmp(&tables->traceback_frames[traceback->first], wanted->frames,
		      wanted->nframe * sizeof(*wanted->frames)) == 0;
}

static struct error *tables_full(const char *what)
{
	return error_create(ERROR_FAILED, "snapshots hold at most %u %s", UINT32_MAX - 1, what);
}

struct error *tables_create(struct tables **ret)
{
	cleanup(tables_cleanup) struct tables *tables = calloc(1, sizeof(*tables));
	uint32_t empty;

	if (!tables)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	tables->references = 1;
	try(tables_string(tables, "", 0, &empty));
	*ret = take(tables);
	return NULL;
}

struct tables *tables_reference(struct tables *tables)
{
	tables->references++;
	return tables;
}

void tables_release(struct tables *tables)
{
	if (!tables || --tables->references > 0)
		return;
	for (size_t i = 0; i < tables->string_count; i++)
		free(tables->strings[i]);
	free(tables->strings);
	free(tables->frames);
	free(tables->traceback_frames);
	free(tables->tracebacks);
	lookup_deinit(&tables->string_lookup);
	lookup_deinit(&tables->frame_lookup);
	lookup_deinit(&tables->traceback_lookup);
	free(tables);
}

static struct error *string_add(struct tables *tables, const struct string_key *key, uint64_t hash,
				uint32_t *ret)
{
	cleanup_free char *copy = NULL;

	if (tables->string_count >= LOOKUP_NONE)
		return tables_full("strings");
	try(array_reserve(&tables->strings, &tables->string_capacity, tables->string_count, 1,
			  sizeof(*tables->strings)));
	copy = strndup(key->text, key->size);
	if (!copy)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a string of %zu bytes", key->size);
	try(lookup_add(&tables->string_lookup, hash, (uint32_t)tables->string_count));
	tables->strings[tables->string_count] = take(copy);
	*ret = (uint32_t)tables->string_count++;
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

struct error *tables_string(struct tables *tables, const char *text, size_t size, uint32_t *ret)
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
	found = lookup_find(&tables->string_lookup, hash, string_equal, tables, &key);
	if (found == LOOKUP_NONE)
		return string_add(tables, &key, hash, ret);
	*ret = found;
	return NULL;
}

struct error *tables_frame(struct tables *tables, const struct frame *frame, uint32_t *ret)
{
	uint64_t hash = lookup_hash_number((uint64_t)frame->filename << 32 | frame->lineno,
					   (uint64_t)frame->name << 32 | frame->firstlineno);
	uint32_t found = lookup_find(&tables->frame_lookup, hash, frame_equal, tables, frame);

	if (found == LOOKUP_NONE) {
		if (frame->filename >= tables->string_count || frame->name >= tables->string_count)
			return error_create(ERROR_FAILED,
					    "a frame names a string that is not there");
		if (tables->frame_count >= LOOKUP_NONE)
			return tables_full("frames");
		try(array_reserve(&tables->frames, &tables->frame_capacity, tables->frame_count, 1,
				  sizeof(*tables->frames)));
		found = (uint32_t)tables->frame_count;
		try(lookup_add(&tables->frame_lookup, hash, found));
		tables->frames[tables->frame_count++] = *frame;
	}
	*ret = found;
	return NULL;
}

static struct error *traceback_add(struct tables *tables, const struct traceback_key *key,
				   uint64_t hash, uint32_t *ret)
{
	if (tables->traceback_count >= LOOKUP_NONE)
		return tables_full("tracebacks");
	if (tables->traceback_frame_count + key->nframe >= LOOKUP_NONE)
		return tables_full("frames of tracebacks");
	for (uint32_t i = 0; i < key->nframe; i++) {
		if (key->frames[i] >= tables->frame_count)
			return error_create(ERROR_FAILED,
					    "a traceback names a frame that is not there");
	}
	try(array_reserve(&tables->tracebacks, &tables->traceback_capacity, tables->traceback_count,
			  1, sizeof(*tables->tracebacks)));
	try(array_reserve(&tables->traceback_frames, &tables->traceback_frame_capacity,
			  tables->traceback_frame_count, key->nframe,
			  sizeof(*tables->traceback_frames)));
	try(lookup_add(&tables->traceback_lookup, hash, (uint32_t)tables->traceback_count));
	memcpy(&tables->traceback_frames[tables->traceback_frame_count], key->frames,
	       key->nframe * sizeof(*key->frames));
	tables->tracebacks[tables->traceback_count] = (struct traceback){
		.first = (uint32_t)tables->traceback_frame_count,
		.nframe = key->nframe,
		.total_nframe = key->total_nframe,
	};
	tables->traceback_frame_count += key->nframe;
	*ret = (uint32_t)tables->traceback_count++;
	return NULL;
}

struct error *tables_traceback(struct tables *tables, const uint32_t *frames, uint32_t nframe,
			       uint32_t total_nframe, uint32_t *ret)
{
	struct traceback_key key = {frames, nframe, total_nframe};
	struct frame unknown = {0};
	uint32_t unknown_index, found;
	uint64_t hash;

	if (total_nframe < nframe)
		return error_create(ERROR_FAILED, "a traceback of %u frames with %u in all", nframe,
				    total_nframe);
	if (nframe == 0) {
		try(tables_string(tables, UNKNOWN, strlen(UNKNOWN), &unknown.filename));
		try(tables_frame(tables, &unknown, &unknown_index));
		key = (struct traceback_key){&unknown_index, 1, total_nframe ? total_nframe : 1};
	}
	hash = lookup_hash(key.total_nframe, key.frames, key.nframe * sizeof(*key.frames));
	found = lookup_find(&tables->traceback_lookup, hash, traceback_equal, tables, &key);
	if (found == LOOKUP_NONE)
		return traceback_add(tables, &key, hash, ret);
	*ret = found;
	return NULL;
}

bool tables_frame_unknown(const struct tables *tables, const struct frame *frame)
{
	return frame->lineno == 0 && frame->name == 0 && frame->firstlineno == 0 &&
	       strcmp(tables_filename(tables, frame), UNKNOWN) == 0;
}

/* By code points: as bytes of UTF-8 compare, but for NUL, which is c0 80 here. */
static int compare_strings(const char *left, const char *right)
{
	const uint8_t *a = (const uint8_t *)left, *b = (const uint8_t *)right;

	while (*a == *b && *a != '\0') {
		a++;
		b++;
	}
	if (*a == 0xc0 || *b == 0xc0)
		return *a == *b ? 0 : *a == '\0' ? -1 : *b == '\0' ? 1 : *a == 0xc0 ? -1 : 1;
	return (*a > *b) - (*a < *b);
}

static int compare_indexed_strings(const void *left, const void *right, void *context)
{
	const struct tables *tables = context;

	return compare_strings(tables->strings[*(const uint32_t *)left],
			       tables->strings[*(const uint32_t *)right]);
}

/* The rank of each string that is a file name. */
static struct error *rank_filenames(const struct tables *tables, uint32_t **ret)
{
	cleanup_free uint32_t *ranks = calloc(tables->string_count, sizeof(*ranks));
	cleanup_free uint32_t *used = calloc(tables->string_count, sizeof(*used));
	size_t count = 0;

	if (!ranks || !used)
		return error_create_errno(ERROR_FAILED, ENOMEM, "an order of file names");
	for (size_t i = 0; i < tables->frame_count; i++) {
		uint32_t filename = tables->frames[i].filename;

		if (!ranks[filename]) {
			ranks[filename] = 1;
			used[count++] = filename;
		}
	}
	qsort_r(used, count, sizeof(*used), compare_indexed_strings, (void *)tables);
	for (size_t i = 0; i < count; i++)
		ranks[used[i]] = (uint32_t)i;
	*ret = take(ranks);
	return NULL;
}

struct place {
	uint64_t key;
	uint32_t frame;
};

static int compare_keys(const void *left, const void *right)
{
	uint64_t a = ((const struct place *)left)->key, b = ((const struct place *)right)->key;

	return (a > b) - (a < b);
}

struct error *tables_rank_frames(const struct tables *tables, uint32_t **ret)
{
	cleanup_free struct place *places = calloc(tables->frame_count + 1, sizeof(*places));
	cleanup_free uint32_t *ranks = calloc(tables->frame_count + 1, sizeof(*ranks));
	cleanup_free uint32_t *filenames = NULL;
	uint32_t rank = 0;

	if (!places || !ranks)
		return error_create_errno(ERROR_FAILED, ENOMEM, "an order of frames");
	try(rank_filenames(tables, &filenames));
	for (size_t i = 0; i < tables->frame_count; i++) {
		const struct frame *frame = &tables->frames[i];

		places[i].key = (uint64_t)filenames[frame->filename] << 32 | frame->lineno;
		places[i].frame = (uint32_t)i;
	}
	qsort(places, tables->frame_count, sizeof(*places), compare_keys);
	for (size_t i = 0; i < tables->frame_count; i++) {
		if (i > 0 && places[i].key != places[i - 1].key)
			rank++;
		ranks[places[i].frame] = rank;
	}
	*ret = take(ranks);
	return NULL;
}
