// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support.h"
#include "base/cleanup.h"
#include "base/output.h"
#include "format/format.h"
#include "format/gzip.h"
#include "format/pprof.h"
#include "profile.pb-c.h"
#include "snapshot/tables.h"
#include <string.h>
#include <zlib.h>

static struct snapshot *read_back(const char *path)
{
	struct snapshot *snapshot;

	support_ok(snapshot_file_read(path, NULL, &snapshot));
	return snapshot;
}

/* Writes, reads, compares, writes again: the file has to be the same, byte for byte. */
static void round_trip(const struct support_place *place, const struct snapshot *snapshot)
{
	cleanup(snapshot_cleanup) struct snapshot *back = NULL;
	cleanup_free uint8_t *first = NULL;
	cleanup_free uint8_t *second = NULL;
	cleanup_free uint8_t *third = NULL;
	size_t first_size, second_size, third_size;

	support_ok(snapshot_file_write(snapshot, place->path));
	first = support_read(place->path, &first_size);
	back = read_back(place->path);
	support_same(snapshot, back);
	support_ok(snapshot_file_write(back, place->path));
	second = support_read(place->path, &second_size);
	assert_int_equal(first_size, second_size);
	assert_memory_equal(first, second, first_size);
	support_ok(snapshot_file_write(snapshot, place->path));
	third = support_read(place->path, &third_size);
	assert_int_equal(first_size, third_size);
	assert_memory_equal(first, third, first_size);
}

static void test_round_trip(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();

	round_trip(*state, snapshot);
}

/* A function whose name is not known, and one that is called as its file is: "<lambda>", say. */
static void test_names_of_files(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct trace trace = {.count = 1, .size = 5, .total_count = 1, .total_size = 5};
	struct snapshot_builder *builder;
	struct tables *tables;
	uint32_t file;

	support_ok(snapshot_builder_create(NULL, &builder));
	tables = snapshot_builder_tables(builder);
	file = support_string(builder, "<lambda>");
	for (uint32_t i = 0; i < 2; i++) {
		const struct frame frame = {file, i == 0 ? 0 : file, 3, i};
		uint32_t index;

		support_ok(tables_frame(tables, &frame, &index));
		support_ok(tables_traceback(tables, &index, 1, 1, &trace.traceback));
		support_ok(snapshot_builder_trace(builder, &trace));
	}
	support_ok(snapshot_builder_finish(builder, &snapshot));
	round_trip(*state, snapshot);
}

static void test_round_trip_random(void **state)
{
	for (unsigned int seed = 0; seed < 5; seed++) {
		cleanup(snapshot_cleanup) struct snapshot *snapshot =
			support_snapshot_random(seed, seed * 300);

		round_trip(*state, snapshot);
	}
}

static void test_empty(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(snapshot_cleanup) struct snapshot *back = NULL;
	struct support_place *place = *state;
	struct snapshot_builder *builder;

	support_ok(snapshot_builder_create(NULL, &builder));
	support_ok(snapshot_builder_finish(builder, &snapshot));
	round_trip(place, snapshot);
	back = read_back(place->path);
	assert_int_equal(back->trace_count, 0);
	assert_true(back->info.coverage < 0);
}

