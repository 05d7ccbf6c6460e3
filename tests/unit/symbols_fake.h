/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A faked tracer for tests of user/trace/symbols: it notes what it was told, and has rows of totals
 * that the test sets. Records are made by hand, and handed over in buffers of just their size.
 */
#ifndef TMBPF_TESTS_SYMBOLS_FAKE_H
#define TMBPF_TESTS_SYMBOLS_FAKE_H

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "memory_fake.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include "support.h"
#include "tracer_fake.h"

#define TABLE_SIZE 64 /* of code made here: line firstlineno + i + 1 for code unit i */

struct tracer {
	struct python python;
	uint32_t limit, count, places;
	struct tmbpf_stack_stats *stats;
	uint32_t retired[64], recycled[64];
	size_t retired_count, recycled_count;
};

static struct tracer tracer;
static struct memory_fake memory;
static struct symbols *symbols;

static const struct python *tracer_python(const struct tracer *t)
{
	return &t->python;
}

static uint32_t tracer_stack_limit(const struct tracer *t)
{
	return t->limit;
}

static uint32_t tracer_place_count(const struct tracer *t)
{
	return t->places;
}

static uint32_t tracer_stack_count(const struct tracer *t)
{
	return t->count;
}

static void tracer_stack_stats(const struct tracer *t, uint32_t stack,
			       struct tmbpf_stack_stats *ret)
{
	assert_true(stack < t->limit);
	*ret = t->stats[stack];
}

static void tracer_stack_retire(struct tracer *t, uint32_t id, uint32_t place)
{
	assert_true(place < t->places);
	t->retired[t->retired_count++ % array_size(t->retired)] = id;
}

static void tracer_stack_recycle(struct tracer *t, uint32_t id)
{
	assert_int_equal(t->stats[id].allocated_count, t->stats[id].freed_count);
	memset(&t->stats[id], 0, sizeof(t->stats[id]));
	t->recycled[t->recycled_count++ % array_size(t->recycled)] = id;
}

/* Nothing known, of a tracer of 3.MINOR with LIMIT stack ids. */
static inline void symbols_start(unsigned minor, uint32_t limit)
{
	memset(&tracer, 0, sizeof(tracer));
	tracer.python.version = 0x030000f0 | minor << 16;
	tracer.python.layout = python_layout_entry(tracer.python.version)->layout;
	tracer.limit = tracer.count = limit;
	tracer.places = 4 * limit;
	tracer.stats = calloc(limit, sizeof(*tracer.stats));
	assert_non_null(tracer.stats);
	memory_fake_init(&memory);
	support_ok(symbols_create(&tracer, &memory.process, &symbols));
}

static inline void symbols_end(void)
{
	symbols_destroy(symbols);
	memory_fake_deinit(&memory);
	free(tracer.stats);
}

static inline struct symbols_counters counters(void)
{
	struct symbols_counters ret;

	symbols_counters(symbols, &ret);
	return ret;
}

/* What a record of a code object is made from; characters of KIND bytes. */
struct code_text {
	const void *characters;
	uint32_t kind, length, captured;
};

#define TEXT(string)                                                                               \
	((struct code_text){.characters = (string),                                                \
			    .kind = 1,                                                             \
			    .length = sizeof(string) - 1,                                          \
			    .captured = sizeof(string) - 1})
#define NO_TEXT ((struct code_text){0})

struct code_made {
	uint32_t id;
	uint64_t address;
	int firstlineno;
	struct code_text filename, name, qualname;
	const uint8_t *table;
	uint32_t table_size, table_captured;
};

static inline void hand_over(const void *record, size_t size)
{
	uint8_t *exact = malloc(size); /* AddressSanitizer sees what is read beyond */

	assert_non_null(exact);
	memcpy(exact, record, size);
	symbols_record(symbols, (const struct tmbpf_record *)exact, size);
	free(exact);
}

static inline size_t code_put(uint8_t *record, size_t at, const void *data, uint32_t size)
{
	if (size)
		memcpy(record + at, data, size);
	return at + ((size + 7) & ~7u);
}

static inline struct tmbpf_string code_string(const struct code_text *text)
{
	return (struct tmbpf_string){text->kind, text->length, text->captured};
}

/* Writes the record into RET, which is zeroed and large enough. Returns its size. */
static inline size_t code_record_make(const struct code_made *code, uint8_t *ret)
{
	struct tmbpf_record_code *record = (struct tmbpf_record_code *)ret;
	size_t at = sizeof(*record);

	at = code_put(ret, at, code->filename.characters, code->filename.captured);
	at = code_put(ret, at, code->name.characters, code->name.captured);
	at = code_put(ret, at, code->qualname.characters, code->qualname.captured);
	at = code_put(ret, at, code->table, code->table_captured);
	*record = (struct tmbpf_record_code){
		.record = {TMBPF_RECORD_CODE, (uint32_t)at},
		.id = code->id,
		.address = code->address,
		.firstlineno = code->firstlineno,
		.filename = code_string(&code->filename),
		.name = code_string(&code->name),
		.qualname = code_string(&code->qualname),
		.table_size = code->table_size,
		.table_captured = code->table_captured,
	};
	return at;
}

