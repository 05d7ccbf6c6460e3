// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Code objects and their strings, from the memory of a process. */
#include "python/code.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define CHARACTERS_MAX 65536u
#define TABLE_MAX      (16u << 20)
#define CODE_SIZE_MAX  1024u
#define UNICODE_MAX    256u

static uint64_t field_u64(const uint8_t *data, uint32_t offset)
{
	uint64_t value;

	memcpy(&value, data + offset, sizeof(value));
	return value;
}

static uint32_t field_u32(const uint8_t *data, uint32_t offset)
{
	uint32_t value;

	memcpy(&value, data + offset, sizeof(value));
	return value;
}

/* Does the layout stay within SIZE bytes? Ours do; a test's or a damaged one may not. */
static bool unicode_fits(const struct python_layout *layout, size_t size)
{
	return size >= layout->unicode.compact_data && layout->unicode.compact_data >= 8 &&
	       layout->unicode.length <= layout->unicode.compact_data - 8 &&
	       layout->unicode.state <= layout->unicode.compact_data - 4;
}

static bool bit(uint32_t word, uint32_t shift)
{
	return shift < 32 && (word >> shift & 1);
}

/* Kind and length of a ready string; whether it is compact, and ASCII. */
static bool string_state(const struct python_layout *layout, const uint8_t *header, size_t size,
			 unsigned *ret_kind, uint64_t *ret_length, bool *ret_compact,
			 bool *ret_ascii)
{
	uint32_t state;
	uint64_t length;
	unsigned kind;

	if (!unicode_fits(layout, size) || layout->unicode.kind_shift > 29)
		return false;
	state = field_u32(header, layout->unicode.state);
	length = field_u64(header, layout->unicode.length);
	kind = state >> layout->unicode.kind_shift & 7;
	*ret_compact = bit(state, layout->unicode.compact_shift);
	*ret_ascii = bit(state, layout->unicode.ascii_shift);
	if (kind != 1 && kind != 2 && kind != 4)
		return false;
	if (layout->unicode.ready_shift != PYTHON_NO_OFFSET &&
	    !bit(state, layout->unicode.ready_shift))
		return false;
	/* No string is longer than a signed size counts bytes. */
	if (length > INT64_MAX / 4 || (*ret_ascii && kind != 1))
		return false;
	*ret_kind = kind;
	*ret_length = length;
	return true;
}

bool python_string_header(const struct python_layout *layout, const uint8_t *header, size_t size,
			  unsigned *ret_kind, uint64_t *ret_length, uint32_t *ret_offset)
{
	bool compact, ascii;
	uint64_t length;
	unsigned kind;

	if (!string_state(layout, header, size, &kind, &length, &compact, &ascii) || !compact)
		return false;
	*ret_kind = kind;
	*ret_length = length;
	*ret_offset = ascii ? layout->unicode.ascii_data : layout->unicode.compact_data;
	return true;
}

static uint32_t character(unsigned kind, const uint8_t *characters, uint64_t index)
{
	uint16_t two;
	uint32_t four;

	if (kind == 1)
		return characters[index];
	if (kind == 2) {
		memcpy(&two, characters + 2 * index, sizeof(two));
		return two;
	}
	memcpy(&four, characters + 4 * index, sizeof(four));
	return four;
}

static size_t utf8_encode(uint32_t point, char *ret)
{
	/* NUL would end the string: as in Java's "modified UTF-8", in two bytes. */
	if (point && point < 0x80) {
		ret[0] = point;
		return 1;
	}
	if (point < 0x800) {
		ret[0] = 0xc0 | point >> 6;
		ret[1] = 0x80 | (point & 0x3f);
		return 2;
	}
	if (point < 0x10000) {
		ret[0] = 0xe0 | point >> 12;
		ret[1] = 0x80 | (point >> 6 & 0x3f);
		ret[2] = 0x80 | (point & 0x3f);
		return 3;
	}
	ret[0] = 0xf0 | point >> 18;
	ret[1] = 0x80 | (point >> 12 & 0x3f);
	ret[2] = 0x80 | (point >> 6 & 0x3f);
	ret[3] = 0x80 | (point & 0x3f);
	return 4;
}

char *python_string_decode(unsigned kind, const uint8_t *characters, uint64_t length)
{
	cleanup_free char *text = NULL;
	size_t at = 0;
	uint64_t i;

	if ((kind != 1 && kind != 2 && kind != 4) || length > (SIZE_MAX - 1) / 4)
		return NULL;
	/* The longest that a character of KIND becomes: U+00FF 2 bytes, U+FFFF 3. */
	text = malloc(length * (kind == 1 ? 2 : kind == 2 ? 3 : 4) + 1);
	if (!text)
		return NULL;
	for (i = 0; i < length; i++) {
		uint32_t point = character(kind, characters, i);

		if (point > 0x10ffff)
			return NULL;
		at += utf8_encode(point, text + at);
	}
	text[at] = 0;
	return take(text);
}

