// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/estimate/backoff.h"

#include <math.h>

#include "base/clock.h"

/* Where the share is too little it comes back after so many seconds, then after twice as many, and so on. */
#define REST_SECONDS 60
#define REST_TIMES   6
/*
 * Seconds of a round: what it may cost may be spent at once, and what was spent in the last one is forgotten. For who is
 * not trusted that would be a moment in which the process hardly comes on: the first round is halved so many times.
 */
#define ROUND_SECONDS 10.0
#define DOUBT_FIRST   2
#define TRIAL_SECONDS 0.5

void gate_init(struct gate *gate, bool open, uint64_t now)
{
	*gate = (struct gate){.open = open, .opened = now, .since = now, .doubt = DOUBT_FIRST};
}

static void round_begin(struct gate *gate, double spent, uint64_t now)
{
	gate->since = now;
	gate->spent = spent;
}

bool gate_pass(struct gate *gate, double spent, double share, uint64_t now)
{
	double seconds = (double)(now - gate->since) / NSEC_PER_SEC;
	double round = ldexp(ROUND_SECONDS, -(int)gate->doubt);

	if (!gate->open && now < gate->next)
		return false;
	if (!gate->open) {
		gate->open = true;
		gate->opened = now;
		round_begin(gate, spent, now);
		return true;
	}
	if (spent - gate->spent > share * fmax(round, seconds)) {
		gate->open = false;
		gate->next = now + (REST_SECONDS * NSEC_PER_SEC << gate->refused);
		gate->refused += gate->refused < REST_TIMES;
		gate->doubt = DOUBT_FIRST + gate->refused;
		return false;
	}
	if (seconds <= round)
		return true;
	if (gate->doubt)
		gate->doubt--;
	else
		gate->refused = 0;
	round_begin(gate, spent, now);
	return true;
}

void gate_close(struct gate *gate, uint64_t now)
{
	gate->open = false;
	gate->next = now + REST_SECONDS * NSEC_PER_SEC;
}

bool gate_on_trial(const struct gate *gate, uint64_t now)
{
	return gate->open && (double)(now - gate->opened) < TRIAL_SECONDS * NSEC_PER_SEC;
}
