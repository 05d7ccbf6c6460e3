/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and user space share: the records of the maps and of the ring buffer.
 * Includable on both sides: the fixed-width kernel types must be defined before (vmlinux.h or
 * linux/types.h). All sizes are asserted below, so a side that packs differently does not build.
 */
#ifndef TMBPF_H
#define TMBPF_H

/* Frames kept of a traceback at most, and frames walked beyond because the topmost may be incomplete ones. */
#define TMBPF_NFRAME_MAX   128
#define TMBPF_NFRAME_SPARE 2
#define TMBPF_WALK_MAX     (TMBPF_NFRAME_MAX + TMBPF_NFRAME_SPARE)
/* tracemalloc keeps total_nframe in 16 bits (Modules/_tracemalloc.c: UINT16_MAX). */
#define TMBPF_TOTAL_NFRAME_MAX 65535

/*
 * A block's entry in the shadow of the arenas: stack id and requested size in 32 bits, for each granule
 * (pymalloc's alignment) at which a block starts. 0: no traced block starts here. Where frees are not
 * probed, user space marks an entry as SUSPECT while it finds out whether the block is still there.
 */
#define TMBPF_STACK_BITS 21
#define TMBPF_STACK_MAX  (1u << TMBPF_STACK_BITS)
#define TMBPF_SIZE_BITS  10
#define TMBPF_SUSPECT    (1u << (TMBPF_STACK_BITS + TMBPF_SIZE_BITS))
#define TMBPF_SIZE_MAX   512 /* SMALL_REQUEST_THRESHOLD, Objects/obmalloc.c */
/*
 * A size above 512 marks a block that holds a code object that stacks refer to; code objects are larger than
 * TMBPF_CODE_BASE, so both fit into 10 bits: marked = size - TMBPF_CODE_BASE + 512.
 */
#define TMBPF_CODE_BASE 64

/* Of an entry: what it says. A stack of TMBPF_STACK_NONE: only that a code object lies there. */
#define ENTRY_STACK(entry)      ((entry) & (TMBPF_STACK_MAX - 1))
#define ENTRY_SIZE_CODED(entry) ((entry) >> TMBPF_STACK_BITS & ((1u << TMBPF_SIZE_BITS) - 1))
#define ENTRY_CODE(entry)       (ENTRY_SIZE_CODED(entry) > TMBPF_SIZE_MAX)
#define ENTRY_SIZE(entry)                                                                          \
	(ENTRY_CODE(entry) ? ENTRY_SIZE_CODED(entry) - TMBPF_SIZE_MAX + TMBPF_CODE_BASE            \
			   : ENTRY_SIZE_CODED(entry))

/* Entries of one slab of the shadow: a slab covers 64 Ki granules. */
#define TMBPF_SLAB_BITS    16
#define TMBPF_SLAB_ENTRIES (1u << TMBPF_SLAB_BITS)

/* Stack ids with a meaning of their own; the first that is handed out is TMBPF_STACK_FIRST. */
enum tmbpf_stack {
	TMBPF_STACK_NONE = 0,    /* no block */
	TMBPF_STACK_UNKNOWN = 1, /* the thread ran no Python code: tracemalloc's <unknown> */
	TMBPF_STACK_LOST = 2, /* there was one, but it could not be kept or read; a loss says why */
	TMBPF_STACK_FIRST = 8,
};

