// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The Python stack as bpf/walk.h reads it, from memory made up for each version's layout. */
#include "bpf_python.h"

#define FIRST_MINOR 6
#define LAST_MINOR  15

#define DEEP 200

/* The walk has to find EXPECTED, and TOTAL in all. Returns its hash. */
static __u64 assert_walk(const struct fake_frame *expected, size_t count, size_t total)
{
	struct thread *thread = host_thread();
	__u64 tstate, frame, hash = 0;

	assert_true(thread_state_holder(&tstate));
	assert_true(thread_frame(tstate, &frame));
	assert_true(walk_frames(thread, frame, &hash));
	assert_int_equal(thread->nframe, count);
	assert_int_equal(thread->total_nframe, total);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(thread->frames[i].code, expected[i].code);
		assert_int_equal(thread->frames[i].instruction, fake_instruction(&expected[i]));
	}
	return hash;
}

/* COUNT frames of COUNT code objects, each behind its prologue. */
static void frames_make(struct fake_frame *ret, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ret[i] = (struct fake_frame){.code = fake_object(fake_code_size()),
					     .unit = (int)(FAKE_PROLOGUE + 3 * i)};
	for (size_t i = 0; cfg.code_firsttraceable != PYTHON_NO_OFFSET && i < count; i++)
		memory_put_u32(ret[i].code + cfg.code_firsttraceable, FAKE_PROLOGUE);
}

static void test_every_version(void **context)
{
	(void)context;
	for (unsigned minor = FIRST_MINOR; minor <= LAST_MINOR; minor++) {
		struct fake_frame frames[5];

		fake_start(minor, NULL);
		frames_make(frames, 5);
		fake_frames(frames, 5);
		assert_walk(frames, 5, 5);
		host_lost_nothing();
	}
}

static void test_no_frames(void **context)
{
	__u64 frame;

	(void)context;
	fake_start(13, NULL);
	assert_int_equal(fake_stack(), TMBPF_STACK_UNKNOWN);
	memory_put_u64(FAKE_THREAD + FAKE_TLS, 0); /* no thread state at all */
	assert_int_equal(fake_stack(), TMBPF_STACK_UNKNOWN);
	/* Between two runs of the evaluator a thread of 3.11 has no cframe. */
	fake_start(11, NULL);
	memory_put_u64(FAKE_TSTATE + cfg.tstate_frame, 0);
	assert_true(thread_frame(FAKE_TSTATE, &frame));
	assert_int_equal(frame, 0);
	assert_int_equal(fake_stack(), TMBPF_STACK_UNKNOWN);
	host_lost_nothing();
}

static void test_frames_of_c_are_skipped(void **context)
{
	struct fake_frame frames[6];

	(void)context;
	for (unsigned minor = 11; minor <= LAST_MINOR; minor++) {
		fake_start(minor, NULL);
		frames_make(frames, 6);
		/* The first, a middle one and the last; one of them without code. */
		frames[0].owner = frames[3].owner = frames[5].owner = cfg.frame_owner_max + 1;
		frames[5].code = 0;
		fake_frames(frames, 6);
		frames[3] = frames[4];
		assert_walk(frames + 1, 3, 3);
		/* Those of a frame object are Python's. */
		frames[1].owner = cfg.frame_owner_max;
		fake_frames(frames, 4);
		assert_walk(frames + 1, 3, 3);
	}
	/* Nothing else: as if there were no frame. */
	frames[0].owner = cfg.frame_owner_max + 1;
	fake_frames(frames, 1);
	assert_int_equal(fake_stack(), TMBPF_STACK_UNKNOWN);
	host_lost_nothing();
}

/* _PyFrame_IsIncomplete: what stands before its first traceable instruction; no generator. */
static void test_incomplete_frames(void **context)
{
	struct fake_frame frames[4];

	(void)context;
	for (unsigned minor = 11; minor <= LAST_MINOR; minor++) {
		fake_start(minor, NULL);
		frames_make(frames, 4);
		frames[0].unit = FAKE_PROLOGUE - 1;
		fake_frames(frames, 4);
		assert_walk(frames + 1, 3, 3);
		frames[0].unit = -1; /* nothing of it has run */
		frames[1].unit = 0;
		fake_frames(frames, 4);
		assert_walk(frames + 2, 2, 2);
		frames[0].owner = frames[1].owner = OWNED_BY_GENERATOR;
		fake_frames(frames, 4);
		assert_walk(frames, 4, 4);
		frames[0].owner = frames[1].owner = FAKE_OWNED_BY_THREAD;
		frames[0].unit = FAKE_PROLOGUE;
		frames[1].unit = 4000;
		fake_frames(frames, 4);
		assert_walk(frames, 4, 4);
	}
	/* PyFrameObject knows nothing of it: f_lasti is -1 before the first instruction. */
	fake_start(10, NULL);
	frames_make(frames, 2);
	frames[0].unit = -1;
	fake_frames(frames, 2);
	assert_walk(frames, 2, 2);
}

