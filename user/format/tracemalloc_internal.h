/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reader of a pickled Snapshot: what tracemalloc_read.c, which executes its operations, and
 * tracemalloc_objects.c, which knows its objects and their attributes, share.
 */
#ifndef TMBPF_FORMAT_TRACEMALLOC_INTERNAL_H
#define TMBPF_FORMAT_TRACEMALLOC_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/frame_cache.h"
#include "format/pickle_machine.h"

struct error;
struct snapshot_builder;
struct tables;

enum kind {
	VALUE_NUMBER,
	VALUE_TEXT,      /* index of a string of the tables */
	VALUE_WORD,      /* enum word: a string that a pickle needs for itself */
	VALUE_FRAME,     /* index of a frame of the tables */
	VALUE_TRACEBACK, /* index into tracebacks */
	VALUE_TRACE,     /* index into traces */
	VALUE_NOTHING,   /* () */
	VALUE_CLASS,     /* enum class_name */
	VALUE_OBJECT,    /* an instance of it, the only one */
	VALUE_LIST,      /* of the traces, the only one */
	VALUE_DICT,      /* of attributes, index into attributes */
};

_Static_assert(VALUE_DICT < MACHINE_KINDS, "a memo's kind");

enum class_name {
	CLASS_SNAPSHOT,
	CLASS_TRACES,
	CLASS_COUNT,
};

enum word {
	WORD_TRACEMALLOC,
	WORD_SNAPSHOT,
	WORD_TRACES_CLASS,
	WORD_TRACES,
	WORD_TRACES_LIST,
	WORD_TRACEBACK_LIMIT,
};

/* A tuple of frames. How many there were is said by the traces. */
struct frames {
	uint32_t first, nframe;
	uint32_t total_nframe, traceback; /* what was last said, and the tables' index for it */
};

/* A tuple of a trace, which is one block. */
struct block {
	uint64_t size;
	uint32_t domain, traceback;
};

struct reader {
	struct machine machine;
	struct snapshot_builder *builder;
	struct tables *tables;          /* the builder's */
	size_t string_most, frame_most; /* that these may have in the end */

	struct frame_cache cache;
	uint32_t *frames; /* of all tuples of frames: indexes of the tables */
	size_t frame_count, frame_capacity;
	struct frames *tracebacks;
	size_t traceback_count, traceback_capacity;
	struct block *blocks;
	size_t block_count, block_capacity;
	size_t width; /* of the tuples of traces: 3, or 4 with total_nframe; 0: none seen */

	/* Equal blocks that follow one another are one trace. */
	struct block run;
	uint64_t run_count;
	size_t trace_count;

	bool has_object[CLASS_COUNT], built[CLASS_COUNT];
	bool has_list;
	unsigned int attributes[CLASS_COUNT]; /* of each dict, in the order in which they came */
	size_t dict_count;
	uint64_t traceback_limit;
	bool stopped;
};

static inline struct error *push(struct reader *reader, enum kind kind, size_t index)
{
	return machine_push(&reader->machine,
			    (struct value){.kind = kind, .index = (uint32_t)index});
}

/* Operations of objects: tracemalloc_objects.c. */
struct error *op_class(struct reader *reader);
struct error *op_object(struct reader *reader);
struct error *op_dict(struct reader *reader);
struct error *op_item(struct reader *reader);
struct error *op_items(struct reader *reader);
struct error *op_build(struct reader *reader);
/* The last one: what is left has to be the Snapshot. */
struct error *op_stop(struct reader *reader);

#endif
