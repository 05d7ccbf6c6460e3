/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program made up by chance, and a plain list of what it holds and where that was allocated.
 * Threads call and return, allocate, resize and free in both domains, make code objects and drop
 * them again, take objects from free lists. Every probe is hit as in a target. To be included in
 * place of bpf_python.h.
 *
 * With fake_lazy_free the object domain's frees are not hit. The target may be stopped between a
 * malloc's probe and what malloc does then: the block that is on its way comes by
 * object_malloc_end().
 */
#ifndef TMBPF_TESTS_BPF_MODEL_H
#define TMBPF_TESTS_BPF_MODEL_H

#include "bpf_pymalloc.h"

#include "bpf_python.h"

#define BLOCKS_MAX 1500
#define CODES      24
#define THREADS    3 /* and one that is not Python's */
#define DEPTH_MAX  9
#define NFRAME     6
#define UNITS      12
#define LIBC       0x7f6600000000ULL
#define LIBC_SLOT  0x1000
#define C_STACK    0x7ffd00001000ULL
#define CALL       0x401000ULL
#define TEXT_MAX   512

/* The sites. */
enum {
	AT_MALLOC,
	AT_CALLOC,
	AT_REALLOC,
	AT_FREE,
	AT_RAW_MALLOC,
	AT_RAW_CALLOC,
	AT_RAW_REALLOC,
	AT_RAW_FREE,
	AT_RESULT,
	AT_FREELIST_POP,
};

/* By hardware number: rdi and rsi, rax. */
#define FIRST  ((struct tmbpf_value){.base = 7})
#define SECOND ((struct tmbpf_value){.base = 6})
#define RESULT ((struct tmbpf_value){.base = 0})
#define NONE   ((struct tmbpf_value){.base = TMBPF_NO_REGISTER})

static const struct tmbpf_site known_sites[] = {
	[AT_MALLOC] = {.action = TMBPF_OBJ_MALLOC, .a = {FIRST, NONE}},
	[AT_CALLOC] = {.action = TMBPF_OBJ_CALLOC, .a = {FIRST, SECOND}},
	[AT_REALLOC] = {.action = TMBPF_OBJ_REALLOC, .a = {FIRST, SECOND}},
	[AT_FREE] = {.action = TMBPF_OBJ_FREE, .a = {FIRST, NONE}},
	[AT_RAW_MALLOC] = {.action = TMBPF_RAW_MALLOC, .returns = CALL, .a = {FIRST, NONE}},
	[AT_RAW_CALLOC] = {.action = TMBPF_RAW_CALLOC, .returns = CALL, .a = {FIRST, SECOND}},
	[AT_RAW_REALLOC] = {.action = TMBPF_RAW_REALLOC, .returns = CALL, .a = {FIRST, SECOND}},
	[AT_RAW_FREE] = {.action = TMBPF_RAW_FREE, .a = {FIRST, NONE}},
	[AT_RESULT] = {.action = TMBPF_RESULT, .returns = CALL, .a = {RESULT, NONE}},
	[AT_FREELIST_POP] = {.action = TMBPF_FREELIST_POP, .a = {FIRST, NONE}},
};

struct block {
	uint64_t address; /* of pymalloc's block, or libc's */
	uint64_t size;    /* that was asked for */
	bool raw;         /* libc's */
	bool object;      /* of the object domain, wherever it lies */
	int code;         /* the code object that it holds, or -1 */
	bool traced;      /* not from before tracing began */
	char *text;       /* the traceback that allocated it */
};

struct code_model {
	uint64_t address; /* 0: there is none */
	uint64_t serial;
};

struct thread_model {
	uint64_t tstate;
	unsigned depth;
	struct {
		int code, unit;
	} frames[DEPTH_MAX]; /* the bottom first */
};

static struct {
	struct pymalloc heap;
	struct block blocks[BLOCKS_MAX];
	size_t count;
	struct code_model codes[CODES];
	uint64_t serial;
	struct thread_model threads[THREADS];
	uint64_t free_slots[BLOCKS_MAX + 8];
	size_t free_count, slots;
	uint64_t current, peak;
	bool objects_alone;
	bool peak_exact; /* no fresh arena's first block was waited for while raw memory changed */
	uint64_t random;
} m;

static struct pt_regs regs;
static inline uint64_t chance(uint64_t below)
{
	m.random ^= m.random << 13;
	m.random ^= m.random >> 7;
	m.random ^= m.random << 17;
	return m.random % below;
}

