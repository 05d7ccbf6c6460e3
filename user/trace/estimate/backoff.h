/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether something that runs all the time may run: as long as it costs no more than its share. If
 * it costs more it is closed for a minute, then for two, and so on.
 *
 * It is not trusted at first: it is watched for a short round, then for rounds twice as long. The
 * more often it was refused, the shorter the first round is, and the less is spent on finding out.
 */
#ifndef TMBPF_TRACE_ESTIMATE_BACKOFF_H
#define TMBPF_TRACE_ESTIMATE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Milliseconds between two looks at something on trial: with fewer looks it spends more than it
 * may.
 */
#define BACKOFF_LOOK_MS 5

struct backoff {
	bool open;
	uint64_t opened, next; /* nanoseconds: open since then; not to be opened before then */
	uint64_t since;        /* when this round began */
	double spent;          /* seconds, until then */
	unsigned int doubt;    /* how often this round is halved */
	unsigned int refused;  /* how often in a row */
};

void backoff_init(struct backoff *backoff, bool open, uint64_t now);
/*
 * Whether it may go on, or begin again, at NOW. It has cost SPENT seconds so far, and may cost
 * SHARE of the time.
 */
bool backoff_pass(struct backoff *backoff, double spent, double share, uint64_t now);
/* It could not be opened: not again within a minute. */
void backoff_close(struct backoff *backoff, uint64_t now);
/* Whether it was opened a moment ago. */
bool backoff_on_trial(const struct backoff *backoff, uint64_t now);

#endif
