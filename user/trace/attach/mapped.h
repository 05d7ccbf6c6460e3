/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file that a process really maps, where that is not what opens at its path: see
 * target/container/overlay.h.
 */
#ifndef TMBPF_TRACE_ATTACH_MAPPED_H
#define TMBPF_TRACE_ATTACH_MAPPED_H

#include "target/process/process.h"

struct error;

/*
 * A descriptor for probes on what PROCESS maps at MAP, to be closed; FD is what opened for it.
 * OFFSET is one of an instruction in the file: where there is doubt a probe is put on it for a
 * moment, and the process's memory shows whether it came there. Refuses where probes would reach
 * nobody, or where FD, which was looked at, has not the contents that are mapped.
 */
struct error *mapped_file(const struct process *process, const struct process_map *map, int fd,
			  uint64_t offset, int *ret);

#endif
