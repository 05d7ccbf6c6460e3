// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How far the words go that may refer to something, by type. */
#include "python/heap/extent.h"

#include <string.h>

#include "python/python_internal.h"

/* Py_TPFLAGS_..._SUBCLASS (Include/object.h). */
#define FLAG_INT_SUBCLASS   (1u << 24)
#define FLAG_BYTES_SUBCLASS (1u << 27)
/*
 * PyVarObject.ob_size, and where what is held begins: PyLongObject's digits, PyBytesObject's hash
 * (Include/).
 */
#define OB_SIZE 16
#define DIGITS  24
/* PyLongObject.lv_tag from 3.12 on: digits behind three bits (Include/cpython/longintrepr.h). */
#define VERSION_TAGGED 0x030c0000
#define TAG_BITS       3

void python_extent_reader_init(struct python_extent_reader *reader, const struct python *python)
{
	static const char *const leaves[PYTHON_EXTENT_LEAVES] = {"PyBytes_Type", "PyLong_Type",
								 "PyFloat_Type"};

	*reader = (struct python_extent_reader){
		.python = python,
		.code_type = python_symbol(python, "PyCode_Type"),
		.tuple_type = python_symbol(python, "PyTuple_Type"),
	};
	for (size_t i = 0; i < PYTHON_EXTENT_LEAVES; i++)
		reader->leaf_types[i] = python_symbol(python, leaves[i]);
}

static uint64_t words_end(uint64_t end, uint64_t size)
{
	end = (end + 7) & ~7ULL;
	return end < size ? end : size;
}

/*
 * The extent of an instance of a class derived from int or bytes. Up to 3.11 its dict lies behind
 * what it holds.
 */
static void held_find(const struct python_extent_reader *reader, const struct python_type *type,
		      uint64_t offset, int64_t items, uint64_t size, struct python_extent *ret)
{
	uint64_t count = items < 0 ? -(uint64_t)items : (uint64_t)items, start = DIGITS;

	if (type->flags & FLAG_BYTES_SUBCLASS)
		start = reader->python->layout.bytes.data + 1; /* with the null byte */
	else if (reader->python->version >= VERSION_TAGGED)
		count = (uint64_t)items >> TAG_BITS;
	if (count > size)
		count = size;
	ret->hole = offset + DIGITS;
	ret->hole_end = words_end(offset + start + count * type->itemsize, size);
	ret->end = words_end(offset + type->basicsize + count * type->itemsize, size);
	if (ret->end < ret->hole_end)
		ret->end = ret->hole_end;
}

/* Where a str's words end. */
static uint64_t str_end(const struct python_layout *layout, const struct python_type *type,
			uint64_t offset, uint32_t state)
{
	if (!(state >> layout->unicode.compact_shift & 1))
		return offset + type->basicsize; /* the characters lie elsewhere */
	return state >> layout->unicode.ascii_shift & 1 ? 0 : offset + layout->unicode.compact_data;
}

void python_extent_find(const struct python_extent_reader *reader, const struct python_type *type,
			const struct python_object *object, const uint8_t *block, uint32_t room,
			uint64_t size, struct python_extent *ret)
{
	const struct python_layout *layout = &reader->python->layout;
	uint64_t offset = object->offset;
	struct python_extent extent = {.end = offset + type->basicsize};
	bool whole = false; /* nothing says how far it goes */
	int64_t items = 0;
	uint32_t state;

	for (size_t i = 0; i < PYTHON_EXTENT_LEAVES; i++)
		if (type->address == reader->leaf_types[i])
			extent.end = size = 0;
	if (offset + OB_SIZE + sizeof(items) <= room)
		memcpy(&items, block + offset + OB_SIZE, sizeof(items));
	if (type->flags & (FLAG_INT_SUBCLASS | FLAG_BYTES_SUBCLASS)) {
		held_find(reader, type, offset, items, size, &extent);
	} else if (type->is_str && offset + layout->unicode.state + sizeof(state) <= room) {
		memcpy(&state, block + offset + layout->unicode.state, sizeof(state));
		extent.end = str_end(layout, type, offset, state);
	} else if (type->has_inline_values) {
		extent.end = size;
	} else if (type->itemsize && type->itemsize % 8 == 0 &&
		   type->address != reader->code_type) {
		/* Frames and generators have items, but not their number. */
		whole = type->address != reader->tuple_type;
		if (items > 0 && (uint64_t)items < size)
			extent.end += (uint64_t)items * type->itemsize;
	}
	if (extent.end > size)
		extent.end = size;
	extent.most = whole ? size : extent.end;
	if (!extent.hole || extent.hole > extent.end)
		extent.hole = extent.hole_end = extent.end;
	*ret = extent;
}
