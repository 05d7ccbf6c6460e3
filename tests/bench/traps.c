// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a uprobe costs by the instruction that it sits on: see tests/bench/traps.
 *
 * Each function below begins with the instruction of its name. A perf event of its own counts the
 * hits, without a program. All are measured in turns, ROUNDS times, in batches that are short
 * enough to fit between two interrupts. The least is shown: whatever else the machine does makes a
 * batch longer, never shorter.
 */
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEVICE  "/sys/bus/event_source/devices/uprobe/"
#define CALLS   500
#define BATCHES 60
#define ROUNDS  3

/* NAME begins with FIRST, does the REST, and returns. */
#define FUNCTION(name, first, rest)                                                                \
	void name(void);                                                                           \
	__asm__(".text\n.globl " #name "\n.type " #name ", @function\n.p2align 4\n" #name          \
		":\n\t" first "\n\t" rest "\n\tret\n")

FUNCTION(push, "pushq %rbp", "popq %rbp");
FUNCTION(nop1, "nop", "");
FUNCTION(jump_taken, "jmp 1f", "1:");
FUNCTION(branch, "jo 1f", "1:");
FUNCTION(call, "call 1f", "ret\n1:");
FUNCTION(nop5, ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00", "");
FUNCTION(endbr64, "endbr64", "");
FUNCTION(mov, "movq %rdi, %rax", "");
FUNCTION(lea, "leaq 8(%rdi), %rax", "");
FUNCTION(sub, "subq $8, %rsp", "addq $8, %rsp");
FUNCTION(test, "testq %rdi, %rdi", "");

static struct subject {
	const char *name;
	void (*function)(void);
	double plain, probed, returning; /* nanoseconds of a call, the least */
	uint64_t hits;
} subjects[] = {
	{"push", push, 1e9, 1e9, 1e9, 0},       {"nop, 1 byte", nop1, 1e9, 1e9, 1e9, 0},
	{"jmp", jump_taken, 1e9, 1e9, 1e9, 0},  {"conditional jump", branch, 1e9, 1e9, 1e9, 0},
	{"call", call, 1e9, 1e9, 1e9, 0},       {"nop, 5 bytes", nop5, 1e9, 1e9, 1e9, 0},
	{"endbr64", endbr64, 1e9, 1e9, 1e9, 0}, {"mov", mov, 1e9, 1e9, 1e9, 0},
	{"lea", lea, 1e9, 1e9, 1e9, 0},         {"sub", sub, 1e9, 1e9, 1e9, 0},
	{"test", test, 1e9, 1e9, 1e9, 0},
};

#define SUBJECTS (sizeof(subjects) / sizeof(*subjects))

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int number_read(const char *path)
{
	FILE *file = fopen(path, "r");
	int number;

	if (!file || fscanf(file, "%d", &number) != 1)
		fail(path);
	fclose(file);
	return number;
}

/* Where ADDRESS, of this program's code, lies in its file. */
static uint64_t file_offset(uintptr_t address)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long begin, end, offset;
	char line[512];

	if (!file)
		fail("/proc/self/maps");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &begin, &end, &offset) == 3 &&
		    address >= begin && address < end) {
			fclose(file);
			return address - begin + offset;
		}
	}
	fprintf(stderr, "traps: no mapping of %#lx\n", (unsigned long)address);
	exit(1);
}

static int probe_open(const struct subject *subject, int type, int returning)
{
	struct perf_event_attr attr = {
		.type = type,
		.size = sizeof(attr),
		.config = returning, /* format/retprobe: config:0 */
		.config1 = (uintptr_t) "/proc/self/exe",
		.config2 = file_offset((uintptr_t)subject->function),
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		fail(subject->name);
	return fd;
}

/* Lowers *RET to the nanoseconds that a call takes, if that is less. */
static void calls_time(void (*function)(void), double *ret)
{
	struct timespec from, to;

	for (int batch = 0; batch < BATCHES; batch++) {
		double spent;

		clock_gettime(CLOCK_MONOTONIC, &from);
		for (int i = 0; i < CALLS; i++)
			function();
		clock_gettime(CLOCK_MONOTONIC, &to);
		spent = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
		if (spent / CALLS < *ret)
			*ret = spent / CALLS;
	}
}

static void subject_measure(struct subject *subject, int type)
{
	int fd;

	calls_time(subject->function, &subject->plain);
	fd = probe_open(subject, type, 0);
	calls_time(subject->function, &subject->probed);
	if (read(fd, &subject->hits, sizeof(subject->hits)) != sizeof(subject->hits))
		fail(subject->name);
	close(fd);
	fd = probe_open(subject, type, 1);
	calls_time(subject->function, &subject->returning);
	close(fd);
}

int main(void)
{
	int type = number_read(DEVICE "type");

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < SUBJECTS; i++)
			subject_measure(&subjects[i], type);
	}
	printf("%-18s %10s %10s %12s %14s\n", "probed", "hits", "ns", "of push's", "return, ns");
	for (size_t i = 0; i < SUBJECTS; i++) {
		const struct subject *subject = &subjects[i];
		double trap = subject->probed - subject->plain;

		printf("%-18s %9.0f%% %10.0f %12.2f %14.0f\n", subject->name,
		       100.0 * subject->hits / (CALLS * BATCHES), trap,
		       trap / (subjects[0].probed - subjects[0].plain),
		       subject->returning - subject->plain);
	}
	return 0;
}
