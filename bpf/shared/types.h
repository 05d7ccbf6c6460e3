/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's fixed-width types. What is in this folder is for both sides, the BPF programs and
 * user space. Sizes are asserted, so that a side that packs differently does not build.
 */
#ifndef TMBPF_SHARED_TYPES_H
#define TMBPF_SHARED_TYPES_H

#ifdef __bpf__
#include "vmlinux.h"
#elif !defined(__VMLINUX_H__) /* the unit tests compile the programs for this machine */
#include <linux/types.h>
#endif

#endif
