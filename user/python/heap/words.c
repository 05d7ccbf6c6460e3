// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Words that are no heap's: the frames of threads, and the variables of libraries. */
#include "python/heap/words.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/referrer_names.h"
#include "python/python_internal.h"
#include "target/process/resident.h"

#define FRAMES_MAX   10000 /* of a thread */
#define FRAME_WORDS  512   /* of a frame: what is further on is not its own */
#define SEGMENTS_MAX 64
#define DATA_CHUNK   (1u << 12) /* words that are read at once */

/* Reads WORDS to LIST, and visits them if that works: what they belong to may be gone. */
static struct error *
words_visit(const struct python *python, uint64_t *list, const struct python_words *words,
	    struct error *(*visit)(void *context, const struct python_words *words), void *context)
{
	struct error *error =
		memory_read(&python->process->memory, words->address, list, words->count * 8);

	return error ? python_unreadable(error) : visit(context, words);
}

static struct error *frame_name(const struct python_words *words, char **ret)
{
	return python_code_name(words->python, words->code, ret);
}

static struct error *data_name(const struct python_words *words, char **ret)
{
	const char *slash = strrchr(words->path, '/');

	*ret = strdup(slash ? slash + 1 : words->path);
	return *ret ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "the name of a library");
}

struct frame {
	uint64_t address, code;
};

struct frames {
	struct frame *list;
	size_t count, capacity;
};

static int compare_frames(const void *left, const void *right)
{
	const struct frame *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

/* The frames of a thread, as far as they can be followed: it may run. */
static struct error *frames_add(const struct python *python, uint64_t frame, struct frames *frames)
{
	for (unsigned i = 0; i < FRAMES_MAX && frame; i++) {
		struct frame found = {.address = frame};

		try(python_unreadable(python_frame_read(python, frame, &found.code, &frame)));
		if (frame == found.address)
			break; /* it could not be read */
		try(array_reserve(&frames->list, &frames->capacity, frames->count, 1,
				  sizeof(*frames->list)));
		frames->list[frames->count++] = found;
	}
	return NULL;
}

/* Its words, up to the next frame, or as far as its stack's memory goes. */
static struct error *
frame_visit(const struct python *python, const struct frame *frame, uint64_t size,
	    struct error *(*visit)(void *context, const struct python_words *words), void *context)
{
	uint64_t list[FRAME_WORDS], page = 4096 - frame->address % 4096;
	struct python_words words = {
		.python = python,
		.list = list,
		.count = size / 8,
		.address = frame->address,
		.frame = frame->address,
		.code = frame->code,
		.name = frame_name,
	};
	struct error *error =
		memory_read(&python->process->memory, frame->address, list, words.count * 8);

	if (!error)
		return visit(context, &words);
	try(python_unreadable(error));
	if (page >= size)
		return NULL;
	words.count = page / 8;
	return words_visit(python, list, &words, visit, context);
}

static struct error *
frames_each(const struct python *python, const struct frames *frames,
	    struct error *(*visit)(void *context, const struct python_words *words), void *context)
{
	for (size_t i = 0; i < frames->count; i++) {
		uint64_t size = FRAME_WORDS * sizeof(uint64_t);

		if (i + 1 < frames->count &&
		    frames->list[i + 1].address - frames->list[i].address < size)
			size = frames->list[i + 1].address - frames->list[i].address;
		try(frame_visit(python, &frames->list[i], size, visit, context));
	}
	return NULL;
}

static struct error *
threads_each(const struct python *python,
	     struct error *(*visit)(void *context, const struct python_words *words), void *context)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};
	struct frames frames = {0};
	struct error *error = NULL;

	/* Up to 3.10 frames are objects on the heap. */
	if (python->layout.frames == PYTHON_FRAMES_OBJECT)
		return NULL;
	try(python_unreadable(python_thread_states_read(python, &states)));
	for (size_t i = 0; i < states.count && !error; i++)
		error = frames_add(python, states.list[i].frame, &frames);
	if (!error && frames.count > 0) {
		qsort(frames.list, frames.count, sizeof(*frames.list), compare_frames);
		error = frames_each(python, &frames, visit, context);
	}
	free(frames.list);
	return error;
}

