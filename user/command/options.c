// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>

static struct error *parse(const struct argp *argp, int argc, char **argv, unsigned int flags,
			   void *input)
{
	error_t result;

	argp_err_exit_status = ERROR_USAGE;
	result = argp_parse(argp, argc, argv, flags, NULL, input);
	if (result)
		return error_create_errno(ERROR_FAILED, result, "cannot parse the arguments");
	return NULL;
}

struct error *command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	return parse(argp, argc, argv, 0, input);
}

struct error *command_parse_in_order(const struct argp *argp, int argc, char **argv, void *input)
{
	return parse(argp, argc, argv, ARGP_IN_ORDER, input);
}

struct error *option_number(const char *what, const char *text, uint64_t least, uint64_t most,
			    uint64_t *ret)
{
	unsigned long long number = 0;
	char *end = NULL;
	bool digits = *text >= '0' && *text <= '9';

	errno = 0;
	if (digits)
		number = strtoull(text, &end, 10);
	if (!digits || errno || *end || number < least || number > most)
		return error_create(ERROR_USAGE,
				    "%s takes a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"",
				    what, least, most, text);
	*ret = number;
	return NULL;
}

struct error *option_pid(const char *what, const char *text, pid_t *ret)
{
	uint64_t number;

	try(option_number(what, text, 1, INT_MAX, &number));
	*ret = (pid_t)number;
	return NULL;
}
