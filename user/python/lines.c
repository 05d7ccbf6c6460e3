// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The three encodings of co_lnotab and co_linetable. */
#include <limits.h>

#include "python/code.h"

#define CODE_UNIT 2 /* bytes, since 3.6 */

/* Sums in unsigned arithmetic, as a damaged table may overflow. */
static uint32_t add(uint32_t line, int32_t delta)
{
	return line + (uint32_t)delta;
}

/* Objects/codeobject.c, PyCode_Addr2Line of 3.6 to 3.9: pairs of address and line increments. */
static int lnotab_line(const uint8_t *table, size_t size, int firstlineno, int64_t index)
{
	uint32_t line = firstlineno;
	int64_t address = 0;
	size_t at;

	for (at = 0; at + 1 < size; at += 2) {
		address += table[at];
		if (address > index)
			break;
		line = add(line, (int8_t)table[at + 1]);
	}
	return (int)line;
}

/*
 * Objects/codeobject.c, _PyCode_CheckLineNumber of 3.10: pairs of how many bytes of code and how
 * far to the line from the last; -128 means that they belong to no line.
 */
static int linetable_line(const uint8_t *table, size_t size, int firstlineno, int64_t index)
{
	uint32_t line = firstlineno;
	int64_t end = 0;
	size_t at;

	for (at = 0; at + 1 < size; at += 2) {
		int8_t delta = (int8_t)table[at + 1];

		if (delta != -128)
			line = add(line, delta);
		end += table[at];
		if (table[at] && index < end)
			return delta == -128 ? -1 : (int)line;
	}
	return -1;
}

/*
 * InternalDocs/code_objects.md (3.11: Objects/locations.md): 6 bits a byte, least significant
 * first.
 */
static int32_t signed_varint(const uint8_t *table, size_t size, size_t at)
{
	uint32_t value = 0;
	unsigned shift = 0;

	for (; at < size; at++, shift += 6) {
		if (shift < 32)
			value |= (uint32_t)(table[at] & 63) << shift;
		if (!(table[at] & 64))
			break;
	}
	return value & 1 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

static int32_t location_delta(const uint8_t *table, size_t size, size_t at)
{
	switch (table[at] >> 3 & 15) {
	case 11: /* one line form: 10 to 12 carry the line delta 0 to 2 */
		return 1;
	case 12:
		return 2;
	case 13: /* no column info */
	case 14: /* long form */
		return signed_varint(table, size, at + 1);
	default: /* 0 to 9 short forms, 10, 15 no location */
		return 0;
	}
}

/* Objects/codeobject.c, _PyCode_CheckLineNumber of 3.11 on. An entry begins with bit 7 set. */
static int locations_line(const uint8_t *table, size_t size, int firstlineno, int64_t index)
{
	uint32_t line = firstlineno;
	int64_t end = 0;
	size_t at = 0;

	while (at < size) {
		bool none = table[at] >> 3 == 0x1f;

		line = add(line, location_delta(table, size, at));
		end += ((table[at] & 7) + 1) * CODE_UNIT;
		if (index < end)
			return none ? -1 : (int)line;
		do
			at++;
		while (at < size && !(table[at] & 128));
	}
	return -1;
}

int python_line(enum python_lines kind, uint32_t version, const uint8_t *table, size_t size,
		int firstlineno, int64_t index)
{
	(void)version;
	if (index < 0)
		return firstlineno;
	switch (kind) {
	case PYTHON_LINES_LNOTAB:
		return lnotab_line(table, size, firstlineno, index);
	case PYTHON_LINES_LINETABLE:
		if (index > INT_MAX)
			return -1;
		return linetable_line(table, size, firstlineno, index * CODE_UNIT);
	case PYTHON_LINES_LOCATIONS:
		return locations_line(table, size, firstlineno, index);
	}
	return -1;
}
