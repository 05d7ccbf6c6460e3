/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An interpreter that is only about to start has nothing that its layout could be checked against.
 * What is true of it is learned from its reference process: another process of the same file, which
 * runs already.
 */
#ifndef TMBPF_PYTHON_REFERENCE_PROCESS_H
#define TMBPF_PYTHON_REFERENCE_PROCESS_H

#include <stdbool.h>

#include "python/python.h"

struct error;

/* Whether PROCESS maps an interpreter's file, running or not. Fails if it is a CPython 2's. */
struct error *python_present(struct process *process, bool *ret);

/*
 * The interpreter of PROCESS by what is known of REFERENCE, whose file it has to map too. Refuses
 * any other file.
 */
struct error *python_create_by_reference(struct process *process, const struct python *reference,
					 struct python **ret);

/* Whether ONE, by a reference process, agrees with OTHER, found since in the process itself. */
bool python_agrees(const struct python *one, const struct python *other);

#endif
