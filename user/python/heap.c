// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/error.h"
#include "python/parts.h"
struct error *python_heap_find(struct python *python){ (void)python; return NULL; }
