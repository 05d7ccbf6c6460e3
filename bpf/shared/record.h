/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The records of the ring buffer. */
#ifndef TMBPF_SHARED_RECORD_H
#define TMBPF_SHARED_RECORD_H

#include "shared/types.h"

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
	__u32 bucket_slot;  /* its place in the stack table: bucket * TMBPF_BUCKET_SLOTS + slot */
	__u32 domain;       /* tracemalloc's, of what it allocates */
	__u32 unused;
	struct tmbpf_frame frames[];
};

/* Ids of code objects that samples refer to; they do not begin anew with a sampling window. */
#define TMBPF_CODE_SAMPLED 0x80000000u

enum tmbpf_sample_kind {
	TMBPF_SAMPLE_FAULT, /* a page is about to be there: address in it */
	TMBPF_SAMPLE_LARGE, /* a large block of the raw domain: address, size */
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

_Static_assert(sizeof(struct tmbpf_frame) == 16, "frame");
_Static_assert(sizeof(struct tmbpf_record_code) == 72, "code record");
_Static_assert(sizeof(struct tmbpf_record_code_end) == 24, "code end record");
_Static_assert(sizeof(struct tmbpf_record_stack) == 32, "stack record");
_Static_assert(sizeof(struct tmbpf_record_sample) == 56, "sample record");

#endif
