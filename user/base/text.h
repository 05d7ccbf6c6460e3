/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Strings as Python has them, in UTF-8: lone surrogates are allowed (three bytes each, as
 * Python's "surrogatepass" writes them), NUL is c0 80, and none of it is trusted: names come
 * from a target or a file and may hold anything.
 */
#ifndef TMBPF_BASE_TEXT_H
#define TMBPF_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* Added to a byte that is no part of such a string. */
#define TEXT_INVALID 0x80000000u

/*
 * The first code point of the NUL-terminated TEXT, which is not empty; how many bytes it takes is
 * returned. A byte that does not belong is TEXT_INVALID + byte, and takes one.
 */
size_t text_decode(const char *text, uint32_t *ret);

/* The bytes of CODE (below 0x110000, surrogates included) to BUFFER; how many is returned. */
size_t text_encode(uint32_t code, char buffer[4]);

/*
 * TEXT as it may be shown. What would steer a terminal, what the locale's character set lacks, and
 * what is no text at all is written as \x1b, \u202e, \U0010ffff, as Python's "backslashreplace"
 * does. The result is the caller's to free, or NULL without memory.
 */
char *text_display(const char *text);

/*
 * TEXT as strict UTF-8 of *RET_SIZE bytes, NULs among them, and one NUL more behind. Surrogates and
 * bytes that do not belong become U+FFFD. The result is as text_display()'s.
 */
char *text_strict(const char *text, size_t *ret_size);

/* Columns that SHOWN, from text_display(), takes on a terminal. */
size_t text_width(const char *shown);

/* Enough for each of the functions below. */
#define TEXT_NUMBER_MAX 32

/* "17 B", "1234 B", "12.1 KiB": bytes as tracemalloc writes them. Returns BUFFER. */
char *text_size(uint64_t size, char buffer[TEXT_NUMBER_MAX]);
/* The same with a sign: "+12.1 KiB", "-17 B", "+0 B". */
char *text_size_diff(int64_t size, char buffer[TEXT_NUMBER_MAX]);
/* The same of SIZE bytes divided among COUNT blocks; 0 B where there is none. */
char *text_average(uint64_t size, uint64_t count, char buffer[TEXT_NUMBER_MAX]);
/* "12.3 %" of WHOLE, "-" where that is 0. Returns BUFFER. */
char *text_share(uint64_t part, uint64_t whole, char buffer[TEXT_NUMBER_MAX]);
/*
 * "2026-01-31 23:59:59", UTC, of nanoseconds since the epoch; "" if that is not after the epoch,
 * and so not known. Returns BUFFER.
 */
char *text_time(int64_t nanos, char buffer[TEXT_NUMBER_MAX]);

/*
 * Chooses the character set from the environment; in the C locale UTF-8, as Python does (PEP 538).
 * Numbers stay as in the C locale.
 */
void text_locale_init(void);

#define TEXT_ESTIMATE_MAX (2 * TEXT_NUMBER_MAX + 8)

/* NUMBER, and behind it " ± " and ERROR, bytes, if that is not 0. Returns BUFFER. */
const char *text_estimate(const char *number, double error, char *buffer);

#endif
