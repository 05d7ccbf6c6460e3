// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Ids of stacks and of code objects, and what user space is told of them: bpf/intern.h. */
#include <stdint.h>

/* What user space does to a word right before the programs change it: makes it 0, so many times. */
static unsigned int taken_out;
#define __sync_val_compare_and_swap(word, old, new)                                                \
	({                                                                                         \
		if (taken_out) {                                                                   \
			taken_out--;                                                               \
			*(word) = 0;                                                               \
		}                                                                                  \
		__sync_val_compare_and_swap(word, old, new);                                       \
	})

#include "bpf_python.h"

static uint64_t a, b, c; /* code objects */

static void world(const struct host_sizes *sizes)
{
	fake_start(13, sizes);
	a = fake_code("/srv/a.py", "a", 1);
	b = fake_code("/srv/b.py", "b", 20);
	c = fake_code("/srv/c.py", "c", 300);
}

/* The id of a stack of two frames: TOP at code unit UNIT, called by BOTTOM. */
static __u32 stack_two(uint64_t top, int unit, uint64_t bottom)
{
	struct fake_frame frames[2] = {{.code = top, .unit = unit}, {.code = bottom, .unit = 40}};

	fake_frames(frames, 2);
	return fake_stack();
}

static const struct tmbpf_record_code *take_code(uint64_t address)
{
	const struct tmbpf_record_code *record;
	size_t size;

	record = emulation_ring_take(&size);
	assert_non_null(record);
	assert_int_equal(record->record.type, TMBPF_RECORD_CODE);
	assert_int_equal(record->record.size, size);
	assert_int_equal(record->address, address);
	assert_int_not_equal(record->id, 0);
	return record;
}

static const struct tmbpf_record_stack *take_stack(__u32 id, __u32 nframe)
{
	const struct tmbpf_record_stack *record;
	size_t size;

	record = emulation_ring_take(&size);
	assert_non_null(record);
	assert_int_equal(record->record.type, TMBPF_RECORD_STACK);
	assert_int_equal(record->record.size, size);
	assert_int_equal(size, sizeof(*record) + nframe * sizeof(struct tmbpf_frame));
	assert_int_equal(record->id, id);
	assert_int_equal(record->nframe, nframe);
	return record;
}

static void take_none(void)
{
	size_t size;

	assert_null(emulation_ring_take(&size));
}

/* Where the stack RECORD stands in the table. */
static struct tmbpf_bucket *bucket_of(const struct tmbpf_record_stack *record, __u32 *ret_slot)
{
	__u32 place = record->bucket_slot / TMBPF_BUCKET_SLOTS;

	*ret_slot = record->bucket_slot % TMBPF_BUCKET_SLOTS;
	return bpf_map_lookup_elem(&stacks, &place);
}

static void test_same_stack_same_id(void **context)
{
	const struct tmbpf_record_stack *record;
	struct tmbpf_bucket *bucket;
	__u32 id, code_a, slot;

	(void)context;
	world(NULL);
	id = stack_two(a, 10, b);
	assert_int_equal(id, TMBPF_STACK_FIRST);
	/* What a stack refers to comes before it. */
	code_a = take_code(a)->id;
	assert_int_not_equal(take_code(b)->id, code_a);
	record = take_stack(id, 2);
	assert_int_equal(record->total_nframe, 2);
	assert_int_equal(record->frames[0].code, code_a);
	assert_int_equal(record->frames[0].instruction, a + cfg.code_adaptive + 20);
	assert_int_equal(record->frames[1].instruction, b + cfg.code_adaptive + 80);
	bucket = bucket_of(record, &slot);
	assert_int_equal((__u32)bucket->id_epoch[slot], id);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stack_two(a, 10, b), id);
	take_none();
	/* Another instruction is another stack; of known code objects nothing is said. */
	assert_int_equal(stack_two(a, 11, b), TMBPF_STACK_FIRST + 1);
	assert_int_equal(take_stack(TMBPF_STACK_FIRST + 1, 2)->frames[0].code, code_a);
	assert_int_equal(stack_two(c, 10, a), TMBPF_STACK_FIRST + 2);
	take_code(c);
	assert_int_equal(take_stack(TMBPF_STACK_FIRST + 2, 2)->frames[1].code, code_a);
	assert_int_equal(stack_two(a, 10, b), id);
	take_none();
	host_lost_nothing();
}