/* The file as pprof's own format has it, field by field. */
static void test_fields(void **state)
{
	static const char *const types[][2] = {{"alloc_objects", "count"},
					       {"alloc_space", "bytes"},
					       {"inuse_objects", "count"},
					       {"inuse_space", "bytes"}};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	Tmbpf__Profile *profile;
	size_t size;

	support_ok(snapshot_file_write(snapshot, place->path));
	support_ok(gzip_read(place->path, PPROF_SIZE_MAX, &data, &size));
	profile = tmbpf__profile__unpack(NULL, size, data);
	assert_non_null(profile);
#define STRING(index) ((const char *)profile->string_table[index].data)
#define assert_string(index, text)                                                                 \
	do {                                                                                       \
		assert_int_equal(profile->string_table[index].len, strlen(text));                  \
		assert_memory_equal(STRING(index), text, strlen(text));                            \
	} while (0)
	assert_int_equal(profile->string_table[0].len, 0);
	assert_int_equal(profile->n_sample_type, 4);
	for (size_t i = 0; i < array_size(types); i++) {
		assert_string(profile->sample_type[i]->type, types[i][0]);
		assert_string(profile->sample_type[i]->unit, types[i][1]);
	}
	assert_string(profile->default_sample_type, "inuse_space");
	assert_string(profile->period_type->type, "space");
	assert_string(profile->period_type->unit, "bytes");
	assert_int_equal(profile->time_nanos, snapshot->info.time_nanos);
	assert_int_equal(profile->duration_nanos, snapshot->info.duration_nanos);
	assert_int_equal(profile->n_sample, snapshot->trace_count);
	assert_int_equal(profile->sample[0]->n_value, 4);
	assert_int_equal(profile->sample[0]->value[0], 7);
	assert_int_equal(profile->sample[0]->value[1], 2048);
	assert_int_equal(profile->sample[0]->value[2], 3);
	assert_int_equal(profile->sample[0]->value[3], 1000);
	assert_int_equal(profile->sample[0]->n_location_id, 2);
	assert_int_equal(profile->sample[0]->n_label, 0);
	assert_int_equal(profile->sample[1]->n_label, 1);
	assert_string(profile->sample[1]->label[0]->key, "total_nframe");
	assert_int_equal(profile->sample[1]->label[0]->num, 130);
	assert_string(profile->sample[2]->label[0]->key, "domain");
	assert_int_equal(profile->sample[2]->label[0]->num, UINT32_MAX);
	assert_int_equal(profile->location[0]->id, 1);
	assert_int_equal(profile->location[0]->n_line, 1);
	assert_int_equal(profile->location[0]->line[0]->line, 12);
	assert_string(profile->function[0]->name, "Cache.put");
	assert_string(profile->function[0]->filename, "/srv/app.py");
	assert_int_equal(profile->function[0]->start_line, 10);
	assert_string(profile->mapping[0]->filename, "/usr/bin/python3.11");
	assert_string(profile->comment[1], "tmbpf.pid=4711");
	tmbpf__profile__free_unpacked(profile, NULL);
}

/* Packs PROFILE into a file as another program would. */
static void pack(const char *path, const Tmbpf__Profile *profile)
{
	size_t size = tmbpf__profile__get_packed_size(profile);
	cleanup_free uint8_t *data = malloc(size + 1);
	gzFile file = gzopen(path, "w9");

	assert_non_null(data);
	assert_non_null(file);
	tmbpf__profile__pack(profile, data);
	assert_int_equal(gzwrite(file, data, (unsigned int)size), (int)size);
	assert_int_equal(gzclose(file), Z_OK);
}

/*
 * A profile that is right, to be spoilt: one sample of two locations, of which the first has an
 * inlined line, with none of tmbpf's comments, and types in another order.
 */
struct foreign {
	Tmbpf__Profile profile;
	Tmbpf__ValueType types[3], *type_pointers[3];
	Tmbpf__Sample sample, *samples[1];
	Tmbpf__Label label, *labels[1];
	Tmbpf__Location locations[2], *location_pointers[2];
	Tmbpf__Line lines[3], *line_pointers[3];
	Tmbpf__Function function, *functions[1];
	ProtobufCBinaryData strings[12];
	uint64_t location_ids[2];
	int64_t values[3], comments[1];
};

