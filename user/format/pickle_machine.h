/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the operations of a pickle work on: its bytes, the stack with its marks, and the memo
 * (CPython's Lib/pickle.py, class _Unpickler). Values are a number or an index, of kinds that are
 * the user's; there is no tree of objects.
 *
 * Each function fails on what the file does not allow, with the offset of the opcode at hand.
 */
#ifndef TMBPF_FORMAT_PICKLE_MACHINE_H
#define TMBPF_FORMAT_PICKLE_MACHINE_H

#include "format/pickle_input.h"
#include <stddef.h>
#include <stdint.h>

struct error;

/* Python appends 1000 elements to a list at a time, and a traceback has 65535 frames at most. */
#define MACHINE_STACK_MAX ((size_t)1 << 17)
/* The attributes of a Snapshot and of its _Traces, the list, a trace and its traceback. */
#define MACHINE_MARK_MAX ((size_t)5)
#define MACHINE_MEMO_MAX ((size_t)1 << 26)
/* Bytes of a string: a file name is shorter. */
#define MACHINE_TEXT_MAX ((uint64_t)1 << 20)

struct value {
	uint32_t kind, index;
	uint64_t number;
};

/* What was memoized: a value without its number. */
struct memo {
	uint32_t kind, index;
};

struct machine {
	struct pickle_input input;
	uint64_t offset;    /* of the opcode at hand */
	uint64_t frame_end; /* of the pickle's frame, 0 without one */

	struct value *stack;
	size_t stack_count, stack_capacity;
	size_t marks[MACHINE_MARK_MAX];
	size_t mark_count;
	struct memo *memos;
	size_t memo_count, memo_capacity;
};

/* Opens PATH, which is borrowed; all zero before. */
struct error *machine_init(struct machine *machine, const char *path);
/* Also one that is all zero. */
void machine_deinit(struct machine *machine);

/* An error of "at byte N: " and the text. */
struct error *machine_refuse(const struct machine *machine, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* "more than LIMIT WHAT". */
struct error *machine_refuse_many(const struct machine *machine, const char *what, size_t limit);
/* The opcode at hand is none that there may be. */
struct error *machine_refuse_opcode(const struct machine *machine, uint8_t opcode);

/* The head of the file: protocol 4 or 5. */
struct error *machine_read_protocol(struct machine *machine);
/* The next opcode. */
struct error *machine_next(struct machine *machine, uint8_t *ret);
/* After each opcode, LAST being the last one: none may reach over the end of its frame. */
struct error *machine_check_frame(struct machine *machine, bool last);

/* What stands behind an opcode: a little-endian number of SIZE bytes, 8 at most. */
struct error *machine_take_number(struct machine *machine, size_t size, uint64_t *ret);
/* A string, the size of whose length is given, in UTF-8 that may have surrogates; the machine's. */
struct error *machine_take_text(struct machine *machine, size_t length_size, const char **ret,
				size_t *ret_size);
/* LONG1's number; it has to be positive and of 64 bits. */
struct error *machine_take_long(struct machine *machine, uint64_t *ret);

/* MARK, MEMOIZE and FRAME. */
struct error *machine_mark(struct machine *machine);
struct error *machine_memoize(struct machine *machine);
struct error *machine_frame(struct machine *machine);
/* What was memoized as INDEX. */
struct error *machine_recall(struct machine *machine, uint64_t index, struct memo *ret);

struct error *machine_push(struct machine *machine, struct value value);
/* Takes COUNT values off, the oldest first: they stay valid until something is pushed. */
struct error *machine_pop(struct machine *machine, size_t count, const struct value **ret);
/* Takes off what lies above the last mark, in the same way, and the mark. */
struct error *machine_pop_mark(struct machine *machine, const struct value **ret,
			       size_t *ret_count);
/* The last value, which has to be of KIND; it stays. WHAT is for the message. */
struct error *machine_top(const struct machine *machine, uint32_t kind, const char *what,
			  const struct value **ret);

#endif
