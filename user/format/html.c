// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A page that shows a snapshot. */
#include "format/html.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/version.h"
#include "format/flame.h"
#include "format/numbering.h"
#include "format/stacks.h"
#include "format/stream.h"
#include "snapshot/comparison.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include <inttypes.h>

/*
 * The page before its data and after it, from user/format/html/page.S. Where the page was left out
 * of the build, their sizes are 0.
 */
extern const char html_head[], html_tail[];
extern const uint64_t html_head_size, html_tail_size;

/*
 * What page.js reads. Frames and strings are referred to by number and come last, when it is known
 * which are used. Nodes and rows are arrays, as there are many:
 *
 *	node [kind, parent, frame or number of smaller ones, size, count, old size, old count]
 *	row  [frame, 1 if it is of several functions, size, count, old size, old count]
 */
struct page {
	const struct snapshot *snapshot, *base;
	struct output *output;
	struct numbering frames, strings;
};

static void page_cleanup(struct page *page)
{
	numbering_deinit(&page->frames);
	numbering_deinit(&page->strings);
}

static struct error *values_write(struct page *page, uint64_t size, uint64_t count,
				  uint64_t old_size, uint64_t old_count)
{
	try(stream_format(page->output, "%" PRIu64 ",%" PRIu64, size, count));
	if (page->base)
		try(stream_format(page->output, ",%" PRIu64 ",%" PRIu64, old_size, old_count));
	return stream_text(page->output, "]");
}

static struct error *node_write(struct page *page, const struct flame_node *node)
{
	uint32_t detail = node->smaller;

	if (node->kind == FLAME_FRAME)
		detail = numbering_use(&page->frames, node->frame);
	try(stream_format(page->output, "[%d,%" PRIu32 ",%" PRIu32 ",", (int)node->kind,
			  node->parent, detail));
	return values_write(page, node->size, node->count, node->old_size, node->old_count);
}

static struct error *flame_write(struct page *page, const struct stacks *stacks, bool leaf_first)
{
	cleanup(flame_cleanup) struct flame flame = {0};

	try(flame_init(&flame, stacks, leaf_first));
	try(stream_format(page->output, "{\"smaller\":%zu,\"deeper\":%zu,\"nodes\":[",
			  flame.smaller, flame.deeper));
	for (size_t i = 0; i < flame.count; i++) {
		try(stream_text(page->output, i > 0 ? ",\n" : "\n"));
		try(node_write(page, &flame.nodes[i]));
	}
	return stream_text(page->output, "]}");
}

static struct error *flames_write(struct page *page)
{
	cleanup(stacks_cleanup) struct stacks stacks = {0};

	try(stacks_init(&stacks, page->snapshot, page->base));
	try(stream_text(page->output, "\"callers\":"));
	try(flame_write(page, &stacks, false));
	try(stream_text(page->output, ",\n\"leaves\":"));
	return flame_write(page, &stacks, true);
}

static struct error *row_write(struct page *page, size_t i, uint32_t frame, bool several)
{
	return stream_format(page->output, "%s[%" PRIu32 ",%d,", i > 0 ? ",\n" : "\n",
			     numbering_use(&page->frames, frame), several);
}

/* Ends a table: how many groups there are besides the rows, and what they hold. */
static struct error *rest_write(struct page *page, size_t groups,
				const struct comparison_value *now,
				const struct comparison_value *old)
{
	try(stream_format(page->output, "],\"left_out\":%zu,\"rest\":[", groups));
	try(values_write(page, now->size, now->count, old->size, old->count));
	return stream_text(page->output, "}");
}

static struct error *statistics_write(struct page *page, const struct statistics_options *options)
{
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;
	struct comparison_value rest = {0};
	size_t shown;

	try(statistics_create(page->snapshot, options, &statistics));
	shown = statistics->count < HTML_ROW_MAX ? statistics->count : HTML_ROW_MAX;
	for (size_t i = 0; i < statistics->count; i++) {
		const struct statistic *item = &statistics->items[i];

		if (i < shown) {
			try(row_write(page, i, item->frame, item->several_functions));
			try(values_write(page, item->size, item->count, 0, 0));
		} else {
			rest.size += item->size;
			rest.count += item->count;
		}
	}
	return rest_write(page, statistics->count - shown, &rest, &rest);
}

