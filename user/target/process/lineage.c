// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads the random bytes of a start of a program. */
#include "target/process/lineage.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/process.h"

/* More entries than any kernel has. */
#define ENTRIES_MAX 128

struct error *lineage_read(struct process *process, uint8_t ret[LINEAGE_SIZE])
{
	cleanup_file FILE *file = NULL;
	Elf64_auxv_t entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/auxv", process->pid);
	file = fopen(path, "re");
	if (!file)
		return error_create_errno(errno == ENOENT ? ERROR_NOTHING : ERROR_FAILED, errno,
					  "cannot read %s", path);
	for (int i = 0; i < ENTRIES_MAX && fread(&entry, sizeof(entry), 1, file) == 1; i++)
		if (entry.a_type == AT_RANDOM)
			return memory_read(&process->memory, entry.a_un.a_val, ret, LINEAGE_SIZE);
	return error_create(ERROR_FAILED, "%s does not say when the program was started", path);
}
