// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Variables of the environment. */
#include "base/environment.h"

#include <stdlib.h>

const char *environment_trusted(const char *name)
{
	return secure_getenv(name);
}

const char *environment_user(const char *name)
{
	return getenv(name);
}
