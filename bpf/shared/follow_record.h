/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What follow.bpf.c shares with user/trace/tracer/follow.c. */
#ifndef TMBPF_SHARED_FOLLOW_RECORD_H
#define TMBPF_SHARED_FOLLOW_RECORD_H

#include "shared/types.h"

/* Which processes are told of. */
enum follow_scope {
	FOLLOW_TREE,   /* those in `members`, and whom they start */
	FOLLOW_CGROUP, /* those in the control group of `cgroup`, of version 2, and below */
	FOLLOW_ALL,
};

enum follow_type {
	FOLLOW_FORK,
	FOLLOW_EXEC,
	FOLLOW_EXIT,
};

struct follow_record {
	__u64 time; /* bpf_ktime_get_ns() */
	__u32 type;
	__u32 pid;    /* thread group, in the first pid namespace */
	__u32 parent; /* of FORK: who called it */
	__u32 shares; /* of FORK: the child has its parent's own memory, until exec (vfork) */
};

_Static_assert(sizeof(struct follow_record) == 24, "follow_record");

#define FOLLOW_MEMBERS_MAX 65536
#define FOLLOW_RING_SIZE   (256 * 1024)

#endif
