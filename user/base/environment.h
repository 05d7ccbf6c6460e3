/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The variables of the environment that this program looks at, all of them through here (lint checks it). Who may run it
 * with privileges that he has not himself, by setcap, chooses its environment: what steers which instructions of whose
 * processes are probed, and how, is not his to say.
 */
#ifndef TMBPF_BASE_ENVIRONMENT_H
#define TMBPF_BASE_ENVIRONMENT_H

/* NAME's value, where the environment is that of whoever the privileges are from; NULL where it is not set, or is not. */
const char *environment_trusted(const char *name);

/* NAME's value whoever set it: of what concerns him alone, or is checked to be his own. NULL where it is not set. */
const char *environment_user(const char *name);

#endif
