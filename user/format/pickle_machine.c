// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The stack machine that a pickle is a program for. */
#include "format/pickle_machine.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "format/pickle.h"
#include <endian.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* All opcodes that there are, of Lib/pickletools.py, so that one can be refused by its name. */
static const char *const opcode_names[256] = {
	['I'] = "INT",
	['J'] = "BININT",
	['K'] = "BININT1",
	['M'] = "BININT2",
	['L'] = "LONG",
	[0x8a] = "LONG1",
	[0x8b] = "LONG4",
	['S'] = "STRING",
	['T'] = "BINSTRING",
	['U'] = "SHORT_BINSTRING",
	['B'] = "BINBYTES",
	['C'] = "SHORT_BINBYTES",
	[0x8e] = "BINBYTES8",
	[0x96] = "BYTEARRAY8",
	[0x97] = "NEXT_BUFFER",
	[0x98] = "READONLY_BUFFER",
	['N'] = "NONE",
	[0x88] = "NEWTRUE",
	[0x89] = "NEWFALSE",
	['V'] = "UNICODE",
	[0x8c] = "SHORT_BINUNICODE",
	['X'] = "BINUNICODE",
	[0x8d] = "BINUNICODE8",
	['F'] = "FLOAT",
	['G'] = "BINFLOAT",
	[']'] = "EMPTY_LIST",
	['a'] = "APPEND",
	['e'] = "APPENDS",
	['l'] = "LIST",
	[')'] = "EMPTY_TUPLE",
	['t'] = "TUPLE",
	[0x85] = "TUPLE1",
	[0x86] = "TUPLE2",
	[0x87] = "TUPLE3",
	['}'] = "EMPTY_DICT",
	['d'] = "DICT",
	['s'] = "SETITEM",
	['u'] = "SETITEMS",
	[0x8f] = "EMPTY_SET",
	[0x90] = "ADDITEMS",
	[0x91] = "FROZENSET",
	['0'] = "POP",
	['2'] = "DUP",
	['('] = "MARK",
	['1'] = "POP_MARK",
	['g'] = "GET",
	['h'] = "BINGET",
	['j'] = "LONG_BINGET",
	['p'] = "PUT",
	['q'] = "BINPUT",
	['r'] = "LONG_BINPUT",
	[0x94] = "MEMOIZE",
	[0x82] = "EXT1",
	[0x83] = "EXT2",
	[0x84] = "EXT4",
	['c'] = "GLOBAL",
	[0x93] = "STACK_GLOBAL",
	['R'] = "REDUCE",
	['b'] = "BUILD",
	['i'] = "INST",
	['o'] = "OBJ",
	[0x81] = "NEWOBJ",
	[0x92] = "NEWOBJ_EX",
	[0x80] = "PROTO",
	['.'] = "STOP",
	[0x95] = "FRAME",
	['P'] = "PERSID",
	['Q'] = "BINPERSID",
};

/* Bytes of the opcodes of machine_peek_frame(), at most. */
#define FRAME_SIZE_MAX ((size_t)5 + 5 + 1 + 1)

struct error *machine_init(struct machine *machine, const char *path)
{
	try(pickle_input_init(&machine->input, path));
	/* There is a stack, so that one may point to what an empty one holds. */
	return machine_grow_stack(machine);
}

void machine_deinit(struct machine *machine)
{
	pickle_input_deinit(&machine->input);
	free(machine->stack);
	free(machine->memos);
}

struct error *machine_refuse(const struct machine *machine, const char *format, ...)
{
	char text[160];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return error_create(ERROR_FAILED, "at byte %" PRIu64 ": %s", machine->offset, text);
}

struct error *machine_refuse_many(const struct machine *machine, const char *what, size_t limit)
{
	return machine_refuse(machine, "more than %zu %s", limit, what);
}

struct error *machine_refuse_opcode(const struct machine *machine, uint8_t opcode)
{
	const char *name = opcode_names[opcode];

