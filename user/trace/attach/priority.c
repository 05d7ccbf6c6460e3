// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Real-time priority for the moments in which probes are attached. */
#include "trace/attach/priority.h"

void priority_raise(struct priority *ret)
{
	struct sched_param first = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};

	ret->policy = sched_getscheduler(0);
	ret->raised = ret->policy >= 0 && !sched_getparam(0, &ret->param) &&
		      ret->policy != SCHED_FIFO && ret->policy != SCHED_RR &&
		      !sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
}

void priority_restore(struct priority *priority)
{
	if (priority->raised)
		sched_setscheduler(0, priority->policy, &priority->param);
	priority->raised = false;
}
