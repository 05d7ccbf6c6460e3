// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the BPF programs are told of an interpreter: user/trace/tracer/config.c. */
#include <string.h>

#include "base/cleanup.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include "support.h"
#include "sites_fake.h"

static struct process process = {.pid = 4711};

/* An interpreter of 3.MINOR as python_create() leaves it. */
static struct python python_of(unsigned minor)
{
	const struct layout_entry *entry = python_layout_entry(0x030000f0 | minor << 16);

	assert_non_null(entry);
	fake_hooks = SITES_PLAIN;
	fake_pymalloc = true;
	return (struct python){
		.process = &process,
		.version = 0x030000f0 | minor << 16,
		.bias = 0x1000,
		.layout = entry->layout,
		.heap = {.alignment = 16,
			 .pool_size = minor < 10 ? 4096 : 16384,
			 .usedpools = 0x601000,
			 .usable_arenas = 0x602000,
			 .interp_obmalloc = minor < 12 ? PYTHON_NO_OFFSET : entry->interp_obmalloc,
			 .obmalloc_is_pointer = entry->obmalloc_is_pointer,
			 .obmalloc_usedpools = entry->obmalloc_usedpools,
			 .obmalloc_usable_arenas = entry->obmalloc_usable_arenas},
		.thread = {.source = PYTHON_THREAD_DTV,
			   .address = 0x603000,
			   .tls_offset = -24,
			   .tls_module = 3,
			   .own_offset = -800},
	};
}

static struct tmbpf_config fill(const struct python *python, const struct plan *plan)
{
	struct tmbpf_config config;

	support_ok(config_fill(python, plan, NULL, &config));
	return config;
}

static void test_every_version(void **context)
{
	(void)context;
	for (unsigned minor = 6; minor <= 15; minor++) {
		const struct python python = python_of(minor);
		const struct python_layout *layout = &python.layout;
		struct tmbpf_config config = fill(&python, &(struct plan){0});

		assert_int_equal(config.pid, 4711);
		assert_int_equal(config.frames, layout->frames);
		assert_int_equal(config.tstate_frame, layout->tstate.frame);
		assert_int_equal(config.tstate_interp, layout->tstate.interp);
		assert_int_equal(config.tstate_thread_id, layout->tstate.thread_id);
		assert_int_equal(config.cframe_current, layout->tstate.cframe_current);
		assert_int_equal(config.frame_back, layout->frame.back);
		assert_int_equal(config.frame_code, layout->frame.code);
		assert_int_equal(config.frame_lasti, layout->frame.lasti);
		assert_int_equal(config.frame_owner, layout->frame.owner);
		assert_int_equal(config.frame_owner_max, layout->frame.owner_max);
		assert_int_equal(config.code_tag_mask, minor < 14 ? 0 : 7);
		assert_int_equal(config.code_filename, layout->code.filename);
		assert_int_equal(config.code_name, layout->code.name);
		assert_int_equal(config.code_qualname, layout->code.qualname);
		assert_int_equal(config.code_firstlineno, layout->code.firstlineno);
		assert_int_equal(config.code_linetable, layout->code.linetable);
		assert_int_equal(config.code_adaptive, layout->code.adaptive);
		assert_int_equal(config.code_firsttraceable, layout->code.firsttraceable);
		assert_int_equal(config.unicode_length, layout->unicode.length);
		assert_int_equal(config.unicode_state, layout->unicode.state);
		assert_int_equal(config.unicode_kind_shift, layout->unicode.kind_shift);
		assert_int_equal(config.unicode_ascii_data, layout->unicode.ascii_data);
		assert_int_equal(config.unicode_compact_data, layout->unicode.compact_data);
		assert_int_equal(config.bytes_size, layout->bytes.size);
		assert_int_equal(config.bytes_data, layout->bytes.data);
		/* The programs' buffer has room for it, and whole fields lie in it. */
		assert_in_range(config.frame_size, layout->frame.size, 128);
		assert_in_range(config.frame_back + 8, 8, config.frame_size);
		assert_in_range(config.frame_code + 8, 8, config.frame_size);
		/* bpf/intern.h takes compact and ascii to be the bits above the kind. */
		assert_int_equal(layout->unicode.compact_shift, layout->unicode.kind_shift + 3);
		assert_int_equal(layout->unicode.ascii_shift, layout->unicode.kind_shift + 4);
	}
}

static void test_thread(void **context)
{
	const struct python python = python_of(12);
	struct tmbpf_config config = fill(&python, &(struct plan){0});

	(void)context;
	assert_int_equal(config.thread_source, PYTHON_THREAD_DTV);
	assert_int_equal(config.thread_address, 0x603000);
	assert_int_equal(config.tls_module, 3);
	assert_true(config.tls_offset == -24);
	assert_true(config.own_offset == -800);
}

