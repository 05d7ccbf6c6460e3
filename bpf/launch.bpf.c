// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Stops a program that tmbpf started, at two moments before any of its own code runs: right after
 * exec, and at its entry point, when its libraries are loaded. User space looks at it then,
 * attaches its probes, and lets it go on.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define SIGSTOP 19

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

const volatile __u32 target; /* thread group, in the first pid namespace */

SEC("raw_tp/sched_process_exec")
int launch_exec(void *context)
{
	(void)context;
	if (bpf_get_current_pid_tgid() >> 32 == target)
		bpf_send_signal(SIGSTOP);
	return 0;
}

SEC("uprobe")
int launch_entry(struct pt_regs *regs)
{
	(void)regs;
	if (bpf_get_current_pid_tgid() >> 32 == target)
		bpf_send_signal(SIGSTOP);
	return 0;
}
