/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Function boundaries from .eh_frame, which survives stripping. */
#ifndef TMBPF_PROBE_CODE_UNWIND_H
#define TMBPF_PROBE_CODE_UNWIND_H

#include "probe/code/listing.h"

/*
 * The functions that IMAGE's .eh_frame describes, or its symbols where there is none; sorted,
 * without overlap; to be freed. What cannot be read is left out. Fails without memory only.
 */
struct error *unwind_functions(const struct image *image, struct listing_function **ret,
			       size_t *ret_count);

#endif
