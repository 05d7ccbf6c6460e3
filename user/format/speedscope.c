// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* speedscope's own format. */
#include "format/speedscope.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/version.h"
#include "format/numbering.h"
#include "format/stacks.h"
#include "format/stream.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <inttypes.h>
#include <stdbool.h>

static struct error *frame_write(struct output *output, const struct tables *tables,
				 const struct frame *frame)
{
	const char *file = tables_filename(tables, frame);

	if (tables_frame_unknown(tables, frame))
		return stream_text(output, "{\"name\":\"<unknown>\"}");
	try(stream_text(output, "{\"name\":"));
	try(stream_json_string(output, frame->name ? tables->strings[frame->name] : file));
	try(stream_text(output, ",\"file\":"));
	try(stream_json_string(output, file));
	return stream_format(output, ",\"line\":%" PRIu32 "}", frame->lineno);
}

static struct error *frames_write(struct output *output, const struct tables *tables,
				  const struct numbering *numbering)
{
	for (uint32_t i = 0; i < numbering->count; i++) {
		try(stream_text(output, i > 0 ? ",\n" : "\n"));
		try(frame_write(output, tables, &tables->frames[numbering->order[i]]));
	}
	return NULL;
}

static struct error *samples_write(struct output *output, const struct stacks *stacks,
				   struct numbering *numbering)
{
	const struct tables *tables = stacks->tables;

	for (size_t i = 0; i < stacks->count; i++) {
		const struct traceback *traceback = &tables->tracebacks[stacks->items[i].traceback];

		try(stream_text(output, i > 0 ? ",\n[" : "\n["));
		for (uint32_t j = traceback->nframe; j-- > 0;) {
			uint32_t frame = tables->traceback_frames[traceback->first + j];

			try(stream_format(output, j > 0 ? "%" PRIu32 "," : "%" PRIu32,
					  numbering_use(numbering, frame)));
		}
		try(stream_text(output, "]"));
	}
	return NULL;
}

static struct error *profile_write(struct output *output, const struct stacks *stacks,
				   struct numbering *numbering, bool bytes)
{
	uint64_t total = 0;

	try(stream_format(output, "{\"type\":\"sampled\",\"name\":\"%s\",\"unit\":\"%s\",",
			  bytes ? "bytes held" : "blocks held", bytes ? "bytes" : "none"));
	try(stream_text(output, "\"samples\":["));
	try(samples_write(output, stacks, numbering));
	try(stream_text(output, "],\n\"weights\":["));
	for (size_t i = 0; i < stacks->count; i++) {
		uint64_t weight = bytes ? stacks->items[i].size : stacks->items[i].count;

		total += weight;
		try(stream_format(output, i > 0 ? ",%" PRIu64 : "%" PRIu64, weight));
	}
	return stream_format(output, "],\n\"startValue\":0,\"endValue\":%" PRIu64 "}", total);
}

struct error *speedscope_write(const struct snapshot *snapshot, struct output *output)
{
	cleanup(numbering_cleanup) struct numbering numbering = {0};
	cleanup(stacks_cleanup) struct stacks stacks = {0};

	try(stacks_init(&stacks, snapshot, NULL));
	try(numbering_init(&numbering, snapshot->tables->frame_count));
	try(stream_text(output,
			"{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
			"\"exporter\":\"tmbpf " TMBPF_VERSION "\",\n\"name\":"));
	try(stream_json_string(output, snapshot->info.command_line));
	try(stream_text(output, ",\n\"activeProfileIndex\":0,\n\"profiles\":["));
	try(profile_write(output, &stacks, &numbering, true));
	try(stream_text(output, ",\n"));
	try(profile_write(output, &stacks, &numbering, false));
	try(stream_text(output, "],\n\"shared\":{\"frames\":["));
	try(frames_write(output, snapshot->tables, &numbering));
	return stream_text(output, "]}}\n");
}