/* What is not seen, by cause. One list makes the enum and the words for it. */
#define TMBPF_LOSSES(X)                                                                               \
	X(STACK_TABLE_FULL, stack_table_full, "stacks not kept: the stack table was full")            \
	X(STACK_BUSY, stack_busy, "stacks not kept: another thread was just adding to the table")     \
	X(RING_FULL, ring_full, "stacks not kept: the ring buffer was full")                          \
	X(CODE_TABLE_FULL, code_table_full, "stacks not kept: the table of code objects was full")    \
	X(FRAME_UNREADABLE, frame_unreadable, "stacks not kept: a frame could not be read")           \
	X(THREAD_STATE, thread_state_unreadable, "stacks not kept: no thread state could be read")    \
	X(SHADOW_FULL, shadow_full, "blocks not kept: no shadow memory left for a new arena")         \
	X(LARGE_FULL, large_full, "blocks not kept: the table of large blocks was full")              \
	X(HEAP_UNREADABLE, heap_unreadable, "blocks not kept: pymalloc's state could not be read")    \
	X(REFILL_PENDING, refill_pending, "blocks not kept: two new arenas at the same moment")       \
	X(DOMAINS_FULL, domains_full, "blocks not kept: of too many domains, or at no address")       \
	X(RESULT_MISSED, result_missed, "blocks not kept: malloc's result was not seen")              \
	X(RESULT_UNKNOWN, result_unknown, "blocks not kept: malloc returned to an unknown place")     \
	X(ARGUMENT_UNREADABLE, argument_unreadable,                                                   \
	  "events not counted: an argument on the stack could not be read")                           \
	X(STALE_BLOCK, stale_block,                                                                   \
	  "blocks whose free was not seen (their address was handed out again)")                      \
	X(REFILL_UNANNOUNCED, refill_unannounced,                                                     \
	  "refills of a pool that no probed allocation announced")                                    \
	X(HOOKS_CHANGED, hooks_changed,                                                               \
	  "allocator hooks put in meanwhile: until that was noticed, what they took for themselves "  \
	  "counted")                                                                                  \
	X(HEAPS_SHARE, heaps_share,                                                                   \
	  "blocks whose heap shares its record of the last one with another heap: one that was just " \
	  "handed out may count as freed")                                                            \
	X(FAULT, fault, "page faults not sampled: their stack could not be read or kept")             \
	X(FAULT_THREADS, fault_threads,                                                               \
	  "threads whose page faults may not be sampled: each was started while another one had no "  \
	  "event yet")                                                                                \
	X(LARGE, large,                                                                               \
	  "large blocks not followed: too many at a time, or their stack was not kept")               \
	X(TURN, turn,                                                                                 \
	  "events not counted: other threads were at it all the while (before Linux 5.17)")           \
	X(THREAD_STORAGE, thread_storage, "events not counted: no memory for a thread's record")      \
	X(NO_ROOM, no_room,                                                                           \
	  "windows not opened: the memory limit of the process's control group left no room for "     \
	  "probes")

#define TMBPF_LOSS_ENUM(upper, lower, text) TMBPF_LOSS_##upper,
enum tmbpf_loss { TMBPF_LOSSES(TMBPF_LOSS_ENUM) TMBPF_LOSS_COUNT };
#undef TMBPF_LOSS_ENUM

/* Probe hits that were acted upon, by kind. */
#define TMBPF_EVENTS(X)                                                                            \
	X(OBJ_MALLOC, obj_malloc)                                                                  \
	X(OBJ_CALLOC, obj_calloc)                                                                  \
	X(OBJ_REALLOC, obj_realloc)                                                                \
	X(OBJ_FREE, obj_free)                                                                      \
	X(RAW_MALLOC, raw_malloc)                                                                  \
	X(RAW_CALLOC, raw_calloc)                                                                  \
	X(RAW_REALLOC, raw_realloc)                                                                \
	X(RAW_FREE, raw_free)                                                                      \
	X(RESULT, result)                                                                          \
	X(RETURN, return )                                                                         \
	X(REFILL, refill)                                                                          \
	X(REUSE, reuse)                                                                            \
	X(TRACK, track)                                                                            \
	X(UNTRACK, untrack)                                                                        \
	X(HOOK, hook)                                                                              \
	X(INACTIVE, inactive)

#define TMBPF_EVENT_ENUM(upper, lower) TMBPF_EVENT_##upper,
enum tmbpf_event { TMBPF_EVENTS(TMBPF_EVENT_ENUM) TMBPF_EVENT_COUNT };
#undef TMBPF_EVENT_ENUM

/* What a probe does. OBJ_* and RAW_* have the same order as tmbpf_event. */
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
	TMBPF_REUSE, /* an object comes back from a free list: a[0] is the object */
	TMBPF_HOOK, /* an outer raw allocator (tracemalloc's): the next raw event of this thread is a caller's */
	TMBPF_TRACK, /* PyTraceMalloc_Track(): a[0] is the block, a[1] its size, a[2] its domain */
	TMBPF_UNTRACK, /* PyTraceMalloc_Untrack(): a[0] and a[2] likewise */
};

#define TMBPF_SITE_GUARD  1 /* acts only when ZF is set */
#define TMBPF_SITE_TAIL   2 /* a jump: the return address is at the top of the stack */
#define TMBPF_SITE_NO_GIL 4 /* the GIL may not be held */

#define TMBPF_NO_REGISTER 255

struct tmbpf_value { /* (R[base] << shift) + displacement, then what lies there if dereference */
	__s64 displacement;
	__u8 base; /* hardware number or TMBPF_NO_REGISTER */
	__u8 shift;
	__u8 dereference;
	__u8 unused[5];
};

struct tmbpf_site {
	__u8 action; /* enum tmbpf_action */
	__u8 flags;  /* TMBPF_SITE_* */
	__u8 hit;    /* written by the programs: it was hit in a window */
	__u8 unused;
	__s32 stack_delta; /* RESULT: rsp here minus rsp after the return */
	__u64 returns; /* RAW call, RESULT: the return address in the process; RESULT: 0 for any */
	struct tmbpf_value a[3]; /* the third of TRACK and UNTRACK alone */
};

