// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Closes for a while what costs more than its share. */
#include "trace/estimate/backoff.h"

#include <math.h>

#include "base/clock.h"

/*
 * What costs too much may come back after REST_SECONDS, then after twice as many, and so on; they
 * are doubled at most REST_TIMES times.
 */
#define REST_SECONDS 60
#define REST_TIMES   6
/*
 * The seconds of a round. A round's share may be spent at once, and what the last round spent is
 * forgotten. For something not trusted yet that would be a moment in which the process hardly gets
 * on, so its first round is halved DOUBT_FIRST times.
 */
#define ROUND_SECONDS 10.0
#define DOUBT_FIRST   2
#define TRIAL_SECONDS 0.5

void backoff_init(struct backoff *backoff, bool open, uint64_t now)
{
	*backoff =
		(struct backoff){.open = open, .opened = now, .since = now, .doubt = DOUBT_FIRST};
}

static void round_begin(struct backoff *backoff, double spent, uint64_t now)
{
	backoff->since = now;
	backoff->spent = spent;
}

bool backoff_pass(struct backoff *backoff, double spent, double share, uint64_t now)
{
	double seconds = (double)(now - backoff->since) / NSEC_PER_SEC;
	double round = ldexp(ROUND_SECONDS, -(int)backoff->doubt);

	if (!backoff->open && now < backoff->next)
		return false;
	if (!backoff->open) {
		backoff->open = true;
		backoff->opened = now;
		round_begin(backoff, spent, now);
		return true;
	}
	if (spent - backoff->spent > share * fmax(round, seconds)) {
		backoff->open = false;
		backoff->next = now + (REST_SECONDS * NSEC_PER_SEC << backoff->refused);
		backoff->refused += backoff->refused < REST_TIMES;
		backoff->doubt = DOUBT_FIRST + backoff->refused;
		return false;
	}
	if (seconds <= round)
		return true;
	if (backoff->doubt)
		backoff->doubt--;
	else
		backoff->refused = 0;
	round_begin(backoff, spent, now);
	return true;
}

void backoff_close(struct backoff *backoff, uint64_t now)
{
	backoff->open = false;
	backoff->next = now + REST_SECONDS * NSEC_PER_SEC;
}

bool backoff_on_trial(const struct backoff *backoff, uint64_t now)
{
	return backoff->open && (double)(now - backoff->opened) < TRIAL_SECONDS * NSEC_PER_SEC;
}
