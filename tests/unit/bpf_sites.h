/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Probe sites of every kind, and a thread of 3.13 that comes to them. For bpf_python.h's users. */
#ifndef TMBPF_TESTS_BPF_SITES_H
#define TMBPF_TESTS_BPF_SITES_H

#include "bpf_pymalloc.h"

#include "bpf_python.h"

#define STACK    0x7ffd00001000ULL /* the C stack: rsp */
#define CALL     0x401000ULL       /* return addresses */
#define OTHER    0x402000ULL
#define LARGE    0x7f6600000010ULL /* what libc returns */
#define RAX      0
#define RCX      1
#define RSP      4
#define RSI      6
#define RDI      7
#define R12      12
#define VALUE(r) ((struct tmbpf_value){.base = (r)})
#define NO_VALUE ((struct tmbpf_value){.base = TMBPF_NO_REGISTER})

/* The sites that the tests use. */
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
	AT_TAIL,
	AT_TAIL_REALLOC,
	AT_GUARD,
	AT_REFILL,
	AT_FREELIST_POP,
	AT_HOOK,
	AT_RESULT_ANY,
	AT_STACK_ARGUMENT,
};

static const struct tmbpf_site known_sites[] = {
	[AT_MALLOC] = {.action = TMBPF_OBJ_MALLOC, .a = {VALUE(RSI), NO_VALUE}},
	[AT_CALLOC] = {.action = TMBPF_OBJ_CALLOC, .a = {VALUE(RSI), VALUE(R12)}},
	[AT_REALLOC] = {.action = TMBPF_OBJ_REALLOC, .a = {VALUE(RSI), VALUE(R12)}},
	[AT_FREE] = {.action = TMBPF_OBJ_FREE, .a = {VALUE(RSI), NO_VALUE}},
	[AT_RAW_MALLOC] = {.action = TMBPF_RAW_MALLOC,
			   .returns = CALL,
			   .a = {VALUE(RDI), NO_VALUE}},
	[AT_RAW_CALLOC] = {.action = TMBPF_RAW_CALLOC,
			   .returns = CALL,
			   .a = {VALUE(RDI), VALUE(RSI)}},
	[AT_RAW_REALLOC] = {.action = TMBPF_RAW_REALLOC,
			    .returns = CALL,
			    .a = {VALUE(RDI), VALUE(RSI)}},
	[AT_RAW_FREE] = {.action = TMBPF_RAW_FREE,
			 .flags = TMBPF_SITE_TAIL,
			 .a = {VALUE(RDI), NO_VALUE}},
	[AT_RESULT] = {.action = TMBPF_RESULT,
		       .stack_delta = -16,
		       .returns = CALL,
		       .a = {VALUE(RAX), NO_VALUE}},
	[AT_TAIL] = {.action = TMBPF_RAW_MALLOC,
		     .flags = TMBPF_SITE_TAIL,
		     .a = {VALUE(RDI), NO_VALUE}},
	[AT_TAIL_REALLOC] = {.action = TMBPF_RAW_REALLOC,
			     .flags = TMBPF_SITE_TAIL,
			     .a = {VALUE(RDI), VALUE(RSI)}},
	[AT_GUARD] = {.action = TMBPF_OBJ_MALLOC,
		      .flags = TMBPF_SITE_GUARD,
		      .a = {VALUE(RSI), NO_VALUE}},
	[AT_REFILL] = {.action = TMBPF_REFILL, .a = {NO_VALUE, NO_VALUE}},
	[AT_FREELIST_POP] = {.action = TMBPF_FREELIST_POP, .a = {VALUE(RCX), NO_VALUE}},
	[AT_HOOK] = {.action = TMBPF_HOOK, .a = {VALUE(RDI), NO_VALUE}},
	[AT_RESULT_ANY] = {.action = TMBPF_RESULT, .a = {VALUE(RAX), NO_VALUE}},
	[AT_STACK_ARGUMENT] = {.action = TMBPF_OBJ_MALLOC,
			       .a = {{.base = RSP, .displacement = 24, .dereference = 1},
				     NO_VALUE}},
};

static struct pt_regs regs;
static struct pymalloc heap_model;

static inline void world_of(unsigned minor)
{
	fake_pymalloc = true;
	fake_start(minor, NULL);
	fake_pymalloc = false;
	for (__u32 i = 0; i < array_size(known_sites); i++) {
		struct tmbpf_site *site = bpf_map_lookup_elem(&sites, &i);

		*site = known_sites[i];
	}
	fake_heap_start(8, &heap_model);
	memory_map(STACK - 0x1000, 0x2000);
	regs = (struct pt_regs){.sp = STACK};
	fake_frames(&(struct fake_frame){.code = fake_code("a", "a", 1), .unit = 20}, 1);
}

static inline void world(void)
{
	world_of(13);
}

/* The probe at SITE is hit, the registers being as they are. */
static inline void hit(__u32 site)
{
	emulation.cookie = site;
	assert_int_equal(probe(&regs), 0);
}

static inline int hit_session(__u32 site)
{
	emulation.cookie = site;
	return probe_session(&regs);
}

static inline void hit_malloc(__u64 size)
{
	regs.si = size;
	hit(AT_MALLOC);
}

/* What libc was called for comes back with ADDRESS; VISIT is hit() or another program's. */
static inline void come_back(void (*visit)(__u32 site), __u64 address)
{
	regs.ax = address;
	regs.sp -= 16;
	visit(AT_RESULT);
	regs.sp += 16;
}

/* libc's malloc(SIZE) is called and comes back with ADDRESS. */
static inline void raw_malloc(__u64 size, __u64 address)
{
	regs.di = size;
	hit(AT_RAW_MALLOC);
	come_back(hit, address);
}

static inline void raw_realloc(__u64 old, __u64 size, __u64 address)
{
	regs.di = old;
	regs.si = size;
	hit(AT_RAW_REALLOC);
	come_back(hit, address);
}

static inline void raw_free(__u64 address)
{
	regs.di = address;
	hit(AT_RAW_FREE);
}

static inline void assert_raw_block(__u64 address, __u64 size)
{
	struct tmbpf_raw_block *block = bpf_map_lookup_elem(&raw_blocks, &address);

	assert_non_null(block);
	assert_int_equal(block->size, size);
	assert_int_equal(block->stack, TMBPF_STACK_FIRST);
}

static inline bool is_raw_block(__u64 address)
{
	return bpf_map_lookup_elem(&raw_blocks, &address);
}

#endif
