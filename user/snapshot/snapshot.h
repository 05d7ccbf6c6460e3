/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model: what was allocated, by whom, as tracemalloc sees it. Immutable once built; knows
 * nothing of BPF, ELF or processes.
 *
 * A trace here stands for COUNT blocks that one traceback allocated and that are still held, SIZE
 * bytes together, and for what the same traceback has allocated in all since tracing began. There
 * may be several of one domain and traceback: in a file of tracemalloc's each block has its own.
 */
#ifndef TMBPF_SNAPSHOT_SNAPSHOT_H
#define TMBPF_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct filter;
struct tables;

struct trace {
	uint32_t domain;
	uint32_t traceback;               /* index */
	uint64_t count, size;             /* held now */
	uint64_t total_count, total_size; /* allocated since start */
	uint64_t size_error; /* of an estimate: the standard error of size, bytes; 0: it is exact */
};

struct loss {       /* what was not seen, by cause */
	char *name; /* an identifier: "stack_table_full" */
	char *text; /* for people */
	uint64_t count;
};

/* How it was traced. */
#define SNAPSHOT_MODE_EXACT    "exact"
#define SNAPSHOT_MODE_LAZY     "exact, lazy frees"
#define SNAPSHOT_MODE_ESTIMATE "estimate"

struct snapshot_info {
	int64_t time_nanos;     /* when it was taken, since the epoch */
	int64_t duration_nanos; /* since tracing began or was cleared */
	int32_t pid;
	char *command_line, *executable, *host, *container; /* "" unknown */
	char *container_name, *image;                       /* of that container; "" unknown */
	char *cgroup; /* the process's control group, "/" the root; "" unknown */
	/*
	 * Which process PID was, and what its paths mean: /proc/PID/stat's starttime, in ticks
	 * since boot; the kernel's boot_id; the inode of /proc/PID/ns/mnt. 0 and "" are unknown.
	 */
	uint64_t start_time;
	char *boot_id;
	uint64_t mount_namespace;
	uint32_t python_version;  /* hexversion */
	char *mode;               /* SNAPSHOT_MODE_*, "" unknown */
	uint32_t traceback_limit; /* nframe */
	/* Of an estimate: how many blocks one that was seen stands for; 0: each was seen. */
	uint64_t period;
	uint64_t current, peak; /* bytes */
	bool peak_unmeasured;   /* the mode does not tell; peak is 0 */
	uint64_t rss;           /* bytes, 0 unknown */
	double coverage; /* share of allocations that the probes see, 0 to 1; negative: not known */
	char *coverage_basis; /* how that was established */
	struct loss *losses;
	size_t loss_count;
};

struct snapshot {
	struct snapshot_info info;
	struct tables *tables; /* a reference */
	struct trace *traces;
	size_t trace_count;
};

/*
 * Building. Strings, frames and tracebacks go to the TABLES of the snapshots that it may be
 * compared with, or of its own with NULL; see tables.h. Each function fails without memory, on a
 * traceback that is not there, and where a sum over all traces exceeds INT64_MAX; the builder is
 * then as it was.
 */
struct snapshot_builder;

struct error *snapshot_builder_create(struct tables *tables, struct snapshot_builder **ret);
/* NULL is accepted. */
void snapshot_builder_destroy(struct snapshot_builder *builder);
/* The tables that it builds on; no reference of its own. */
struct tables *snapshot_builder_tables(struct snapshot_builder *builder);
/* Adds a trace of its own, in the order of the calls. */
struct error *snapshot_builder_trace(struct snapshot_builder *builder, const struct trace *trace);
/* Adds to the first trace of the same domain and traceback, or as snapshot_builder_trace(). */
struct error *snapshot_builder_sum(struct snapshot_builder *builder, const struct trace *trace);
/* To be filled by the caller; strings malloc'd, owned by the snapshot in the end. NULL is "". */
struct snapshot_info *snapshot_builder_info(struct snapshot_builder *builder);
/* Ends the building: the snapshot is the caller's, the builder is destroyed, also on failure. */
struct error *snapshot_builder_finish(struct snapshot_builder *builder, struct snapshot **ret);

void snapshot_destroy(struct snapshot *snapshot);

static inline void snapshot_cleanup(struct snapshot **snapshot)
{
	snapshot_destroy(*snapshot);
}

static inline void snapshot_builder_cleanup(struct snapshot_builder **builder)
{
	snapshot_builder_destroy(*builder);
}

/*
 * A snapshot of the traces that pass FILTERS, in their order, on the same tables and with the same
 * info: Snapshot.filter_traces() of Lib/tracemalloc.py.
 */
struct error *snapshot_filter(const struct snapshot *snapshot, const struct filter *filters,
			      size_t count, struct snapshot **ret);

/*
 * Adds a loss to INFO: NAME an identifier (letters, digits, '_'), TEXT for people; both are
 * copied. A loss of the same name adds up.
 */
struct error *snapshot_info_loss(struct snapshot_info *info, const char *name, const char *text,
				 uint64_t count);

/* Whether INFO says what was lost, if only that nothing was: a file that Python dumped does not. */
bool snapshot_info_tells_losses(const struct snapshot_info *info);

/* "3.11.2", "3.14.0rc1", "" for 0: a hexversion (CPython's Include/patchlevel.h). */
void snapshot_python_version(uint32_t hexversion, char *buffer, size_t size);

/* Sums over all traces; none exceeds INT64_MAX. */
struct snapshot_totals {
	uint64_t count, size;
	uint64_t total_count, total_size;
};

struct snapshot_totals snapshot_totals(const struct snapshot *snapshot);

#endif