/* The interpreter's layout, written before loading; PYTHON_* of user/python/python.h say what each means. */
struct tmbpf_config {
	__u32 frames; /* enum python_frames */
	__u32 nframe; /* frames to keep, without the spare */
	__u32 tstate_frame, tstate_interp, tstate_thread_id, cframe_current;
	__u32 frame_back, frame_code, frame_lasti, frame_owner, frame_size, frame_owner_max,
		code_tag_mask;
	__u32 code_filename, code_name, code_qualname, code_firstlineno, code_linetable,
		code_firsttraceable;
	__u32 code_adaptive;
	__u32 unicode_length, unicode_state, unicode_ascii_data, unicode_compact_data;
	__u32 bytes_size, bytes_data;
	__u32 thread_source; /* enum python_thread_source */
	__u32 granule_shift; /* log2 of pymalloc's alignment */
	__u32 pool_size;
	__u32 heap_kind; /* enum tmbpf_heap */
	__u32 interp_obmalloc, obmalloc_usedpools, obmalloc_usable_arenas;
	__u32 hook_extra; /* bytes that debug hooks add to a request */
	__u32 hook_delta; /* and where their block starts before the caller's */
	__u32 lazy;       /* frees of the object domain are not probed */
	__u32 hooked_raw; /* raw events count only when an outer hook announced them */
	__u32 births; /* sampling windows: allocations are listed, this many at most in a window; 0: blocks are followed */
	__u32 by_address;    /* sites are known by the probe's address, not by a cookie */
	__u32 return_probes; /* unknown return addresses are caught by return probes */
	__u32 large_returns; /* the same for large blocks that are sampled */
	__u32 large_least;   /* bytes from which on a block is sampled as a large one */
	__u32 unicode_kind_shift;
	__u32 stack_limit, bucket_mask, recycled_mask, slab_limit, chunk_mask;
	__u32 ring_bytes;
	__u32 pid; /* thread group, in the first pid namespace */
	__u64 raw_table,
		raw_malloc; /* the raw allocator table's malloc word, and what it holds without hooks */
	__u64 thread_address, tls_module;
	__s64 tls_offset;
	__s64 own_offset; /* of the word that names this thread's own state, from the thread pointer; 0 unknown */
	__u32 own_block; /* not 0: own_offset is from where the word there, from the thread pointer, leads to */
	__u32 dtv_entry;                /* bytes */
	__u64 usedpools, usable_arenas; /* static state, up to 3.11 */
	__u64 seed[2];
};

enum tmbpf_heap {
	TMBPF_HEAP_STATIC,  /* up to 3.11 */
	TMBPF_HEAP_INLINE,  /* 3.12: inside the interpreter */
	TMBPF_HEAP_POINTER, /* 3.13 on */
	TMBPF_HEAP_NONE,    /* no pymalloc (PYTHONMALLOC=malloc) */
};

struct tmbpf_stack_stats { /* cumulative; live is the difference */
	__u64 allocated_count, allocated_size;
	__u64 freed_count, freed_size;
};

/*
 * Blocks of tracemalloc's other domains than Python's own (0) are told apart by the domain's place in a list of those
 * that were seen, above the 56 bits of an address.
 */
#define TMBPF_DOMAINS_MAX                15
#define TMBPF_DOMAIN_SHIFT               56
#define TMBPF_DOMAIN_KEY(address, place) ((__u64)((place) + 1) << TMBPF_DOMAIN_SHIFT | (address))

struct tmbpf_large {
	__u64 size;
	__u32 stack;
	__u32 code; /* holds a code object that stacks refer to */
};

#define TMBPF_BIRTH_POOL 0 /* from a pool */
#define TMBPF_BIRTH_RAW  1 /* from the raw domain */
#define TMBPF_BIRTH_REUSED                                                                         \
	2 /* an object from a free list: its block's size is not known here, and 0 */

struct tmbpf_birth {   /* a block that was allocated in a window */
	__u64 address; /* written last: as long as it is 0, the rest is not there yet */
	__u64 size;
	__u32 stack;
	__u32 kind; /* TMBPF_BIRTH_... */
};

struct tmbpf_fork {   /* what had happened when a child was forked */
	__u64 events; /* allocations and frees, of all kinds */
};

#define TMBPF_FORKS_MAX 1024 /* children that are remembered */

#define TMBPF_BUCKET_SLOTS 8

