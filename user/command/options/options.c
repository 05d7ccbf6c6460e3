// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

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

struct error *option_size(const char *what, const char *text, uint64_t *ret)
{
	static const struct unit {
		const char *name;
		unsigned int shift;
	} units[] = {{"", 0},   {"B", 0},    {"K", 10}, {"KiB", 10},
		     {"M", 20}, {"MiB", 20}, {"G", 30}, {"GiB", 30}};
	size_t digits = strspn(text, "0123456789");
	unsigned long long number;

	errno = 0;
	number = digits > 0 ? strtoull(text, NULL, 10) : 0;
	for (size_t i = 0; digits > 0 && !errno && i < array_size(units); i++) {
		if (strcmp(text + digits, units[i].name) != 0 ||
		    number > (uint64_t)INT64_MAX >> units[i].shift)
			continue;
		*ret = (uint64_t)number << units[i].shift;
		return NULL;
	}
	return error_create(ERROR_USAGE,
			    "%s takes bytes, or a number with KiB, MiB or GiB, not \"%s\"", what,
			    text);
}

struct error *option_pid(const char *what, const char *text, pid_t *ret)
{
	uint64_t number;

	try(option_number(what, text, 1, INT_MAX, &number));
	*ret = (pid_t)number;
	return NULL;
}