/* Code unit UNIT is on line firstlineno + UNIT + 1, by the table of whatever version. */
static inline uint64_t line_table(void)
{
	uint8_t table[2 * (UNITS + 1)];
	size_t size = 0;

	for (int i = 0; i <= UNITS; i++) {
		switch (fake.layout.lines) {
		case PYTHON_LINES_LNOTAB: /* before the first pair: the first line */
			table[size++] = i ? 2 : 0;
			table[size++] = 1;
			break;
		case PYTHON_LINES_LINETABLE:
			table[size++] = 2;
			table[size++] = 1;
			break;
		case PYTHON_LINES_LOCATIONS: /* no column info, one unit; line delta 1 */
			table[size++] = 0x80 | 13 << 3;
			table[size++] = 1 << 1;
			break;
		}
	}
	return fake_bytes(table, size);
}

static inline void hit(__u32 site, uint64_t first, uint64_t second)
{
	regs.di = first;
	regs.si = second;
	emulation.cookie = site;
	assert_int_equal(probe(&regs), 0);
}

static inline bool code_runs(int code)
{
	for (int i = 0; i < THREADS; i++)
		for (unsigned n = 0; n < m.threads[i].depth; n++)
			if (m.threads[i].frames[n].code == code)
				return true;
	return false;
}

/* Writes the current thread's frames. */
static inline void frames_write(void)
{
	const struct thread_model *thread = &m.threads[host_task];
	struct fake_frame frames[DEPTH_MAX];

	for (unsigned i = 0; i < thread->depth; i++) {
		int unit = thread->frames[thread->depth - 1 - i].unit;

		frames[i] = (struct fake_frame){
			.code = m.codes[thread->frames[thread->depth - 1 - i].code].address,
			.unit = fake.layout.lines == PYTHON_LINES_LNOTAB ? 2 * unit : unit,
		};
	}
	fake_frames_at(FAKE_FRAMES + host_task * 0x4000, frames, thread->depth, 120);
}

/* The current thread's traceback as it has to come out; to be freed. */
static inline char *trace_text(void)
{
	char *text = calloc(1, TEXT_MAX);
	const struct thread_model *thread;
	unsigned kept = 0, total = 0;
	size_t at = 0;

	assert_non_null(text);
	if (host_task == THREADS) {
		snprintf(text, TEXT_MAX, "<unknown>::0 1");
		return text;
	}
	thread = &m.threads[host_task];
	for (unsigned i = thread->depth; i--;) {
		int unit = thread->frames[i].unit;

		/* What has not reached its first traceable instruction is no frame. */
		if (fake.layout.frames != PYTHON_FRAMES_OBJECT && unit < FAKE_PROLOGUE)
			continue;
		total++;
		if (kept++ < NFRAME)
			at += snprintf(text + at, TEXT_MAX - at, "f%llu:n:%d ",
				       (unsigned long long)m.codes[thread->frames[i].code].serial,
				       100 + unit + 1);
	}
	if (!total)
		snprintf(text, TEXT_MAX, "<unknown>::0 1");
	else
		snprintf(text + at, TEXT_MAX - at, "%u", total);
	return text;
}

static inline void thread_switch(unsigned task)
{
	host_task = task;
	if (task == THREADS)
		return;
	fake_tstate = m.threads[task].tstate;
	fake_cframe = FAKE_CFRAME + 64 * task;
	memory_put_u64(FAKE_GLOBAL, fake_tstate);
}

static inline void current_add(uint64_t size)
{
	m.current += size;
	if (m.current > m.peak)
		m.peak = m.current;
}

static inline struct block *block_add(uint64_t address, uint64_t size, bool raw, bool object)
{
	struct block *block = &m.blocks[m.count++];

	assert_true(m.count <= BLOCKS_MAX);
	*block = (struct block){.address = address,
				.size = size,
				.raw = raw,
				.object = object,
				.code = -1,
				.traced = state.tracing,
				.text = trace_text()};
	if (block->traced)
		current_add(size);
	return block;
}

static inline void block_remove(struct block *block)
{
	if (block->traced)
		m.current -= block->size;
	free(block->text);
	*block = m.blocks[--m.count];
}

/* libc, without memory behind it but where a code object wants some. */
static inline uint64_t libc_take(void)
{
	if (refill.active)
		m.peak_exact = false;
	if (m.free_count)
		return m.free_slots[--m.free_count];
	return LIBC + LIBC_SLOT * m.slots++ + 16;
}

static inline void libc_give(uint64_t address)
{
	assert_true(m.free_count < array_size(m.free_slots));
	m.free_slots[m.free_count++] = address;
}

/* libc is called for BYTES, and comes back. */
static inline uint64_t libc_malloc(uint64_t bytes)
{
	if (chance(2))
		hit(AT_RAW_MALLOC, bytes, 0);
	else
		hit(AT_RAW_CALLOC, bytes, 1);
	regs.ax = libc_take();
	emulation.cookie = AT_RESULT;
	probe(&regs);
	return regs.ax;
}