static void test_heaps(void **context)
{
	(void)context;
	for (unsigned minor = 6; minor <= 15; minor++) {
		struct python python = python_of(minor);
		struct tmbpf_config config = fill(&python, &(struct plan){0});

		assert_int_equal(config.granule_shift, 4);
		assert_int_equal(config.pool_size, python.heap.pool_size);
		assert_int_equal(config.heap_kind, minor < 12    ? TMBPF_HEAP_STATIC
						   : minor == 12 ? TMBPF_HEAP_INLINE
								 : TMBPF_HEAP_POINTER);
		if (minor < 12) {
			assert_int_equal(config.usedpools, 0x601000);
			assert_int_equal(config.usable_arenas, 0x602000);
		} else {
			assert_int_equal(config.interp_obmalloc, python.heap.interp_obmalloc);
			assert_int_equal(config.obmalloc_usedpools, python.heap.obmalloc_usedpools);
			assert_int_equal(config.obmalloc_usable_arenas,
					 python.heap.obmalloc_usable_arenas);
		}
		fake_pymalloc = false;
		assert_int_equal(fill(&python, &(struct plan){0}).heap_kind, TMBPF_HEAP_NONE);
		fake_pymalloc = true;
		python.heap.alignment = 8;
		assert_int_equal(fill(&python, &(struct plan){0}).granule_shift, 3);
	}
}

/* The code and the memory have to agree about where the pools are; either alone will do. */
static void test_static_roots(void **context)
{
	struct python python = python_of(10);
	struct plan plan = {.usedpools = 0x600000, .usable_arenas = 0x605000};
	struct tmbpf_config config = fill(&python, &plan);

	(void)context;
	assert_int_equal(config.usedpools, 0x601000);
	assert_int_equal(config.usable_arenas, 0x606000);
	plan.usedpools += 8;
	support_fails(config_fill(&python, &plan, NULL, &config), ERROR_FAILED, "0x601008");
	python.heap.usedpools = python.heap.usable_arenas = 0;
	assert_int_equal(fill(&python, &plan).usedpools, 0x601008);
	plan.usable_arenas = 0;
	support_fails(config_fill(&python, &plan, NULL, &config), ERROR_FAILED, "not found");
	python.heap.usable_arenas = 0x602000;
	assert_int_equal(fill(&python, &plan).usable_arenas, 0x602000);
	plan.usedpools = 0;
	support_fails(config_fill(&python, &plan, NULL, &config), ERROR_FAILED, "not found");
	/* Without pymalloc nobody asks. */
	fake_pymalloc = false;
	assert_int_equal(fill(&python, &plan).heap_kind, TMBPF_HEAP_NONE);
}

static void test_hooks(void **context)
{
	struct python python = python_of(7);

	(void)context;
	assert_int_equal(fill(&python, &(struct plan){0}).hook_extra, 0);
	fake_hooks = SITES_DEBUG;
	assert_int_equal(fill(&python, &(struct plan){0}).hook_extra, 32);
	python = python_of(8);
	fake_hooks = SITES_DEBUG;
	assert_int_equal(fill(&python, &(struct plan){0}).hook_extra, 24);
	assert_int_equal(fill(&python, &(struct plan){0}).hook_delta, 16);
	assert_int_equal(fill(&python, &(struct plan){0}).hooked_raw, 0);
	fake_hooks = SITES_TRACEMALLOC;
	assert_int_equal(fill(&python, &(struct plan){0}).hook_extra, 0);
	assert_int_equal(fill(&python, &(struct plan){0}).hooked_raw, 1);
	fake_raw_table = 0x604000;
	fake_raw_malloc = 0x401000;
	fake_hooks = SITES_DEBUG | SITES_TRACEMALLOC;
	assert_int_equal(fill(&python, &(struct plan){0}).hook_extra, 24);
	assert_int_equal(fill(&python, &(struct plan){0}).hooked_raw, 1);
	/* They show there when they have been taken out. */
	assert_int_equal(fill(&python, &(struct plan){0}).raw_table, 0x604000);
	assert_int_equal(fill(&python, &(struct plan){0}).raw_malloc, 0x401000);
}

/* From 3.13 on the target itself says how large its frames are. */
static void test_frames_too_large(void **context)
{
	struct python python = python_of(13);
	struct tmbpf_config config;

	(void)context;
	python.layout.frame.size = 129;
	support_fails(config_fill(&python, &(struct plan){0}, NULL, &config), ERROR_FAILED,
		      "too large");
	python = python_of(13);
	python.layout.frame.lasti = 121;
	support_fails(config_fill(&python, &(struct plan){0}, NULL, &config), ERROR_FAILED,
		      "too large");
}

static void test_seeds(void **context)
{
	const struct python python = python_of(11);
	struct tmbpf_config one = fill(&python, &(struct plan){0}),
			    two = fill(&python, &(struct plan){0});

	(void)context;
	assert_memory_not_equal(one.seed, two.seed, sizeof(one.seed));
	memcpy(one.seed, two.seed, sizeof(one.seed));
	assert_memory_equal(&one, &two, sizeof(one));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version),
		cmocka_unit_test(test_thread),
		cmocka_unit_test(test_heaps),
		cmocka_unit_test(test_static_roots),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_frames_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