/*
 * The variables between START and END of the library that WORDS has. Pages that were never written
 * to are left out: they are what the file says, which knows no object, and reading them would bring
 * them into the target's memory, however long the file is.
 */
static struct error *
data_each(struct python_words *words, struct resident *resident, uint64_t start, uint64_t end,
	  struct error *(*visit)(void *context, const struct python_words *words), void *context)
{
	cleanup_free uint64_t *list = malloc(DATA_CHUNK * sizeof(*list));

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the variables of a library");
	words->list = list;
	for (uint64_t at = start; at < end; at += DATA_CHUNK * sizeof(*list)) {
		uint64_t size = end - at;

		if (size > DATA_CHUNK * sizeof(*list))
			size = DATA_CHUNK * sizeof(*list);
		if (resident && !resident_bytes(resident, at, at + size))
			continue;
		words->address = at;
		words->count = size / 8;
		try(words_visit(words->python, list, words, visit, context));
	}
	return NULL;
}

/*
 * Where the variables of a library end whose file is mapped from START on: as the file itself says;
 * 0 unknown.
 */
static uint64_t library_end(const struct python *python, uint64_t start)
{
	struct memory *memory = &python->process->memory;
	Elf64_Phdr segments[SEGMENTS_MAX];
	Elf64_Ehdr header;
	struct error *error = memory_read(memory, start, &header, sizeof(header));
	uint64_t end = 0;

	if (!error && (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		       header.e_phnum > SEGMENTS_MAX || header.e_phentsize != sizeof(*segments)))
		return 0;
	if (!error)
		error = memory_read(memory, start + header.e_phoff, segments,
				    header.e_phnum * sizeof(*segments));
	if (error) {
		error_destroy(error);
		return 0;
	}
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		uint64_t last = segments[i].p_vaddr + segments[i].p_memsz;

		if (segments[i].p_type == PT_LOAD && last > end)
			end = last;
	}
	return header.e_type == ET_EXEC ? end : start + end;
}

/* A library as its mappings tell of it. */
struct library {
	const char *path;
	uint64_t end; /* of its variables; 0 unknown */
	size_t number;
};

static struct error *
library_each(const struct python *python, struct resident *resident, const struct library *library,
	     const struct process_map *maps, size_t i, size_t count,
	     struct error *(*visit)(void *context, const struct python_words *words), void *context)
{
	struct python_words words = {.python = python,
				     .path = library->path,
				     .library = library->number,
				     .name = data_name};
	uint64_t end = maps[i].end;

	/* What its file does not initialise is mapped behind, of no file. */
	if (i + 1 < count && maps[i + 1].start == end && !maps[i + 1].path[0] &&
	    library->end > end && library->end <= maps[i + 1].end)
		end = library->end;
	return data_each(&words, resident, maps[i].start, end, visit, context);
}

struct error *python_words_each(const struct python *python,
				struct error *(*visit)(void *context,
						       const struct python_words *words),
				void *context)
{
	struct library library = {.path = ""};
	struct resident *resident = NULL;
	struct process_map *maps;
	struct error *error;
	size_t count;

	try(threads_each(python, visit, context));
	try(process_maps(python->process, &maps, &count));
	error = resident_create(python->process, &resident);
	if (error) { /* then nothing says what can be left out */
		error_destroy(error);
		error = NULL;
	}
	for (size_t i = 0; i < count && !error; i++) {
		const struct process_map *map = &maps[i];

		if (map->path[0] != '/' || map->shared)
			continue;
		if (strcmp(map->path, library.path) != 0)
			library = (struct library){map->path, 0, library.number + 1};
		if (map->offset == 0 && map->readable)
			library.end = library_end(python, map->start);
		if (map->readable && map->writable)
			error = library_each(python, resident, &library, maps, i, count, visit,
					     context);
	}
	resident_destroy(resident);
	process_maps_destroy(maps, count);
	return error;
}
