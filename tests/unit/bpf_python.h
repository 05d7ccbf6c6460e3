/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A made-up interpreter of any known version in the emulated memory: a thread, its state, frames,
 * code objects, strings; and cfg filled for it as the tracer does. To be included in place of
 * bpf_host.h.
 */
#ifndef TMBPF_TESTS_BPF_PYTHON_H
#define TMBPF_TESTS_BPF_PYTHON_H

#include "bpf_pymalloc.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include "sites_fake.h"

#include "bpf_host.h"

#define FAKE_THREAD       0x7f1200000740ULL /* fs base */
#define FAKE_TLS          (-0x18)
#define FAKE_GLOBAL       0x560000001000ULL /* the word that names the GIL's holder */
#define FAKE_TSTATE       0x560000100010ULL
#define FAKE_CFRAME       0x560000101000ULL
#define FAKE_INTERP       0x560000200000ULL
#define FAKE_HEAP         0x560000300000ULL /* static state, or _obmalloc_state */
#define FAKE_FRAMES       0x7f1100000000ULL
#define FAKE_FRAMES_BYTES 0x100000
#define FAKE_OBJECTS      0x7f1000000000ULL
#define FAKE_PROLOGUE     6 /* _co_firsttraceable of code objects made here */

#define FAKE_OWNED_BY_THREAD 0

static struct process fake_process;
static struct python fake;
static uint64_t fake_next;                /* where the next object goes */
static uint64_t fake_tstate, fake_cframe; /* of the thread whose frames are set */

/* The layout of 3.MINOR into cfg, with fake_hooks; what host_start() set stays. */
static inline void fake_configure(unsigned minor)
{
	const struct layout_entry *entry;
	struct tmbpf_config config;
	struct plan plan = {0};

	memset(&fake, 0, sizeof(fake));
	fake_process.pid = 4711;
	fake.process = &fake_process;
	fake.version = 0x030000f0 | minor << 16;
	entry = python_layout_entry(fake.version);
	assert_non_null(entry);
	fake.layout = entry->layout;
	fake.heap.alignment = 16;
	fake.heap.pool_size = minor < 10 ? 4096 : 16384;
	fake.heap.interp_obmalloc = minor < 12 ? PYTHON_NO_OFFSET : entry->interp_obmalloc;
	fake.heap.obmalloc_is_pointer = entry->obmalloc_is_pointer;
	fake.heap.obmalloc_usedpools = entry->obmalloc_usedpools;
	fake.heap.obmalloc_usable_arenas = entry->obmalloc_usable_arenas;
	fake.heap.usedpools = FAKE_HEAP;
	fake.heap.usable_arenas = FAKE_HEAP + 0x1000;
	fake.thread.source = minor < 12 ? PYTHON_THREAD_GLOBAL : PYTHON_THREAD_STATIC_TLS;
	fake.thread.address = FAKE_GLOBAL;
	fake.thread.tls_offset = FAKE_TLS;
	support_ok(config_fill(&fake, &plan, NULL, &config));
	config.nframe = cfg.nframe;
	config.stack_limit = cfg.stack_limit;
	config.bucket_mask = cfg.bucket_mask;
	config.recycled_mask = cfg.recycled_mask;
	config.chunk_mask = cfg.chunk_mask;
	config.slab_limit = cfg.slab_limit;
	config.ring_bytes = cfg.ring_bytes;
	config.seed[0] = 1; /* a test is the same each time */
	config.seed[1] = 2;
#ifdef __SANITIZE_ADDRESS__
	/* BPF reads words at any address; UndefinedBehaviorSanitizer wants aligned ones. */
	config.frame_size = (config.frame_size + 7) & ~7u;
#endif
	memcpy((void *)&cfg, &config, sizeof(config));
}

/* A thread of 3.MINOR that holds the GIL and runs no frame. */
static inline void fake_start(unsigned minor, const struct host_sizes *sizes)
{
	host_start(sizes);
	fake_configure(minor);
	fake_next = FAKE_OBJECTS;
	fake_tstate = FAKE_TSTATE;
	fake_cframe = FAKE_CFRAME;
	host_tasks[0].thread.fsbase = FAKE_THREAD;
	memory_map(FAKE_THREAD - 0x1000, 0x2000);
	memory_map(FAKE_GLOBAL, EMULATION_PAGE);
	memory_map(FAKE_TSTATE, EMULATION_PAGE);
	memory_map(FAKE_CFRAME, EMULATION_PAGE);
	memory_map(FAKE_INTERP, 0x10000);
	memory_map(FAKE_HEAP, 0x4000);
	memory_map(FAKE_FRAMES, FAKE_FRAMES_BYTES);
	memory_put_u64(FAKE_GLOBAL, FAKE_TSTATE);
	memory_put_u64(FAKE_THREAD + FAKE_TLS, FAKE_TSTATE);
	memory_put_u64(FAKE_TSTATE + cfg.tstate_thread_id, FAKE_THREAD);
	memory_put_u64(FAKE_TSTATE + cfg.tstate_interp, FAKE_INTERP);
	if (cfg.frames == PYTHON_FRAMES_CFRAME)
		memory_put_u64(FAKE_TSTATE + cfg.tstate_frame, FAKE_CFRAME);
	if (cfg.heap_kind == TMBPF_HEAP_POINTER)
		memory_put_u64(FAKE_INTERP + cfg.interp_obmalloc, FAKE_HEAP);
}