	if (!name)
		return machine_refuse(machine, "0x%02x is no opcode", opcode);
	return machine_refuse(machine, "opcode %s (0x%02x), which has no place in a Snapshot", name,
			      opcode);
}

struct error *machine_read_protocol(struct machine *machine)
{
	const uint8_t *bytes;

	try(pickle_input_next(&machine->input, 2, &bytes));
	if (bytes[0] != OP_PROTO)
		return machine_refuse(machine, "it is no pickle");
	if (bytes[1] != 4 && bytes[1] != 5)
		return machine_refuse(machine,
				      "a pickle of protocol %u; tracemalloc's are of 4 or 5, from "
				      "Python 3.6 on",
				      bytes[1]);
	return NULL;
}

/* Two's complement, of as many bytes as the first one says. */
struct error *machine_read_long(struct machine *machine, uint64_t *ret)
{
	const uint8_t *bytes;
	uint64_t size;

	try(machine_read_number(machine, 1, &size));
	try(pickle_input_next(&machine->input, size, &bytes));
	if (size > 0 && bytes[size - 1] & 0x80)
		return machine_refuse(machine, "a negative number");
	for (size_t i = 8; i < size; i++) {
		if (bytes[i] != 0)
			return machine_refuse(machine, "a number of more than 64 bits");
	}
	*ret = machine_number(bytes, size < 8 ? size : 8);
	return NULL;
}

/* How many of SIZE bytes are one code point in UTF-8, or a surrogate in that way; 0: none are. */
static size_t utf8_size(const uint8_t *bytes, size_t size)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint8_t lead = bytes[0];
	size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
	uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);

	if ((lead >= 0x80 && lead < 0xc0) || lead >= 0xf8 || more >= size)
		return 0;
	for (size_t i = 1; i <= more; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	return code >= least[more] && code <= 0x10ffff ? more + 1 : 0;
}

struct error *machine_read_text(struct machine *machine, size_t length_size, const char **ret,
				size_t *ret_size)
{
	const uint8_t *bytes;
	uint64_t size;

	try(machine_read_number(machine, length_size, &size));
	if (size > MACHINE_TEXT_MAX)
		return machine_refuse(machine, "a string of %" PRIu64 " bytes, of at most %" PRIu64,
				      size, MACHINE_TEXT_MAX);
	try(pickle_input_next(&machine->input, size, &bytes));
	for (size_t i = 0, step; i < size; i += step) {
		step = utf8_size(&bytes[i], size - i);
		if (step == 0)
			return machine_refuse(machine, "byte %zu of a string is no UTF-8", i);
	}
	*ret = (const char *)bytes;
	*ret_size = size;
	return NULL;
}

struct error *machine_mark(struct machine *machine)
{
	if (machine->mark_count == MACHINE_MARK_MAX)
		return machine_refuse_many(machine, "marks within each other", MACHINE_MARK_MAX);
	machine->marks[machine->mark_count++] = machine->stack_count;
	return NULL;
}

struct error *machine_refuse_frame(const struct machine *machine)
{
	return machine_refuse(machine, "its frame ends at byte %" PRIu64, machine->frame_end);
}

struct error *machine_refuse_pop(const struct machine *machine, size_t count)
{
	return machine_refuse(machine, "an opcode for %zu values, and there are %zu", count,
			      machine->stack_count - machine_floor(machine));
}

struct error *machine_refuse_recall(const struct machine *machine, uint64_t index)
{
	return machine_refuse(machine, "memo %" PRIu64 " of %zu is referred to", index,
			      machine->memo_count);
}

struct error *machine_grow_stack(struct machine *machine)
{
	if (machine->stack_count >= MACHINE_STACK_MAX)
		return machine_refuse_many(machine, "values at a time", MACHINE_STACK_MAX);
	return array_reserve(&machine->stack, &machine->stack_capacity, machine->stack_count, 1,
			     sizeof(*machine->stack));
}