static void test_recursion_announces_once(void **context)
{
	struct fake_frame frames[30];

	(void)context;
	world(NULL);
	for (size_t i = 0; i < array_size(frames); i++)
		frames[i] = (struct fake_frame){.code = a, .unit = 50};
	fake_frames(frames, array_size(frames));
	assert_int_equal(fake_stack(), TMBPF_STACK_FIRST);
	take_code(a);
	assert_int_equal(take_stack(TMBPF_STACK_FIRST, 25)->total_nframe, 30);
	take_none();
}

static void test_dead_code_is_another_stack(void **context)
{
	const struct tmbpf_record_code_end *end;
	__u32 first, other, id_a;
	size_t size;

	(void)context;
	world(NULL);
	first = stack_two(a, 10, b);
	other = stack_two(c, 10, c);
	id_a = take_code(a)->id;
	emulation_ring_drop(0);
	code_end(a);
	end = emulation_ring_take(&size);
	assert_non_null(end);
	assert_int_equal(size, sizeof(*end));
	assert_int_equal(end->record.type, TMBPF_RECORD_CODE_END);
	assert_int_equal(end->record.size, size);
	assert_int_equal(end->id, id_a);
	assert_int_equal(end->address, a);
	/* Something else's end at the same place is none. */
	code_end(a);
	code_end(a + 16);
	take_none();
	/* Where a was is another one now: not the same stack though every address is the same. */
	assert_int_not_equal(stack_two(a, 10, b), first);
	assert_int_not_equal(take_code(a)->id, id_a);
	take_stack(TMBPF_STACK_FIRST + 2, 2);
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST + 2);
	/* What has nothing to do with it stays. */
	assert_int_equal(stack_two(c, 10, c), other);
	take_none();
	host_lost_nothing();
}

/* The dead stack's place in the table is taken over: a churning program does not fill it. */
static void test_dead_stacks_leave_no_slot(void **context)
{
	(void)context;
	world(&(struct host_sizes){.buckets = 1});
	for (__u32 i = 0; i < 100; i++) {
		assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST + i);
		code_end(a);
	}
	host_lost_nothing();
}

/* Each stack looks once into the death of a code object; it changes none that is not its. */
static void test_epoch_without_death(void **context)
{
	const struct tmbpf_record_stack *record;
	struct tmbpf_bucket *bucket;
	__u32 id, slot;

	(void)context;
	world(NULL);
	id = stack_two(a, 10, b);
	emulation_ring_take(&(size_t){0});
	emulation_ring_take(&(size_t){0});
	record = take_stack(id, 2);
	bucket = bucket_of(record, &slot);
	stack_two(c, 10, c);
	code_end(c);
	assert_int_equal(state.epoch, 1);
	assert_int_equal(bucket->id_epoch[slot] >> 32, 0);
	assert_int_equal(stack_two(a, 10, b), id);
	assert_int_equal(bucket->id_epoch[slot] >> 32, 1);
	assert_int_equal((__u32)bucket->id_epoch[slot], id);
	state.epoch = 1000;
	assert_int_equal(stack_two(a, 10, b), id);
	host_lost_nothing();
}

static void test_bucket_full(void **context)
{
	(void)context;
	world(&(struct host_sizes){.buckets = 1});
	for (int i = 0; i < TMBPF_BUCKET_SLOTS; i++)
		assert_int_equal(stack_two(a, 10 + i, b), TMBPF_STACK_FIRST + i);
	assert_int_equal(stack_two(a, 99, b), TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_STACK_TABLE_FULL, 1);
	assert_int_equal(stack_two(a, 13, b), TMBPF_STACK_FIRST + 3);
	/* No id was spent on it. */
	assert_int_equal(state.next_stack, TMBPF_STACK_FIRST + TMBPF_BUCKET_SLOTS);
}

static void test_ids_used_up(void **context)
{
	(void)context;
	world(&(struct host_sizes){.stacks = TMBPF_STACK_FIRST + 2});
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST);
	assert_int_equal(stack_two(a, 11, b), TMBPF_STACK_FIRST + 1);
	assert_int_equal(stack_two(a, 12, b), TMBPF_STACK_LOST);
	assert_int_equal(stack_two(a, 12, b), TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_STACK_TABLE_FULL, 2);
	assert_int_equal(state.next_stack, cfg.stack_limit);
	assert_int_equal(stack_two(a, 11, b), TMBPF_STACK_FIRST + 1);
}

