// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What pymalloc will hand out, foretold by bpf/heap.h, and what then is done in object_event(). */
#include "bpf_pymalloc.h"

#include "bpf_python.h"

#define SMALL_MAX 512

static struct pymalloc heap_model;

/* An empty heap where cfg says that the interpreter keeps it. */
static void heap_make(unsigned minor, uint32_t alignment)
{
	fake_pymalloc = true;
	fake_start(minor, NULL);
	fake_pymalloc = false;
	cfg.granule_shift = alignment == 8 ? 3 : 4;
	fake_heap_start(8, &heap_model);
}

static struct heap heap_now(void)
{
	struct heap heap;

	assert_true(heap_of(FAKE_TSTATE, &heap));
	assert_int_equal(heap.usedpools, heap_model.usedpools);
	assert_int_equal(heap.usable_arenas, heap_model.usable_arenas);
	return heap;
}

/* Foretells and allocates. A block of a new arena is foretold by nobody: *RET_LATER. */
static uint64_t allocate(uint32_t size, bool *ret_later)
{
	struct heap heap = heap_now();
	enum prediction prediction;
	__u64 foretold = 0;
	uint64_t block;

	prediction = predict(host_thread(), &heap, size, &foretold);
	assert_int_not_equal(prediction, PREDICTION_FAILED);
	block = pymalloc_malloc(&heap_model, size);
	if (prediction == PREDICTED)
		assert_int_equal(foretold, block);
	*ret_later = prediction == PREDICTED_LATER;
	return block;
}

static void test_roots(void **context)
{
	__u64 tstate;

	(void)context;
	for (unsigned minor = 6; minor <= 15; minor++) {
		struct heap heap;

		heap_make(minor, 16);
		heap_now();
		assert_int_equal(cfg.heap_kind, minor < 12    ? TMBPF_HEAP_STATIC
						: minor == 12 ? TMBPF_HEAP_INLINE
							      : TMBPF_HEAP_POINTER);
		assert_true(thread_state_holder(&tstate));
		if (minor < 12)
			continue;
		assert_false(heap_of(0xdead0000, &heap));
		memory_put_u64(FAKE_TSTATE + cfg.tstate_interp, 0xdead0000);
		assert_int_equal(heap_of(FAKE_TSTATE, &heap), minor == 12);
	}
}

/* Blocks of every size, until pools are full; some releases of 3.6 and 3.7 align to 8. */
static void test_every_size(void **context)
{
	static const struct {
		unsigned minor;
		uint32_t alignment;
	} heaps[] = {{6, 8}, {7, 16}, {9, 16}, {11, 16}, {12, 16}, {13, 16}, {15, 16}};

	(void)context;
	for (size_t i = 0; i < array_size(heaps); i++) {
		heap_make(heaps[i].minor, heaps[i].alignment);
		for (uint32_t size = 1; size <= SMALL_MAX; size++) {
			bool later;

			for (int n = 0; n < 5; n++)
				allocate(size, &later);
		}
		assert_in_range(heap_model.arenas_made, 3, 100);
	}
}

/* Every other block goes, then all: free blocks, cached pools of its class and others. */
static void test_pools_come_back(void **context)
{
	enum { BLOCKS = 2000 };
	static uint64_t blocks[BLOCKS];
	bool later;

	(void)context;
	heap_make(11, 16);
	for (int round = 0; round < 4; round++) {
		uint64_t reused = heap_model.pools_reused;

		for (int i = 0; i < BLOCKS; i++)
			blocks[i] = allocate(round % 2 ? 100 : 200, &later);
		for (int i = 0; i < BLOCKS; i += 2)
			pymalloc_free(&heap_model, blocks[i]);
		for (int i = 0; i < BLOCKS; i += 4)
			blocks[i] = allocate(round % 2 ? 112 : 193, &later);
		for (int i = 0; i < BLOCKS; i++)
			if (i % 4 != 2 && i != 1)
				pymalloc_free(&heap_model, blocks[i]);
		if (round)
			assert_true(heap_model.pools_reused > reused);
	}
}

