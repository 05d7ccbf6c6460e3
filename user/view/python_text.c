// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Statistics and differences as Python prints them. */
#include "view/python_text.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/comparison.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include "view/place.h"
#include <errno.h>
#include <inttypes.h>

/* As "backslashreplace" writes what UTF-8 has no bytes for; all else is Python's own. */
static void name_write(const char *name, FILE *file)
{
	while (*name) {
		char bytes[4];
		uint32_t code;

		name += text_decode(name, &code);
		if (code & TEXT_INVALID) {
			fprintf(file, "\\x%02x", code & 0xff);
		} else if (code >= 0xd800 && code < 0xe000) {
			fprintf(file, "\\u%04x", code);
		} else {
			size_t length = text_encode(code, bytes);

			fwrite(bytes, 1, length, file);
		}
	}
}

static struct error *name_print(const char *name, bool terminal, FILE *file)
{
	cleanup_free char *shown = NULL;

	if (!terminal) {
		name_write(name, file);
		return NULL;
	}
	shown = text_display(name);
	if (!shown)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a name");
	fputs(shown, file);
	return NULL;
}

static struct error *place_print(const struct place *place, bool terminal, FILE *file)
{
	const struct tables *tables = place->tables;
	const struct frame *frame = &tables->frames[place->frame];
	uint32_t lineno = frame->lineno;

	if (place->group_by == GROUP_BY_TRACEBACK) {
		uint32_t oldest = tables->tracebacks[place->traceback].nframe - 1;

		frame = tables_traceback_frame(tables, place->traceback, oldest);
		lineno = frame->lineno;
	} else if (place->group_by == GROUP_BY_FILENAME) {
		lineno = 0;
	}
	try(name_print(tables_filename(tables, frame), terminal, file));
	fprintf(file, ":%" PRIu32 ": ", lineno);
	return NULL;
}

static void average_print(uint64_t size, uint64_t count, FILE *file)
{
	char number[TEXT_NUMBER_MAX];

	if (count > 0)
		fprintf(file, ", average=%s", text_average(size, count, number));
	fputc('\n', file);
}

struct error *python_print_statistics(const struct tables *tables,
				      const struct statistics *statistics, size_t limit, FILE *file)
{
	bool terminal = isatty(fileno(file));
	char size[TEXT_NUMBER_MAX];

	for (size_t i = 0; i < statistics->count && i < limit; i++) {
		const struct statistic *item = &statistics->items[i];
		struct place place = place_of_statistic(tables, statistics, item);

		try(place_print(&place, terminal, file));
		fprintf(file, "size=%s, count=%" PRIu64, text_size(item->size, size), item->count);
		average_print(item->size, item->count, file);
	}
	return NULL;
}

struct error *python_print_differences(const struct tables *tables,
				       const struct comparison *comparison, size_t limit,
				       FILE *file)
{
	bool terminal = isatty(fileno(file));
	char size[TEXT_NUMBER_MAX], size_diff[TEXT_NUMBER_MAX];

	for (size_t i = 0; i < comparison->count && i < limit; i++) {
		const struct difference *item = &comparison->items[i];
		const struct comparison_value *last =
			&comparison->values[item->values + comparison->snapshot_count - 1];
		struct place place = place_of_difference(tables, comparison, item);

		try(place_print(&place, terminal, file));
		fprintf(file, "size=%s (%s), count=%" PRIu64 " (%+" PRId64 ")",
			text_size(last->size, size), text_size_diff(item->size_diff, size_diff),
			last->count, item->count_diff);
		average_print(last->size, last->count, file);
	}
	return NULL;
}