/* User space puts an id at recycled[tail % size], then raises the tail. */
static void recycle(__u64 id)
{
	__u32 index = state.recycled_tail & cfg.recycled_mask;
	__u64 *entry = bpf_map_lookup_elem(&recycled, &index);

	*entry = id;
	state.recycled_tail++;
}

static void test_recycled_ids(void **context)
{
	(void)context;
	world(NULL);
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST);
	recycle(500);
	recycle(77);
	assert_int_equal(stack_two(a, 11, b), 500);
	assert_int_equal(stack_two(a, 12, b), 77);
	assert_int_equal(stack_two(a, 13, b), TMBPF_STACK_FIRST + 1);
	/* Nonsense is not handed out. */
	recycle(cfg.stack_limit);
	assert_int_equal(stack_two(a, 14, b), TMBPF_STACK_FIRST + 2);
	/* Round and round, and past the end of 32 bits. */
	state.recycled_head = state.recycled_tail = UINT32_MAX - 2;
	for (int i = 0; i < 6; i++) {
		recycle(600 + i);
		assert_int_equal(stack_two(a, 20 + i, b), 600 + i);
	}
	host_lost_nothing();
}

/* A slot that another thread is just filling is not waited for. */
static void test_slot_busy(void **context)
{
	struct tmbpf_bucket *bucket;
	__u32 zero = 0, id;

	(void)context;
	world(&(struct host_sizes){.buckets = 1});
	bucket = bpf_map_lookup_elem(&stacks, &zero);
	bucket->id_epoch[0] = SLOT_BUSY;
	id = stack_two(a, 10, b); /* takes the next one */
	assert_int_equal(bucket->id_epoch[1], id);
	host_lost_nothing();
	/* A dead stack's slot that somebody else is taking over is not taken as well. */
	code_end(a);
	bucket->id_epoch[1] = SLOT_BUSY;
	assert_int_equal(stack_insert(host_thread(), bucket, 0, 1, 123), TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_STACK_BUSY, 1);
	assert_int_equal(bucket->id_epoch[1], SLOT_BUSY);
}

/* User space takes a dead stack out of the table while its slot is taken over: nothing is lost. */
static void test_slot_taken_out(void **context)
{
	struct tmbpf_bucket *bucket;
	__u32 zero = 0, id;

	(void)context;
	world(&(struct host_sizes){.buckets = 1});
	bucket = bpf_map_lookup_elem(&stacks, &zero);
	stack_two(a, 10, b);
	code_end(a);
	taken_out = 1;
	id = stack_two(a, 10, b);
	assert_int_equal(taken_out, 0);
	assert_true(id >= TMBPF_STACK_FIRST);
	assert_int_equal((__u32)bucket->id_epoch[0], id);
	host_lost_nothing();
}

static void test_ring_full(void **context)
{
	const struct tmbpf_record_stack *record;
	struct tmbpf_bucket *bucket;
	__u32 slot;

	(void)context;
	world(NULL);
	stack_two(c, 10, c);
	emulation_ring_drop(0);
	/* Not even for the first code object. */
	emulation.ring_limit = 100;
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_RING_FULL, 1);
	assert_int_equal(emulation_count(&codes), 1);
	assert_int_equal(state.returned_stack, TMBPF_STACK_FIRST + 1);
	/* For both of them, not for the stack. */
	while (emulation_count(&codes) < 3) {
		assert_in_range(emulation.ring_limit, 100, 500);
		emulation.ring_limit += 8;
		assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_LOST);
	}
	emulation_ring_drop(0);
	/* The id comes back to the next that needs one, and the slot is free again. */
	assert_int_equal(state.next_stack, TMBPF_STACK_FIRST + 2);
	emulation.ring_limit = UINT64_MAX;
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST + 1);
	record = take_stack(TMBPF_STACK_FIRST + 1, 2);
	bucket = bucket_of(record, &slot);
	assert_int_equal((__u32)bucket->id_epoch[slot], TMBPF_STACK_FIRST + 1);
	assert_int_equal(state.returned_stack, 0);
	assert_int_equal(state.leaked_stacks, 0);
	assert_int_equal(stack_two(a, 11, b), TMBPF_STACK_FIRST + 2);
}

/* Of two ids that could not be used at the same moment one is kept. */
static void test_returned_twice(void **context)
{
	(void)context;
	world(NULL);
	stack_id_put(40);
	stack_id_put(41);
	assert_int_equal(state.leaked_stacks, 1);
	assert_int_equal(stack_id_get(), 40);
	assert_int_equal(stack_id_get(), TMBPF_STACK_FIRST);
}

