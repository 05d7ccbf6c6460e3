// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From the programs' records to tracebacks: user/trace/symbols/symbols.c. */
#include "symbols_fake.h"

static void test_tracebacks(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "/srv/a.py", "main");
	code_plain(2, "/srv/b.py", "Class.method");
	stack_tell(8, {2, 4}, {1, 9});
	stack_tell(9, {1, 9});
	holds(8, 3, 1);
	holds(9, 5, 5);
	holds(10, 0, 0);
	assert_rows("/srv/b.py:105 Class.method, /srv/a.py:110 main, 2: 2/20 3/30\n"
		    "/srv/a.py:110 main, 1: 0/0 5/50\n");
	assert_stack(8, "/srv/b.py:105 Class.method, /srv/a.py:110 main, 2: 1/10 1/10\n");
	assert_int_equal(counters().stacks, 2);
	assert_int_equal(counters().tracebacks, 2);
	assert_int_equal(counters().codes, 2);
	assert_int_equal(counters().unresolved_frames, 0);
	symbols_end();
}

static void test_special_stacks(void **context)
{
	(void)context;
	symbols_start(13, 64);
	holds(TMBPF_STACK_UNKNOWN, 1, 0);
	holds(TMBPF_STACK_LOST, 2, 0);
	holds(20, 3, 0); /* one that was never told of */
	assert_rows("<unknown>:0 , 1: 1/10 1/10\n"
		    "<lost>:0 , 1: 2/20 2/20\n"
		    "<lost>:0 , 1: 3/30 3/30\n");
	assert_stack(TMBPF_STACK_UNKNOWN, "<unknown>:0 , 1: 1/10 1/10\n");
	assert_stack(UINT32_MAX, "<lost>:0 , 1: 1/10 1/10\n");
	symbols_end();
}

/* The counts are read one after the other: frees may be ahead. */
static void test_more_freed_than_allocated(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	stack_tell(8, {1, 0});
	holds(8, 3, 4);
	assert_rows("a:101 f, 1: 0/0 3/30\n");
	symbols_end();
}

static void test_same_traceback(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	code_plain(2, "a", "f"); /* the same source once more */
	stack_tell(8, {1, 3});
	stack_tell(9, {2, 3});
	stack_tell_at(10, 10, 2, 1, (struct frame_made[]){{1, 3}});
	stack_tell(11, {1, 4});
	assert_int_equal(counters().stacks, 4);
	/* One that is cut off at another depth is another traceback, as for tracemalloc. */
	assert_int_equal(counters().tracebacks, 3);
	assert_stack(8, "a:104 f, 1: 1/10 1/10\n");
	assert_stack(9, "a:104 f, 1: 1/10 1/10\n");
	assert_stack(10, "a:104 f, 2: 1/10 1/10\n");
	symbols_end();
}

static void test_string_kinds(void **context)
{
	static const uint8_t latin[] = {'g', 0xf6};
	static const uint16_t two[] = {0x20ac, 0xd800, 0};
	static const uint32_t four[] = {0x1f600};
	struct code_made code = {.id = 1, .address = code_address(1), .firstlineno = 7};

	(void)context;
	symbols_start(12, 64);
	code.filename = (struct code_text){latin, 1, 2, 2};
	code.qualname = (struct code_text){two, 2, 3, 6};
	code.table = code_table();
	code.table_size = code.table_captured = TABLE_SIZE;
	code.name = TEXT("n");
	code_tell(&code);
	code.id = 2;
	code.name = (struct code_text){four, 4, 1, 4};
	code.qualname = NO_TEXT; /* before 3.11 there is none */
	code_tell(&code);
	stack_tell(8, {1, 0});
	stack_tell(9, {2, 0});
	/* The table is relative to the object's own address: both have that of 1. */
	assert_stack(8, "g\xc3\xb6:8 \xe2\x82\xac\xed\xa0\x80\xc0\x80, 1: 1/10 1/10\n");
	assert_int_equal(counters().shortened_strings, 0);
	symbols_end();
}

static void test_shortened_string(void **context)
{
	struct code_made code = {.id = 1,
				 .address = code_address(1),
				 .firstlineno = 7,
				 .filename = {"abcdefgh", 1, 5000, 8},
				 .name = TEXT("n"),
				 .table = code_table(),
				 .table_size = TABLE_SIZE,
				 .table_captured = TABLE_SIZE};

	(void)context;
	symbols_start(13, 64);
	code_tell(&code);
	stack_tell(8, {1, 0});
	assert_stack(8, "abcdefgh:8 n, 1: 1/10 1/10\n");
	assert_int_equal(counters().shortened_strings, 1);
	symbols_end();
}

