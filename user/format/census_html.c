// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A census as a page. */
#include "format/census_html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "format/stream.h"
#include "snapshot/census.h"
#include "snapshot/snapshot.h"

static const char head[] =
	"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	"style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n<title>tmbpf heap</title>\n"
	"<style>\n"
	":root{color-scheme:light dark}\n"
	"body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem;max-width:80rem}\n"
	"table{border-collapse:collapse;margin:.5rem 0 2rem}\n"
	"th,td{padding:.1rem .8rem;text-align:right;white-space:nowrap}\n"
	"th:last-child,td:last-child{text-align:left;white-space:normal;overflow-wrap:anywhere}\n"
	"th{border-bottom:1px solid;position:sticky;top:0;background:Canvas}\n"
	"th button{font:inherit;font-weight:bold;background:none;border:0;padding:0;cursor:pointer;"
	"color:inherit}\n"
	"tbody tr:hover{background:color-mix(in srgb,CanvasText 8%,Canvas)}\n"
	".more{color:light-dark(#b00020,#ff8a80)}.less{color:light-dark(#00691c,#7bd88f)}\n"
	"input{font:inherit;width:20rem}\n"
	"</style>\n";

/*
 * Each table's titles sort its rows, numbers the largest first. The field shows those that match.
 */
static const char tail[] =
	"<script>\n"
	"'use strict';\n"
	"for (const table of document.querySelectorAll('table.sortable')) {\n"
	"  const body = table.tBodies[0];\n"
	"  table.querySelectorAll('th').forEach((title, column) => {\n"
	"    title.querySelector('button').addEventListener('click', () => {\n"
	"      const down = title.getAttribute('aria-sort') !== 'descending';\n"
	"      const value = row => row.cells[column].dataset.value;\n"
	"      const order = (a, b) => value(a) === undefined\n"
	"        ? b.cells[column].textContent.localeCompare(a.cells[column].textContent)\n"
	"        : Number(value(b)) - Number(value(a));\n"
	"      const rows = Array.from(body.rows);\n"
	"      rows.sort((a, b) => down ? order(a, b) : order(b, a));\n"
	"      for (const other of table.querySelectorAll('th'))\n"
	"        other.removeAttribute('aria-sort');\n"
	"      title.setAttribute('aria-sort', down ? 'descending' : 'ascending');\n"
	"      body.append(...rows);\n"
	"    });\n"
	"  });\n"
	"}\n"
	"document.querySelector('input').addEventListener('input', event => {\n"
	"  const text = event.target.value.toLowerCase();\n"
	"  for (const row of document.querySelectorAll('table.sortable tbody tr')) {\n"
	"    const last = row.cells[row.cells.length - 1];\n"
	"    row.hidden = !last.textContent.toLowerCase().includes(text);\n"
	"  }\n"
	"});\n"
	"</script>\n</html>\n";

/* TEXT where HTML has text; what is no Unicode becomes U+FFFD. */
static struct error *text_write(const char *text, struct output *output)
{
	cleanup_free char *strict = NULL;
	size_t size;

	strict = text_strict(text ? text : "", &size);
	if (!strict)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a page");
	for (size_t i = 0; i < size; i++) {
		switch (strict[i]) {
		case '&':
			try(stream_text(output, "&amp;"));
			break;
		case '<':
			try(stream_text(output, "&lt;"));
			break;
		case '\0':
			try(stream_text(output, "\xef\xbf\xbd"));
			break;
		default:
			try(output_write(output, &strict[i], 1));
		}
	}
	return NULL;
}

static struct error *number_write(uint64_t number, struct output *output)
{
	return stream_format(output, "<td data-value=\"%" PRIu64 "\">%" PRIu64 "</td>", number,
			     number);
}

static struct error *size_write(uint64_t size, struct output *output)
{
	char text[TEXT_NUMBER_MAX];

	return stream_format(output, "<td data-value=\"%" PRIu64 "\">%s</td>", size,
			     text_size(size, text));
}

static const char *change_class(int64_t diff)
{
	if (diff == 0)
		return "";
	return diff > 0 ? "more" : "less";
}

static struct error *row_write(const struct census_rows *rows, const struct census_row *row,
			       bool compared, struct output *output)
{
	int64_t diff = (int64_t)(row->size - row->size_before);
	char text[TEXT_NUMBER_MAX];

	try(stream_text(output, "<tr>"));
	if (compared)
		try(stream_format(output, "<td class=\"%s\" data-value=\"%" PRId64 "\">%s</td>",
				  change_class(diff), diff, text_size_diff(diff, text)));
	try(size_write(row->size, output));
	if (rows->by == CENSUS_BY_OWNER)
		try(size_write(row->owned, output));
	if (compared) {
		diff = (int64_t)(row->count - row->count_before);
		try(stream_format(output, "<td data-value=\"%" PRId64 "\">%+" PRId64 "</td>", diff,
				  diff));
	}
	try(number_write(row->count, output));
	try(stream_text(output, "<td>"));
	try(text_write(row->name, output));
	return stream_text(output, "</td></tr>\n");
}

static struct error *title_write(const char *title, struct output *output)
{
	return stream_format(output, "<th><button>%s</button></th>", title);
}

