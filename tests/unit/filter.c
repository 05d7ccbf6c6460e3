// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Linked into every unit program: of its tests it runs the one that $TMBPF_UNIT_TEST names.
 */
#include "support.h"
#include <stdlib.h>

__attribute__((constructor)) static void filter_tests(void)
{
	const char *name = getenv("TMBPF_UNIT_TEST");

	if (name)
		cmocka_set_test_filter(name);
}
