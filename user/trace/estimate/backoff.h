/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether what is there all the time may be there: as long as it costs no more than its share. Where it does it is closed
 * for a minute, then for two, and so on. Before it is trusted it is looked at for a short round, then for ones twice as long; the
 * more often it was refused, the shorter is the first one, and the less is spent on finding out.
 */
#ifndef TMBPF_TRACE_ESTIMATE_BACKOFF_H
#define TMBPF_TRACE_ESTIMATE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/* While a gate is on trial it wants to be looked at every so many milliseconds: else more is spent than it may. */
#define BACKOFF_LOOK_MS 5

struct backoff {
	bool open;
	uint64_t opened, next; /* nanoseconds: open since, or not again before */
	uint64_t since;        /* when this round began */
	double spent;          /* seconds, by then */
	unsigned int doubt;    /* this round is halved so many times */
	unsigned int refused;  /* times in a row */
};

void backoff_init(struct backoff *backoff, bool open, uint64_t now);
/* Whether what has cost SPENT seconds so far, of which SHARE of the time is allowed, may go on or begin again. */
bool backoff_pass(struct backoff *backoff, double spent, double share, uint64_t now);
/* It could not be opened: not before a minute is over. */
void backoff_close(struct backoff *backoff, uint64_t now);
/* Whether it was opened a moment ago. */
bool backoff_on_trial(const struct backoff *backoff, uint64_t now);

#endif
