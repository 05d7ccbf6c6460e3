/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A census as people read it. */
#ifndef TMBPF_VIEW_CENSUS_TEXT_H
#define TMBPF_VIEW_CENSUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct census;
struct census_rows;
struct error;

/* Whose it is, what it found together, and what it could not make out. BEFORE may be NULL. */
struct error *census_print_head(const struct census *census, const struct census *before,
				FILE *file);

/* The named parts of the process' anonymous memory; nothing where there are none. */
struct error *census_print_memory(const struct census *census, FILE *file);

/* At most LIMIT of ROWS, and what the others come to. COMPARED: they have values from before. */
struct error *census_print_rows(const struct census_rows *rows, bool compared, size_t limit,
				FILE *file);

#endif
