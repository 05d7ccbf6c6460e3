/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A probe's record: what the instruction there means, and where its arguments are. */
#ifndef TMBPF_SHARED_SITE_H
#define TMBPF_SHARED_SITE_H

#include "shared/loss.h"
#include "shared/types.h"

/* What a probe does. OBJ_* and RAW_* have the same order as enum tmbpf_event. */
enum tmbpf_action {
	TMBPF_OBJ_MALLOC,
	TMBPF_OBJ_CALLOC,
	TMBPF_OBJ_REALLOC,
	TMBPF_OBJ_FREE,
	TMBPF_RAW_MALLOC,
	TMBPF_RAW_CALLOC,
	TMBPF_RAW_REALLOC,
	TMBPF_RAW_FREE,
	TMBPF_RESULT,
	TMBPF_REFILL,
	TMBPF_FREELIST_POP, /* an object comes back from a free list: a[0] is the object */
	/* An outer raw allocator (tracemalloc's): the thread's next raw event is a caller's. */
	TMBPF_HOOK,
	TMBPF_TRACK, /* PyTraceMalloc_Track(): a[0] is the block, a[1] its size, a[2] its domain */
	TMBPF_UNTRACK, /* PyTraceMalloc_Untrack(): a[0] and a[2] likewise */
};

#define TMBPF_SITE_GUARD  1 /* acts only when ZF is set */
#define TMBPF_SITE_TAIL   2 /* a jump: the return address is at the top of the stack */
#define TMBPF_SITE_NO_GIL 4 /* the GIL may not be held */

#define TMBPF_NO_REGISTER 255

/* (R[base] << shift) + displacement; where dereference is set, the word at that address. */
struct tmbpf_value {
	__s64 displacement;
	__u8 base; /* hardware number or TMBPF_NO_REGISTER */
	__u8 shift;
	__u8 dereference;
	__u8 unused[5];
};

struct tmbpf_site {
	__u8 action; /* enum tmbpf_action */
	__u8 flags;  /* TMBPF_SITE_* */
	__u8 hit;    /* written by the programs: it was hit in a sampling window */
	__u8 unused;
	__s32 stack_delta; /* RESULT: rsp here minus rsp after the return */
	/* RAW call, RESULT: the return address in the process; RESULT: 0 for any. */
	__u64 returns;
	struct tmbpf_value a[3]; /* the third of TRACK and UNTRACK alone */
};

_Static_assert(sizeof(struct tmbpf_value) == 16, "value");
_Static_assert(sizeof(struct tmbpf_site) == 64, "site");
_Static_assert((int)TMBPF_OBJ_MALLOC == (int)TMBPF_EVENT_OBJ_MALLOC &&
		       (int)TMBPF_OBJ_FREE == (int)TMBPF_EVENT_OBJ_FREE &&
		       (int)TMBPF_RAW_MALLOC == (int)TMBPF_EVENT_RAW_MALLOC &&
		       (int)TMBPF_RAW_FREE == (int)TMBPF_EVENT_RAW_FREE,
	       "actions and events");

#endif