static struct error *comparison_write(struct page *page, const struct statistics_options *options)
{
	cleanup(comparison_cleanup) struct comparison *comparison = NULL;
	const struct snapshot *snapshots[] = {page->base, page->snapshot};
	struct comparison_value rest[2] = {0};
	size_t shown;

	try(comparison_create(snapshots, array_size(snapshots), options, &comparison));
	shown = comparison->count < HTML_ROW_MAX ? comparison->count : HTML_ROW_MAX;
	for (size_t i = 0; i < comparison->count; i++) {
		const struct difference *item = &comparison->items[i];
		const struct comparison_value *values = &comparison->values[item->values];

		if (i < shown) {
			try(row_write(page, i, item->frame, item->several_functions));
			try(values_write(page, values[1].size, values[1].count, values[0].size,
					 values[0].count));
			continue;
		}
		for (size_t j = 0; j < array_size(rest); j++) {
			rest[j].size += values[j].size;
			rest[j].count += values[j].count;
		}
	}
	return rest_write(page, comparison->count - shown, &rest[1], &rest[0]);
}

static struct error *tables_write(struct page *page)
{
	static const enum group_by groups[] = {
		GROUP_BY_LINENO,
		GROUP_BY_FUNCTION,
		GROUP_BY_FILENAME,
	};

	try(stream_text(page->output, "\"tables\":{"));
	for (size_t i = 0; i < array_size(groups); i++) {
		struct statistics_options options = {.group_by = groups[i]};

		try(stream_format(page->output, "%s\"%s\":{\"rows\":[", i > 0 ? ",\n" : "",
				  group_by_names[groups[i]]));
		if (page->base)
			try(comparison_write(page, &options));
		else
			try(statistics_write(page, &options));
	}
	return stream_text(page->output, "}");
}

static struct error *names_write(struct page *page)
{
	const struct tables *tables = page->snapshot->tables;

	try(stream_text(page->output, "\"frames\":["));
	for (uint32_t i = 0; i < page->frames.count; i++) {
		const struct frame *frame = &tables->frames[page->frames.order[i]];

		try(stream_format(page->output, "%s[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]",
				  i > 0 ? "," : "", numbering_use(&page->strings, frame->filename),
				  numbering_use(&page->strings, frame->name), frame->lineno));
	}
	try(stream_text(page->output, "],\n\"strings\":["));
	for (uint32_t i = 0; i < page->strings.count; i++) {
		try(stream_text(page->output, i > 0 ? ",\n" : "\n"));
		try(stream_json_string(page->output, tables->strings[page->strings.order[i]]));
	}
	return stream_text(page->output, "]");
}

/* A snapshot in the head of the page. */
static struct error *head_write(struct page *page, const char *key, const struct snapshot *snapshot)
{
	struct snapshot_totals totals = snapshot_totals(snapshot);

	try(stream_format(page->output,
			  "\"%s\":{\"size\":%" PRIu64 ",\"count\":%" PRIu64 ",\"info\":", key,
			  totals.size, totals.count));
	try(stream_json_info(page->output, &snapshot->info));
	return stream_text(page->output, "},\n");
}

static struct error *data_write(struct page *page)
{
	try(stream_text(page->output, "{\"version\":\"" TMBPF_VERSION "\",\n"));
	try(head_write(page, "snapshot", page->snapshot));
	if (page->base)
		try(head_write(page, "base", page->base));
	try(flames_write(page));
	try(stream_text(page->output, ",\n"));
	try(tables_write(page));
	try(stream_text(page->output, ",\n"));
	try(names_write(page));
	return stream_text(page->output, "}\n");
}

struct error *html_write(const struct snapshot *snapshot, const struct snapshot *base,
			 struct output *output)
{
	cleanup(page_cleanup) struct page page = {
		.snapshot = snapshot,
		.base = base,
		.output = output,
	};

	if (html_head_size == 0)
		return error_advise(error_create(ERROR_FAILED,
						 "html was left out when this tmbpf was built"),
				    "install node and npm (`scripts/deps html` does on Debian), "
				    "then build tmbpf again with `make`, which says why it leaves "
				    "html out");
	try(numbering_init(&page.frames, snapshot->tables->frame_count));
	try(numbering_init(&page.strings, snapshot->tables->string_count));
	try(output_write(output, html_head, html_head_size));
	try(data_write(&page));
	return output_write(output, html_tail, html_tail_size);
}
