// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A line for each stack, as flame graph tools read it. */
#include "format/folded.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "format/stacks.h"
#include "format/stream.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <inttypes.h>
#include <stdbool.h>

/* What would end a frame or a line for some reader, or is no text. */
static bool is_special(uint32_t code)
{
	return code < 0x20 || code == ';' || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
	       code == 0x2029 || (code >= 0xd800 && code < 0xe000) || code & TEXT_INVALID;
}

static struct error *name_write(struct output *output, const char *text)
{
	const char *plain = text;

	for (;;) {
		uint32_t code = 0;
		size_t length = *text ? text_decode(text, &code) : 0;

		if (*text && !is_special(code)) {
			text += length;
			continue;
		}
		try(output_write(output, plain, (size_t)(text - plain)));
		if (!*text)
			return NULL;
		try(stream_format(output, (code & ~TEXT_INVALID) < 0x100 ? "\\x%02x" : "\\u%04x",
				  code & ~TEXT_INVALID));
		text += length;
		plain = text;
	}
}

static struct error *frame_write(struct output *output, const struct tables *tables,
				 const struct frame *frame)
{
	if (tables_frame_unknown(tables, frame))
		return stream_text(output, "<unknown>");
	if (frame->name) {
		try(name_write(output, tables->strings[frame->name]));
		try(stream_text(output, " ("));
	}
	try(name_write(output, tables_filename(tables, frame)));
	return stream_format(output, frame->name ? ":%" PRIu32 ")" : ":%" PRIu32, frame->lineno);
}

struct error *folded_write(const struct snapshot *snapshot, const struct snapshot *base,
			   struct output *output)
{
	cleanup(stacks_cleanup) struct stacks stacks = {0};
	const struct tables *tables = snapshot->tables;

	try(stacks_init(&stacks, snapshot, base));
	for (size_t i = 0; i < stacks.count; i++) {
		const struct stack *stack = &stacks.items[i];

		/* Blocks of no bytes have no width. */
		if (stack->size == 0 && stack->old_size == 0)
			continue;
		for (uint32_t j = tables->tracebacks[stack->traceback].nframe; j-- > 0;) {
			try(frame_write(output, tables,
					tables_traceback_frame(tables, stack->traceback, j)));
			try(stream_text(output, j > 0 ? ";" : " "));
		}
		if (base)
			try(stream_format(output, "%" PRIu64 " ", stack->old_size));
		try(stream_format(output, "%" PRIu64 "\n", stack->size));
	}
	return NULL;
}
