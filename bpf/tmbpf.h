/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All that the programs of tmbpf.bpf.c and user space share. */
#ifndef TMBPF_H
#define TMBPF_H

#include "shared/block.h"
#include "shared/config.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "shared/site.h"
#include "shared/stack.h"

#endif
