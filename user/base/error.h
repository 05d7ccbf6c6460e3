/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Errors as objects. A function that can fail returns `struct error *`: NULL means it
 * worked, anything else is owned by the caller, who prints it or passes it on, never both.
 *
 * An error says what failed, on what and why (the message), and what to do about it (the
 * advice, optional). Its kind decides the program's exit status.
 */
#ifndef TMBPF_BASE_ERROR_H
#define TMBPF_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

/* The values are tmbpf's exit statuses. */
enum error_kind {
	ERROR_FAILED = 1,  /* it could not be done */
	ERROR_USAGE = 2,   /* it was asked for in the wrong way */
	ERROR_NOTHING = 3, /* there is nothing to report on: no session, no such process */
};

struct error;

/* A new error. Never returns NULL: without memory it returns a static one. */
struct error *error_create(enum error_kind kind, const char *format, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* The same, with ": " and strerror(number) appended. NUMBER is positive (errno) or negative. */
struct error *error_create_errno(enum error_kind kind, int number, const char *format, ...)
	__attribute__((format(printf, 3, 4), returns_nonnull));

/* Puts "TEXT: " before the message: the caller's context. Returns ERROR. */
struct error *error_prefix(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Sets what to do about it, a sentence. Returns ERROR. */
struct error *error_advise(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Sets the errno of one that comes from another process. Returns ERROR. */
struct error *error_set_number(struct error *error, int number) __attribute__((returns_nonnull));

enum error_kind error_kind(const struct error *error);
/* The errno that caused it, positive, or 0. */
int error_number(const struct error *error);
const char *error_message(const struct error *error);
/* NULL if there is none. */
const char *error_advice(const struct error *error);

/* Prints "tmbpf: MESSAGE" and the advice to standard error. Does not destroy. */
void error_print(const struct error *error);

void error_destroy(struct error *error);

static inline void error_cleanup(struct error **error)
{
	error_destroy(*error);
}

#endif
