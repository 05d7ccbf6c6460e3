/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies a code object out to user space: its names and its line table. */
#ifndef TMBPF_CAPTURE_H
#define TMBPF_CAPTURE_H

#include "kernel.h"
#include "read.h"
#include "shared/config.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "state.h"

#define ALIGN8(size) (((size) + 7) & ~7u)

#define CAPTURE_MAX (sizeof(struct tmbpf_record_code) + 3 * TMBPF_STRING_MAX + TMBPF_TABLE_MAX)

/*
 * A code object being copied out. Too large for a task's storage, which from Linux 7.0 on ends at
 * 8 KiB.
 */
struct capture {
	__u32 busy; /* a program uses it, and perhaps waits for its processor */
	__u32 unused;
	__u8 bytes[CAPTURE_MAX + 8];
};

/* So many programs may be doing that at a time; a power of two. */
#define CAPTURES 16

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAPTURES);
	__type(key, __u32);
	__type(value, struct capture);
} captures SEC(".maps");

struct capture_cursor {
	__u8 *bytes;
	__u32 position;
};

/* Appends SIZE bytes at ADDRESS; what was captured, 0 if they cannot be read. */
static __always_inline __u32 capture_bytes(struct capture_cursor *cursor, __u64 address, __u64 size,
					   __u32 most)
{
	__u32 length = size < most ? size : most;
	__u32 position = cursor->position;

	if (position > CAPTURE_MAX - TMBPF_TABLE_MAX || length > most || !length)
		return 0;
	if (!read_user(cursor->bytes + position, length, address))
		return 0;
	cursor->position = position + ALIGN8(length);
	return length;
}

/*
 * PyASCIIObject.state: interned 2 or more bits, kind 3, compact 1, ascii 1
 * (Include/cpython/unicodeobject.h).
 */
static __always_inline void capture_string(struct capture_cursor *cursor, struct tmbpf_string *ret,
					   __u64 object)
{
	__u64 length;
	__u32 flags, kind, offset;

	ret->kind = ret->length = ret->captured = 0;
	if (!object || !read_word(object + cfg.unicode_length, &length) ||
	    !read_user(&flags, sizeof(flags), object + cfg.unicode_state))
		return;
	kind = flags >> cfg.unicode_kind_shift & 7;
	if ((kind != 1 && kind != 2 && kind != 4) || !(flags >> cfg.unicode_kind_shift & 8) ||
	    length > 1u << 30)
		return;
	offset = flags >> cfg.unicode_kind_shift & 16 ? cfg.unicode_ascii_data
						      : cfg.unicode_compact_data;
	ret->length = length;
	ret->captured = capture_bytes(cursor, object + offset, length * kind, TMBPF_STRING_MAX);
	if (ret->captured || !length)
		ret->kind = kind;
}

static __always_inline __u64 code_word(__u64 code, __u32 offset)
{
	__u64 word;

	if (offset == PYTHON_NO_OFFSET || !read_word(code + offset, &word))
		return 0;
	return word;
}

/* Room that no other program uses, until capture_put(); NULL if there is none. */
static __always_inline struct capture *capture_get(void)
{
	__u32 first = bpf_get_smp_processor_id(), i;

	for (i = 0; i < CAPTURES; i++) {
		__u32 index = (first + i) & (CAPTURES - 1);
		struct capture *capture = bpf_map_lookup_elem(&captures, &index);

		if (capture && !compare_exchange(&capture->busy, 0, 1))
			return capture;
	}
	return NULL;
}

static __always_inline void capture_put(struct capture *capture)
{
	*(volatile __u32 *)&capture->busy = 0;
}

/* Copies the code object at CODE out to user space under the new id ID. */
__noinline int code_capture(__u64 code, __u32 id)
{
	struct capture *capture;
	struct capture_cursor cursor;
	struct tmbpf_record_code *record;
	__u64 table, size = 0;
	__u32 total;
	long full;

	capture = capture_get();
	if (!capture) {
		count_loss(TMBPF_LOSS_THREAD_STORAGE);
		return -1;
	}
	record = (struct tmbpf_record_code *)capture->bytes;
	cursor.bytes = capture->bytes;
	cursor.position = sizeof(*record);
	record->record.type = TMBPF_RECORD_CODE;
	record->id = id;
	record->address = code;
	record->firstlineno = 0;
	record->firsttraceable = 0;
	read_user(&record->firstlineno, sizeof(record->firstlineno), code + cfg.code_firstlineno);
	if (cfg.code_firsttraceable != PYTHON_NO_OFFSET)
		read_user(&record->firsttraceable, sizeof(record->firsttraceable),
			  code + cfg.code_firsttraceable);
	capture_string(&cursor, &record->filename, code_word(code, cfg.code_filename));
	capture_string(&cursor, &record->name, code_word(code, cfg.code_name));
	capture_string(&cursor, &record->qualname, code_word(code, cfg.code_qualname));
	table = code_word(code, cfg.code_linetable);
	record->table_captured = 0;
	if (!table || !read_word(table + cfg.bytes_size, &size) || size > 1u << 30) {
		/* Not an empty one, of which user space could tell lines. */
		record->table_size = ~0u;
	} else {
		record->table_size = size;
		record->table_captured =
			capture_bytes(&cursor, table + cfg.bytes_data, size, TMBPF_TABLE_MAX);
	}
	total = cursor.position;
	if (total > CAPTURE_MAX)
		total = CAPTURE_MAX;
	record->record.size = total;
	full = bpf_ringbuf_output(&ring, record, total, ring_flags());
	capture_put(capture);
	if (full) {
		count_loss(TMBPF_LOSS_RING_FULL);
		return -1;
	}
	return 0;
}

#endif