/* A cached pool gives the block that was freed last if it was of this class, else its first. */
static void test_cached_pool(void **context)
{
	uint64_t first, second, anchor;
	bool later;

	(void)context;
	heap_make(13, 16);
	anchor = allocate(16, &later);
	first = allocate(64, &later);
	second = allocate(64, &later);
	assert_int_equal(second, first + 64);
	pymalloc_free(&heap_model, second);
	pymalloc_free(&heap_model, first);
	assert_int_equal(allocate(64, &later), first);
	second = allocate(64, &later);
	pymalloc_free(&heap_model, first);
	pymalloc_free(&heap_model, second);
	/* The pool is cached, its list begins with the block that was freed last. */
	assert_int_equal(allocate(60, &later), second);
	pymalloc_free(&heap_model, second);
	/* Of another class it begins anew. */
	assert_int_equal(allocate(80, &later), first);
	pymalloc_free(&heap_model, anchor);
}

static void test_unreadable(void **context)
{
	struct heap heap;
	__u64 address;
	bool later;

	(void)context;
	heap_make(11, 16);
	heap = heap_now();
	allocate(32, &later);
	/* An arena that lies nowhere, then a pool, then a cached pool. */
	memory_put_u64(heap_model.usable_arenas, 0xdead0000);
	assert_int_equal(predict(host_thread(), &heap, 64, &address), PREDICTION_FAILED);
	assert_int_equal(predict(host_thread(), &heap, 32, &address), PREDICTED);
	memory_put_u64(heap_model.usable_arenas, heap_model.objects);
	memory_put_u64(heap_model.objects + 24, 0xdead0000);
	assert_int_equal(predict(host_thread(), &heap, 64, &address), PREDICTION_FAILED);
	memory_put_u64(heap.usedpools + 16, 0xdead0000);
	assert_int_equal(predict(host_thread(), &heap, 32, &address), PREDICTION_FAILED);
	heap.usable_arenas = 0; /* it was not found */
	assert_int_equal(predict(host_thread(), &heap, 64, &address), PREDICTION_FAILED);
	memory_unmap(FAKE_HEAP, EMULATION_PAGE);
	assert_int_equal(predict(host_thread(), &heap, 64, &address), PREDICTION_FAILED);
	object_event(host_thread(), TMBPF_OBJ_MALLOC, 64, 0);
	host_lost(TMBPF_LOSS_HEAP_UNREADABLE, 1);
}

/* The thread runs CODE alone. */
static void run(uint64_t code, int unit)
{
	struct fake_frame frame = {.code = code, .unit = unit};

	fake_frames(&frame, 1);
}

/* An allocation of the object domain, seen and done. */
static uint64_t object_new(uint32_t size)
{
	object_event(host_thread(), TMBPF_OBJ_MALLOC, size, 0);
	return pymalloc_malloc(&heap_model, size);
}

static void object_drop(uint64_t block)
{
	object_event(host_thread(), TMBPF_OBJ_FREE, block, 0);
	pymalloc_free(&heap_model, block);
}

static void assert_block(uint64_t block, uint32_t size)
{
	__u32 *entry = shadow_entry(block, false);

	assert_true(entry && *entry);
	assert_int_equal(entry_size(*entry), size);
}

/* Where a fresh arena lies shows at the next event, be it what it may. */
static void test_fresh_arena(void **context)
{
	static const unsigned minors[] = {8, 12, 14};

	(void)context;
	for (size_t i = 0; i < array_size(minors); i++) {
		for (int next = 0; next < 4; next++) {
			uint64_t first, second = 0;

			heap_make(minors[i], 16);
			run(fake_code("a", "a", 1), 20);
			first = object_new(50);
			assert_int_equal(refill.active, 1);
			assert_int_equal(state.current, 0);
			switch (next) {
			case 0:
				second = object_new(50);
				assert_block(second, 50);
				assert_int_equal(state.current, 100);
				break;
			case 1: /* of the block itself */
				object_event(host_thread(), TMBPF_OBJ_FREE, first, 0);
				assert_int_equal(state.current, 0);
				assert_int_equal(state.peak, 50);
				assert_int_equal(state.unknown_frees, 0);
				break;
			case 2: /* in place */
				object_event(host_thread(), TMBPF_OBJ_REALLOC, first, 60);
				assert_block(first, 60);
				assert_int_equal(state.current, 60);
				break;
			case 3:
				object_event(host_thread(), TMBPF_OBJ_CALLOC, 100, 7);
				assert_block(first, 50);
				break;
			}
			assert_int_equal(refill.active, 0);
			host_lost_nothing();
		}
	}
}