struct tmbpf_bucket { /* of the stack table; a slot with id 0 is free */
	__u64 hash[TMBPF_BUCKET_SLOTS];
	__u64 id_epoch
		[TMBPF_BUCKET_SLOTS]; /* id in the low half, epoch of the last check in the high one */
	__u32 generations[TMBPF_BUCKET_SLOTS];
};

/*
 * The block that a heap handed out last, as its probe said: until the next one, it may still be on its pool's free
 * list. Heaps are told apart by the address of usedpools; 0: the place is free.
 */
struct tmbpf_handed {
	__u64 heap, address;
};

#define TMBPF_HANDED_MAX 256 /* places; a power of two */

#define TMBPF_CHUNK_PROBES 8 /* places where a chunk may stand, one after another */

struct tmbpf_chunk { /* of the shadow's directory: 64 Ki granules of address space */
	__u64 chunk; /* address >> (16 + granule_shift), plus 1; 0: free */
	__u32 slab;
	__u32 unused;
};

/* Ring buffer records. */
enum tmbpf_record_type {
	TMBPF_RECORD_CODE = 1,
	TMBPF_RECORD_CODE_END = 2,
	TMBPF_RECORD_STACK = 3,
	TMBPF_RECORD_EXEC = 4,
	TMBPF_RECORD_SLAB = 5, /* the shadow grew: only wakes user space */
	TMBPF_RECORD_SAMPLE = 6,
};

struct tmbpf_record {
	__u32 type;
	__u32 size; /* of the whole record, bytes */
};

#define TMBPF_STRING_MAX 1024  /* bytes captured of a file name, a name, a qualified name */
#define TMBPF_TABLE_MAX  16384 /* bytes captured of a line table */

struct tmbpf_string {
	__u32 kind;     /* bytes a character: 1, 2, 4; 0: not readable */
	__u32 length;   /* characters it has */
	__u32 captured; /* bytes captured */
};

struct tmbpf_record_code {
	struct tmbpf_record record;
	__u32 id;
	__s32 firstlineno;
	__u64 address;
	__u32 firsttraceable;
	struct tmbpf_string filename, name, qualname;
	__u32 table_size, table_captured;
	/* The bytes of filename, name, qualname and the table follow, each padded to 8. */
};

struct tmbpf_record_code_end {
	struct tmbpf_record record;
	__u64 address;
	__u32 id;
	__u32 unused;
};

struct tmbpf_frame {
	__u64 code;        /* address; in a stack record the code's id */
	__u64 instruction; /* f_lasti, prev_instr or instr_ptr as it stood there */
};

struct tmbpf_record_stack {
	struct tmbpf_record record;
	__u32 id;
	__u32 nframe;       /* frames that follow, most recent first */
	__u32 total_nframe; /* frames there were */
	__u32 bucket_slot; /* bucket * TMBPF_BUCKET_SLOTS + slot, where it stands in the stack table */
	__u32 domain;      /* tracemalloc's, of what it allocates */
	__u32 unused;
	struct tmbpf_frame frames[];
};

/* Ids of code objects that samples refer to; they do not begin anew with a window. */
#define TMBPF_CODE_SAMPLED 0x80000000u

enum tmbpf_sample_kind {
	TMBPF_SAMPLE_FAULT, /* a page is about to be there: address in it */
	TMBPF_SAMPLE_BIRTH, /* a large block of the raw domain: address, size */
};

struct tmbpf_record_sample {
	struct tmbpf_record record;
	__u32 kind;         /* enum tmbpf_sample_kind */
	__u32 nframe;       /* frames that follow, most recent first; 0: no Python code ran */
	__u32 total_nframe; /* frames there were */
	__u32 domain;       /* tracemalloc's */
	__u64 time;         /* monotonic nanoseconds */
	__u64 address, size;
	__u64 weight; /* how many like it it stands for */
	struct tmbpf_frame frames[];
};

_Static_assert(sizeof(struct tmbpf_value) == 16, "value");
_Static_assert(sizeof(struct tmbpf_site) == 64, "site");
_Static_assert(sizeof(struct tmbpf_stack_stats) == 32, "stats");
_Static_assert(sizeof(struct tmbpf_large) == 16, "large");
_Static_assert(sizeof(struct tmbpf_birth) == 24, "birth");
_Static_assert(sizeof(struct tmbpf_fork) == 8, "fork");
_Static_assert(sizeof(struct tmbpf_bucket) == 160, "bucket");
_Static_assert(sizeof(struct tmbpf_chunk) == 16, "chunk");
_Static_assert(sizeof(struct tmbpf_record_code) == 72, "code record");
_Static_assert(sizeof(struct tmbpf_record_stack) == 32, "stack record");
_Static_assert(sizeof(struct tmbpf_record_sample) == 56, "sample record");

#endif
