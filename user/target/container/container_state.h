/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the runtimes' state files say of a container. */
#ifndef TMBPF_TARGET_CONTAINER_CONTAINER_STATE_H
#define TMBPF_TARGET_CONTAINER_CONTAINER_STATE_H

#include "target/container/container.h"

/*
 * Fills name, pod, image and runtime of CONTAINER, whose id is there, from the state files; what
 * is not told stays "".
 */
struct error *container_describe(const char *root, struct container *container);

/* Whether a runtime says of NAME, which is no id, that it is a container. */
struct error *container_is_known(const char *root, const char *name, bool *ret);

/* The first process of runc's container NAME; 0 if it is not known. */
struct error *container_runc_pid(const char *root, const char *name, pid_t *ret);

#endif
