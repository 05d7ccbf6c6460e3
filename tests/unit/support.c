// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Folders, files and snapshots for tests. */
#include "support.h"
#include "base/cleanup.h"
#include "snapshot/tables.h"
#include <dirent.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

void support_ok(struct error *error)
{
	if (error) {
		print_error("%s\n", error_message(error));
		error_destroy(error);
		fail();
	}
}

void support_fails(struct error *error, enum error_kind kind, const char *text)
{
	assert_non_null(error);
	if (!strstr(error_message(error), text))
		fail_msg("\"%s\" has no \"%s\"", error_message(error), text);
	assert_int_equal(error_kind(error), kind);
	error_destroy(error);
}

char *support_folder(void)
{
	char *folder = strdup("/tmp/tmbpf-unit-XXXXXX");

	assert_non_null(folder);
	assert_non_null(mkdtemp(folder));
	return folder;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

void support_folder_remove(char *folder)
{
	assert_int_equal(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(folder);
}

char *support_path(const char *folder, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	return path;
}

int support_place_make(void **state)
{
	static struct support_place place;

	place.folder = support_folder();
	place.path = support_path(place.folder, "file");
	*state = &place;
	return 0;
}

int support_place_remove(void **state)
{
	struct support_place *place = *state;

	free(place->path);
	support_folder_remove(place->folder);
	return 0;
}

int support_entries(const char *folder)
{
	cleanup_dir DIR *dir = opendir(folder);
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	return count - 2; /* "." and ".." */
}

uint8_t *support_read(const char *path, size_t *ret_size)
{
	cleanup_file FILE *file = fopen(path, "re");
	struct stat status;
	uint8_t *data;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &status), 0);
	data = malloc((size_t)status.st_size + 1);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, (size_t)status.st_size, file), status.st_size);
	*ret_size = (size_t)status.st_size;
	return data;
}

void support_write(const char *path, const void *data, size_t size)
{
	cleanup_file FILE *file = fopen(path, "we");

	assert_non_null(file);
	if (size > 0)
		assert_int_equal(fwrite(data, 1, size, file), size);
}

uint32_t support_string(struct snapshot_builder *builder, const char *text)
{
	uint32_t string;

	support_ok(tables_string(snapshot_builder_tables(builder), text, strlen(text), &string));
	return string;
}

