// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs of tmbpf.bpf.c for kernels before 5.17; see kernel.h. Maps and programs have the
 * same names.
 */
#define TMBPF_PLAIN
#include "tmbpf.bpf.c" /* NOLINT(bugprone-suspicious-include) */

/* A thread that ends loses its record. Task storage does that by itself. */
SEC("raw_tp/sched_process_exit")
int thread_exit(void *context)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 thread = id;

	(void)context;
	if (id >> 32 == cfg.pid)
		bpf_map_delete_elem(&threads, &thread);
	return 0;
}
