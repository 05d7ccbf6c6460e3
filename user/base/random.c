// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Random numbers. */
#include "base/random.h"
#include "base/error.h"
#include <errno.h>
#include <sys/random.h>

struct error *random_fill(void *ret, size_t size)
{
	ssize_t got = getrandom(ret, size, 0);

	if (got < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot get random numbers");
	if ((size_t)got != size)
		return error_create(ERROR_FAILED, "cannot get random numbers");
	return NULL;
}

double random_share(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	/* With one bit more the last would be rounded up to 1. */
	return ((double)((z ^ z >> 31) >> 12) + 0.5) / 0x1p52;
}