static void test_end_while_ring_is_full(void **context)
{
	__u32 first;

	(void)context;
	world(NULL);
	first = stack_two(a, 10, b);
	emulation_ring_drop(0);
	emulation.ring_limit = 8;
	code_end(a);
	assert_int_equal(state.missed_code_ends, 1);
	emulation.ring_limit = UINT64_MAX;
	/* Nobody was told, and still it is not the same stack. */
	assert_int_not_equal(stack_two(a, 10, b), first);
}

static void test_code_table_full(void **context)
{
	unsigned told;

	(void)context;
	world(&(struct host_sizes){.codes = 2});
	stack_two(a, 10, b);
	emulation_ring_drop(0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(stack_two(c, 10 + i, a), TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_CODE_TABLE_FULL, 5);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_STACK), 0);
	assert_int_equal(state.leaked_stacks, 0);
	assert_int_equal(state.next_stack, TMBPF_STACK_FIRST + 2);
	/* With room again all is well. */
	code_end(b);
	told = emulation_ring_drop(TMBPF_RECORD_CODE_END);
	assert_int_equal(told, 1);
	assert_int_equal(stack_two(c, 10, a), TMBPF_STACK_FIRST + 1);
}

/* User space forgets a code object that was announced and then found no place. */
static void test_code_without_a_place_ends(void **context)
{
	const struct tmbpf_record *record;
	int known = 0;
	size_t size;

	(void)context;
	world(&(struct host_sizes){.codes = 2});
	stack_two(a, 10, b);
	emulation_ring_drop(0);
	for (int i = 0; i < 5; i++)
		stack_two(c, 10 + i, a);
	while ((record = emulation_ring_take(&size)))
		known += record->type == TMBPF_RECORD_CODE       ? 1
			 : record->type == TMBPF_RECORD_CODE_END ? -1
								 : 0;
	assert_int_equal(known, 0);
}

static void captures_set(uint32_t busy)
{
	for (uint32_t i = 0; i < CAPTURES; i++) {
		struct capture *capture = bpf_map_lookup_elem(&captures, &i);

		assert_non_null(capture);
		capture->busy = busy;
	}
}

/* All room to copy code objects out is taken by others. */
static void test_no_room_to_capture(void **context)
{
	(void)context;
	world(NULL);
	captures_set(1);
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_THREAD_STORAGE, 1);
	captures_set(0);
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST);
}

/* User space is woken only when a quarter of the ring waits. */
static void test_wakeups(void **context)
{
	(void)context;
	world(NULL);
	cfg.ring_bytes = 4 * 1000;
	for (int i = 0; emulation.ring_waiting <= 1000; i++) {
		stack_two(a, 10 + i, b);
		assert_int_equal(emulation.ring_wakeups, 0);
	}
	stack_two(a, 500, b);
	assert_int_equal(emulation.ring_wakeups, 1);
}

/* What user space retired is out of the table: the next one is a new stack. */
static void test_retired(void **context)
{
	const struct tmbpf_record_stack *record;
	struct tmbpf_bucket *bucket;
	__u32 slot;

	(void)context;
	world(NULL);
	stack_two(a, 10, b);
	take_code(a);
	take_code(b);
	record = take_stack(TMBPF_STACK_FIRST, 2);
	bucket = bucket_of(record, &slot);
	bucket->id_epoch[slot] = 0;
	assert_int_equal(stack_two(a, 10, b), TMBPF_STACK_FIRST + 1);
	take_stack(TMBPF_STACK_FIRST + 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_stack_same_id),
		cmocka_unit_test(test_recursion_announces_once),
		cmocka_unit_test(test_dead_code_is_another_stack),
		cmocka_unit_test(test_dead_stacks_leave_no_slot),
		cmocka_unit_test(test_epoch_without_death),
		cmocka_unit_test(test_bucket_full),
		cmocka_unit_test(test_ids_used_up),
		cmocka_unit_test(test_recycled_ids),
		cmocka_unit_test(test_slot_busy),
		cmocka_unit_test(test_slot_taken_out),
		cmocka_unit_test(test_ring_full),
		cmocka_unit_test(test_returned_twice),
		cmocka_unit_test(test_end_while_ring_is_full),
		cmocka_unit_test(test_code_table_full),
		cmocka_unit_test(test_code_without_a_place_ends),
		cmocka_unit_test(test_no_room_to_capture),
		cmocka_unit_test(test_wakeups),
		cmocka_unit_test(test_retired),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