static struct error *string_bad(uint64_t address, const char *what)
{
	return error_create(ERROR_FAILED, "no sane string at 0x%" PRIx64 ": %s", address, what);
}

/* Where its characters are: behind the header, or (a subclass of str) at the pointer behind it. */
static struct error *string_locate(struct memory *memory, const struct python_layout *layout,
				   uint64_t address, unsigned *ret_kind, uint64_t *ret_length,
				   uint64_t *ret_characters)
{
	uint8_t header[UNICODE_MAX];
	bool compact, ascii;
	uint64_t length, characters;
	unsigned kind;

	if (layout->unicode.compact_data > sizeof(header))
		return string_bad(address, "the layout is too large");
	try(memory_read(memory, address, header, layout->unicode.compact_data));
	if (!string_state(layout, header, layout->unicode.compact_data, &kind, &length, &compact,
			  &ascii))
		return string_bad(address, "no valid kind, length or state");
	if (length > CHARACTERS_MAX)
		return string_bad(address, "over 65536 characters");
	if (compact)
		characters = address +
			     (ascii ? layout->unicode.ascii_data : layout->unicode.compact_data);
	else
		try(memory_read_u64(memory, address + layout->unicode.compact_data, &characters));
	*ret_kind = kind;
	*ret_length = length;
	*ret_characters = characters;
	return NULL;
}

struct error *python_string_read(struct memory *memory, const struct python_layout *layout,
				 uint64_t address, char **ret)
{
	cleanup_free uint8_t *data = NULL;
	uint64_t length, characters;
	unsigned kind;
	char *text;

	try(string_locate(memory, layout, address, &kind, &length, &characters));
	data = malloc(length * kind + 1);
	if (!data)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a string");
	try(memory_read(memory, characters, data, length * kind));
	text = python_string_decode(kind, data, length);
	if (!text)
		return string_bad(address, "a character beyond U+10FFFF");
	*ret = text;
	return NULL;
}

static struct error *table_read(struct memory *memory, const struct python_layout *layout,
				uint64_t address, uint8_t **ret, size_t *ret_size)
{
	cleanup_free uint8_t *table = NULL;
	uint64_t size;

	try(memory_read_u64(memory, address + layout->bytes.size, &size));
	if (size > TABLE_MAX)
		return error_create(ERROR_FAILED, "a line table of %" PRIu64 " bytes at 0x%" PRIx64,
				    size, address);
	table = malloc(size + 1);
	if (!table)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a line table");
	try(memory_read(memory, address + layout->bytes.data, table, size));
	*ret = take(table);
	*ret_size = size;
	return NULL;
}

static bool code_fits(const struct python_layout *layout)
{
	uint32_t size = layout->code.size;

	return size <= CODE_SIZE_MAX && size >= 8 && layout->code.filename <= size - 8 &&
	       layout->code.name <= size - 8 && layout->code.linetable <= size - 8 &&
	       layout->code.firstlineno <= size - 4 &&
	       (layout->code.qualname == PYTHON_NO_OFFSET || layout->code.qualname <= size - 8) &&
	       (layout->code.firsttraceable == PYTHON_NO_OFFSET ||
		layout->code.firsttraceable <= size - 4);
}

static struct error *code_read(struct memory *memory, const struct python_layout *layout,
			       const uint8_t *data, struct python_code *code)
{
	code->firstlineno = (int32_t)field_u32(data, layout->code.firstlineno);
	if (layout->code.firsttraceable != PYTHON_NO_OFFSET)
		code->firsttraceable = field_u32(data, layout->code.firsttraceable);
	try(python_string_read(memory, layout, field_u64(data, layout->code.filename),
			       &code->filename));
	try(python_string_read(memory, layout, field_u64(data, layout->code.name), &code->name));
	if (layout->code.qualname != PYTHON_NO_OFFSET)
		try(python_string_read(memory, layout, field_u64(data, layout->code.qualname),
				       &code->qualname));
	return table_read(memory, layout, field_u64(data, layout->code.linetable), &code->table,
			  &code->table_size);
}

struct error *python_code_read(struct memory *memory, const struct python_layout *layout,
			       uint64_t address, struct python_code *ret)
{
	cleanup(python_code_deinit) struct python_code code = {0};
	uint8_t data[CODE_SIZE_MAX];
	struct error *error;

	if (!code_fits(layout))
		return error_create(ERROR_FAILED, "the layout of code objects contradicts itself");
	error = memory_read(memory, address, data, layout->code.size);
	if (!error)
		error = code_read(memory, layout, data, &code);
	if (error)
		return error_prefix(error, "code object at 0x%" PRIx64, address);
	*ret = code;
	code = (struct python_code){0};
	return NULL;
}

void python_code_deinit(struct python_code *code)
{
	free(code->filename);
	free(code->name);
	free(code->qualname);
	free(code->table);
	*code = (struct python_code){0};
}
