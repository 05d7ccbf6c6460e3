/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The variables of the environment that this program looks at, all of them through here (lint
 * checks it). A user may run it with privileges of the program's file (setcap), and chooses its
 * environment. Which instructions of whose processes are probed, and how, is not for such a user to
 * say.
 */
#ifndef TMBPF_BASE_ENVIRONMENT_H
#define TMBPF_BASE_ENVIRONMENT_H

/*
 * NAME's value, where whoever the privileges are from set the environment. NULL where it is not
 * set, or somebody else set it.
 */
const char *environment_trusted(const char *name);

/*
 * NAME's value whoever set it: for what concerns that user alone, or is checked to be the user's
 * own. NULL where it is not set.
 */
const char *environment_user(const char *name);

#endif
