/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The census of a process: what python/heap finds, as snapshot/census.h has it. */
#ifndef TMBPF_COMMAND_HEAP_CENSUS_H
#define TMBPF_COMMAND_HEAP_CENSUS_H

#include <sys/types.h>

struct census;
struct error;

enum heap_depth { HEAP_SIZES, HEAP_TYPES, HEAP_OWNERS };

/* Errors as process_create(), python_create() and python_census_create() have them. */
struct error *heap_census_create(pid_t pid, enum heap_depth depth, struct census **ret);

#endif
