// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The options that say how a session traces. */
#include "command/options/session_options.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "command/options/options.h"
#include "snapshot/snapshot.h"

enum {
	OPTION_EXACT = 512,
	OPTION_LAZY_FREE,
	OPTION_NFRAME,
	OPTION_MAX_STACKS,
	OPTION_MAX_LARGE,
	OPTION_OVERHEAD
};

/* Allocations listed of one window: about as many as a process can have in 50 ms. */
#define WINDOW_ALLOCATIONS 65536
/* Stacks of one window. */
#define SAMPLER_STACKS 16384
/* Of the process's time. */
#define DEFAULT_OVERHEAD 0.02

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "How to trace:", 5},
	{"exact", OPTION_EXACT, NULL, 0,
	 "Trace every allocation and free, whatever that costs (default: estimate from short "
	 "windows within --overhead)",
	 5},
	{"lazy-free", OPTION_LAZY_FREE, NULL, 0,
	 "As --exact, with half the traps: frees of small blocks are not probed; which are still "
	 "held is read from the interpreter's pools when it is asked for. What is held stays "
	 "exact, the peak is not measured",
	 5},
	{"nframe", OPTION_NFRAME, "N", 0, "Frames to keep of a traceback, 1 to 128 (default 25)",
	 5},
	{"overhead", OPTION_OVERHEAD, "PCT", 0,
	 "What estimating may cost the process, 1 to 50 percent of its time (default 2)", 5},
	{"max-stacks", OPTION_MAX_STACKS, "N", 0,
	 "Distinct stacks that can hold memory at a time (default 262144, about 72 bytes each; of "
	 "estimates those of one window, 16384)",
	 5},
	{"max-large", OPTION_MAX_LARGE, "N", 0,
	 "Of exact tracing: blocks over 512 bytes and of the raw domain at a time (default "
	 "1048576, about 64 bytes each when used)",
	 5},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct session_options *given = state->input;

	switch (key) {
	case OPTION_EXACT:
		given->exact = true;
		return 0;
	case OPTION_LAZY_FREE:
		given->lazy_free = true;
		return 0;
	case OPTION_OVERHEAD:
		given->overhead = value;
		return 0;
	case OPTION_NFRAME:
		given->nframe = value;
		return 0;
	case OPTION_MAX_STACKS:
		given->max_stacks = value;
		return 0;
	case OPTION_MAX_LARGE:
		given->max_large = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp session_argp = {.options = options, .parser = parse_option};

static struct error *options_read(const struct session_options *given, struct tracer_options *ret)
{
	*ret = (struct tracer_options)TRACER_OPTIONS_DEFAULT;
	if (given->lazy_free)
		ret->mode = TMBPF_MODE_LAZY;
	else if (!given->exact)
		ret->mode = TMBPF_MODE_SAMPLED;
	if ((given->exact || given->lazy_free) && given->overhead)
		return error_create(
			ERROR_USAGE,
			"--overhead is a budget for estimates: tracing exactly has none");
	if (ret->mode == TMBPF_MODE_SAMPLED) {
		ret->window_allocations = WINDOW_ALLOCATIONS;
		ret->stack_limit = ret->code_limit = SAMPLER_STACKS;
		ret->overhead = DEFAULT_OVERHEAD;
		try(option_percent("--overhead", given->overhead, 1, 50, &ret->overhead));
	}
	try(option_count("--nframe", given->nframe, 1, TMBPF_NFRAME_MAX, &ret->nframe));
	try(option_count("--max-stacks", given->max_stacks, 64, TMBPF_STACK_MAX - 1,
			 &ret->stack_limit));
	return option_count("--max-large", given->max_large, 64, 1u << 28, &ret->raw_limit);
}

struct error *session_options_check(const struct session_options *given, struct tracer_options *ret)
{
	if (!given->exact && !given->lazy_free && given->max_large)
		return error_create(
			ERROR_USAGE,
			"--max-large is of exact tracing: estimates have no such table");
	return options_read(given, ret);
}

bool session_options_given(const struct session_options *given)
{
	return given->exact || given->lazy_free || given->overhead || given->nframe ||
	       given->max_stacks || given->max_large;
}

/* What of GIVEN the session of STATUS is not; NULL nothing. */
static const char *mismatch(const struct session_options *given, const struct tracer_options *asked,
			    struct json_object *status)
{
	const char *mode = json_get_text(status, "mode");
	bool estimates = !strcmp(mode, SNAPSHOT_MODE_ESTIMATE);
	bool lazy = !strcmp(mode, SNAPSHOT_MODE_LAZY);
	struct json_object *cost = json_get_object(status, "cost");

	if (given->exact && (estimates || (lazy && !given->lazy_free)))
		return "--exact";
	if (given->lazy_free && !lazy)
		return "--lazy-free";
	if (given->overhead &&
	    (!estimates || fabs(json_get_real(cost, "budget", 0) - asked->overhead) > 1e-6))
		return "--overhead";
	if (given->nframe && json_get_number(status, "nframe") != asked->nframe)
		return "--nframe";
	if (given->max_stacks && json_get_number(status, "stack_limit") != asked->stack_limit)
		return "--max-stacks";
	if (given->max_large && json_get_number(status, "large_limit") != asked->raw_limit)
		return "--max-large";
	return NULL;
}

struct error *session_options_match(const struct session_options *given, const char *what,
				    const char *stop, struct json_object *status)
{
	struct tracer_options asked;
	const char *option;
	uint64_t nframe = json_get_number(status, "nframe");

	try(options_read(given, &asked));
	option = mismatch(given, &asked, status);
	if (!option)
		return NULL;
	return error_advise(error_create(ERROR_USAGE,
					 "%s is traced already (%s, %" PRIu64
					 " frame%s), and %s would need another session",
					 what, json_get_text(status, "mode"), nframe,
					 nframe == 1 ? "" : "s", option),
			    "`tmbpf stop %s` ends what is there.", stop);
}
