/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fingerprint tells a block from another one of the same type at the same address.
 *
 * An allocator first hands out what was freed last. If one line makes objects that soon die, and
 * another line makes objects of the same type that stay, the latter soon have the addresses of the
 * former. So that a block "is still there" proves nothing. But its contents tell: numbers and
 * strings of its own, in it or a few steps away (an attribute in its dict, an item of its list),
 * are its marks. A block that has kept one of its marks is the same. One that has lost all of them
 * is taken for another.
 */
#ifndef TMBPF_TRACE_SAMPLING_FINGERPRINT_H
#define TMBPF_TRACE_SAMPLING_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct python;

#define FINGERPRINT_FEATURES 3
#define FINGERPRINT_STEPS    3

struct fingerprint {
	struct fingerprint_feature {
		uint32_t content; /* a hash */
		uint8_t steps;    /* how many pointers to follow */
		/* in words: where each pointer lies in what the last one led to */
		uint8_t at[FINGERPRINT_STEPS];
	} features[FINGERPRINT_FEATURES];
	uint8_t count; /* 0: it has no marks */
};

struct fingerprint_reader {
	const struct python *python;                         /* borrowed */
	uint64_t int_type, float_type, bytes_type, str_type; /* 0: not known */
};

void fingerprint_reader_init(struct fingerprint_reader *reader, const struct python *python);

/*
 * Finds the marks of a block from its copy BLOCK, of SIZE bytes. FIELDS: where an object's own
 * fields begin in it; 0: it is no object. Fails when the process has gone.
 */
struct error *fingerprint_make(const struct fingerprint_reader *reader, const uint8_t *block,
			       uint32_t size, uint32_t fields, struct fingerprint *ret);

enum fingerprint_match { FINGERPRINT_UNKNOWN, FINGERPRINT_SAME, FINGERPRINT_OTHER };

/* Whether BLOCK has kept one of its marks; FINGERPRINT_UNKNOWN: it had none. */
struct error *fingerprint_match(const struct fingerprint_reader *reader, const uint8_t *block,
				uint32_t size, const struct fingerprint *fingerprint,
				enum fingerprint_match *ret);

#endif
