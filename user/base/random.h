/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Random numbers: the kernel's, and a sequence that is begun with one of those and costs little. */
#ifndef TMBPF_BASE_RANDOM_H
#define TMBPF_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* SIZE bytes (256 at most) that nobody can guess. */
struct error *random_fill(void *ret, size_t size);

/*
 * The next of the sequence that STATE, any number, stands for: above 0 and below 1, each as likely
 * as any other (SplitMix64; Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014). Who sees some of them can tell the rest.
 */
double random_share(uint64_t *state);

#endif
