/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The code of an image, swept once: where each instruction starts, who jumps and calls where, who
 * names one of a few addresses of interest, and where functions begin and end (.eh_frame).
 *
 * Addresses are the image's own. Nothing here trusts the code to be code.
 */
#ifndef TMBPF_PROBE_CODE_LISTING_H
#define TMBPF_PROBE_CODE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/code/x86.h"
#include "target/elf/image.h"

struct error;

/* The largest span of executable sections, bytes. CPython's own is 3 to 20 MiB. */
#define LISTING_SPAN_MAX (256ULL << 20)

/*
 * The most instructions that may be decoded closely, so that no file can keep us busy for ever:
 * some seconds. CPython's own need a tenth of a million.
 */
#define LISTING_DECODES_MAX 20000000

struct listing_section {
	uint64_t start, end;
	const uint8_t *data;
	bool is_plt;
};

/* A function, or a part of one: GCC puts cold parts elsewhere. */
struct listing_function {
	uint64_t start, end;
};

/* Offsets from listing.start. */
struct listing_edge {
	uint32_t target, source;
};

/* An instruction that names a watched address: by rip-relative or absolute operand, or constant. */
struct listing_mention {
	uint64_t named;
	uint64_t address; /* of the instruction */
};

struct listing {
	const struct image *image; /* not owned */
	uint64_t start, end;
	struct listing_section *sections; /* sorted */
	size_t section_count;
	uint8_t *lengths; /* by offset from start: of the instruction that starts there, or 0 */
	struct listing_function *functions; /* sorted by start, not overlapping */
	size_t function_count;
	struct listing_edge *jumps; /* direct, conditional or not; sorted by target, then source */
	size_t jump_count, jump_capacity;
	struct listing_edge *calls; /* direct; sorted by target, then source */
	size_t call_count, call_capacity;
	struct listing_mention *mentions; /* sorted by named, then address */
	size_t mention_count, mention_capacity;
	uint64_t *
		displaced; /* instructions that load, call or jump through a watched displacement */
	size_t displaced_count, displaced_capacity;
	size_t instruction_count;
	uint32_t bad_instructions;
	uint64_t decodes; /* by listing_decode(), which gives up at LISTING_DECODES_MAX */
};

/* What a sweep takes note of; both sorted. */
struct listing_watch {
	const uint64_t *addresses;
	size_t address_count;
	const uint64_t *displacements; /* from a register; sign-extended */
	size_t displacement_count;
};

/*
 * Sweeps IMAGE, which must outlive the listing. Fails without code, with more than LISTING_SPAN_MAX
 * of it, without memory.
 */
struct error *listing_create(const struct image *image, const struct listing_watch *watch,
			     struct listing **ret);
void listing_destroy(struct listing *listing);

static inline void listing_cleanup(struct listing **listing)
{
	listing_destroy(*listing);
}

/*
 * Whether an instruction starts at each of COUNT ADDRESSES, sorted, as listing_create()'s sweep
 * would see it. Only the functions that hold them are swept. False if one lies outside the code, or
 * in a PLT. Fails as listing_create() does.
 */
struct error *listing_starts(const struct image *image, const uint64_t *addresses, size_t count,
			     bool *ret);

/* The instruction that starts at ADDRESS; false if none does, as the sweep saw it. */
bool listing_decode(struct listing *listing, uint64_t address, struct x86_instruction *ret);
/* Its bytes, and how many there are from there on. NULL outside the code. */
const uint8_t *listing_bytes(const struct listing *listing, uint64_t address, size_t *ret_size);
/* The instruction that ends where the one at ADDRESS starts, if the sweep saw one; else false. */
bool listing_previous(const struct listing *listing, uint64_t address, uint64_t *ret);
/* The function (or part of one) that holds ADDRESS, or NULL. */
const struct listing_function *listing_function_at(const struct listing *listing, uint64_t address);
/* Whether ADDRESS lies in a section of code other than a PLT. */
bool listing_contains(const struct listing *listing, uint64_t address);

/* The edges into TARGET: RET_COUNT of them, consecutive. */
const struct listing_edge *listing_jumps_to(const struct listing *listing, uint64_t target,
					    size_t *ret_count);
const struct listing_edge *listing_calls_to(const struct listing *listing, uint64_t target,
					    size_t *ret_count);
/* The mentions of NAMED. */
const struct listing_mention *listing_mentions_of(const struct listing *listing, uint64_t named,
						  size_t *ret_count);

#endif