/* Instructions without a line, and before the first. */
static void test_lines(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	stack_tell(8, {1, TABLE_SIZE});
	stack_tell(9, {1, -1});
	assert_stack(8, "a:0 f, 1: 1/10 1/10\n");
	assert_stack(9, "a:100 f, 1: 1/10 1/10\n");
	symbols_end();
	/* f_lasti as it stands in a frame object, -1 of 32 bits. */
	symbols_start(8, 64);
	code_tell(&(struct code_made){.id = 1,
				      .firstlineno = 100,
				      .filename = TEXT("a"),
				      .name = TEXT("f"),
				      .table = (const uint8_t[]){2, 1, 2, 1},
				      .table_size = 4,
				      .table_captured = 4});
	for (uint32_t i = 0; i < 3; i++) {
		struct {
			struct tmbpf_record_stack stack;
			struct tmbpf_frame frame;
		} record = {
			.stack = {.record = {TMBPF_RECORD_STACK, sizeof(record)},
				  .id = 8 + i,
				  .nframe = 1,
				  .total_nframe = 1,
				  .bucket_slot = i},
			.frame = {.code = 1, .instruction = i ? 2 * i : UINT32_MAX},
		};

		hand_over(&record, sizeof(record));
	}
	assert_stack(8, "a:100 f, 1: 1/10 1/10\n");
	assert_stack(9, "a:101 f, 1: 1/10 1/10\n");
	assert_stack(10, "a:102 f, 1: 1/10 1/10\n");
	symbols_end();
}

static void test_code_that_was_not_told_of(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	stack_tell(8, {77, 3}, {1, 3});
	assert_stack(8, "<unknown>:0 , a:104 f, 2: 1/10 1/10\n");
	assert_int_equal(counters().unresolved_frames, 1);
	symbols_end();
}

/* A code object as it stands in the target: what BPF could not copy is read from there. */
static uint64_t live_string(uint64_t address, const char *text)
{
	const struct python_layout *layout = &tracer.python.layout;

	memory_fake_put_u64(&memory, address + layout->unicode.length, strlen(text));
	memory_fake_put_u32(&memory, address + layout->unicode.state,
			    1u << layout->unicode.kind_shift | 1u << layout->unicode.compact_shift |
				    1u << layout->unicode.ascii_shift);
	memory_fake_put(&memory, address + layout->unicode.ascii_data, text, strlen(text));
	return address;
}

static void live_code(uint64_t address, int firstlineno, uint32_t table_size)
{
	const struct python_layout *layout = &tracer.python.layout;
	uint8_t data[4096];

	memory_fake_add(&memory, address, 8192);
	for (size_t i = 0; i < sizeof(data); i += 2)
		memcpy(data + i, code_table(), 2);
	memory_fake_put_u64(&memory, address + layout->code.filename,
			    live_string(address + 0x400, "/srv/live.py"));
	memory_fake_put_u64(&memory, address + layout->code.name,
			    live_string(address + 0x500, "live"));
	memory_fake_put_u64(&memory, address + layout->code.qualname,
			    live_string(address + 0x600, "Live.live"));
	memory_fake_put_u32(&memory, address + layout->code.firstlineno, firstlineno);
	memory_fake_put_u64(&memory, address + layout->code.linetable, address + 0x800);
	memory_fake_put_u64(&memory, address + 0x800 + layout->bytes.size, table_size);
	memory_fake_put(&memory, address + 0x800 + layout->bytes.data, data, table_size);
}

static void test_completed_from_the_target(void **context)
{
	struct code_made code = {.id = 1,
				 .address = code_address(1),
				 .firstlineno = 100,
				 .filename = TEXT("/srv/live.py"),
				 .name = TEXT("Live.live"),
				 .table = code_table(),
				 .table_size = 1000,
				 .table_captured = TABLE_SIZE};

	(void)context;
	symbols_start(13, 64);
	live_code(code.address, 100, 1000);
	code_tell(&code);
	stack_tell(8, {1, 400});
	assert_stack(8, "/srv/live.py:501 Live.live, 1: 1/10 1/10\n");
	/* Names as well. */
	code.filename = code.name = NO_TEXT;
	code.table_captured = 0;
	code.id = 2;
	code_tell(&code);
	stack_tell(9, {2, 0});
	assert_int_equal(counters().unresolved_frames, 0);
	assert_stack(9, "/srv/live.py:0 Live.live, 1: 1/10 1/10\n");
	symbols_end();
}

