/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Code objects: names and line numbers from the raw bytes that were copied out of the
 * target, live or by the tracer while the object lived. Pure functions of those bytes.
 */
#ifndef TMBPF_PYTHON_CODE_H
#define TMBPF_PYTHON_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/python.h"

/*
 * The line of the instruction INDEX within a code object, as PyCode_Addr2Line gives it. INDEX is
 * f_lasti as it stands in the frame for 3.6 to 3.9 (bytes) and 3.10 (code units); from 3.11 the
 * byte distance of prev_instr or instr_ptr from co_code_adaptive. Negative: the first line. TABLE
 * is the content of co_lnotab or co_linetable. Returns -1 where Python has None. Never reads
 * outside TABLE.
 */
int python_line(enum python_lines kind, uint32_t version, const uint8_t *table, size_t size,
		int firstlineno, int64_t index);

/*
 * Decodes the start of a PyUnicodeObject (HEADER: its first layout.unicode.compact_data bytes)
 * into where its characters are: RET_KIND 1, 2 or 4 bytes each, RET_LENGTH characters, RET_OFFSET
 * from the object's start. False if it is no ready compact string or not sane.
 */
bool python_string_header(const struct python_layout *layout, const uint8_t *header, size_t size,
			  unsigned *ret_kind, uint64_t *ret_length, uint32_t *ret_offset);

/*
 * Characters of KIND bytes to UTF-8; a lone surrogate becomes its three-byte form (as
 * "surrogatepass" does), so that nothing is lost. Returns a malloc'd, NUL-terminated string; NUL
 * characters within become U+0000 as C0 80. NULL without memory or for an invalid kind or code
 * point.
 */
char *python_string_decode(unsigned kind, const uint8_t *characters, uint64_t length);

/* The str object at ADDRESS, decoded as above, of at most 64 KiB characters. To be freed. */
struct error *python_string_read(struct memory *memory, const struct python_layout *layout,
				 uint64_t address, char **ret);

struct python_code {
	char *filename, *name, *qualname; /* UTF-8; qualname NULL before 3.11 */
	int firstlineno;
	uint8_t *table; /* line table */
	size_t table_size;
	uint32_t firsttraceable; /* code units; 0 before 3.11 */
};

/*
 * Reads a code object from live memory; strings and table bounded (64 KiB characters, 16 MiB
 * table).
 */
struct error *python_code_read(struct memory *memory, const struct python_layout *layout,
			       uint64_t address, struct python_code *ret);
void python_code_deinit(struct python_code *code);

#endif
