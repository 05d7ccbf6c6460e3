// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a command reads its arguments, and what the values of options mean. */
#include "command/options/options.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define DURATION_MOST (7 * 86400) /* seconds */

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

struct error *options_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	return parse(argp, argc, argv, 0, input);
}

struct error *options_parse_in_order(const struct argp *argp, int argc, char **argv, void *input)
{
	return parse(argp, argc, argv, ARGP_IN_ORDER, input);
}

/* WHAT is not what TAKEN says. */
static struct error *refuse(const char *what, const char *taken, const char *text)
{
	return error_create(ERROR_USAGE, "%s takes %s, not \"%s\"", what, taken, text);
}

/* The number that the LENGTH bytes of TEXT are, all of them digits of it. */
static bool digits_read(const char *text, size_t length, uint64_t *ret)
{
	uint64_t number = 0;

	for (size_t i = 0; i < length; i++)
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
			return false;
	*ret = number;
	return length > 0;
}

struct error *option_number(const char *what, const char *text, uint64_t least, uint64_t most,
			    uint64_t *ret)
{
	uint64_t number;
	char taken[80];

	if (!text)
		return NULL;
	if (digits_read(text, strlen(text), &number) && number >= least && number <= most) {
		*ret = number;
		return NULL;
	}
	snprintf(taken, sizeof(taken), "a number from %" PRIu64 " to %" PRIu64, least, most);
	return refuse(what, taken, text);
}

struct error *option_count(const char *what, const char *text, uint32_t least, uint32_t most,
			   uint32_t *ret)
{
	uint64_t number = *ret;

	try(option_number(what, text, least, most, &number));
	*ret = (uint32_t)number;
	return NULL;
}

struct error *option_limit(const char *what, const char *text, uint64_t none, uint64_t *ret)
{
	try(option_number(what, text, 0, UINT32_MAX, ret));
	if (!*ret)
		*ret = none;
	return NULL;
}

struct error *option_pid(const char *what, const char *text, pid_t *ret)
{
	uint64_t number = (uint64_t)*ret;

	try(option_number(what, text, 1, INT_MAX, &number));
	*ret = (pid_t)number;
	return NULL;
}

struct error *option_size(const char *what, const char *text, uint64_t *ret)
{
	static const struct unit {
		const char *name;
		unsigned int shift;
	} units[] = {{"", 0},   {"B", 0},    {"K", 10}, {"KiB", 10},
		     {"M", 20}, {"MiB", 20}, {"G", 30}, {"GiB", 30}};
	size_t digits = text ? strspn(text, "0123456789") : 0;
	uint64_t number;
	bool fits = digits_read(text, digits, &number);

	if (!text)
		return NULL;
	for (size_t i = 0; fits && i < array_size(units); i++) {
		if (strcmp(text + digits, units[i].name) != 0 ||
		    number > (uint64_t)INT64_MAX >> units[i].shift)
			continue;
		*ret = number << units[i].shift;
		return NULL;
	}
	return refuse(what, "bytes, or a number with KiB, MiB or GiB", text);
}

struct error *option_duration(const char *what, const char *text, uint64_t *ret)
{
	static const struct unit {
		const char *name;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
	size_t digits = text ? strspn(text, "0123456789") : 0;
	uint64_t number;
	bool fits = digits_read(text, digits, &number) && number > 0;

	if (!text)
		return NULL;
	for (size_t i = 0; fits && i < array_size(units); i++) {
		if (strcmp(text + digits, units[i].name) != 0 ||
		    number > DURATION_MOST / units[i].seconds)
			continue;
		*ret = number * units[i].seconds;
		return NULL;
	}
	return refuse(what, "a time of 1s to 7 days, such as 30s, 5m or 1h", text);
}

struct error *option_percent(const char *what, const char *text, uint32_t least, uint32_t most,
			     double *ret)
{
	uint64_t percent;

	if (!text)
		return NULL;
	try(option_number(what, text, least, most, &percent));
	*ret = (double)percent / 100.0;
	return NULL;
}

struct error *option_address(const char *what, const char *text, uint64_t *ret)
{
	char *end = NULL;
	uint64_t address = 0;

	if (!text)
		return NULL;
	errno = 0;
	if (*text >= '0' && *text <= '9')
		address = strtoull(text, &end, 0);
	if (!end || errno || *end)
		return refuse(what, "a number such as 0x7f2a3c5e9d10", text);
	*ret = address;
	return NULL;
}

struct error *option_python(const char *what, const char *text, uint32_t *ret)
{
	uint64_t minor;

	if (!text)
		return NULL;
	if (strncmp(text, "3.", 2) != 0 || !digits_read(text + 2, strlen(text + 2), &minor) ||
	    minor < 6 || minor > 99)
		return refuse(what, "a version from 3.6 on, such as 3.11", text);
	*ret = 0x03000000 | (uint32_t)minor << 16;
	return NULL;
}

const char *option_names(const char *const *names, size_t count, char *buffer, size_t size)
{
	size_t used = 0;

	*buffer = '\0';
	for (size_t i = 0; i < count && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s%s",
					 i == 0           ? ""
					 : i + 1 == count ? " or "
							  : ", ",
					 names[i]);
	return buffer;
}

struct error *option_choice(const char *what, const char *text, const char *const *names,
			    size_t count, size_t *ret)
{
	char taken[200];

	if (!text)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], text) == 0) {
			*ret = i;
			return NULL;
		}
	}
	return refuse(what, option_names(names, count, taken, sizeof(taken)), text);
}