static struct error *table_write(const struct census *census, const struct census *before,
				 enum census_by by, struct output *output)
{
	static const struct {
		const char *head, *name;
	} texts[] = {
		[CENSUS_BY_PART] = {"By type", "type"},
		[CENSUS_BY_SIZE] = {"By size", "size of a block"},
		[CENSUS_BY_OWNER] = {"By owner", "owner"},
	};
	cleanup(census_rows_cleanup) struct census_rows *rows = NULL;

	try(census_group(census, before, by, &rows));
	try(stream_format(output, "<h2>%s</h2>\n<table class=\"sortable\"><thead><tr>",
			  texts[by].head));
	if (before)
		try(title_write("size_diff", output));
	try(title_write("size", output));
	if (by == CENSUS_BY_OWNER)
		try(title_write("owned", output));
	if (before)
		try(title_write("count_diff", output));
	try(title_write(by == CENSUS_BY_OWNER ? "objects" : "count", output));
	try(title_write(texts[by].name, output));
	try(stream_text(output, "</tr></thead><tbody>\n"));
	for (size_t i = 0; i < rows->count; i++)
		try(row_write(rows, &rows->rows[i], before, output));
	return stream_text(output, "</tbody></table>\n");
}

/* BEFORE and TEXT on a line of its own, if there is one. */
static struct error *line_write(const char *before, const char *text, struct output *output)
{
	if (!text || !*text)
		return NULL;
	try(stream_format(output, "<br>%s", before));
	return text_write(text, output);
}

/* Who else allocates, and what that may come to. */
static struct error *allocators_write(const struct census_info *info, struct output *output)
{
	bool absent = info->malloc_absent && *info->malloc_absent;
	bool unread = info->allocators_unread && *info->allocators_unread;
	char size[TEXT_NUMBER_MAX];

	try(line_write("not counted: malloc's blocks: ", info->malloc_absent, output));
	try(line_write("not counted, for their heaps are not read: blocks of ",
		       info->allocators_unread, output));
	try(line_write("no object is counted: they come from ", info->objects_unread, output));
	try(line_write("perhaps not counted: blocks of allocators not known: ",
		       info->allocators_unknown, output));
	if ((!absent && !unread) || info->unaccounted == UINT64_MAX)
		return NULL;
	return stream_format(output, "<br>not accounted for: %s of anonymous memory",
			     text_size(info->unaccounted, size));
}

static struct error *info_write(const struct census_info *info, const char *title,
				struct output *output)
{
	char version[32], when[TEXT_NUMBER_MAX], rss[TEXT_NUMBER_MAX];

	snapshot_python_version(info->python_version, version, sizeof(version));
	try(stream_format(output, "<p>%s pid %" PRId32 ": ", title, info->pid));
	try(text_write(info->command_line, output));
	try(stream_text(output, ", on "));
	try(text_write(info->host, output));
	try(stream_format(output, "<br>CPython %s", version));
	if (*text_time(info->time_nanos, when))
		try(stream_format(output, ", %s UTC", when));
	try(stream_format(output, ", RSS %s", text_size(info->rss, rss)));
	if (info->unstable_pools || info->lost_arenas)
		try(stream_format(output,
				  "<br>not counted: %" PRIu64
				  " pools that changed each time they were "
				  "read, %" PRIu64 " arenas that were given back meanwhile",
				  info->unstable_pools, info->lost_arenas));
	if (info->malloc_unknown)
		try(stream_format(
			output,
			"<br>not counted: %s of malloc's in which no blocks could be made "
			"out",
			text_size(info->malloc_unknown, rss)));
	if (info->malloc_vanished)
		try(stream_format(output,
				  "<br>%s of malloc's were given back meanwhile: blocks in them "
				  "may be counted",
				  text_size(info->malloc_vanished, rss)));
	try(allocators_write(info, output));
	return stream_text(output, "</p>\n");
}

static struct error *memory_write(const struct census *census, struct output *output)
{
	if (census->part_count == 0)
		return NULL;
	try(stream_text(output, "<h2>Anonymous memory</h2>\n<table>\n"));
	for (size_t i = 0; i < census->part_count; i++) {
		const struct census_part *part = &census->parts[i];
		char share[TEXT_NUMBER_MAX];

		try(stream_text(output, "<tr>"));
		try(size_write(part->size, output));
		try(stream_format(output, "<td>%s</td><td>",
				  text_share(part->size, census->info.rss_anonymous, share)));
		try(text_write(part->name, output));
		try(stream_text(output, "</td></tr>\n"));
	}
	return stream_text(output, "</table>\n");
}

struct error *census_html_write(const struct census *census, const struct census *before,
				struct output *output)
{
	static const enum census_by all[] = {CENSUS_BY_PART, CENSUS_BY_OWNER, CENSUS_BY_SIZE};

	try(stream_text(output, head));
	try(stream_text(output, "<h1>tmbpf heap</h1>\n"));
	try(info_write(&census->info, "", output));
	if (before)
		try(info_write(&before->info, "compared with", output));
	try(memory_write(census, output));
	try(stream_text(output,
			"<p><label>Show what matches <input type=\"search\"></label></p>\n"));
	for (size_t i = 0; i < array_size(all); i++)
		try(table_write(census, before, all[i], output));
	return stream_text(output, tail);
}
