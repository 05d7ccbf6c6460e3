// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "target/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process.h"
#include "target/scan.h"

#define PAGE    4096ULL
#define ENTRIES 4096 /* read at once */
#define REGIONS 64   /* likewise, of a scan */
/* 64 GiB */
#define PAGES_MAX (1ULL << 24)

/* Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT        (1ULL << 63)
#define FILE_OR_SHARED (1ULL << 61)

struct resident {
	int pagemap;
	uint64_t entries[ENTRIES];
};

struct error *resident_create(const struct process *process, struct resident **ret)
{
	struct resident *resident = calloc(1, sizeof(*resident));
	char path[64];

	if (!resident)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a process' pages");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)process->pid);
	resident->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (resident->pagemap < 0) {
		int number = errno;

		free(resident);
		return error_create_errno(ERROR_FAILED, number, "cannot open %s", path);
	}
	*ret = resident;
	return NULL;
}

void resident_destroy(struct resident *resident)
{
	if (!resident)
		return;
	close(resident->pagemap);
	free(resident);
}

static bool entry_anonymous(uint64_t entry)
{
	return (entry & PRESENT) && !(entry & FILE_OR_SHARED);
}

/*
 * From page to page, but what is not there takes no time, whatever a target reserves. False: this kernel cannot, or it
 * did not work out.
 */
static bool pages_scan(const struct resident *resident, uint64_t start, uint64_t end, uint64_t *ret)
{
	struct scan_region regions[REGIONS];
	struct scan_arguments arguments = {
		.size = sizeof(arguments),
		.start = start & ~(PAGE - 1),
		.end = (end + PAGE - 1) & ~(PAGE - 1),
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_inverted = SCAN_IS_FILE,
		.category_mask = SCAN_IS_FILE | SCAN_IS_PRESENT,
		.return_mask = SCAN_IS_PRESENT,
	};
	uint64_t bytes = 0;

	while (arguments.start < arguments.end) {
		int count = ioctl(resident->pagemap, SCAN, &arguments);

		if (count < 0 || arguments.walk_end <= arguments.start)
			return false;
		for (int i = 0; i < count; i++) {
			uint64_t from = regions[i].start, to = regions[i].end;

			bytes += (to < end ? to : end) - (from > start ? from : start);
		}
		arguments.start = arguments.walk_end;
	}
	*ret = bytes;
	return true;
}

uint64_t resident_bytes(struct resident *resident, uint64_t start, uint64_t end)
{
	uint64_t page = start / PAGE, last = (end + PAGE - 1) / PAGE, bytes = 0;
	/* How much a target reserves is its own choice: of very much, every so many runs of pages stand for all. */
	uint64_t step = end > start ? (last - page) / PAGES_MAX + 1 : 1;

	if (end > start && last - page > ENTRIES && pages_scan(resident, start, end, &bytes))
		return bytes;
	while (page < last) {
		uint64_t count = last - page;
		ssize_t got;

		if (count > ENTRIES)
			count = ENTRIES;
		got = pread(resident->pagemap, resident->entries, count * 8, (off_t)(page * 8));
		if (got < 8)
			break;
		count = (uint64_t)got / 8;
		for (uint64_t i = 0; i < count; i++) {
			uint64_t from = (page + i) * PAGE, to = from + PAGE;

			if (entry_anonymous(resident->entries[i]))
				bytes += (to < end ? to : end) - (from > start ? from : start);
		}
		page += count * step;
	}
	return step > 1 && bytes > (end - start) / step ? end - start : bytes * step;
}