/* The strings, and what they are called by in the messages below. */
static void foreign_init_strings(struct foreign *foreign)
{
	static const char *const strings[] = {"",       "inuse_space",   "bytes", "other",
					      "count",  "inuse_objects", "f",     "/f.c",
					      "domain", "a comment",     "label", "value"};

	for (size_t i = 0; i < array_size(strings); i++)
		foreign->strings[i] =
			(ProtobufCBinaryData){strlen(strings[i]), (uint8_t *)strings[i]};
	foreign->profile.n_string_table = array_size(strings);
	foreign->profile.string_table = foreign->strings;
	foreign->types[0].type = 1;
	foreign->types[0].unit = 2;
	foreign->types[1].type = 3;
	foreign->types[1].unit = 4;
	foreign->types[2].type = 5;
	foreign->types[2].unit = 4;
	foreign->function.name = 6;
	foreign->function.filename = 7;
	foreign->label.key = 8;
	foreign->label.num = 4;
}

/* The messages, each with nothing in it yet but numbers. */
static void foreign_init_parts(struct foreign *foreign)
{
	*foreign = (struct foreign){
		.profile = TMBPF__PROFILE__INIT,
		.sample = TMBPF__SAMPLE__INIT,
		.label = TMBPF__LABEL__INIT,
		.function = TMBPF__FUNCTION__INIT,
		.location_ids = {70, 3000000000},
		.values = {640, 1, 10},
		.comments = {9},
	};
	for (size_t i = 0; i < 3; i++) {
		tmbpf__value_type__init(&foreign->types[i]);
		foreign->type_pointers[i] = &foreign->types[i];
		tmbpf__line__init(&foreign->lines[i]);
		foreign->line_pointers[i] = &foreign->lines[i];
		foreign->lines[i].function_id = 9;
		foreign->lines[i].line = (int64_t)i + 1;
	}
	for (size_t i = 0; i < 2; i++) {
		tmbpf__location__init(&foreign->locations[i]);
		foreign->location_pointers[i] = &foreign->locations[i];
		foreign->locations[i].id = foreign->location_ids[i];
	}
	foreign->function.id = 9;
}

static void foreign_init(struct foreign *foreign)
{
	foreign_init_parts(foreign);
	foreign_init_strings(foreign);
	foreign->locations[0].n_line = 2;
	foreign->locations[0].line = foreign->line_pointers;
	foreign->locations[1].n_line = 1;
	foreign->locations[1].line = foreign->line_pointers + 2;
	foreign->labels[0] = &foreign->label;
	foreign->sample.n_location_id = 2;
	foreign->sample.location_id = foreign->location_ids;
	foreign->sample.n_value = 3;
	foreign->sample.value = foreign->values;
	foreign->sample.n_label = 1;
	foreign->sample.label = foreign->labels;
	foreign->samples[0] = &foreign->sample;
	foreign->functions[0] = &foreign->function;
	foreign->profile.n_sample_type = 3;
	foreign->profile.sample_type = foreign->type_pointers;
	foreign->profile.n_sample = 1;
	foreign->profile.sample = foreign->samples;
	foreign->profile.n_location = 2;
	foreign->profile.location = foreign->location_pointers;
	foreign->profile.n_function = 1;
	foreign->profile.function = foreign->functions;
	foreign->profile.n_comment = 1;
	foreign->profile.comment = foreign->comments;
}

