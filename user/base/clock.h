/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Times as one number: nanoseconds, where no other unit is named. Dates count from the epoch
 * (CLOCK_REALTIME). All others are CLOCK_MONOTONIC's, which is what BPF programs have from
 * bpf_ktime_get_ns().
 */
#ifndef TMBPF_BASE_CLOCK_H
#define TMBPF_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The kernel's name, include/vdso/time64.h. */
#define NSEC_PER_SEC 1000000000ULL

/*
 * TIME in nanoseconds; negative before the epoch. A time beyond 64 bits, as a file's date may be,
 * wraps.
 */
static inline int64_t clock_nanos(const struct timespec *time)
{
	return (int64_t)((uint64_t)time->tv_sec * NSEC_PER_SEC + (uint64_t)time->tv_nsec);
}

/* What CLOCK shows, one of those that clock_gettime(2) names: they do not fail. */
static inline uint64_t clock_now(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)clock_nanos(&now);
}

/* Seconds since CLOCK showed BEFORE. */
static inline double clock_since(clockid_t clock, uint64_t before)
{
	return (double)(clock_now(clock) - before) / 1e9;
}

#endif
