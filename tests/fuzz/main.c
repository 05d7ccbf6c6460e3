// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The fuzz target FUZZ_TARGET, for libFuzzer. */
#include "targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FUZZ_TARGET(data, size);
	return 0;
}
