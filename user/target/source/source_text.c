// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Cuts a source file into lines. */
#include "target/source/source_text.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include <string.h>
#include <strings.h>

#define LINE_MAX_SHOWN 200 /* bytes of a line */

static bool ends_with(const char *name, const char *end)
{
	size_t length = strlen(name), end_length = strlen(end);

	return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

/* By its name, or as a script: "#!/usr/bin/env python3". */
static bool is_python(const char *name, const char *data, size_t size)
{
	const char *end = memchr(data, '\n', size < 256 ? size : 256);

	if (ends_with(name, ".py") || ends_with(name, ".pyw"))
		return true;
	return size > 2 && memcmp(data, "#!", 2) == 0 && end &&
	       memmem(data, (size_t)(end - data), "python", strlen("python"));
}

/* Lines end as Python's universal newlines do: "\n", "\r" or "\r\n". */
static bool lines_find(struct source_text *text)
{
	size_t capacity = 0;
	bool begins = true;

	for (size_t i = 0; i < text->size; i++) {
		if (begins) {
			struct error *error = array_reserve(&text->starts, &capacity,
							    text->line_count, 1,
							    sizeof(*text->starts));

			if (error) {
				error_destroy(error);
				return false;
			}
			text->starts[text->line_count++] = (uint32_t)i;
		}
		begins = text->data[i] == '\n' ||
			 (text->data[i] == '\r' &&
			  (i + 1 == text->size || text->data[i + 1] != '\n'));
	}
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Line I (from 0 on) without blanks at its ends. */
static const char *line_find(const struct source_text *text, size_t i, size_t *ret_length)
{
	size_t start = text->starts[i];
	size_t end = i + 1 < text->line_count ? text->starts[i + 1] : text->size;

	/* A byte order mark. */
	if (i == 0 && end >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0)
		start = 3;
	while (start < end && is_blank(text->data[start]))
		start++;
	while (start < end && is_blank(text->data[end - 1]))
		end--;
	*ret_length = end - start;
	return text->data + start;
}

/* Is a line a comment with PEP 263's "coding: NAME" or "coding=NAME", NAME being Latin-1? */
static bool cookie_is_latin_1(const char *line, size_t length)
{
	static const char *const names[] = {"latin-1", "latin1", "iso-8859-1", "iso8859-1",
					    "iso-latin-1"};
	cleanup_free char *copy = strndup(line, length);
	char *at = copy && *copy == '#' ? strstr(copy, "coding") : NULL;
	size_t name_length;

	if (!at)
		return false;
	at += strlen("coding");
	if (*at != ':' && *at != '=')
		return false;
	at++;
	at += strspn(at, " \t");
	name_length = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789-_.");
	for (size_t i = 0; i < array_size(names); i++) {
		if (strlen(names[i]) == name_length && strncasecmp(names[i], at, name_length) == 0)
			return true;
	}
	return false;
}

static bool latin_1_find(const struct source_text *text)
{
	for (size_t i = 0; i < text->line_count && i < 2; i++) {
		size_t length;
		const char *line = line_find(text, i, &length);

		if (cookie_is_latin_1(line, length))
			return true;
	}
	return false;
}

bool source_text_init(struct source_text *text, const char *name, char *data, size_t size)
{
	struct source_text made = {.data = data, .size = size};

	if (!is_python(name, data, size) || !lines_find(&made)) {
		source_text_deinit(&made);
		return false;
	}
	made.latin_1 = latin_1_find(&made);
	*text = made;
	return true;
}

void source_text_deinit(struct source_text *text)
{
	free(text->data);
	free(text->starts);
	*text = (struct source_text){0};
}

size_t source_text_memory(const struct source_text *text)
{
	return text->size + text->line_count * sizeof(*text->starts);
}

/* LENGTH bytes of Latin-1 as UTF-8; a NUL ends it. */
static char *latin_1_decode(const char *line, size_t length)
{
	char *decoded = malloc(2 * length + 1);
	size_t used = 0;

	if (!decoded)
		return NULL;
	for (size_t i = 0; i < length && line[i]; i++)
		used += text_encode((unsigned char)line[i], decoded + used);
	decoded[used] = '\0';
	return decoded;
}

char *source_text_line(const struct source_text *text, uint32_t lineno)
{
	cleanup_free char *whole = NULL;
	size_t length;
	const char *line;
	char *cut;

	if (lineno == 0 || lineno > text->line_count)
		return NULL;
	line = line_find(text, lineno - 1, &length);
	if (length <= LINE_MAX_SHOWN)
		return text->latin_1 ? latin_1_decode(line, length) : strndup(line, length);
	length = LINE_MAX_SHOWN;
	/* Not within a character. */
	while (!text->latin_1 && length > LINE_MAX_SHOWN - 4 && (line[length] & 0xc0) == 0x80)
		length--;
	whole = text->latin_1 ? latin_1_decode(line, length) : strndup(line, length);
	if (!whole || asprintf(&cut, "%s...", whole) < 0)
		return NULL;
	return cut;
}
