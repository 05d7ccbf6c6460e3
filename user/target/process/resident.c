// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counts the pages that are there, by PAGEMAP_SCAN or by the page. */
#include "target/process/resident.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/pagemap.h"
#include "target/process/scan.h"

#define HUGE_PAGE (2ULL << 20)
#define ENTRIES   4096         /* read at once */
#define REGIONS   64           /* likewise, of a scan */
#define PAGES_MAX (1ULL << 24) /* 64 GiB */

struct resident {
	int pagemap;
	uint64_t entries[ENTRIES];
};

struct error *resident_create(const struct process *process, struct resident **ret)
{
	struct resident *resident = calloc(1, sizeof(*resident));
	struct error *error;

	if (!resident)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a process' pages");
	error = pagemap_open(process, &resident->pagemap);
	if (error) {
		free(resident);
		return error;
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

bool resident_page(struct resident *resident, uint64_t address)
{
	uint64_t entry;

	return pagemap_read(resident->pagemap, address, 1, &entry) && pagemap_anonymous(entry);
}

uint64_t resident_page_size(struct resident *resident, uint64_t address)
{
	struct scan_region region;
	struct scan_arguments arguments = {
		.size = sizeof(arguments),
		.start = address & ~(PAGEMAP_PAGE - 1),
		.end = (address & ~(PAGEMAP_PAGE - 1)) + PAGEMAP_PAGE,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = SCAN_IS_HUGE,
		.return_mask = SCAN_IS_HUGE,
	};

	return ioctl(resident->pagemap, SCAN, &arguments) == 1 ? HUGE_PAGE : PAGEMAP_PAGE;
}

/*
 * By PAGEMAP_SCAN: pages that are not there take no time, however much a target reserves. False:
 * this kernel cannot, or it did not work out.
 */
static bool pages_scan(const struct resident *resident, uint64_t start, uint64_t end, uint64_t *ret)
{
	struct scan_region regions[REGIONS];
	struct scan_arguments arguments = {
		.size = sizeof(arguments),
		.start = start & ~(PAGEMAP_PAGE - 1),
		.end = (end + PAGEMAP_PAGE - 1) & ~(PAGEMAP_PAGE - 1),
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
	uint64_t page = start / PAGEMAP_PAGE, last = (end + PAGEMAP_PAGE - 1) / PAGEMAP_PAGE,
		 bytes = 0;
	/* A target may reserve any amount. Of very much, each STEP'th run stands for all. */
	uint64_t step = end > start ? (last - page) / PAGES_MAX + 1 : 1;

	if (end > start && last - page > ENTRIES && pages_scan(resident, start, end, &bytes))
		return bytes;
	while (page < last) {
		uint64_t count = last - page;

		if (count > ENTRIES)
			count = ENTRIES;
		count = pagemap_read(resident->pagemap, page * PAGEMAP_PAGE, count,
				     resident->entries);
		if (!count)
			break;
		for (uint64_t i = 0; i < count; i++) {
			uint64_t from = (page + i) * PAGEMAP_PAGE, to = from + PAGEMAP_PAGE;

			if (pagemap_anonymous(resident->entries[i]))
				bytes += (to < end ? to : end) - (from > start ? from : start);
		}
		page += count * step;
	}
	return step > 1 && bytes > (end - start) / step ? end - start : bytes * step;
}