/* Another object has its address by now: what was captured stays, and nothing is made up. */
static void test_target_has_another_one(void **context)
{
	struct code_made code = {.id = 1,
				 .address = code_address(1),
				 .firstlineno = 100,
				 .filename = TEXT("/srv/gone.py"),
				 .name = TEXT("gone"),
				 .table = code_table(),
				 .table_size = 1000,
				 .table_captured = TABLE_SIZE};
	static const uint8_t other[TABLE_SIZE] = {0x80, 0};

	(void)context;
	for (int i = 0; i < 4; i++) {
		symbols_start(13, 64);
		code.filename = i == 0 ? TEXT("/srv/gone.py") : TEXT("/srv/live.py");
		code.firstlineno = i == 1 ? 99 : 100;
		code.table = i == 2 ? other : code_table();
		if (i == 3) /* there is none at all */
			code.address += 0x100000;
		live_code(code_address(1), 100, 1000);
		code_tell(&code);
		stack_tell(8, {1, 3});
		assert_stack(8, i == 0 ? "/srv/gone.py:0 gone, 1: 1/10 1/10\n"
				       : "/srv/live.py:0 gone, 1: 1/10 1/10\n");
		assert_int_equal(counters().unresolved_frames, 1);
		symbols_end();
	}
}

static void test_unreadable(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_tell(&(struct code_made){
		.id = 1, .address = 0xdead0000, .firstlineno = 0, .table_size = UINT32_MAX});
	stack_tell(8, {1, 3});
	assert_stack(8, "<unreadable>:0 <unreadable>, 1: 1/10 1/10\n");
	assert_int_equal(counters().unresolved_frames, 1);
	symbols_end();
}

static struct error *visit_fails(void *context, const struct symbols_row *row)
{
	(void)row;
	if (++*(int *)context == 2)
		return error_create(ERROR_FAILED, "no more");
	return NULL;
}

static void test_visitor_fails(void **context)
{
	int visits = 0;

	(void)context;
	symbols_start(13, 64);
	for (uint32_t i = 1; i < 5; i++)
		holds(i, 1, 0);
	support_fails(symbols_each(symbols, visit_fails, &visits), ERROR_FAILED, "no more");
	assert_int_equal(visits, 2);
	symbols_end();
}

static void test_deepest(void **context)
{
	struct frame_made frames[TMBPF_WALK_MAX + 1];
	char text[ROW_MAX] = "";

	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	for (size_t i = 0; i < array_size(frames); i++)
		frames[i] = (struct frame_made){1, (int)i % 20};
	stack_tell_at(8, 8, 65535, TMBPF_WALK_MAX, frames);
	support_ok(symbols_stack(symbols, 8, 10, row_write, text));
	assert_non_null(strstr(text, "a:101 f, a:102 f, "));
	assert_non_null(strstr(text, ", 65535: 1/10 1/10\n"));
	stack_tell_at(9, 9, 65535, TMBPF_WALK_MAX + 1, frames);
	assert_stack(9, "<lost>:0 , 1: 1/10 1/10\n");
	symbols_end();
}

/* Records that are cut off anywhere, and records with any byte changed. */
static void test_damaged_records(void **context)
{
	struct code_made code = {.id = 1,
				 .address = code_address(1),
				 .firstlineno = 100,
				 .filename = TEXT("/srv/a.py"),
				 .name = TEXT("f"),
				 .qualname = TEXT("C.f"),
				 .table = code_table(),
				 .table_size = TABLE_SIZE,
				 .table_captured = TABLE_SIZE};
	struct tmbpf_record_code_end end = {{TMBPF_RECORD_CODE_END, sizeof(end)}, 0, 1, 0};
	uint64_t good[64] = {0};
	struct {
		struct tmbpf_record_stack stack;
		struct tmbpf_frame frames[2];
	} stack = {.stack = {.record = {TMBPF_RECORD_STACK, sizeof(stack)},
			     .id = 8,
			     .nframe = 2,
			     .total_nframe = 2,
			     .bucket_slot = 8},
		   .frames = {{1, code_address(1)}, {1, code_address(1) + 8}}};
	size_t size = code_record_make(&code, (uint8_t *)good);
	const struct {
		const void *record;
		size_t size;
	} records[] = {{good, size}, {&stack, sizeof(stack)}, {&end, sizeof(end)}};
	unsigned random = 1;

	(void)context;
	symbols_start(13, 64);
	for (size_t i = 0; i < array_size(records); i++)
		for (size_t cut = sizeof(struct tmbpf_record); cut < records[i].size; cut++)
			hand_over(records[i].record, cut);
	assert_int_equal(counters().stacks, 0);
	for (int i = 0; i < 30000; i++) {
		size_t which = i % array_size(records);
		uint8_t changed[512];

		memcpy(changed, records[which].record, records[which].size);
		for (int n = 0; n <= i % 3; n++) {
			random = random * 1103515245 + 12345;
			changed[(random >> 8) % records[which].size] = random >> 24;
		}
		/* An id that is in use is never told of again. */
		symbols_clear(symbols);
		hand_over(good, size);
		hand_over(changed, records[which].size);
		hand_over(&end, sizeof(end));
		symbols_sweep(symbols, 2ull * i * NSEC_PER_SEC);
		symbols_sweep(symbols, (2ull * i + 1) * NSEC_PER_SEC);
	}
	symbols_end();
}

