// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The options that choose traces. */
#include "command/options/filter_options.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "command/options/options.h"
#include "snapshot/filter.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <string.h>

#define DIGITS "0123456789"

enum option_key {
	OPTION_INCLUDE = 1024,
	OPTION_EXCLUDE,
	OPTION_INCLUDE_ALL_FRAMES,
	OPTION_EXCLUDE_ALL_FRAMES,
	OPTION_INCLUDE_DOMAIN,
	OPTION_EXCLUDE_DOMAIN,
	OPTION_ALL_FRAMES,
	OPTION_DOMAIN,
};

/* What each of the repeatable ones means. */
static const struct meaning {
	int key;
	bool inclusive, all_frames, domain;
	const char *name;
} meanings[] = {
	{OPTION_INCLUDE, true, false, false, "--include"},
	{OPTION_EXCLUDE, false, false, false, "--exclude"},
	{OPTION_INCLUDE_ALL_FRAMES, true, true, false, "--include-all-frames"},
	{OPTION_EXCLUDE_ALL_FRAMES, false, true, false, "--exclude-all-frames"},
	{OPTION_INCLUDE_DOMAIN, true, false, true, "--include-domain"},
	{OPTION_EXCLUDE_DOMAIN, false, false, true, "--exclude-domain"},
};

#define GROUP 3

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Filters, as tracemalloc's; each can be repeated:", GROUP},
	{"include", OPTION_INCLUDE, "PATTERN[:LINE][@DOMAIN]", 0,
	 "Only what was allocated at places that match", GROUP},
	{"exclude", OPTION_EXCLUDE, "PATTERN[:LINE][@DOMAIN]", 0,
	 "Nothing that was allocated at places that match", GROUP},
	{"include-all-frames", OPTION_INCLUDE_ALL_FRAMES, "PATTERN[:LINE][@DOMAIN]", 0,
	 "Only what has a place that matches anywhere in its traceback", GROUP},
	{"exclude-all-frames", OPTION_EXCLUDE_ALL_FRAMES, "PATTERN[:LINE][@DOMAIN]", 0,
	 "Nothing that has a place that matches anywhere in its traceback", GROUP},
	{"include-domain", OPTION_INCLUDE_DOMAIN, "N", 0, "Only what was allocated in domain N",
	 GROUP},
	{"exclude-domain", OPTION_EXCLUDE_DOMAIN, "N", 0, "Nothing that was allocated in domain N",
	 GROUP},
	{NULL, 0, NULL, 0, "For all filters:", GROUP + 1},
	{"all-frames", OPTION_ALL_FRAMES, NULL, 0,
	 "Let --include and --exclude look at whole tracebacks as well", GROUP + 1},
	{"domain", OPTION_DOMAIN, "N", 0, "Leave domain N alone before filtering", GROUP + 1},
	{0},
};

static const struct meaning *meaning_find(int key)
{
	for (size_t i = 0; i < array_size(meanings); i++) {
		if (meanings[i].key == key)
			return &meanings[i];
	}
	return NULL;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct filter_options *given = state->input;
	struct error *error;

	if (key == OPTION_ALL_FRAMES) {
		given->all_frames = true;
		return 0;
	}
	if (key == OPTION_DOMAIN) {
		given->domain = value;
		return 0;
	}
	if (!meaning_find(key))
		return ARGP_ERR_UNKNOWN;
	error = array_reserve(&given->given, &given->given_capacity, given->given_count, 1,
			      sizeof(*given->given));
	if (error) {
		error_destroy(error);
		return ENOMEM;
	}
	given->given[given->given_count++] = (struct filter_given){key, value};
	return 0;
}

const struct argp filter_argp = {.options = options, .parser = parse_option};

/*
 * The digits behind the last MARK in the LENGTH bytes of TEXT; NULL if not only digits follow it.
 */
static const char *suffix_find(const char *text, size_t length, char mark)
{
	const char *at = memrchr(text, mark, length);
	size_t digits;

	if (!at)
		return NULL;
	digits = strspn(at + 1, DIGITS);
	return digits > 0 && at + 1 + digits == text + length ? at + 1 : NULL;
}

/* Cuts MARK and the number behind it, *RET, off the end of the *LENGTH bytes of TEXT. */
static struct error *suffix_split(const struct meaning *meaning, const char *what, const char *text,
				  char mark, size_t *length, uint32_t *ret, bool *ret_found)
{
	const char *digits = suffix_find(text, *length, mark);
	cleanup_free char *number = NULL;
	char name[64];

	if (!digits)
		return NULL;
	number = strndup(digits, (size_t)(text + *length - digits));
	if (!number)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a filter");
	snprintf(name, sizeof(name), "%s's %s", meaning->name, what);
	try(option_count(name, number, 0, UINT32_MAX, ret));
	*length = (size_t)(digits - 1 - text);
	*ret_found = true;
	return NULL;
}

static struct error *pattern_check(const struct meaning *meaning, const char *text,
				   struct filter *filter)
{
	size_t length = strlen(text);

	try(suffix_split(meaning, "DOMAIN", text, '@', &length, &filter->domain,
			 &filter->has_domain));
	try(suffix_split(meaning, "LINE", text, ':', &length, &filter->lineno,
			 &filter->has_lineno));
	filter->pattern = strndup(text, length);
	if (!filter->pattern)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a filter");
	return NULL;
}

static struct error *domain_check(const char *name, const char *text, struct filter *filter)
{
	try(option_count(name, text, 0, UINT32_MAX, &filter->domain));
	filter->has_domain = true;
	return NULL;
}

struct error *filter_options_check(struct filter_options *given)
{
	given->filters = calloc(given->given_count + 1, sizeof(*given->filters));
	if (given->domain)
		given->domain_filter = calloc(1, sizeof(*given->domain_filter));
	if (!given->filters || (given->domain && !given->domain_filter))
		return error_create_errno(ERROR_FAILED, ENOMEM, "filters");
	if (given->domain) {
		given->domain_filter->inclusive = true;
		try(domain_check("--domain", given->domain, given->domain_filter));
	}
	for (size_t i = 0; i < given->given_count; i++) {
		const struct meaning *meaning = meaning_find(given->given[i].key);
		const char *value = given->given[i].value;
		struct filter *filter = &given->filters[given->filter_count++];

		filter->inclusive = meaning->inclusive;
		filter->all_frames = meaning->all_frames || given->all_frames;
		if (meaning->domain)
			try(domain_check(meaning->name, value, filter));
		else
			try(pattern_check(meaning, value, filter));
	}
	return NULL;
}

bool filter_options_any(const struct filter_options *given)
{
	return given->domain_filter || given->filter_count > 0;
}

struct error *filter_options_apply(const struct filter_options *given,
				   const struct snapshot *snapshot, struct snapshot **ret)
{
	cleanup(snapshot_cleanup) struct snapshot *domain = NULL;

	if (!filter_options_any(given)) {
		*ret = NULL;
		return NULL;
	}
	if (!given->domain_filter)
		return snapshot_filter(snapshot, given->filters, given->filter_count, ret);
	try(snapshot_filter(snapshot, given->domain_filter, 1, &domain));
	return snapshot_filter(domain, given->filters, given->filter_count, ret);
}

void filter_options_deinit(struct filter_options *given)
{
	for (size_t i = 0; i < given->filter_count; i++)
		free(given->filters[i].pattern);
	free(given->filters);
	free(given->domain_filter);
	free(given->given);
}