struct error *machine_grow_memos(struct machine *machine)
{
	if (machine->memo_count >= MACHINE_MEMO_MAX)
		return machine_refuse_many(machine, "memoized values", MACHINE_MEMO_MAX);
	return array_reserve(&machine->memos, &machine->memo_capacity, machine->memo_count, 1,
			     sizeof(*machine->memos));
}

struct error *machine_frame(struct machine *machine)
{
	uint64_t size;

	if (machine->frame_end != 0)
		return machine_refuse(machine, "a frame within a frame");
	try(machine_read_number(machine, 8, &size));
	if (__builtin_add_overflow(pickle_input_offset(&machine->input), size, &machine->frame_end))
		return machine_refuse(machine, "a frame of %" PRIu64 " bytes", size);
	return NULL;
}

struct error *machine_pop_mark(struct machine *machine, const struct value **ret, size_t *ret_count)
{
	size_t floor = machine_floor(machine);

	if (machine->mark_count == 0)
		return machine_refuse(machine, "an opcode that needs a mark, and there is none");
	*ret = machine->stack + floor;
	*ret_count = machine->stack_count - floor;
	machine->stack_count = floor;
	machine->mark_count--;
	return NULL;
}

struct error *machine_top(const struct machine *machine, uint32_t kind, const char *what,
			  const struct value **ret)
{
	const struct value *value;

	if (machine->stack_count == machine_floor(machine))
		return machine_refuse(machine, "an opcode for %s, and there is none", what);
	value = &machine->stack[machine->stack_count - 1];
	if (value->kind != kind)
		return machine_refuse(machine, "an opcode for %s, and it is none", what);
	*ret = value;
	return NULL;
}

/* The little-endian number of SIZE bytes, of the four at BYTES: without a branch for each size. */
static uint64_t operand(const uint8_t *bytes, size_t size)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return le32toh(word) & (((uint64_t)1 << (8 * size)) - 1);
}

/* The opcodes of machine_peek_frame() at BYTES, of which there are enough. */
static size_t frame_decode(const uint8_t *bytes, uint64_t *ret_memo, uint64_t *ret_number)
{
	static const uint8_t memo_sizes[256] = {[OP_BINGET] = 1, [OP_LONG_BINGET] = 4};
	static const uint8_t number_sizes[256] = {
		[OP_BININT1] = 1, [OP_BININT2] = 2, [OP_BININT] = 4};
	size_t memo_size = memo_sizes[bytes[0]], number_size, size;

	if (memo_size == 0)
		return 0;
	*ret_memo = operand(bytes + 1, memo_size);
	size = 1 + memo_size;
	number_size = number_sizes[bytes[size]];
	if (number_size == 0)
		return 0;
	*ret_number = operand(bytes + size + 1, number_size);
	size += 1 + number_size;
	return bytes[size] == OP_TUPLE2 && bytes[size + 1] == OP_MEMOIZE ? size + 2 : 0;
}

size_t machine_peek_frame(const struct machine *machine, struct memo *ret_memo,
			  uint32_t *ret_number)
{
	const struct pickle_input *input = &machine->input;
	uint64_t memo, number;
	size_t size;

	if (input->size - input->used < FRAME_SIZE_MAX)
		return 0;
	size = frame_decode(input->data + input->used, &memo, &number);
	/* Four bytes are signed. */
	if (size == 0 || number > INT32_MAX || memo >= machine->memo_count)
		return 0;
	if (machine->stack_count == machine->stack_capacity ||
	    machine->memo_count == machine->memo_capacity)
		return 0;
	if (machine->frame_end != 0 && pickle_input_offset(input) + size >= machine->frame_end)
		return 0;
	*ret_memo = machine->memos[memo];
	*ret_number = (uint32_t)number;
	return size;
}