static inline bool pymalloc_takes(uint64_t size)
{
	uint64_t bytes = size + cfg.hook_extra;

	return bytes && bytes <= 512;
}

static inline void object_malloc_begin(uint64_t size)
{
	uint64_t bytes = size + cfg.hook_extra;

	if (chance(4))
		hit(AT_MALLOC, bytes, 0);
	else
		hit(AT_CALLOC, 1, bytes);
}

static inline struct block *object_malloc_end(uint64_t size)
{
	uint64_t address = pymalloc_malloc(&m.heap, size + cfg.hook_extra);

	assert_int_not_equal(address, 0);
	return block_add(address, size, false, true);
}

static inline struct block *object_malloc_do(uint64_t size)
{
	uint64_t bytes = size + cfg.hook_extra, address;

	object_malloc_begin(size);
	if (pymalloc_takes(size))
		return object_malloc_end(size);
	/* _PyMem_RawMalloc, with the debug hooks around it as well. */
	address = libc_malloc(bytes ? bytes + cfg.hook_extra : 1);
	return block_add(address, size, true, true);
}

/* SIZE is not 0: of that _PyMem_RawMalloc makes 1, and nothing tells it from a request of 1. */
static inline struct block *raw_malloc_do(uint64_t size)
{
	uint64_t address = libc_malloc(size + cfg.hook_extra);

	return block_add(address, size, true, false);
}

static inline void block_free(struct block *block)
{
	if (block->raw && refill.active)
		m.peak_exact = false;
	if (block->object && cfg.mode != TMBPF_MODE_LAZY)
		hit(AT_FREE, block->address + (block->raw ? cfg.hook_delta : 0), 0);
	if (block->raw) {
		hit(AT_RAW_FREE, block->address, 0);
		libc_give(block->address);
	} else {
		pymalloc_free(&m.heap, block->address);
	}
	if (block->code >= 0)
		m.codes[block->code].address = 0;
	block_remove(block);
}

static inline void raw_realloc_do(struct block *block)
{
	uint64_t size = 1 + chance(5000), old = block->address, bytes = size + cfg.hook_extra;
	bool object = block->object;

	if (object) {
		size += 512;
		bytes = size + 2 * (uint64_t)cfg.hook_extra;
		hit(AT_REALLOC, old + cfg.hook_delta, size + cfg.hook_extra);
	}
	hit(AT_RAW_REALLOC, old, bytes);
	if (!chance(10)) { /* it fails, and nothing has changed */
		regs.ax = 0;
		emulation.cookie = AT_RESULT;
		probe(&regs);
		return;
	}
	block_remove(block);
	if (refill.active)
		m.peak_exact = false;
	if (chance(2)) {
		regs.ax = libc_take();
		libc_give(old);
	} else {
		regs.ax = old;
	}
	emulation.cookie = AT_RESULT;
	probe(&regs);
	block_add(regs.ax, size, true, object);
}

static inline void object_realloc_do(struct block *block)
{
	uint64_t size = 1 + chance(488), old = block->address, bytes, address;
	uint32_t had = pymalloc_bytes(&m.heap, old);

	if (chance(2)) /* by little */
		size = block->size + chance(8);
	bytes = size + cfg.hook_extra;
	if (!bytes || bytes > 512)
		return;
	hit(AT_REALLOC, old, bytes);
	block_remove(block);
	if (bytes <= had && 4 * bytes > 3 * had) {
		block_add(old, size, false, true);
		return;
	}
	/* The nested calls may be probed as well. */
	if (chance(2)) {
		hit(AT_MALLOC, bytes, 0);
		address = pymalloc_malloc(&m.heap, bytes);
		if (cfg.mode != TMBPF_MODE_LAZY)
			hit(AT_FREE, old, 0);
	} else {
		address = pymalloc_malloc(&m.heap, bytes);
	}
	pymalloc_free(&m.heap, old);
	block_add(address, size, false, true);
}

/* An object comes back from a free list. Its header is of 0, 16 or 32 bytes. */
static inline void freelist_pop_do(struct block *block)
{
	uint64_t header = 16 * chance(3);

	if (block->raw || block->code >= 0 || block->size <= header)
		return; /* there is no such object, or its block is not pymalloc's */
	hit(AT_FREELIST_POP, block->address + cfg.hook_delta + header, 0);
	free(block->text);
	block->text = trace_text();
}