/* The arena could not be had: nothing comes of it. */
static void test_fresh_arena_fails(void **context)
{
	(void)context;
	heap_make(11, 16);
	run(fake_code("a", "a", 1), 20);
	heap_model.exhausted = true;
	assert_int_equal(object_new(50), 0);
	heap_model.exhausted = false;
	object_new(50);
	assert_int_equal(state.current, 0); /* again a fresh arena is on its way */
	object_drop(pymalloc_malloc(&heap_model, 400));
	assert_int_equal(state.current, 50);
	assert_int_equal(host_stats(TMBPF_STACK_FIRST).allocated_count, 1);
	host_lost_nothing();
}

/* Two interpreters with a heap each want an arena at the same moment. */
static void test_two_fresh_arenas(void **context)
{
	const uint64_t tstate = FAKE_TSTATE + 0x800, interp = FAKE_INTERP + 0x8000;
	struct pymalloc other;
	uint64_t first;

	(void)context;
	heap_make(13, 16);
	run(fake_code("a", "a", 1), 20);
	memory_map(interp + cfg.interp_obmalloc, 8);
	memory_put_u64(tstate + cfg.tstate_interp, interp);
	memory_put_u64(tstate + cfg.tstate_frame, 0);
	memory_put_u64(interp + cfg.interp_obmalloc, FAKE_HEAP + 0x2000);
	other = heap_model;
	other.usedpools += 0x2000;
	other.usable_arenas += 0x2000;
	other.objects += 0x100000;
	other.memory += 0x100000000;
	pymalloc_init(&other);
	first = object_new(50);
	memory_put_u64(FAKE_THREAD + FAKE_TLS, tstate);
	object_event(host_thread(), TMBPF_OBJ_MALLOC, 70, 0);
	pymalloc_malloc(&other, 70);
	host_lost(TMBPF_LOSS_REFILL_PENDING, 1);
	/* The other's events do not settle it. */
	object_event(host_thread(), TMBPF_OBJ_MALLOC, 70, 0);
	pymalloc_malloc(&other, 70);
	assert_int_equal(state.current, 70);
	memory_put_u64(FAKE_THREAD + FAKE_TLS, FAKE_TSTATE);
	object_new(50);
	assert_block(first, 50);
	assert_int_equal(state.current, 170);
}

/* The rule of pymalloc_realloc() for every class, a byte on either side of each border. */
static void test_realloc_borders(void **context)
{
	(void)context;
	for (uint32_t shift = 3; shift <= 4; shift++) {
		heap_make(10, 1u << shift);
		run(fake_code("a", "a", 1), 20);
		object_new(8);
		for (uint32_t bytes = 1u << shift; bytes <= SMALL_MAX; bytes += 1u << shift) {
			uint32_t least = 3 * bytes / 4 + 1; /* 4 * size > 3 * bytes */

			for (int32_t size = (int32_t)bytes + 2; size > 0 && size <= SMALL_MAX;
			     size--) {
				uint64_t old = object_new(bytes), moved;
				bool stays = size <= (int32_t)bytes && size >= (int32_t)least;
				uint64_t current = state.current;

				object_event(host_thread(), TMBPF_OBJ_REALLOC, old, size);
				if (stays) {
					assert_block(old, size);
					object_drop(old);
				} else {
					moved = pymalloc_malloc(&heap_model, size);
					pymalloc_free(&heap_model, old);
					if (!refill.active) {
						assert_block(moved, size);
						assert_int_equal(state.current,
								 current - bytes + size);
					}
					object_drop(moved);
				}
				assert_int_equal(state.current, 8);
				if (size < (int32_t)least - 2)
					break; /* two beyond the border */
			}
		}
		assert_int_equal(state.unknown_frees, 0);
		host_lost_nothing();
	}
}

