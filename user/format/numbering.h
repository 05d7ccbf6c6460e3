/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers what a file refers to, of indexes into tables that hold more, in the order of use. */
#ifndef TMBPF_FORMAT_NUMBERING_H
#define TMBPF_FORMAT_NUMBERING_H

#include <stddef.h>
#include <stdint.h>

struct error;

struct numbering {
	uint32_t *order;   /* the indexes, by number */
	uint32_t *numbers; /* by index, NUMBERING_NONE: not used */
	uint32_t count;
};

#define NUMBERING_NONE UINT32_MAX

/* For indexes below LIMIT. Fails without memory. */
struct error *numbering_init(struct numbering *numbering, size_t limit);
/* All zero is accepted. */
void numbering_deinit(struct numbering *numbering);

static inline void numbering_cleanup(struct numbering *numbering)
{
	numbering_deinit(numbering);
}

/* The number of INDEX, which is the next one if it had none. */
static inline uint32_t numbering_use(struct numbering *numbering, uint32_t index)
{
	if (numbering->numbers[index] == NUMBERING_NONE) {
		numbering->order[numbering->count] = index;
		numbering->numbers[index] = numbering->count++;
	}
	return numbering->numbers[index];
}

#endif
