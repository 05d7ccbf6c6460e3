/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TMBPF_BASE_VERSION_H
#define TMBPF_BASE_VERSION_H

#define TMBPF_VERSION "0.1"

#endif
