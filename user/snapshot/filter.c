// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/filter.h"
#include "base/text.h"
#include "snapshot/snapshot.h"
#include <string.h>

/*
 * The ']' that ends the set whose content begins at SET, or NULL: the '[' before it then stands
 * for itself. A ']' that comes first (after a '!') is an element.
 */
static const char *set_end(const char *set)
{
	if (*set == '!')
		set++;
	if (*set == ']')
		set++;
	return strchr(set, ']');
}

/* Whether CODE is in the set from SET to END. A range that runs backwards is empty. */
static bool set_match(const char *set, const char *end, uint32_t code)
{
	bool negated = *set == '!';
	bool found = false;

	if (negated)
		set++;
	while (set < end) {
		uint32_t low, high;

		set += text_decode(set, &low);
		high = low;
		if (*set == '-' && set + 1 < end) {
			set++;
			set += text_decode(set, &high);
		}
		if (low <= code && code <= high)
			found = true;
	}
	return found != negated;
}

/* Matches one code point with the element at *PATTERN, which is not '*', and steps over it. */
static bool element_match(const char **pattern, uint32_t code)
{
	const char *end = **pattern == '[' ? set_end(*pattern + 1) : NULL;
	bool matches;
	uint32_t wanted;

	if (**pattern == '\0')
		return false;
	if (end) {
		matches = set_match(*pattern + 1, end, code);
		*pattern = end + 1;
		return matches;
	}
	matches = **pattern == '?';
	*pattern += text_decode(*pattern, &wanted);
	return matches || wanted == code;
}

bool pattern_match(const char *pattern, const char *text)
{
	/* Behind the last '*', and where the text is that it does not take yet. */
	const char *resume = NULL, *resume_text = NULL;
	uint32_t code;

	for (;;) {
		const char *next = text;

		if (*pattern == '*') {
			resume = ++pattern;
			resume_text = text;
			continue;
		}
		if (*text == '\0' && *pattern == '\0')
			return true;
		if (*text != '\0') {
			next += text_decode(text, &code);
			if (element_match(&pattern, code)) {
				text = next;
				continue;
			}
		}
		/* The last '*' takes one more: an earlier one need never be tried again. */
		if (!resume || *resume_text == '\0')
			return false;
		resume_text += text_decode(resume_text, &code);
		text = resume_text;
		pattern = resume;
	}
}

/* TEXT without the "c" of a ".pyc" at its end, as _normalize_filename(), in BUFFER if need be. */
static const char *filename_normalize(const char *text, char *buffer, size_t size)
{
	size_t length = strlen(text);

	if (length < 4 || strcmp(text + length - 4, ".pyc") != 0 || length > size)
		return text;
	memcpy(buffer, text, length - 1);
	buffer[length - 1] = '\0';
	return buffer;
}

static bool filter_match_frame(const struct filter *filter, const struct snapshot *snapshot,
			       const struct frame *frame)
{
	/* Paths have an end; a longer "name" keeps its "c". */
	char pattern_buffer[4096], name_buffer[4096];
	const char *name = snapshot_filename(snapshot, frame);

	if (filter->has_lineno && filter->lineno != (frame ? frame->lineno : 0))
		return false;
	return pattern_match(filename_normalize(filter->pattern, pattern_buffer,
						sizeof(pattern_buffer)),
			     filename_normalize(name, name_buffer, sizeof(name_buffer)));
}

static bool filter_match_traceback(const struct filter *filter, const struct snapshot *snapshot,
				   const struct traceback *traceback)
{
	const struct frame *frames = snapshot->frames + traceback->first;

	if (traceback->nframe == 0)
		return filter_match_frame(filter, snapshot, NULL) == filter->inclusive;
	for (uint32_t i = 0; i < (filter->all_frames ? traceback->nframe : 1); i++) {
		if (filter_match_frame(filter, snapshot, &frames[i]))
			return filter->inclusive;
	}
	return !filter->inclusive;
}

static bool filter_match(const struct filter *filter, const struct snapshot *snapshot,
			 const struct trace *trace)
{
	bool matches;

	if (!filter->pattern)
		return (trace->domain == filter->domain) == filter->inclusive;
	matches = filter_match_traceback(filter, snapshot, &snapshot->tracebacks[trace->traceback]);
	if (!filter->has_domain)
		return matches;
	if (filter->inclusive)
		return matches && trace->domain == filter->domain;
	return matches || trace->domain != filter->domain;
}

bool filters_match(const struct filter *filters, size_t count, const struct snapshot *snapshot,
		   const struct trace *trace)
{
	bool any_inclusive = false, included = false;

	for (size_t i = 0; i < count; i++) {
		if (!filters[i].inclusive) {
			if (!filter_match(&filters[i], snapshot, trace))
				return false;
		} else {
			any_inclusive = true;
			included = included || filter_match(&filters[i], snapshot, trace);
		}
	}
	return included || !any_inclusive;
}