/* Further down: what _Py_InitCleanup left there, and finalizers that began in a prologue. */
static void test_incomplete_below(void **context)
{
	struct fake_frame frames[5];

	(void)context;
	for (unsigned minor = 12; minor <= LAST_MINOR; minor++) {
		fake_start(minor, NULL);
		frames_make(frames, 5);
		frames[1].unit = 2;
		frames[2].unit = FAKE_PROLOGUE - 1;
		frames[4].unit = 0;
		fake_frames(frames, 5);
		frames[1] = frames[3];
		assert_walk(frames, 2, 2);
	}
}

/* If it cannot be read where the code begins to count, the frame counts. */
static void test_incomplete_unreadable(void **context)
{
	struct fake_frame frame = {.code = FAKE_OBJECTS + 0x100000, .unit = 0};

	(void)context;
	fake_start(12, NULL);
	fake_frames(&frame, 1);
	assert_walk(&frame, 1, 1);
}

/* Many frames are read at once, whatever pages they lie in. */
static void test_buffer_over_pages(void **context)
{
	struct fake_frame frames[DEEP];

	(void)context;
	for (unsigned minor = 11; minor <= LAST_MINOR; minor++) {
		for (uint64_t bytes = 88; bytes <= 1200; bytes += 139 * 8) {
			uint64_t reads;

			fake_start(minor, NULL);
			cfg.nframe = TMBPF_NFRAME_MAX;
			frames_make(frames, DEEP);
			/* Nothing lies below the piece that the first frame begins. */
			fake_frames_at(FAKE_FRAMES, frames, DEEP, bytes);
			reads = emulation.reads;
			assert_walk(frames, TMBPF_NFRAME_MAX, DEEP);
			reads = emulation.reads - reads;
			/* Up to ten a read, but for the last ones at the piece's start. */
			assert_in_range(reads, 2, bytes == 88 ? DEEP / 5 : 2 * DEEP + 4);
		}
	}
}

/* A generator's frame lies on the heap, and the next piece of frames elsewhere. */
static void test_buffer_elsewhere(void **context)
{
	const uint64_t heap = FAKE_OBJECTS + 0x200000, other = FAKE_OBJECTS + 0x400000;
	struct fake_frame frames[12];
	uint64_t back;

	(void)context;
	for (unsigned minor = 11; minor <= LAST_MINOR; minor++) {
		fake_start(minor, NULL);
		frames_make(frames, 12);
		back = fake_frames_at(FAKE_FRAMES, frames + 8, 4, 144);
		/* At the very start of a page that follows nothing. */
		frames[7].owner = OWNED_BY_GENERATOR;
		memory_map(heap, EMULATION_PAGE);
		fake_frame_put(heap, &frames[7], back);
		/* And at the very end of one, with nothing after it. */
		memory_map(other, EMULATION_PAGE);
		back = heap;
		for (size_t i = 7; i--;) {
			uint64_t address =
				other + EMULATION_PAGE - (i + 1) * ((cfg.frame_size + 7) & ~7u);

			fake_frame_put(address, &frames[i], back);
			back = address;
		}
		fake_frame_set(back);
		assert_walk(frames, 12, 12);
		host_lost_nothing();
	}
}

static void test_frame_objects_anywhere(void **context)
{
	struct fake_frame frames[40];
	uint64_t back = 0;

	(void)context;
	fake_start(8, NULL);
	cfg.nframe = 40;
	frames_make(frames, 40);
	for (size_t i = 40; i--;) {
		uint64_t address = fake_object(cfg.frame_size);

		fake_frame_put(address, &frames[i], back);
		back = address;
		fake_next += (i * 0x5550) & ~15ull;
	}
	fake_frame_set(back);
	assert_walk(frames, 40, 40);
}

