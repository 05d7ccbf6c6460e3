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

#include "base/cleanup.h"
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

#define MACHINE_KINDS     16
#define MACHINE_INDEX_MAX ((1u << 28) - 1)

/* What was memoized: a value without its number. There are tens of millions. */
struct memo {
	uint32_t kind : 4, index : 28;
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
	__attribute__((format(printf, 2, 3), returns_nonnull));
/* "more than LIMIT WHAT". */
struct error *machine_refuse_many(const struct machine *machine, const char *what, size_t limit)
	__attribute__((returns_nonnull));
/* The opcode at hand is none that there may be. */
struct error *machine_refuse_opcode(const struct machine *machine, uint8_t opcode)
	__attribute__((returns_nonnull));

/* The head of the file: protocol 4 or 5. */
struct error *machine_read_protocol(struct machine *machine);
/* LONG1's number; it has to be positive and of 64 bits. */
struct error *machine_read_long(struct machine *machine, uint64_t *ret);
/* A string, the size of whose length is given, in UTF-8 that may have surrogates; the machine's. */
struct error *machine_read_text(struct machine *machine, size_t length_size, const char **ret,
				size_t *ret_size);

/* MARK and FRAME. */
struct error *machine_mark(struct machine *machine);
struct error *machine_frame(struct machine *machine);
/* Takes off what lies above the last mark, as machine_pop(), and the mark. */
struct error *machine_pop_mark(struct machine *machine, const struct value **ret,
			       size_t *ret_count);
/* The last value, which has to be of KIND; it stays. WHAT is for the message. */
struct error *machine_top(const struct machine *machine, uint32_t kind, const char *what,
			  const struct value **ret);

/*
 * Most of a file are frames, of four opcodes each: LONG_BINGET of a file name, BININT, TUPLE2,
 * MEMOIZE, or the shorter ones of these. If they come next, and nothing is unusual about them:
 * gives what was memoized and the number; how many bytes they take is returned. Else 0 is returned,
 * and nothing is done.
 */
size_t machine_peek_frame(const struct machine *machine, struct memo *ret_memo,
			  uint32_t *ret_number);

/* What the functions below do where it is not the usual. */
struct error *machine_refuse_frame(const struct machine *machine) __attribute__((returns_nonnull));
struct error *machine_refuse_pop(const struct machine *machine, size_t count)
	__attribute__((returns_nonnull));
struct error *machine_refuse_recall(const struct machine *machine, uint64_t index)
	__attribute__((returns_nonnull));
struct error *machine_grow_stack(struct machine *machine);
struct error *machine_grow_memos(struct machine *machine);

/* A file has tens of millions of opcodes: what most of them do is inline. */

/* The next opcode. */
static inline struct error *machine_next(struct machine *machine, uint8_t *ret)
{
	const uint8_t *opcode;

	machine->offset = pickle_input_offset(&machine->input);
	try(pickle_input_next(&machine->input, 1, &opcode));
	*ret = *opcode;
	return NULL;
}

/* After each opcode, LAST being the last one: none may reach over the end of its frame. */
static inline struct error *machine_check_frame(struct machine *machine, bool last)
{
	uint64_t offset = pickle_input_offset(&machine->input);

	if (machine->frame_end == 0 || (offset < machine->frame_end && !last))
		return NULL;
	if (offset != machine->frame_end)
		return machine_refuse_frame(machine);
	machine->frame_end = 0;
	return NULL;
}

/* The little-endian number of SIZE bytes, 8 at most. */
static inline uint64_t machine_number(const uint8_t *bytes, size_t size)
{
	uint64_t number = 0;

	for (size_t i = 0; i < size; i++)
		number |= (uint64_t)bytes[i] << (8 * i);
	return number;
}

/* The same of the bytes behind the opcode. */
static inline struct error *machine_read_number(struct machine *machine, size_t size, uint64_t *ret)
{
	const uint8_t *bytes;

	try(pickle_input_next(&machine->input, size, &bytes));
	*ret = machine_number(bytes, size);
	return NULL;
}

/* How many of the stack's values lie below the last mark: out of reach. */
static inline size_t machine_floor(const struct machine *machine)
{
	return machine->mark_count > 0 ? machine->marks[machine->mark_count - 1] : 0;
}

static inline struct error *machine_push(struct machine *machine, struct value value)
{
	if (machine->stack_count == machine->stack_capacity)
		try(machine_grow_stack(machine));
	machine->stack[machine->stack_count++] = value;
	return NULL;
}

/* Takes COUNT values off, the oldest first: they stay valid until something is pushed. */
static inline struct error *machine_pop(struct machine *machine, size_t count,
					const struct value **ret)
{
	if (machine->stack_count - machine_floor(machine) < count)
		return machine_refuse_pop(machine, count);
	machine->stack_count -= count;
	*ret = &machine->stack[machine->stack_count];
	return NULL;
}

/* MEMOIZE: keeps the last value, which stays. */
static inline struct error *machine_memoize(struct machine *machine)
{
	const struct value *value;

	if (machine->stack_count == machine_floor(machine))
		return machine_refuse_pop(machine, 1);
	if (machine->memo_count == machine->memo_capacity)
		try(machine_grow_memos(machine));
	value = &machine->stack[machine->stack_count - 1];
	if (value->index > MACHINE_INDEX_MAX)
		return machine_refuse_many(machine, "values of a kind", MACHINE_INDEX_MAX);
	machine->memos[machine->memo_count++] = (struct memo){value->kind, value->index};
	return NULL;
}

/* What was memoized as INDEX. */
static inline struct error *machine_recall(struct machine *machine, uint64_t index,
					   struct memo *ret)
{
	if (index >= machine->memo_count)
		return machine_refuse_recall(machine, index);
	*ret = machine->memos[index];
	return NULL;
}

/* Does what machine_peek_frame() found, of SIZE bytes: VALUE is pushed and memoized. */
static inline void machine_skip_frame(struct machine *machine, size_t size, struct value value)
{
	machine->input.used += size;
	machine->stack[machine->stack_count++] = value;
	machine->memos[machine->memo_count++] = (struct memo){value.kind, value.index};
}

#endif
