// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/gate.h"

#include <math.h>

#include "base/clock.h"

/* Where the share is too little it comes back after so many seconds, then after twice as many, and so on. */
#define REST_SECONDS 60
#define REST_TIMES   6
/*
 * Seconds of a round: what it may cost may be spent at once, and what was spent in the last one is forgotten. Who was
 * refused has half of it for each time, for all of it is a moment in which the process hardly comes on.
 */
#define ROUND_SECONDS 10
#define TRIAL_SECONDS 0.5

void gate_init(struct gate *gate, bool open, uint64_t now)
{
	*gate = (struct gate){.open = open, .opened = now, .since = now};
}

bool gate_pass(struct gate *gate, double spent, double share, uint64_t now)
{
	double seconds = (double)(now - gate->since) / NSEC_PER_SEC;

	if (!gate->open && now < gate->next)
		return false;
	if (!gate->open || seconds > ROUND_SECONDS) {
		if (gate->open)
			gate->refused = 0;
		else
			gate->opened = now;
		gate->open = true;
		gate->since = now;
		gate->spent = spent;
		return true;
	}
	if (spent - gate->spent <= ldexp(share * ROUND_SECONDS, -(int)gate->refused))
		return true;
	gate->open = false;
	gate->next = now + (REST_SECONDS * NSEC_PER_SEC << gate->refused);
	gate->refused += gate->refused < REST_TIMES;
	return false;
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