static void test_nframe(void **context)
{
	struct fake_frame frames[60];

	(void)context;
	for (unsigned minor = FIRST_MINOR; minor <= LAST_MINOR; minor++) {
		__u64 one, two;

		fake_start(minor, NULL);
		frames_make(frames, 60);
		cfg.nframe = 1;
		fake_frames(frames, 1);
		one = assert_walk(frames, 1, 1);
		fake_frames(frames, 60);
		two = assert_walk(frames, 1, 60);
		/* As tracemalloc has it, what was left out tells tracebacks apart by its number. */
		assert_int_not_equal(one, two);
		cfg.nframe = 25;
		assert_walk(frames, 25, 60);
		cfg.nframe = TMBPF_NFRAME_MAX;
		assert_walk(frames, 60, 60);
	}
}

static void test_total_is_capped(void **context)
{
	static struct fake_frame frames[TMBPF_TOTAL_NFRAME_MAX + 500];
	struct fake_frame one;

	(void)context;
	fake_start(13, NULL);
	frames_make(&one, 1);
	for (size_t i = 0; i < array_size(frames); i++)
		frames[i] = one;
	memory_map(FAKE_FRAMES, array_size(frames) * 80);
	fake_frames_at(FAKE_FRAMES, frames, array_size(frames), 80);
	assert_walk(frames, 25, TMBPF_TOTAL_NFRAME_MAX);
}

static void test_cycle_ends(void **context)
{
	static const unsigned minors[] = {9, 12, 14};

	(void)context;
	for (size_t i = 0; i < array_size(minors); i++) {
		struct fake_frame frames[3], expected[25];
		uint64_t top;

		fake_start(minors[i], NULL);
		frames_make(frames, 3);
		top = fake_frames(frames, 3);
		memory_put_u64(FAKE_FRAMES + cfg.frame_back, top);
		for (size_t n = 0; n < array_size(expected); n++)
			expected[n] = frames[n % 3];
		assert_walk(expected, 25, TMBPF_TOTAL_NFRAME_MAX);
		/* Of frames that are all skipped. */
		frames[0].code = 0;
		fake_frame_put(FAKE_FRAMES, &frames[0], FAKE_FRAMES);
		fake_frame_set(FAKE_FRAMES);
		if (cfg.frames != PYTHON_FRAMES_OBJECT)
			assert_walk(frames, 0, 0);
	}
}

static void test_unreadable(void **context)
{
	static const unsigned minors[] = {7, 11, 12, 13, 15};

	(void)context;
	for (size_t i = 0; i < array_size(minors); i++) {
		struct fake_frame frames[3];

		fake_start(minors[i], NULL);
		frames_make(frames, 3);
		fake_frames(frames, 3);
		memory_put_u64(FAKE_FRAMES + cfg.frame_back, 0xdead0000);
		assert_int_equal(fake_stack(), TMBPF_STACK_LOST);
		host_lost(TMBPF_LOSS_FRAME_UNREADABLE, 1);
		fake_frame_set(0x10);
		assert_int_equal(fake_stack(), TMBPF_STACK_LOST);
		host_lost(TMBPF_LOSS_FRAME_UNREADABLE, 2);
		assert_int_equal(emulation.ring_waiting, 0);
		/* The thread state itself. */
		state.losses[TMBPF_LOSS_FRAME_UNREADABLE] = 0;
		assert_int_equal(stack_of(host_thread(), 0xdead0000), TMBPF_STACK_LOST);
		host_lost(TMBPF_LOSS_THREAD_STATE, 1);
	}
}

static void test_hash(void **context)
{
	struct fake_frame frames[4], swapped;
	__u64 hash, again;

	(void)context;
	fake_start(11, NULL);
	frames_make(frames, 4);
	fake_frames(frames, 4);
	hash = assert_walk(frames, 4, 4);
	/* The same frames at another place are the same stack. */
	fake_frames_at(FAKE_FRAMES + 0x8000, frames, 4, 200);
	again = assert_walk(frames, 4, 4);
	assert_int_equal(hash, again);
	frames[2].unit++;
	fake_frames(frames, 4);
	assert_int_not_equal(assert_walk(frames, 4, 4), hash);
	frames[2].unit--;
	swapped = frames[2];
	frames[2] = frames[1];
	frames[1] = swapped;
	fake_frames(frames, 4);
	assert_int_not_equal(assert_walk(frames, 4, 4), hash);
	/* Not to be foreseen by a target that would like its stacks to collide. */
	swapped = frames[2];
	frames[2] = frames[1];
	frames[1] = swapped;
	fake_frames(frames, 4);
	assert_int_equal(assert_walk(frames, 4, 4), hash);
	cfg.seed[0] = 77;
	assert_int_not_equal(assert_walk(frames, 4, 4), hash);
}