static inline void code_tell(const struct code_made *code)
{
	uint64_t record[4096] = {0};

	hand_over(record, code_record_make(code, (uint8_t *)record));
}

/* Location table of 3.11 on: no column info, one unit an entry, line delta 1. */
static inline const uint8_t *code_table(void)
{
	static uint8_t table[TABLE_SIZE];

	for (size_t i = 0; i < TABLE_SIZE; i += 2) {
		table[i] = 0x80 | 13 << 3;
		table[i + 1] = 1 << 1;
	}
	return table;
}

static inline uint64_t code_address(uint32_t id)
{
	return 0x7f0000000000ULL + 0x1000ULL * id;
}

/* Code object ID of FILENAME and NAME, from line 100 on. */
#define code_plain(number, file, function)                                                         \
	code_tell(&(struct code_made){.id = (number),                                              \
				      .address = code_address(number),                             \
				      .firstlineno = 100,                                          \
				      .filename = TEXT(file),                                      \
				      .name = TEXT("?"),                                           \
				      .qualname = TEXT(function),                                  \
				      .table = code_table(),                                       \
				      .table_size = TABLE_SIZE,                                    \
				      .table_captured = TABLE_SIZE})

static inline void code_end_tell(uint32_t id)
{
	struct tmbpf_record_code_end record = {
		.record = {TMBPF_RECORD_CODE_END, sizeof(record)},
		.address = code_address(id),
		.id = id,
	};

	hand_over(&record, sizeof(record));
}

struct frame_made {
	uint32_t code;
	int unit;
};

/* Stack ID at PLACE, of COUNT FRAMES out of TOTAL. */
static inline void stack_tell_at(uint32_t id, uint32_t place, uint32_t total, size_t count,
				 const struct frame_made *frames)
{
	size_t size = sizeof(struct tmbpf_record_stack) + count * sizeof(struct tmbpf_frame);
	struct tmbpf_record_stack *record = calloc(1, size);

	assert_non_null(record);
	*record = (struct tmbpf_record_stack){
		.record = {TMBPF_RECORD_STACK, (uint32_t)size},
		.id = id,
		.nframe = (uint32_t)count,
		.total_nframe = total,
		.bucket_slot = place,
	};
	for (size_t i = 0; i < count; i++)
		record->frames[i] = (struct tmbpf_frame){
			.code = frames[i].code,
			.instruction = code_address(frames[i].code) +
				       tracer.python.layout.code.adaptive + 2 * frames[i].unit,
		};
	hand_over(record, size);
	free(record);
}

#define stack_tell(id, ...)                                                                        \
	stack_tell_at((id), (id), array_size(((struct frame_made[]){__VA_ARGS__})),                \
		      array_size(((struct frame_made[]){__VA_ARGS__})),                            \
		      (struct frame_made[]){__VA_ARGS__})

/* What is told of a row, as text: its frames, total_nframe, what it holds and has allocated. */
#define ROW_MAX 8192

static inline struct error *row_write(void *context, const struct symbols_row *row)
{
	char *text = (char *)context + strlen(context);
	size_t left = ROW_MAX - strlen(context);
	int at = 0;

	for (uint32_t i = 0; i < row->nframe; i++) {
		const struct symbols_frame *frame = &row->frames[i];

		assert_int_equal(strlen(frame->filename), frame->filename_length);
		assert_int_equal(strlen(frame->name), frame->name_length);
		at += snprintf(text + at, left - at, "%s:%u %s, ", frame->filename, frame->lineno,
			       frame->name);
	}
	snprintf(text + at, left - at, "%u: %llu/%llu %llu/%llu\n", row->total_nframe,
		 (unsigned long long)row->count, (unsigned long long)row->size,
		 (unsigned long long)row->total_count, (unsigned long long)row->total_size);
	return NULL;
}

static inline void assert_rows(const char *expected)
{
	char text[ROW_MAX] = "";

	support_ok(symbols_each(symbols, row_write, text));
	assert_string_equal(text, expected);
}

static inline void assert_stack(uint32_t stack, const char *expected)
{
	char text[ROW_MAX] = "";

	support_ok(symbols_stack(symbols, stack, 10, row_write, text));
	assert_string_equal(text, expected);
}

static inline void holds(uint32_t stack, uint64_t allocated, uint64_t freed)
{
	tracer.stats[stack] =
		(struct tmbpf_stack_stats){allocated, 10 * allocated, freed, 10 * freed};
}

#endif
