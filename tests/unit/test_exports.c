// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Formats that are only written. What their readers say is told by tests/bats/formats.bats and
 * tests/oracle/html; here they are written with odd names, into a disk that is full, and html with
 * a page of this test's own, or none.
 */
#include "support.h"
#include "base/cleanup.h"
#include "base/output.h"
#include "format/format.h"
#include "snapshot/tables.h"
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* In the place of the page that was built. */
#define HEAD "<html>"
#define TAIL "</html>"
extern const char html_head[], html_tail[];
extern uint64_t html_head_size, html_tail_size;
const char html_head[] = HEAD, html_tail[] = TAIL;
uint64_t html_head_size = sizeof(HEAD) - 1, html_tail_size = sizeof(TAIL) - 1;

static struct error *write_file(const char *path, const char *format,
				const struct snapshot *snapshot, const struct snapshot *base)
{
	struct format_options options = {.base = base};
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create(path, &output));
	try(format_find(format)->write(snapshot, &options, output));
	return output_commit(output);
}

/* What is written, with a NUL at its end; to be freed. */
static char *written(void **state, const char *format, const struct snapshot *snapshot,
		     const struct snapshot *base)
{
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	char *text;
	size_t size;

	support_ok(write_file(place->path, format, snapshot, base));
	data = support_read(place->path, &size);
	assert_null(memchr(data, '\0', size));
	text = strndup((char *)data, size);
	assert_non_null(text);
	return text;
}

static void test_folded(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	cleanup_free char *text = written(state, "folded", snapshot, NULL);
	cleanup_free char *both = written(state, "folded", snapshot, snapshot);

	assert_string_equal(text, "handle (/srv/app.py:40);Cache.put (/srv/app.py:12) 1000\n"
				  "\xe5\x87\xbd (/srv/\\udcff\\xffg\xc3\xb6.py:7);"
				  "handle (/srv/app.py:40) 65536\n"
				  "<unknown> 9\n");
	assert_non_null(strstr(both, "<unknown> 9 9\n"));
	assert_non_null(strstr(both, "Cache.put (/srv/app.py:12) 1000 1000\n"));
}

/* TEXT has to be JSON; the result is json_object_put()'s. */
static struct json_object *parse(const char *text)
{
	struct json_object *root = json_tokener_parse(text);

	assert_non_null(root);
	return root;
}

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

static void test_json(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	cleanup_free char *text = written(state, "json", snapshot, NULL);
	struct json_object *root = parse(text);
	struct json_object *frame = json_object_array_get_idx(member(root, "frames"), 2);

	assert_int_equal(json_object_array_length(member(root, "traces")), snapshot->trace_count);
	assert_int_equal(json_object_get_int64(member(root, "size")), 1000 + 65536 + 9);
	assert_string_equal(json_object_get_string(member(frame, "filename")),
			    "/srv/\xef\xbf\xbd\xef\xbf\xbdg\xc3\xb6.py");
	json_object_put(root);
}

static void test_speedscope(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	cleanup_free char *text = written(state, "speedscope", snapshot, NULL);
	struct json_object *root = parse(text);
	struct json_object *bytes = json_object_array_get_idx(member(root, "profiles"), 0);

	assert_int_equal(json_object_get_int64(member(bytes, "endValue")), 1000 + 65536 + 9);
	assert_string_equal(json_object_get_string(member(bytes, "unit")), "bytes");
	json_object_put(root);
}

/* A snapshot of one trace at a file of that NAME. */
static struct snapshot *named(const char *name)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;
	struct trace trace = {.count = 1, .size = 1};
	uint32_t frame;

	support_ok(snapshot_builder_create(NULL, &builder));
	snapshot_builder_info(builder)->command_line = strdup(name);
	support_ok(tables_frame(snapshot_builder_tables(builder),
				&(struct frame){.filename = support_string(builder, name),
						.name = support_string(builder, name),
						.lineno = 1},
				&frame));
	support_ok(
		tables_traceback(snapshot_builder_tables(builder), &frame, 1, 1, &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

static void test_html_names(void **state)
{
	static const char name[] = "</script><script>\"\\\n\t&\x7f\xf0\x9f\x90\x8d\xe2\x80\xa8";
	cleanup(snapshot_cleanup) struct snapshot *snapshot = named(name);
	cleanup_free char *text = written(state, "html", snapshot, snapshot);
	size_t length = strlen(text);
	struct json_object *root, *string;

	assert_memory_equal(text, HEAD, strlen(HEAD));
	assert_string_equal(text + length - strlen(TAIL), TAIL);
	text[length - strlen(TAIL)] = '\0';
	/* Nothing in the data can end the element that it stands in. */
	assert_null(strchr(text + strlen(HEAD), '<'));
	root = parse(text + strlen(HEAD));
	string = json_object_array_get_idx(member(root, "strings"), 0);
	assert_string_equal(json_object_get_string(string), name);
	assert_true(json_object_object_get_ex(root, "base", NULL));
	json_object_put(root);
}

static void test_html_chance(void **state)
{
	for (unsigned int seed = 0; seed < 5; seed++) {
		cleanup(snapshot_cleanup) struct snapshot *snapshot =
			support_snapshot_random(seed, seed * 500);
		cleanup_free char *text = written(state, "html", snapshot, NULL);
		struct json_object *root;

		text[strlen(text) - strlen(TAIL)] = '\0';
		root = parse(text + strlen(HEAD));
		assert_false(json_object_object_get_ex(root, "base", NULL));
		json_object_put(root);
	}
}

static void test_html_left_out(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	uint64_t size = html_head_size;

	html_head_size = 0;
	support_fails(write_file(place->path, "html", snapshot, NULL), ERROR_FAILED,
		      "html was left out when this tmbpf was built");
	html_head_size = size;
	assert_int_equal(support_entries(place->folder), 0);
}

static void test_full(void **state)
{
	static const char *const names[] = {"folded", "speedscope", "json", "html"};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot_random(1, 2000);

	(void)state;
	for (size_t i = 0; i < array_size(names); i++)
		support_fails(write_file("/dev/full", names[i], snapshot, NULL), ERROR_FAILED,
			      "No space left on device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_folded, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_json, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_speedscope, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_html_names, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_html_chance, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_html_left_out, support_place_make,
						support_place_remove),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
