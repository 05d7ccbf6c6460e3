// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What of this process' own memory is there: asked of the kernel in one way and in the other. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target/process/process.h"
#include "target/process/resident.h"
#include "target/process/scan.h"

#define PAGE  4096ULL
#define PIECE (4096 * PAGE) /* of so much it is asked page by page */

static struct process *process;
static struct resident *resident;

static char *reserve(uint64_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static uint64_t bytes_by_piece(const char *memory, uint64_t size)
{
	uint64_t start = (uintptr_t)memory, end = start + size, bytes = 0;

	for (; start < end; start += PIECE)
		bytes += resident_bytes(resident, start, end - start < PIECE ? end : start + PIECE);
	return bytes;
}

static uint64_t bytes_at_once(const char *memory, uint64_t size)
{
	return resident_bytes(resident, (uintptr_t)memory, (uintptr_t)memory + size);
}

/* More runs of pages than a scan takes at once; a page that was only read; a file's; a hole. */
static void test_same(void **state)
{
	uint64_t size = 16 * PIECE;
	char *memory = reserve(size), *file;
	char path[] = "/tmp/test_resident.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, 64 * PAGE), 0);
	assert_int_equal(madvise(memory, size, MADV_NOHUGEPAGE), 0);
	assert_int_equal(bytes_at_once(memory, size), 0);
	for (uint64_t i = 0; i < 1000; i++)
		memory[3 * i * PAGE] = 1;
	for (uint64_t i = 0; i < 1000; i++)
		memory[9 * PIECE + i * PAGE] = 1;
	file = mmap(memory + 5 * PIECE, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		    fd, 0);
	assert_ptr_equal(file, memory + 5 * PIECE);
	assert_int_equal(file[3 * PAGE], 0);
	file[7 * PAGE] = 1;
	assert_int_equal(munmap(memory + 7 * PIECE, PIECE), 0);
	assert_int_equal(bytes_at_once(memory, size), 2001 * PAGE);
	assert_int_equal(bytes_by_piece(memory, size), 2001 * PAGE);
	/* Parts of pages. */
	assert_int_equal(bytes_at_once(memory + 100, size - 100), 2001 * PAGE - 100);
	close(fd);
	munmap(memory, size);
}

/* Linux 6.7. */
static bool scan_works(void)
{
	struct scan_arguments arguments = {.size = sizeof(arguments)};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool works = ioctl(fd, SCAN, &arguments) == 0 || errno != ENOTTY;

	close(fd);
	return works;
}

/*
 * What a target only reserves takes no time. Were each page asked for, it would be half a second
 * for each of these.
 */
static void test_reserved(void **state)
{
	uint64_t size = 1ULL << 40;
	char *memory;

	(void)state;
	if (!scan_works())
		skip();
	memory = reserve(size);
	memory[size / 2] = 1;
	assert_in_range(bytes_at_once(memory, size), PAGE, 2 << 20);
	for (int i = 0; i < 1000; i++)
		bytes_at_once(memory, size);
	munmap(memory, size);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_reserved),
	};

	support_ok(process_create(getpid(), &process));
	support_ok(resident_create(process, &resident));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