static inline void code_make(int index)
{
	struct block *block = object_malloc_do(chance(2) || m.objects_alone ? 300 : 620);
	uint64_t address = block->address + (block->raw ? 2 : 1) * (uint64_t)cfg.hook_delta;
	char filename[32];

	if (block->raw)
		memory_map(block->address, 1024);
	snprintf(filename, sizeof(filename), "f%llu", (unsigned long long)++m.serial);
	fake_code_at(address, filename, "n", 100);
	memory_put_u64(address + cfg.code_linetable, line_table());
	block->code = index;
	m.codes[index] = (struct code_model){.address = address, .serial = m.serial};
}

static inline void code_change(void)
{
	int index = (int)chance(CODES);

	if (!m.codes[index].address) {
		code_make(index);
		return;
	}
	if (code_runs(index))
		return;
	for (size_t i = 0; i < m.count; i++) {
		if (m.blocks[i].code == index) {
			block_free(&m.blocks[i]);
			return;
		}
	}
}

/* The current thread calls, returns, or goes on. */
static inline void thread_run(void)
{
	struct thread_model *thread = &m.threads[host_task];
	int code = (int)chance(CODES);

	if (chance(2) && thread->depth < DEPTH_MAX && m.codes[code].address) {
		thread->frames[thread->depth].code = code;
		thread->frames[thread->depth].unit =
			(int)(chance(8) ? FAKE_PROLOGUE + chance(UNITS - FAKE_PROLOGUE)
					: chance(FAKE_PROLOGUE));
		thread->depth++;
	} else if (thread->depth > 1) {
		thread->depth--;
	} else if (thread->depth) {
		thread->frames[0].unit = (int)(FAKE_PROLOGUE + chance(UNITS - FAKE_PROLOGUE));
	}
	frames_write();
}

/* Something happens. While FULL, what is held gets less. */
static inline void model_step(bool full)
{
	struct block *block = m.count ? &m.blocks[chance(m.count)] : NULL;
	uint64_t what = chance(100);

	if (host_task == THREADS) { /* raw memory only */
		if (what < 40 && !full)
			raw_malloc_do(1 + chance(3000));
		else if (block && block->raw && !block->object)
			what < 70 ? raw_realloc_do(block) : block_free(block);
	} else if (what < 20) {
		thread_run();
	} else if (what < 25) {
		code_change();
	} else if (what < 50) {
		if (!full)
			object_malloc_do(chance(10) || m.objects_alone ? 1 + chance(480)
								       : chance(3000));
	} else if (what < 55) {
		if (!full && !m.objects_alone)
			raw_malloc_do(1 + chance(3000));
	} else if (block && block->code < 0) {
		if (what < 70 && block->raw)
			raw_realloc_do(block);
		else if (what < 70)
			object_realloc_do(block);
		else if (what < 75)
			freelist_pop_do(block);
		else
			block_free(block);
	}
	if (!chance(10))
		thread_switch(chance(THREADS + !m.objects_alone));
}

/*
 * The program, with some code objects, of 3.MINOR with HOOKS. Tracing is off: it has not
 * begun.
 */
static inline void model_start(unsigned minor, enum sites_hooks hooks)
{
	memset(&m, 0, sizeof(m));
	m.random = 88172645463325252ull + minor;
	m.peak_exact = true;
	fake_pymalloc = true;
	fake_hooks = hooks;
	fake_start(minor, &(struct host_sizes){.stacks = 1024, .buckets = 1024, .large = 4096});
	fake_pymalloc = false;
	fake_hooks = SITES_PLAIN;
	cfg.nframe = NFRAME;
	state.tracing = 0;
	for (__u32 i = 0; i < array_size(known_sites); i++)
		*(struct tmbpf_site *)bpf_map_lookup_elem(&sites, &i) = known_sites[i];
	fake_heap_start(4, &m.heap);
	memory_map(C_STACK, EMULATION_PAGE);
	regs = (struct pt_regs){.sp = C_STACK};
	for (unsigned i = 0; i <= THREADS; i++) {
		uint64_t tstate = FAKE_TSTATE + i * 0x10000, pointer = FAKE_THREAD + i * 0x10000;

		host_tasks[i].thread.fsbase = pointer;
		memory_map(pointer - 0x1000, 0x2000);
		if (i == THREADS)
			break;
		m.threads[i].tstate = tstate;
		memory_map(tstate, EMULATION_PAGE);
		memory_put_u64(pointer + FAKE_TLS, tstate);
		memory_put_u64(tstate + cfg.tstate_thread_id, pointer);
		memory_put_u64(tstate + cfg.tstate_interp, FAKE_INTERP);
		if (cfg.frames == PYTHON_FRAMES_CFRAME)
			memory_put_u64(tstate + cfg.tstate_frame, FAKE_CFRAME + 64 * i);
	}
	thread_switch(0);
	for (int i = 0; i < CODES / 2; i++)
		code_make(i);
}

#endif