static void test_realloc_kinds(void **context)
{
	uint64_t block, unknown;

	(void)context;
	heap_make(12, 16);
	run(fake_code("a", "a", 1), 20);
	object_new(8);
	/* Of NULL: an allocation. */
	object_event(host_thread(), TMBPF_OBJ_REALLOC, 0, 40);
	block = pymalloc_malloc(&heap_model, 40);
	assert_block(block, 40);
	assert_int_equal(state.current, 48);
	/* To more than 512 bytes, and to 0: the raw domain's from here on. */
	object_event(host_thread(), TMBPF_OBJ_REALLOC, block, 513);
	assert_int_equal(state.current, 8);
	assert_int_equal(host_thread()->object_request, 514);
	block = object_new(40);
	object_event(host_thread(), TMBPF_OBJ_REALLOC, block, 0);
	assert_int_equal(state.current, 8);
	assert_int_equal(host_thread()->object_request, 1);
	/* A raw block: nothing is known of it here, wherever it lies. */
	memory_map(0x7f5500000000ULL, 0x10000);
	object_event(host_thread(), TMBPF_OBJ_REALLOC, 0x7f5500000010ULL, 300);
	assert_int_equal(host_thread()->object_request, 301);
	object_event(host_thread(), TMBPF_OBJ_REALLOC, 0xdead0000, 300);
	assert_int_equal(state.current, 8);
	/* A block from before tracing began gets a trace when it is resized. */
	unknown = pymalloc_malloc(&heap_model, 100);
	object_event(host_thread(), TMBPF_OBJ_REALLOC, unknown, 101);
	assert_block(unknown, 101);
	assert_int_equal(state.current, 109);
	host_lost_nothing();
}

/* What looks like a pool's header and is none. */
static void test_no_pool(void **context)
{
	static const struct {
		uint32_t offset, value;
	} changes[] = {{36, 32}, {36, 0xffff}, {36, 6}, {44, 0}, {0, 0}, {0, 4000}};
	struct pool_header header;
	uint64_t block, pool;
	uint32_t bytes;

	(void)context;
	heap_make(11, 16);
	block = pymalloc_malloc(&heap_model, 96);
	block = pymalloc_malloc(&heap_model, 96);
	pool = block & -(uint64_t)cfg.pool_size;
	assert_true(pool_class(&header, block, &bytes));
	assert_int_equal(bytes, 96);
	assert_false(pool_class(&header, block + 16, &bytes));
	assert_false(pool_class(&header, pool, &bytes));
	assert_false(pool_class(&header, pool + 32, &bytes));
	assert_false(pool_class(&header, pool + cfg.pool_size - 16, &bytes));
	for (size_t i = 0; i < array_size(changes); i++) {
		uint32_t before = memory_u32(pool + changes[i].offset);

		memory_put_u32(pool + changes[i].offset, changes[i].value);
		assert_false(pool_class(&header, block, &bytes));
		memory_put_u32(pool + changes[i].offset, before);
	}
	assert_true(pool_class(&header, block, &bytes));
	cfg.heap_kind = TMBPF_HEAP_NONE;
	assert_false(pool_class(&header, block, &bytes));
}

/* PYTHONMALLOC=debug: pymalloc is asked for more than the caller was. */
static void test_debug_hooks(void **context)
{
	static const unsigned minors[] = {7, 8, 14};
	static const uint32_t extras[] = {32, 24, 24};

	(void)context;
	for (size_t i = 0; i < array_size(minors); i++) {
		uint32_t extra = extras[i];
		uint64_t block;

		fake_hooks = SITES_DEBUG;
		heap_make(minors[i], 16);
		fake_hooks = SITES_PLAIN;
		assert_int_equal(cfg.hook_extra, extra);
		run(fake_code("a", "a", 1), 20);
		object_new(extra); /* of nothing */
		block = object_new(100 + extra);
		assert_block(block, 100);
		assert_int_equal(state.current, 100);
		object_event(host_thread(), TMBPF_OBJ_REALLOC, block, 101 + extra);
		assert_block(block, 101);
		object_event(host_thread(), TMBPF_OBJ_CALLOC, 1, 200 + extra);
		assert_int_equal(state.current, 301);
		object_drop(block);
		assert_int_equal(state.current, 200);
		host_lost_nothing();
	}
}

