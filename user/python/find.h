/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a process has the code of a CPython: the executable or a libpython. */
#ifndef TMBPF_PYTHON_FIND_H
#define TMBPF_PYTHON_FIND_H

#include <stddef.h>

#include "python/python.h"

/* The mapped files that define an interpreter, in the order of their addresses. */
struct python_candidates {
	struct python **list; /* with process, map, image, bias, is_shared */
	size_t count;
};

/*
 * All candidates, mostly one. None is no error; RET_NEAR, owned by the caller, may then say what
 * came near to one (NULL: nothing did).
 */
struct error *python_find(struct process *process, struct python_candidates *ret, char **ret_near);
void python_candidates_deinit(struct python_candidates *candidates);

#endif