static void test_state_global(void **context)
{
	__u64 tstate;

	(void)context;
	fake_start(10, NULL);
	assert_true(thread_state_holder(&tstate));
	assert_int_equal(tstate, FAKE_TSTATE);
	assert_true(thread_state_own(&tstate));
	assert_int_equal(tstate, FAKE_TSTATE);
	/* Another thread holds the GIL: it has a state, this one none that is known. */
	memory_put_u64(FAKE_TSTATE + cfg.tstate_thread_id, FAKE_THREAD + 0x100);
	assert_true(thread_state_holder(&tstate));
	assert_int_equal(tstate, FAKE_TSTATE);
	assert_true(thread_state_own(&tstate));
	assert_int_equal(tstate, 0);
	memory_put_u64(FAKE_GLOBAL, 0);
	assert_true(thread_state_own(&tstate));
	assert_int_equal(tstate, 0);
	memory_put_u64(FAKE_GLOBAL, 0xdead0000);
	assert_false(thread_state_own(&tstate));
	memory_unmap(FAKE_GLOBAL, EMULATION_PAGE);
	assert_false(thread_state_holder(&tstate));
	assert_false(thread_state_own(&tstate));
}

static void test_state_dtv(void **context)
{
	const uint64_t dtv = FAKE_OBJECTS + 0x100000, block = dtv + 0x800;
	__u64 tstate = 1;

	(void)context;
	fake_start(12, NULL);
	memory_map(dtv, EMULATION_PAGE);
	cfg.thread_source = PYTHON_THREAD_DTV;
	cfg.tls_module = 3;
	cfg.dtv_entry = 16;
	cfg.tls_offset = 0x48;
	memory_put_u64(FAKE_THREAD + 8, dtv);
	memory_put_u64(dtv + 3 * 16, UINT64_MAX);
	assert_true(thread_state_holder(&tstate));
	assert_int_equal(tstate, 0); /* a thread that never came to the interpreter */
	memory_put_u64(dtv + 3 * 16, block);
	memory_put_u64(block + 0x48, FAKE_TSTATE);
	assert_true(thread_state_holder(&tstate));
	assert_int_equal(tstate, FAKE_TSTATE);
	memory_put_u64(dtv + 3 * 16, 0xdead0000);
	assert_false(thread_state_holder(&tstate));
	memory_put_u64(FAKE_THREAD + 8, 0xdead0000);
	assert_false(thread_state_holder(&tstate));
}

/* With musl: its dtv, and the block of keys' values. */
static void test_state_musl(void **context)
{
	const uint64_t dtv = FAKE_OBJECTS + 0x100000, block = dtv + 0x800;
	__u64 tstate = 1;

	(void)context;
	fake_start(12, NULL);
	memory_map(dtv, EMULATION_PAGE);
	cfg.thread_source = PYTHON_THREAD_DTV;
	cfg.tls_module = 3;
	cfg.dtv_entry = 8;
	cfg.tls_offset = 0x48;
	cfg.own_block = 128;
	cfg.own_offset = 0;
	memory_put_u64(FAKE_THREAD + 8, dtv);
	memory_put_u64(dtv + 3 * 8, block);
	memory_put_u64(block + 0x48, 0);
	assert_true(thread_state_holder(&tstate));
	assert_int_equal(tstate, 0);
	memory_put_u64(FAKE_THREAD + 128, block);
	memory_put_u64(block, FAKE_TSTATE);
	assert_true(thread_state_own(&tstate));
	assert_int_equal(tstate, FAKE_TSTATE);
	memory_put_u64(FAKE_THREAD + 128, 0xdead0000);
	assert_false(thread_state_own(&tstate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version),
		cmocka_unit_test(test_no_frames),
		cmocka_unit_test(test_frames_of_c_are_skipped),
		cmocka_unit_test(test_incomplete_frames),
		cmocka_unit_test(test_incomplete_below),
		cmocka_unit_test(test_incomplete_unreadable),
		cmocka_unit_test(test_buffer_over_pages),
		cmocka_unit_test(test_buffer_elsewhere),
		cmocka_unit_test(test_frame_objects_anywhere),
		cmocka_unit_test(test_nframe),
		cmocka_unit_test(test_total_is_capped),
		cmocka_unit_test(test_cycle_ends),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_state_global),
		cmocka_unit_test(test_state_dtv),
		cmocka_unit_test(test_state_musl),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