/* An object from a free list: its block begins up to 32 bytes before it. */
static void test_freelist_pop(void **context)
{
	uint64_t code, blocks[4];

	(void)context;
	for (int hooks = SITES_PLAIN; hooks <= SITES_DEBUG; hooks++) {
		fake_hooks = hooks;
		heap_make(14, 16);
		fake_hooks = SITES_PLAIN;
		code = fake_code("a", "a", 1);
		run(code, 20);
		for (size_t i = 0; i < array_size(blocks); i++)
			blocks[i] = object_new(64 + cfg.hook_extra);
		run(code, 21);
		for (uint64_t i = 0; i < 3; i++)
			object_popped(host_thread(), blocks[i] + cfg.hook_delta + 16 * i);
		host_holds(TMBPF_STACK_FIRST, 1, 64);
		host_holds(TMBPF_STACK_FIRST + 1, 3, 192);
		assert_int_equal(state.current, 256);
		/* One that nothing is known of, and none at all. */
		object_popped(host_thread(), blocks[3] + cfg.hook_delta + 48);
		object_popped(host_thread(), 0);
		host_holds(TMBPF_STACK_FIRST, 1, 64);
		host_lost_nothing();
	}
}

/* An object whose block is from before tracing began leaves its neighbours alone. */
static void test_freelist_pop_of_unknown(void **context)
{
	uint64_t code;

	(void)context;
	for (uint32_t size = 1; size <= 64; size++) {
		uint64_t known, unknown, own;

		heap_make(14, 16);
		code = fake_code("a", "a", 1);
		run(code, 20);
		own = object_new(400); /* so that an arena is there */
		known = object_new(size);
		unknown = pymalloc_malloc(&heap_model, size);
		assert_int_equal(unknown, known + (size + 15) / 16 * 16);
		run(code, 21);
		for (uint32_t header = 0; header < size && header <= 32; header += 16) {
			object_popped(host_thread(), unknown + header);
			host_holds(TMBPF_STACK_FIRST, 2, 400 + size);
		}
		for (uint32_t header = 0; header < size && header <= 32; header += 16)
			object_popped(host_thread(), known + header);
		host_holds(TMBPF_STACK_FIRST, 1, 400);
		object_drop(own);
		host_holds(TMBPF_STACK_FIRST, 0, 0);
	}
	host_lost_nothing();
}

static void test_no_thread_state(void **context)
{
	uint64_t block;

	(void)context;
	heap_make(13, 16);
	run(fake_code("a", "a", 1), 20);
	object_new(8);
	block = object_new(40);
	memory_put_u64(FAKE_THREAD + FAKE_TLS, 0);
	object_event(host_thread(), TMBPF_OBJ_MALLOC, 40, 0);
	host_lost(TMBPF_LOSS_THREAD_STATE, 1);
	/* A free needs none. */
	object_event(host_thread(), TMBPF_OBJ_FREE, block, 0);
	host_lost(TMBPF_LOSS_THREAD_STATE, 2);
	assert_int_equal(state.current, 8);
}

static void test_free_of_unknown(void **context)
{
	(void)context;
	heap_make(9, 16);
	object_event(host_thread(), TMBPF_OBJ_FREE, 0, 0);
	assert_int_equal(state.unknown_frees, 0);
	object_event(host_thread(), TMBPF_OBJ_FREE, 0x7f5500000010ULL, 0);
	assert_int_equal(state.unknown_frees, 1);
	/* The raw domain is asked to free it next: once is enough. */
	raw_event(host_thread(), TMBPF_RAW_FREE, 0x7f5500000010ULL, 0);
	assert_int_equal(state.unknown_frees, 1);
	raw_event(host_thread(), TMBPF_RAW_FREE, 0x7f5500000010ULL, 0);
	assert_int_equal(state.unknown_frees, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_pools_come_back),
		cmocka_unit_test(test_cached_pool),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_fresh_arena),
		cmocka_unit_test(test_fresh_arena_fails),
		cmocka_unit_test(test_two_fresh_arenas),
		cmocka_unit_test(test_realloc_borders),
		cmocka_unit_test(test_realloc_kinds),
		cmocka_unit_test(test_no_pool),
		cmocka_unit_test(test_debug_hooks),
		cmocka_unit_test(test_freelist_pop),
		cmocka_unit_test(test_freelist_pop_of_unknown),
		cmocka_unit_test(test_no_thread_state),
		cmocka_unit_test(test_free_of_unknown),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
