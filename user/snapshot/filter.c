// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tracemalloc's filters. */
#include "snapshot/filter.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The ']' that ends the set whose content begins at SET, or NULL: the '[' before it then stands
 * for itself. A ']' that comes first (after a '!') is an element.
 */
static const char *set_end(const char *set, const char *end)
{
	if (set < end && *set == '!')
		set++;
	if (set < end && *set == ']')
		set++;
	return set < end ? memchr(set, ']', (size_t)(end - set)) : NULL;
}

/* The element at SET, one code point or a range, and where the next one is. */
static const char *set_element(const char *set, const char *end, uint32_t *ret_low,
			       uint32_t *ret_high)
{
	set += text_decode(set, ret_low);
	*ret_high = *ret_low;
	if (*set == '-' && set + 1 < end) {
		set++;
		set += text_decode(set, ret_high);
	}
	return set;
}

/*
 * The content of the set from SET to END without the '!' that negates it. From Python 3.10 on
 * fnmatch.translate() cuts out ranges that run backwards before it looks for the '!', which so may
 * be behind them as well. (Older ones raise an error at such ranges.)
 */
static const char *set_content(const char *set, const char *end, bool *ret_negated)
{
	const char *behind = set, *next = set;
	uint32_t low, high;

	while (next < end) {
		next = set_element(next, end, &low, &high);
		if (low <= high)
			break;
		behind = next;
	}
	*ret_negated = *set == '!' || (behind < end && *behind == '!');
	if (!*ret_negated)
		return set;
	return (*set == '!' ? set : behind) + 1;
}

/* Whether CODE is in the set from SET to END. A range that runs backwards is empty. */
static bool set_match(const char *set, const char *end, uint32_t code)
{
	bool negated, found = false;

	set = set_content(set, end, &negated);
	while (set < end) {
		uint32_t low, high;

		set = set_element(set, end, &low, &high);
		if (low <= code && code <= high)
			found = true;
	}
	return found != negated;
}

/* Matches one code point with the element at *PATTERN, which is not '*', and steps over it. */
static bool element_match(const char **pattern, const char *pattern_end, uint32_t code)
{
	const char *end;
	uint32_t wanted;
	bool matches;

	if (*pattern == pattern_end)
		return false;
	end = **pattern == '[' ? set_end(*pattern + 1, pattern_end) : NULL;
	if (end) {
		matches = set_match(*pattern + 1, end, code);
		*pattern = end + 1;
		return matches;
	}
	matches = **pattern == '?';
	*pattern += text_decode(*pattern, &wanted);
	return matches || wanted == code;
}

static bool text_match(const char *pattern, size_t pattern_size, const char *text, size_t size)
{
	const char *pattern_end = pattern + pattern_size, *end = text + size;
	/* Behind the last '*', and where the text is that it does not take yet. */
	const char *resume = NULL, *resume_text = NULL;
	uint32_t code;

	for (;;) {
		const char *next = text;

		if (pattern < pattern_end && *pattern == '*') {
			resume = ++pattern;
			resume_text = text;
			continue;
		}
		if (text == end && pattern == pattern_end)
			return true;
		if (text < end) {
			next += text_decode(text, &code);
			if (element_match(&pattern, pattern_end, code)) {
				text = next;
				continue;
			}
		}
		/* The last '*' takes one more: an earlier one need never be tried again. */
		if (!resume || resume_text == end)
			return false;
		resume_text += text_decode(resume_text, &code);
		text = resume_text;
		pattern = resume;
	}
}

bool pattern_match(const char *pattern, const char *text)
{
	return text_match(pattern, strlen(pattern), text, strlen(text));
}

/* The length of TEXT without the "c" of a ".pyc" at its end, as _normalize_filename(). */
static size_t length_normalized(const char *text)
{
	size_t length = strlen(text);

	return length >= 4 && strcmp(text + length - 4, ".pyc") == 0 ? length - 1 : length;
}

enum verdict {
	VERDICT_UNKNOWN,
	VERDICT_NO,
	VERDICT_YES,
};

struct matcher {
	const struct filter *filters;
	size_t count;
	const struct tables *tables;
	/* What each filter's pattern says of each file name: filter by filter. */
	uint8_t *verdicts;
	size_t string_count;
};

struct error *matcher_create(const struct filter *filters, size_t count,
			     const struct tables *tables, struct matcher **ret)
{
	struct matcher *matcher = calloc(1, sizeof(*matcher));

	if (matcher)
		matcher->verdicts = calloc(count + 1, tables->string_count);
	if (!matcher || !matcher->verdicts) {
		free(matcher);
		return error_create_errno(ERROR_FAILED, ENOMEM, "%zu filters", count);
	}
	matcher->filters = filters;
	matcher->count = count;
	matcher->tables = tables;
	matcher->string_count = tables->string_count;
	*ret = matcher;
	return NULL;
}

void matcher_destroy(struct matcher *matcher)
{
	if (!matcher)
		return;
	free(matcher->verdicts);
	free(matcher);
}

static bool filename_match(const struct matcher *matcher, size_t filter, uint32_t filename)
{
	uint8_t *verdict = &matcher->verdicts[filter * matcher->string_count + filename];

	if (*verdict == VERDICT_UNKNOWN) {
		const char *pattern = matcher->filters[filter].pattern;
		const char *name = matcher->tables->strings[filename];

		*verdict = text_match(pattern, length_normalized(pattern), name,
				      length_normalized(name))
				   ? VERDICT_YES
				   : VERDICT_NO;
	}
	return *verdict == VERDICT_YES;
}

/* Filter._match_traceback() without regard to whether it is inclusive. */
static bool any_frame_matches(const struct matcher *matcher, size_t i,
			      const struct traceback *traceback)
{
	const struct filter *filter = &matcher->filters[i];
	const uint32_t *frames = &matcher->tables->traceback_frames[traceback->first];

	for (uint32_t j = 0; j < (filter->all_frames ? traceback->nframe : 1); j++) {
		const struct frame *frame = &matcher->tables->frames[frames[j]];

		if (filter->has_lineno && filter->lineno != frame->lineno)
			continue;
		if (filename_match(matcher, i, frame->filename))
			return true;
	}
	return false;
}

static bool filter_passes(const struct matcher *matcher, size_t i, const struct trace *trace)
{
	const struct filter *filter = &matcher->filters[i];
	bool passes;

	if (!filter->pattern)
		return (trace->domain == filter->domain) == filter->inclusive;
	passes = any_frame_matches(matcher, i, &matcher->tables->tracebacks[trace->traceback]) ==
		 filter->inclusive;
	if (!filter->has_domain)
		return passes;
	if (filter->inclusive)
		return passes && trace->domain == filter->domain;
	return passes || trace->domain != filter->domain;
}

bool matcher_passes(const struct matcher *matcher, const struct trace *trace)
{
	bool any_inclusive = false, included = false;

	for (size_t i = 0; i < matcher->count; i++) {
		if (!matcher->filters[i].inclusive) {
			if (!filter_passes(matcher, i, trace))
				return false;
		} else {
			any_inclusive = true;
			included = included || filter_passes(matcher, i, trace);
		}
	}
	return included || !any_inclusive;
}