static void add_trace(struct snapshot_builder *builder, const struct frame *frames, uint32_t nframe,
		      uint32_t total_nframe, struct trace trace)
{
	struct tables *tables = snapshot_builder_tables(builder);
	uint32_t indexes[130];

	assert_true(nframe <= array_size(indexes));
	for (uint32_t i = 0; i < nframe; i++)
		support_ok(tables_frame(tables, &frames[i], &indexes[i]));
	support_ok(tables_traceback(tables, indexes, nframe, total_nframe, &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
}

static char *copy(const char *text)
{
	char *text_copy = strdup(text);

	assert_non_null(text_copy);
	return text_copy;
}

static void fill_info(struct snapshot_info *info)
{
	info->time_nanos = 1763683200123456789;
	info->duration_nanos = 12345678901;
	info->pid = 4711;
	info->command_line = copy("python3 -c 'print(\"=\")'\n\xff");
	info->executable = copy("/usr/bin/python3.11");
	info->host = copy("host");
	info->container = copy("");
	info->container_name = copy("web");
	info->image = copy("shop:7\x1b");
	info->cgroup = copy("/docker/web");
	info->start_time = 123456789012;
	info->boot_id = copy("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
	info->mount_namespace = 4026531841;
	info->python_version = 0x030b02f0;
	info->mode = copy("exact");
	info->traceback_limit = 25;
	info->current = 123456;
	info->peak = 234567;
	info->rss = 9876543210;
	info->coverage = 0.1 + 0.2; /* a number that no short decimal stands for */
	info->coverage_basis = copy("each caller of the refill function is attributed");
	support_ok(snapshot_info_loss(info, "stack_table_full", "tracebacks not kept", 17));
	support_ok(snapshot_info_loss(info, "none_of_these", "", 0));
}

struct snapshot *support_snapshot(void)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;
	struct frame frames[4];

	support_ok(snapshot_builder_create(NULL, &builder));
	fill_info(snapshot_builder_info(builder));
	frames[0] = (struct frame){support_string(builder, "/srv/app.py"),
				   support_string(builder, "Cache.put"), 12, 10};
	frames[1] = (struct frame){frames[0].filename, support_string(builder, "handle"), 40, 33};
	/* A lone surrogate, a byte that is no text, and what Python itself has for "unknown". */
	frames[2] = (struct frame){support_string(builder, "/srv/\xed\xb3\xbf\xffg\xc3\xb6.py"),
				   support_string(builder, "\xe5\x87\xbd"), 7, 0};
	frames[3] = (struct frame){support_string(builder, "<unknown>"), 0, 0, 0};
	add_trace(builder, frames, 2, 2,
		  (struct trace){.count = 3, .size = 1000, .total_count = 7, .total_size = 2048});
	add_trace(builder, frames + 1, 2, 130,
		  (struct trace){.count = 1, .size = 65536, .total_count = 1, .total_size = 65536});
	add_trace(builder, frames, 4, 4,
		  (struct trace){.domain = UINT32_MAX, .count = 1, .size = 0, .total_count = 1});
	add_trace(builder, frames + 3, 1, 1,
		  (struct trace){.count = 0, .size = 0, .total_count = 5, .total_size = 50});
	add_trace(builder, NULL, 0, 0,
		  (struct trace){
			  .domain = 1, .count = 2, .size = 9, .total_count = 2, .total_size = 9});
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

struct snapshot *support_snapshot_random(unsigned int seed, size_t count)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;
	uint32_t names[64];
	struct frame frames[130];

	support_ok(snapshot_builder_create(NULL, &builder));
	for (size_t i = 0; i < array_size(names); i++) {
		char name[32];

		snprintf(name, sizeof(name), "/usr/lib/x%u.py", (unsigned int)rand_r(&seed) % 1000);
		names[i] = support_string(builder, name);
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t nframe = (uint32_t)rand_r(&seed) % (i % 16 == 0 ? 130 : 12);
		uint64_t blocks = (uint64_t)rand_r(&seed) % 1000;

		for (uint32_t j = 0; j < nframe; j++) {
			uint32_t file = (uint32_t)rand_r(&seed) % array_size(names);

			frames[j] = (struct frame){names[file], names[file / 2],
						   (uint32_t)rand_r(&seed) % 200, file};
		}
		add_trace(builder, frames, nframe, nframe + (i % 5 == 0 ? 3 : 0),
			  (struct trace){.domain = i % 7 == 0,
					 .count = blocks,
					 .size = blocks * 64 + (blocks ? i : 0),
					 .total_count = blocks * 2,
					 .total_size = blocks * 200 + i});
	}
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

static void same_info(const struct snapshot_info *left, const struct snapshot_info *right)
{
	assert_int_equal(left->time_nanos, right->time_nanos);
	assert_int_equal(left->duration_nanos, right->duration_nanos);
	assert_int_equal(left->pid, right->pid);
	assert_string_equal(left->command_line, right->command_line);
	assert_string_equal(left->executable, right->executable);
	assert_string_equal(left->host, right->host);
	assert_string_equal(left->container, right->container);
	assert_string_equal(left->container_name, right->container_name);
	assert_string_equal(left->image, right->image);
	assert_string_equal(left->cgroup, right->cgroup);
	assert_int_equal(left->start_time, right->start_time);
	assert_string_equal(left->boot_id, right->boot_id);
	assert_int_equal(left->mount_namespace, right->mount_namespace);
	assert_int_equal(left->python_version, right->python_version);
	assert_string_equal(left->mode, right->mode);
	assert_int_equal(left->traceback_limit, right->traceback_limit);
	assert_int_equal(left->current, right->current);
	assert_int_equal(left->peak, right->peak);
	assert_int_equal(left->rss, right->rss);
	assert_true(left->coverage == right->coverage);
	assert_string_equal(left->coverage_basis, right->coverage_basis);
	assert_int_equal(left->loss_count, right->loss_count);
	for (size_t i = 0; i < left->loss_count; i++) {
		assert_string_equal(left->losses[i].name, right->losses[i].name);
		assert_string_equal(left->losses[i].text, right->losses[i].text);
		assert_int_equal(left->losses[i].count, right->losses[i].count);
	}
}

static void same_traceback(const struct tables *left, uint32_t left_index,
			   const struct tables *right, uint32_t right_index)
{
	const struct traceback *left_traceback = &left->tracebacks[left_index];
	const struct traceback *right_traceback = &right->tracebacks[right_index];

	assert_int_equal(left_traceback->nframe, right_traceback->nframe);
	assert_int_equal(left_traceback->total_nframe, right_traceback->total_nframe);
	for (uint32_t i = 0; i < left_traceback->nframe; i++) {
		const struct frame *one = tables_traceback_frame(left, left_index, i);
		const struct frame *other = tables_traceback_frame(right, right_index, i);

		assert_string_equal(left->strings[one->filename], right->strings[other->filename]);
		assert_string_equal(left->strings[one->name], right->strings[other->name]);
		assert_int_equal(one->lineno, other->lineno);
		assert_int_equal(one->firstlineno, other->firstlineno);
	}
}

void support_same(const struct snapshot *left, const struct snapshot *right)
{
	same_info(&left->info, &right->info);
	assert_int_equal(left->trace_count, right->trace_count);
	for (size_t i = 0; i < left->trace_count; i++) {
		const struct trace *one = &left->traces[i], *other = &right->traces[i];

		assert_int_equal(one->domain, other->domain);
		assert_int_equal(one->count, other->count);
		assert_int_equal(one->size, other->size);
		assert_int_equal(one->total_count, other->total_count);
		assert_int_equal(one->total_size, other->total_size);
		same_traceback(left->tables, one->traceback, right->tables, other->traceback);
	}
}

void support_put(const char *folder, const char *path, const char *text)
{
	char *whole = support_path(folder, path);

	for (size_t at = strlen(folder) + 1; whole[at]; at++) {
		if (whole[at] != '/')
			continue;
		whole[at] = 0;
		mkdir(whole, 0700);
		whole[at] = '/';
	}
	support_write(whole, text, strlen(text));
	free(whole);
}