static void test_foreign(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct support_place *place = *state;
	struct foreign foreign;
	const struct traceback *traceback;

	foreign_init(&foreign);
	pack(place->path, &foreign.profile);
	snapshot = read_back(place->path);
	assert_int_equal(snapshot->trace_count, 1);
	assert_int_equal(snapshot->traces[0].size, 640);
	assert_int_equal(snapshot->traces[0].count, 10);
	assert_int_equal(snapshot->traces[0].total_size, 0);
	assert_int_equal(snapshot->traces[0].domain, 4);
	traceback = &snapshot->tables->tracebacks[snapshot->traces[0].traceback];
	assert_int_equal(traceback->nframe, 3);
	assert_int_equal(traceback->total_nframe, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(tables_traceback_frame(snapshot->tables,
							snapshot->traces[0].traceback, i)
					 ->lineno,
				 i + 1);
	assert_int_equal(snapshot->info.pid, 0);
}

static void refused(const struct support_place *place, const struct foreign *foreign,
		    const char *why)
{
	struct snapshot *snapshot;

	pack(place->path, &foreign->profile);
	support_fails(snapshot_file_read(place->path, NULL, &snapshot), ERROR_FAILED, why);
}

/* Spoils one thing at a time. */
#define spoilt(change, why)                                                                        \
	do {                                                                                       \
		struct foreign foreign;                                                            \
                                                                                                   \
		foreign_init(&foreign);                                                            \
		change;                                                                            \
		refused(place, &foreign, why);                                                     \
	} while (0)

static void test_inconsistent(void **state)
{
	struct support_place *place = *state;

	spoilt(foreign.function.name = 12, "string 12 of 12");
	spoilt(foreign.function.filename = -1, "string -1 of 12");
	spoilt(foreign.types[1].unit = 99, "string 99");
	spoilt(foreign.label.key = 1000000, "string 1000000");
	spoilt(foreign.comments[0] = 12, "string 12");
	spoilt(foreign.location_ids[1] = 71, "location 71 is not there");
	spoilt(foreign.locations[1].id = 70, "location 70 is there twice");
	spoilt(foreign.locations[1].id = 0, "location 0");
	spoilt(foreign.function.id = 8, "function 9 is not there");
	spoilt(foreign.function.id = 0, "function 0");
	spoilt(foreign.function.start_line = -5, "line number -5");
	spoilt(foreign.lines[1].line = 1ll << 32, "line number 4294967296");
	spoilt(foreign.values[0] = -1, "value -1");
	spoilt(foreign.sample.n_value = 2, "2 values where there are 3");
	spoilt(foreign.label.num = -1, "domain -1");
	spoilt(foreign.types[0].type = 3, "no heap profile");
	spoilt(foreign.strings[0] = foreign.strings[1], "first string");
	spoilt(foreign.profile.n_string_table = 0, "no profile");
	spoilt(foreign.profile.duration_nanos = -1, "a time of -1");
	spoilt(foreign.strings[9] = ((ProtobufCBinaryData){12, (uint8_t *)"tmbpf.pid=-1"}),
	       "tmbpf.pid has no valid value");
	spoilt(foreign.strings[9] = ((ProtobufCBinaryData){18, (uint8_t *)"tmbpf.coverage=1.1"}),
	       "tmbpf.coverage has no valid value");
	spoilt(foreign.strings[9] =
		       ((ProtobufCBinaryData){22, (uint8_t *)"tmbpf.python_version=3"}),
	       "tmbpf.python_version has no valid value");
	spoilt(foreign.strings[9] = ((ProtobufCBinaryData){14, (uint8_t *)"tmbpf.loss.a=x"}),
	       "tmbpf.loss.a has no valid value");
}

/* A key that this version does not know is for another. */
static void test_unknown_comment(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct support_place *place = *state;
	struct foreign foreign;

	foreign_init(&foreign);
	foreign.strings[9] = (ProtobufCBinaryData){12, (uint8_t *)"tmbpf.new=-1"};
	pack(place->path, &foreign.profile);
	snapshot = read_back(place->path);
	assert_int_equal(snapshot->trace_count, 1);
}

/* A location of many frames, many times over: a small file, of which memory would be filled. */
static void test_frames_are_bounded(void **state)
{
	enum { LINES = 60000, SAMPLES = 2000 };
	struct support_place *place = *state;
	struct foreign foreign;
	cleanup_free Tmbpf__Line **lines = calloc(LINES, sizeof(Tmbpf__Line *));
	cleanup_free Tmbpf__Sample **samples = calloc(SAMPLES, sizeof(Tmbpf__Sample *));
	cleanup_free Tmbpf__Sample *different = calloc(SAMPLES, sizeof(Tmbpf__Sample));
	cleanup_free Tmbpf__Label *labels = calloc(SAMPLES, sizeof(Tmbpf__Label));
	cleanup_free Tmbpf__Label **label_pointers = calloc(SAMPLES, sizeof(Tmbpf__Label *));

	assert_true(lines && samples && different && labels && label_pointers);
	foreign_init(&foreign);
	for (size_t i = 0; i < LINES; i++)
		lines[i] = &foreign.lines[0];
	for (size_t i = 0; i < SAMPLES; i++) {
		labels[i] = foreign.label;
		labels[i].num = 100000 + (int64_t)i;
		label_pointers[i] = &labels[i];
		different[i] = foreign.sample;
		different[i].n_location_id = 1;
		different[i].label = &label_pointers[i];
		samples[i] = &different[i];
	}
	/* Else the traceback is one. */
	foreign.strings[8] = (ProtobufCBinaryData){12, (uint8_t *)"total_nframe"};
	foreign.locations[0].n_line = LINES;
	foreign.locations[0].line = lines;
	foreign.profile.n_sample = SAMPLES;
	foreign.profile.sample = samples;
	refused(place, &foreign, "more than 67108864 frames");
	foreign.profile.n_sample = 1;
	foreign.sample.n_location_id = 2;
	foreign.location_ids[1] = foreign.location_ids[0];
	foreign.profile.sample = foreign.samples;
	foreign.locations[1].id = 71;
	refused(place, &foreign, "more than 65535 frames in a traceback");
}

static void test_truncated(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	struct snapshot *back;
	size_t size;

	support_ok(snapshot_file_write(snapshot, place->path));
	data = support_read(place->path, &size);
	for (size_t i = 1; i < size; i++) {
		support_write(place->path, data, i);
		support_fails(snapshot_file_read(place->path, NULL, &back), ERROR_FAILED,
			      "truncated");
	}
	support_write(place->path, data, 0);
	support_fails(snapshot_file_read(place->path, NULL, &back), ERROR_FAILED, "is empty");
	support_write(place->path, data, size);
	back = read_back(place->path);
	snapshot_destroy(back);
}

/* A flipped bit is refused, or was of no importance: it never changes what is read. */
static void test_flipped(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	size_t size, refused_count = 0;

	support_ok(snapshot_file_write(snapshot, place->path));
	data = support_read(place->path, &size);
	for (size_t bit = 0; bit < size * 8; bit++) {
		cleanup(snapshot_cleanup) struct snapshot *back = NULL;
		struct error *error;

		data[bit / 8] ^= 1 << bit % 8;
		support_write(place->path, data, size);
		data[bit / 8] ^= 1 << bit % 8;
		error = snapshot_file_read(place->path, NULL, &back);
		if (error) {
			refused_count++;
			error_destroy(error);
		} else {
			support_same(snapshot, back);
		}
	}
	/* Time, flags and system of gzip's header are of no importance: 6 bytes. */
	assert_true(refused_count >= size * 8 - 64);
}

/* What unpacks well but is damaged inside: nothing of it may crash, hang or fill memory. */
static void test_flipped_inside(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	unsigned int seed = 1;
	size_t size, refused_count = 0;

	support_ok(snapshot_file_write(snapshot, place->path));
	support_ok(gzip_read(place->path, PPROF_SIZE_MAX, &data, &size));
	for (size_t i = 0; i < size * 4; i++) {
		cleanup(snapshot_cleanup) struct snapshot *back = NULL;
		struct error *error;
		uint8_t saved = data[i / 4];
		gzFile file = gzopen(place->path, "w1");

		assert_non_null(file);
		data[i / 4] = (uint8_t)rand_r(&seed);
		/* Cut off there at times. */
		assert_true(gzwrite(file, data, i % 4 == 3 ? i / 4 + 1 : size) > 0);
		assert_int_equal(gzclose(file), Z_OK);
		data[i / 4] = saved;
		error = snapshot_file_read(place->path, NULL, &back);
		refused_count += error != NULL;
		error_destroy(error);
	}
	assert_true(refused_count > size);
}

static void test_not_a_snapshot(void **state)
{
	struct support_place *place = *state;
	struct snapshot *snapshot;
	cleanup_free char *missing = support_path(place->folder, "missing");
	gzFile file;

	support_write(place->path, "import this\n", 12);
	support_fails(snapshot_file_read(place->path, NULL, &snapshot), ERROR_FAILED,
		      "not gzipped");
	support_fails(snapshot_file_read(missing, NULL, &snapshot), ERROR_FAILED,
		      "No such file or directory");
	support_fails(snapshot_file_read(place->folder, NULL, &snapshot), ERROR_FAILED,
		      "Is a directory");
	file = gzopen(place->path, "w");
	assert_non_null(file);
	assert_true(gzputs(file, "just some text, gzipped\n") > 0);
	assert_int_equal(gzclose(file), Z_OK);
	support_fails(snapshot_file_read(place->path, NULL, &snapshot), ERROR_FAILED,
		      "is not a snapshot or is damaged");
}

static void test_trailing(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	struct snapshot *back;
	size_t size;

	support_ok(snapshot_file_write(snapshot, place->path));
	data = support_read(place->path, &size);
	data[size] = 'x'; /* support_read() leaves room for one more */
	support_write(place->path, data, size + 1);
	support_fails(snapshot_file_read(place->path, NULL, &back), ERROR_FAILED,
		      "something follows its end");
}

static void test_bomb(void **state)
{
	struct support_place *place = *state;
	cleanup_free uint8_t *data = calloc(1, 1 << 20);
	gzFile file = gzopen(place->path, "w9");
	size_t size;

	assert_true(data && file);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(gzwrite(file, data, 1 << 20), 1 << 20);
	assert_int_equal(gzclose(file), Z_OK);
	free(take(data));
	support_fails(gzip_read(place->path, (5 << 20) - 1, &data, &size), ERROR_FAILED,
		      "unpacks to more than 4 MiB");
	support_ok(gzip_read(place->path, 5 << 20, &data, &size));
	assert_int_equal(size, 5 << 20);
}

/* What cannot be read back is not written. */
static void test_too_deep(void **state)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct support_place *place = *state;
	cleanup_free uint32_t *frames = calloc(PPROF_DEPTH_MAX + 1, sizeof(*frames));
	struct trace trace = {.count = 1, .size = 1};
	struct frame frame = {.lineno = 1};
	struct tables *tables;

	assert_non_null(frames);
	support_ok(snapshot_builder_create(NULL, &builder));
	tables = snapshot_builder_tables(builder);
	support_ok(tables_frame(tables, &frame, &frames[0])); /* 0, as all others are */
	support_ok(tables_traceback(tables, frames, PPROF_DEPTH_MAX + 1, PPROF_DEPTH_MAX + 1,
				    &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
	support_ok(snapshot_builder_finish(take(builder), &snapshot));
	support_fails(snapshot_file_write(snapshot, place->path), ERROR_FAILED,
		      "at most 65535 frames of a traceback");
	assert_int_equal(support_entries(place->folder), 0);
}

static void test_full_device(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot_random(1, 5000);

	(void)state;
	support_fails(snapshot_file_write(snapshot, "/dev/full"), ERROR_FAILED,
		      "cannot write /dev/full: No space left on device");
}

#define in_place(test)                                                                             \
	cmocka_unit_test_setup_teardown(test, support_place_make, support_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_place(test_round_trip),
		in_place(test_names_of_files),
		in_place(test_round_trip_random),
		in_place(test_empty),
		in_place(test_fields),
		in_place(test_foreign),
		in_place(test_inconsistent),
		in_place(test_unknown_comment),
		in_place(test_frames_are_bounded),
		in_place(test_truncated),
		in_place(test_flipped),
		in_place(test_flipped_inside),
		in_place(test_not_a_snapshot),
		in_place(test_trailing),
		in_place(test_bomb),
		in_place(test_too_deep),
		cmocka_unit_test(test_full_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