/* An empty heap, of arenas of ARENA_POOLS pools, where cfg says that the interpreter keeps it. */
static inline void fake_heap_start(uint32_t arena_pools, struct pymalloc *ret)
{
	uint64_t base = cfg.heap_kind == TMBPF_HEAP_INLINE ? FAKE_INTERP + cfg.interp_obmalloc
							   : FAKE_HEAP;

	*ret = (struct pymalloc){
		.usedpools = base + cfg.obmalloc_usedpools,
		.usable_arenas = cfg.heap_kind == TMBPF_HEAP_STATIC
					 ? cfg.usable_arenas
					 : base + cfg.obmalloc_usable_arenas,
		.objects = 0x560000400000ULL,
		.memory = 0x7f4400000000ULL,
		.shift = cfg.granule_shift,
		.pool_size = cfg.pool_size,
		.arena_pools = arena_pools,
	};
	pymalloc_init(ret);
}

/* SIZE bytes of zeros for an object, at a multiple of 16. */
static inline uint64_t fake_object(uint64_t size)
{
	uint64_t address = fake_next;

	fake_next += (size + 15) / 16 * 16;
	memory_map(address, size);
	return address;
}

/* A compact str of LENGTH characters of KIND bytes; ASCII ones have the shorter header. */
static inline uint64_t fake_string(unsigned kind, bool ascii, const void *characters,
				   uint64_t length)
{
	uint32_t header = ascii ? cfg.unicode_ascii_data : cfg.unicode_compact_data;
	uint64_t object = fake_object(header + (length + 1) * kind);

	memory_put_u64(object + cfg.unicode_length, length);
	/* Bits below and above the kind are somebody else's. */
	memory_put_u32(object + cfg.unicode_state, (kind | 8 | (ascii ? 16 : 0))
								   << cfg.unicode_kind_shift |
							   ((1u << cfg.unicode_kind_shift) - 1));
	memory_put(object + header, characters, length * kind);
	return object;
}

static inline uint64_t fake_ascii(const char *text)
{
	return fake_string(1, true, text, strlen(text));
}

static inline uint64_t fake_bytes(const void *data, uint64_t size)
{
	uint64_t object = fake_object(cfg.bytes_data + size + 1);

	memory_put_u64(object + cfg.bytes_size, size);
	memory_put(object + cfg.bytes_data, data, size);
	return object;
}

/* Writes a code object's fields at ADDRESS, where there is room for fake_code_size(). */
static inline void fake_code_at(uint64_t address, const char *filename, const char *name,
				int firstlineno)
{
	static const uint8_t table[] = {0x80, 0x00, 0x81, 0x00};

	memory_put_u64(address + cfg.code_filename, fake_ascii(filename));
	memory_put_u64(address + cfg.code_name, fake_ascii(name));
	if (cfg.code_qualname != PYTHON_NO_OFFSET)
		memory_put_u64(address + cfg.code_qualname, fake_ascii(name));
	memory_put_u32(address + cfg.code_firstlineno, firstlineno);
	memory_put_u64(address + cfg.code_linetable, fake_bytes(table, sizeof(table)));
	if (cfg.code_firsttraceable != PYTHON_NO_OFFSET)
		memory_put_u32(address + cfg.code_firsttraceable, FAKE_PROLOGUE);
}

static inline uint64_t fake_code_size(void)
{
	return 512;
}

static inline uint64_t fake_code(const char *filename, const char *name, int firstlineno)
{
	uint64_t address = fake_object(fake_code_size());

	fake_code_at(address, filename, name, firstlineno);
	return address;
}

struct fake_frame {
	uint64_t code;
	int unit; /* code unit that runs; negative is before the first */
	uint8_t owner;
};

/* What the frame's word says of its instruction. */
static inline uint64_t fake_instruction(const struct fake_frame *frame)
{
	if (cfg.frames == PYTHON_FRAMES_OBJECT)
		return (uint32_t)frame->unit;
	return frame->code + cfg.code_adaptive + 2 * (int64_t)frame->unit;
}

/* Writes FRAME at ADDRESS, called by the one at BACK. */
static inline void fake_frame_put(uint64_t address, const struct fake_frame *frame, uint64_t back)
{
	memory_put_u64(address + cfg.frame_back, back);
	/* 3.14 on: a tagged reference (Include/internal/pycore_stackref.h). */
	memory_put_u64(address + cfg.frame_code, frame->code | (cfg.code_tag_mask ? 1 : 0));
	if (cfg.frames == PYTHON_FRAMES_OBJECT) {
		memory_put_u32(address + cfg.frame_lasti, frame->unit);
		return;
	}
	memory_put_u64(address + cfg.frame_lasti, fake_instruction(frame));
	memory_put_u8(address + cfg.frame_owner, frame->owner);
}

/* The thread's topmost frame is the one at ADDRESS. */
static inline void fake_frame_set(uint64_t address)
{
	if (cfg.frames == PYTHON_FRAMES_CFRAME)
		memory_put_u64(fake_cframe + cfg.cframe_current, address);
	else
		memory_put_u64(fake_tstate + cfg.tstate_frame, address);
}

/* COUNT FRAMES, most recent first, callers below callees, BYTES each. Returns the topmost. */
static inline uint64_t fake_frames_at(uint64_t address, const struct fake_frame *frames,
				      size_t count, uint64_t bytes)
{
	uint64_t back = 0;

	while (count--) {
		fake_frame_put(address, &frames[count], back);
		back = address;
		address += bytes;
	}
	fake_frame_set(back);
	return back;
}

static inline uint64_t fake_frames(const struct fake_frame *frames, size_t count)
{
	return fake_frames_at(FAKE_FRAMES, frames, count, 160);
}

/* The stack id of the thread as it stands. */
static inline __u32 fake_stack(void)
{
	__u64 tstate;

	assert_true(thread_state_holder(&tstate));
	return stack_of(host_thread(), tstate);
}

#endif
