// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The places that groups stand for, in words. */
#include "view/place.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static char *line_text(const struct place *place, const struct frame *frame)
{
	const char *name = place->several_functions ? "" : place->tables->strings[frame->name];
	char *text;
	int length = asprintf(&text, "%s:%" PRIu32 "%s%s", tables_filename(place->tables, frame),
			      frame->lineno, *name ? " " : "", name);

	return length < 0 ? NULL : text;
}

static char *function_text(const struct place *place, const struct frame *frame)
{
	const char *name = place->tables->strings[frame->name];
	const char *filename = tables_filename(place->tables, frame);
	char *text;
	int length;

	if (!*name)
		name = "<unknown>";
	if (frame->firstlineno > 0)
		length = asprintf(&text, "%s (%s:%" PRIu32 ")", name, filename, frame->firstlineno);
	else
		length = asprintf(&text, "%s (%s)", name, filename);
	return length < 0 ? NULL : text;
}

char *place_text(const struct place *place)
{
	const struct frame *frame = &place->tables->frames[place->frame];

	switch (place->group_by) {
	case GROUP_BY_FILENAME:
		return strdup(tables_filename(place->tables, frame));
	case GROUP_BY_FUNCTION:
		return function_text(place, frame);
	case GROUP_BY_TRACEBACK:
		frame = tables_traceback_frame(place->tables, place->traceback, 0);
		break;
	case GROUP_BY_LINENO:
		break;
	}
	return line_text(place, frame);
}

static char *frame_source(const struct tables *tables, const struct frame *frame,
			  const struct source_lines *lines, size_t snapshot)
{
	if (!lines || frame->lineno == 0)
		return NULL;
	return lines->read(lines->context, snapshot, tables_filename(tables, frame), frame->lineno);
}

char *place_source(const struct place *place, const struct source_lines *lines, size_t snapshot)
{
	if (place->group_by != GROUP_BY_LINENO)
		return NULL;
	return frame_source(place->tables, &place->tables->frames[place->frame], lines, snapshot);
}

static struct error *frame_print(const struct tables *tables, const struct frame *frame,
				 const struct source_lines *lines, size_t snapshot, FILE *file)
{
	cleanup_free char *filename = text_display(tables_filename(tables, frame));
	cleanup_free char *name = text_display(tables->strings[frame->name]);
	cleanup_free char *line = frame_source(tables, frame, lines, snapshot);
	cleanup_free char *shown = text_display(line ? line : "");

	if (!filename || !name || !shown)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a traceback");
	fprintf(file, "  File \"%s\", line %" PRIu32 "%s%s\n", filename, frame->lineno,
		*name ? ", in " : "", name);
	if (*shown)
		fprintf(file, "    %s\n", shown);
	return NULL;
}

struct error *traceback_print(const struct tables *tables, uint32_t traceback,
			      const struct source_lines *lines, size_t snapshot, FILE *file)
{
	const struct traceback *frames = &tables->tracebacks[traceback];

	if (frames->total_nframe > frames->nframe) {
		uint32_t older = frames->total_nframe - frames->nframe;

		fprintf(file, "  (%" PRIu32 " older frame%s not kept)\n", older,
			older == 1 ? " was" : "s were");
	}
	for (uint32_t i = frames->nframe; i-- > 0;)
		try(frame_print(tables, tables_traceback_frame(tables, traceback, i), lines,
				snapshot, file));
	return NULL;
}
