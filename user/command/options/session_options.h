/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The options that every command shares which starts a session. */
#ifndef TMBPF_COMMAND_OPTIONS_SESSION_OPTIONS_H
#define TMBPF_COMMAND_OPTIONS_SESSION_OPTIONS_H

#include <argp.h>
#include <stdbool.h>

#include "trace/tracer/tracer.h"

struct error;
struct json_object;

struct session_options { /* as they were given */
	const char *nframe, *max_stacks, *max_large, *overhead;
	bool exact, lazy_free;
};

/* To be a child of the command's parser, whose input for it is a struct session_options. */
extern const struct argp session_argp;

struct error *session_options_check(const struct session_options *given,
				    struct tracer_options *ret);

/* Whether any was given: where no session is begun they would say nothing. */
bool session_options_given(const struct session_options *given);

/*
 * A session that is there goes on as it was begun. Fails (ERROR_USAGE) if what was given asks for
 * another one than the session whose answer STATUS is. The message calls it WHAT ("process 12"),
 * and says that `tmbpf stop STOP` ends it.
 */
struct error *session_options_match(const struct session_options *given, const char *what,
				    const char *stop, struct json_object *status);

#endif