/* A sample of one frame: unit UNIT of code object ID. It has just as many bytes as SIZE says. */
static struct symbols_traceback *sample_tell(uint32_t id, int unit, uint32_t nframe, size_t size)
{
	struct tmbpf_record_sample *record = calloc(1, sizeof(*record) + sizeof(record->frames[0]));
	struct symbols_traceback *traceback;
	void *exact = malloc(size);

	assert_true(record && exact);
	record->record = (struct tmbpf_record){TMBPF_RECORD_SAMPLE, (uint32_t)size};
	record->nframe = record->total_nframe = nframe;
	record->frames[0] = (struct tmbpf_frame){
		.code = id,
		.instruction = code_address(id) + tracer.python.layout.code.adaptive + 2 * unit,
	};
	memcpy(exact, record, size);
	traceback = symbols_sample(symbols, exact, size);
	free(exact);
	free(record);
	return traceback;
}

/* Samples carry their whole stack, and their code objects outlive windows. */
static void test_samples(void **state)
{
	const struct symbols_row none = {0};
	size_t whole = sizeof(struct tmbpf_record_sample) + sizeof(struct tmbpf_frame);
	struct symbols_traceback *first, *again, *other;
	char text[ROW_MAX] = "";
	uint32_t id = 3 | TMBPF_CODE_SAMPLED;

	(void)state;
	symbols_start(13, 64);
	code_plain(id, "a.py", "f");
	code_plain(4, "b.py", "g");
	assert_int_equal(symbols_samples_codes(symbols), 1);
	first = sample_tell(id, 5, 1, whole);
	symbols_restart(symbols);
	again = sample_tell(id, 5, 1, whole);
	other = sample_tell(id, 6, 1, whole);
	assert_non_null(first);
	assert_ptr_equal(first, again);
	assert_ptr_not_equal(first, other);
	support_ok(symbols_traceback_visit(symbols, first, &none, row_write, text));
	assert_string_equal(text, "a.py:106 f, 1: 0/0 0/0\n");
	/* No Python code ran; a record shorter than it says; more frames than there can be. */
	assert_null(sample_tell(id, 5, 0, whole));
	assert_null(sample_tell(id, 5, 1, whole - 1));
	assert_null(sample_tell(id, 5, 1, sizeof(struct tmbpf_record)));
	assert_null(sample_tell(id, 5, TMBPF_WALK_MAX + 1, whole));
	assert_int_equal(counters().tracebacks, 2);
	symbols_release(symbols, first);
	symbols_release(symbols, other);
	assert_int_equal(counters().tracebacks, 1);
	symbols_samples_forget(symbols);
	assert_int_equal(symbols_samples_codes(symbols), 0);
	assert_int_equal(counters().codes, 0);
	symbols_release(symbols, again);
	assert_int_equal(counters().tracebacks, 0);
	symbols_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tracebacks),
		cmocka_unit_test(test_special_stacks),
		cmocka_unit_test(test_more_freed_than_allocated),
		cmocka_unit_test(test_same_traceback),
		cmocka_unit_test(test_string_kinds),
		cmocka_unit_test(test_shortened_string),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_code_that_was_not_told_of),
		cmocka_unit_test(test_completed_from_the_target),
		cmocka_unit_test(test_target_has_another_one),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_visitor_fails),
		cmocka_unit_test(test_deepest),
		cmocka_unit_test(test_damaged_records),
		cmocka_unit_test(test_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
