// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Waiting that signals end in order. */
#include "base/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "base/clock.h"

int interrupts_catch(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

bool interrupts_wait(int interrupts, int other, uint64_t seconds)
{
	struct pollfd wait[] = {{.fd = interrupts, .events = POLLIN},
				{.fd = other, .events = POLLIN}};
	uint64_t end = clock_now(CLOCK_MONOTONIC) + seconds * NSEC_PER_SEC, now;

	/* In parts: poll() has no more than 24 days, and no nanoseconds. */
	while ((now = clock_now(CLOCK_MONOTONIC)) < end) {
		uint64_t rest = (end - now + 999999) / 1000000;
		int done = poll(wait, 2, rest < 3600000 ? (int)rest : 3600000);

		if (done > 0)
			return true;
		if (done < 0 && errno != EINTR)
			return true;
	}
	return false;
}
