// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Text and JSON written as it comes. */
#include "format/stream.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/output.h"
#include "base/text.h"
#include "format/json_info.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct error *stream_format(struct output *output, const char *format, ...)
{
	char buffer[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	return stream_text(output, buffer);
}

struct error *stream_text(struct output *output, const char *text)
{
	return output_write(output, text, strlen(text));
}

/* What needs no escape in JSON, nor in HTML around it. */
static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<';
}

static struct error *stream_json_code(struct output *output, uint32_t code)
{
	if (code & TEXT_INVALID || (code >= 0xd800 && code < 0xe000))
		code = 0xfffd;
	if (code < 0x10000)
		return stream_format(output, "\\u%04x", code);
	code -= 0x10000;
	return stream_format(output, "\\u%04x\\u%04x", 0xd800 + (code >> 10),
			     0xdc00 + (code & 0x3ff));
}

struct error *stream_json_string(struct output *output, const char *text)
{
	try(stream_text(output, "\""));
	while (*text) {
		size_t plain = 0;
		uint32_t code;

		while (is_plain(text[plain]))
			plain++;
		try(output_write(output, text, plain));
		text += plain;
		if (!*text)
			break;
		text += text_decode(text, &code);
		try(stream_json_code(output, code));
	}
	return stream_text(output, "\"");
}

struct error *stream_json_info(struct output *output, const struct snapshot_info *info)
{
	cleanup(json_deinit) struct json json;
	cleanup_free char *line = NULL;
	const char *text;

	json_init(&json);
	json_snapshot_info(&json, json.root, info);
	try(json_line(&json, &line));
	text = line;
	/* '<' stands inside strings alone, where its escape means the same. */
	for (;;) {
		size_t length = strcspn(text, "<");

		try(output_write(output, text, length));
		text += length;
		if (!*text++)
			return NULL;
		try(stream_text(output, "\\u003c"));
	}
}
