/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file that a process really maps. It may differ from what opens at its path: see
 * target/container/overlay.h.
 */
#ifndef TMBPF_TRACE_ATTACH_MAPPED_H
#define TMBPF_TRACE_ATTACH_MAPPED_H

#include "target/process/process.h"

struct error;

/*
 * A descriptor for probes on the file that PROCESS maps at MAP, to be closed. FD is what opened for
 * MAP, and OFFSET an instruction in it. In doubt a probe is put on that for a moment, and the
 * memory of the process shows whether it arrived. Refuses if probes would reach nobody, or if the
 * contents of FD are not what is mapped.
 */
struct error *mapped_file(const struct process *process, const struct process_map *map, int fd,
			  uint64_t offset, int *ret);

#endif
