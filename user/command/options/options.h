/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a command reads its arguments: by argp, which keeps the values of options as text; and what
 * such a text means, one function for each kind of value.
 *
 * Each of these names what was asked for as WHAT ("--limit"). A TEXT of NULL was not given: *RET
 * keeps its default. Any other text is what it should be, or a usage error, "WHAT takes ..., not
 * TEXT", and *RET stays as it was.
 */
#ifndef TMBPF_COMMAND_OPTIONS_OPTIONS_H
#define TMBPF_COMMAND_OPTIONS_OPTIONS_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/*
 * Parses ARGV by ARGP with INPUT as its state's input. --help, --usage and --version end the
 * program with 0. Wrong usage that argp itself sees ends it with 2.
 */
struct error *options_parse(const struct argp *argp, int argc, char **argv, void *input);
/* The same, but what follows the first word that is no option is left alone: another command's. */
struct error *options_parse_in_order(const struct argp *argp, int argc, char **argv, void *input);

/* A number from LEAST to MOST, decimal. */
struct error *option_number(const char *what, const char *text, uint64_t least, uint64_t most,
			    uint64_t *ret);
/* The same in 32 bits. */
struct error *option_count(const char *what, const char *text, uint32_t least, uint32_t most,
			   uint32_t *ret);
/* The same, where 0 means that there is no limit: then *RET is NONE. */
struct error *option_limit(const char *what, const char *text, uint64_t none, uint64_t *ret);
/* A process id. */
struct error *option_pid(const char *what, const char *text, pid_t *ret);
/* Bytes: a number, and maybe K or KiB, M or MiB, G or GiB behind it. */
struct error *option_size(const char *what, const char *text, uint64_t *ret);
/* Seconds, at most seven days: "30", "30s", "5m", "1h". */
struct error *option_duration(const char *what, const char *text, uint64_t *ret);
/* Percent of something, from LEAST to MOST, as a share of 1. */
struct error *option_percent(const char *what, const char *text, uint32_t least, uint32_t most,
			     double *ret);
/* An address: a number as C writes it. */
struct error *option_address(const char *what, const char *text, uint64_t *ret);
/* A version of Python, "3.11", as PY_VERSION_HEX has it: 0x030b0000. */
struct error *option_python(const char *what, const char *text, uint32_t *ret);
/* One of the COUNT NAMES: its index. */
struct error *option_choice(const char *what, const char *text, const char *const *names,
			    size_t count, size_t *ret);
/* The COUNT NAMES as a sentence has them, "a, b or c", in BUFFER, which is returned. */
const char *option_names(const char *const *names, size_t count, char *buffer, size_t size);

#endif
