// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tells user space of processes that start, become another program and end. A tree is followed
 * here, in the kernel: a child is a member before its parent can end, so no descendant of a
 * short-lived parent is missed.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "shared/follow_record.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

const volatile __u32 scope; /* enum follow_scope */

__u64 lost_events;  /* the ring was full */
__u64 lost_members; /* the table was full: whom these start is not followed */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FOLLOW_MEMBERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32); /* who started it */
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FOLLOW_RING_SIZE);
} ring SEC(".maps");

static void event_send(__u32 type, __u32 pid, __u32 parent, __u32 shares)
{
	struct follow_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		__sync_fetch_and_add(&lost_events, 1);
		return;
	}
	record->time = bpf_ktime_get_ns();
	record->type = type;
	record->pid = pid;
	record->parent = parent;
	record->shares = shares;
	bpf_ringbuf_submit(record, 0);
}

/* Whether thread group PID, which runs now, is followed. */
static bool is_followed(__u32 pid)
{
	if (scope == FOLLOW_TREE)
		return bpf_map_lookup_elem(&members, &pid);
	if (scope == FOLLOW_CGROUP)
		return bpf_current_task_under_cgroup(&cgroup, 0) == 1;
	return true;
}

/* (struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int follow_fork(__u64 *arguments)
{
	struct task_struct *starter = (struct task_struct *)arguments[0];
	struct task_struct *child = (struct task_struct *)arguments[1];
	__u32 parent = bpf_get_current_pid_tgid() >> 32;
	__u32 pid = BPF_CORE_READ(child, tgid);

	if ((__u32)BPF_CORE_READ(child, pid) != pid || !is_followed(parent))
		return 0;
	if (scope == FOLLOW_TREE && bpf_map_update_elem(&members, &pid, &parent, BPF_ANY))
		__sync_fetch_and_add(&lost_members, 1);
	event_send(FOLLOW_FORK, pid, parent,
		   BPF_CORE_READ(child, mm) == BPF_CORE_READ(starter, mm));
	return 0;
}

/* (struct task_struct *task, pid_t old_pid, struct linux_binprm *program) */
SEC("raw_tp/sched_process_exec")
int follow_exec(void *context)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	(void)context;
	if (is_followed(pid))
		event_send(FOLLOW_EXEC, pid, 0, 0);
	return 0;
}

/* (struct task_struct *task): each thread's end; that of the process is the last one's. */
SEC("raw_tp/sched_process_exit")
int follow_exit(__u64 *arguments)
{
	struct task_struct *task = (struct task_struct *)arguments[0];
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (BPF_CORE_READ(task, signal, live.counter) || !is_followed(pid))
		return 0;
	if (scope == FOLLOW_TREE)
		bpf_map_delete_elem(&members, &pid);
	event_send(FOLLOW_EXIT, pid, 0, 0);
	return 0;
}
