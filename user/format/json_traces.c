// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A whole snapshot as JSON. */
#include "format/json_traces.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "format/numbering.h"
#include "format/stream.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <inttypes.h>

static struct error *trace_write(struct output *output, const struct tables *tables,
				 const struct trace *trace, struct numbering *numbering)
{
	const struct traceback *traceback = &tables->tracebacks[trace->traceback];

	try(stream_format(output,
			  "{\"domain\":%" PRIu32 ",\"size\":%" PRIu64 ",\"count\":%" PRIu64
			  ",\"total_size\":%" PRIu64 ",\"total_count\":%" PRIu64
			  ",\"total_nframe\":%" PRIu32 ",\"traceback\":[",
			  trace->domain, trace->size, trace->count, trace->total_size,
			  trace->total_count, traceback->total_nframe));
	for (uint32_t i = 0; i < traceback->nframe; i++) {
		uint32_t frame = tables->traceback_frames[traceback->first + i];

		try(stream_format(output, i > 0 ? ",%" PRIu32 : "%" PRIu32,
				  numbering_use(numbering, frame)));
	}
	return stream_text(output, "]}");
}

static struct error *frame_write(struct output *output, const struct tables *tables,
				 const struct frame *frame)
{
	try(stream_text(output, "{\"filename\":"));
	try(stream_json_string(output, tables_filename(tables, frame)));
	try(stream_format(output, ",\"lineno\":%" PRIu32 ",\"function\":", frame->lineno));
	if (frame->name)
		try(stream_json_string(output, tables->strings[frame->name]));
	else
		try(stream_text(output, "null"));
	if (!frame->firstlineno)
		return stream_text(output, ",\"firstlineno\":null}");
	return stream_format(output, ",\"firstlineno\":%" PRIu32 "}", frame->firstlineno);
}

struct error *json_traces_write(const struct snapshot *snapshot, struct output *output)
{
	cleanup(numbering_cleanup) struct numbering numbering = {0};
	struct snapshot_totals totals = snapshot_totals(snapshot);
	const struct tables *tables = snapshot->tables;

	try(numbering_init(&numbering, tables->frame_count));
	try(stream_text(output, "{\"schema\":\"tmbpf-snapshot\",\"version\":1,\n\"snapshot\":"));
	try(stream_json_info(output, &snapshot->info));
	try(stream_format(output, ",\n\"size\":%" PRIu64 ",\"count\":%" PRIu64 ",\n\"traces\":[",
			  totals.size, totals.count));
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		try(stream_text(output, i > 0 ? ",\n" : "\n"));
		try(trace_write(output, tables, &snapshot->traces[i], &numbering));
	}
	try(stream_text(output, "],\n\"frames\":["));
	for (uint32_t i = 0; i < numbering.count; i++) {
		try(stream_text(output, i > 0 ? ",\n" : "\n"));
		try(frame_write(output, tables, &tables->frames[numbering.order[i]]));
	}
	return stream_text(output, "]}\n");
}
