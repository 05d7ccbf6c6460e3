// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Errors as objects: their making, and how they are printed. */
#include "base/error.h"
#include "base/cleanup.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct error {
	enum error_kind kind;
	int number;
	char *message;
	char *advice; /* NULL: none */
};

/* What stands in for an error that there was no memory to describe: never changed, never freed. */
static struct error no_memory = {
	.kind = ERROR_FAILED,
	.number = ENOMEM,
	.message = (char[]){"out of memory"},
};

/* NULL without memory, or where the format cannot be carried out. */
static char *text_vformat(const char *format, va_list arguments)
{
	char *text;

	return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

/* Takes MESSAGE over; NULL means that there was no memory for it. */
static struct error *error_wrap(enum error_kind kind, int number, char *message)
{
	cleanup_free char *owned = message;
	struct error *error;

	if (!owned)
		return &no_memory;
	error = calloc(1, sizeof(*error));
	if (!error)
		return &no_memory;
	error->kind = kind;
	error->number = number;
	error->message = take(owned);
	return error;
}

struct error *error_create(enum error_kind kind, const char *format, ...)
{
	va_list arguments;
	char *message;

	va_start(arguments, format);
	message = text_vformat(format, arguments);
	va_end(arguments);
	return error_wrap(kind, 0, message);
}

struct error *error_create_errno(enum error_kind kind, int number, const char *format, ...)
{
	cleanup_free char *text = NULL;
	va_list arguments;
	char *message;

	if (number < 0)
		number = -number;
	va_start(arguments, format);
	text = text_vformat(format, arguments);
	va_end(arguments);
	if (!text || asprintf(&message, "%s: %s", text, strerror(number)) < 0)
		message = NULL;
	return error_wrap(kind, number, message);
}

struct error *error_prefix(struct error *error, const char *format, ...)
{
	cleanup_free char *text = NULL;
	va_list arguments;
	char *message;

	if (error == &no_memory)
		return error;
	va_start(arguments, format);
	text = text_vformat(format, arguments);
	va_end(arguments);
	/* Without memory for the context the bare message is still right. */
	if (!text || asprintf(&message, "%s: %s", text, error->message) < 0)
		return error;
	free(error->message);
	error->message = message;
	return error;
}

struct error *error_advise(struct error *error, const char *format, ...)
{
	va_list arguments;
	char *advice;

	if (error == &no_memory)
		return error;
	va_start(arguments, format);
	advice = text_vformat(format, arguments);
	va_end(arguments);
	if (!advice)
		return error;
	free(error->advice);
	error->advice = advice;
	return error;
}

struct error *error_set_number(struct error *error, int number)
{
	if (error != &no_memory)
		error->number = number;
	return error;
}

enum error_kind error_kind(const struct error *error)
{
	return error->kind;
}

int error_number(const struct error *error)
{
	return error->number;
}

const char *error_message(const struct error *error)
{
	return error->message;
}

const char *error_advice(const struct error *error)
{
	return error->advice;
}

/* Messages carry names that come from a target or a file: none may steer the terminal. */
static void text_print(FILE *file, const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f)
			fprintf(file, "\\x%02x", byte);
		else
			fputc(byte, file);
	}
}

void error_print(const struct error *error)
{
	flockfile(stderr);
	fputs("tmbpf: ", stderr);
	text_print(stderr, error->message);
	fputc('\n', stderr);
	if (error->advice) {
		fputs("tmbpf: ", stderr);
		text_print(stderr, error->advice);
		fputc('\n', stderr);
	}
	funlockfile(stderr);
}

void error_destroy(struct error *error)
{
	if (!error || error == &no_memory)
		return;
	free(error->message);
	free(error->advice);
	free(error);
}
