/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model: what was allocated, by whom, as tracemalloc sees it. Immutable once built; knows
 * nothing of BPF, ELF or processes.
 *
 * A trace here stands for COUNT blocks that one traceback allocated and that are still held, SIZE
 * bytes together, and for what the same traceback has allocated in all since tracing began.
 */
#ifndef TMBPF_SNAPSHOT_SNAPSHOT_H
#define TMBPF_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct frame {
	uint32_t filename; /* string index */
	uint32_t name;     /* string index: the function (co_qualname, else co_name); 0 unknown */
	uint32_t lineno;
	uint32_t firstlineno; /* of the function, 0 unknown */
};

struct traceback {
	uint32_t first;        /* index into frames of the most recent frame */
	uint32_t nframe;       /* frames kept, most recent first */
	uint32_t total_nframe; /* frames there were */
};

struct trace {
	uint32_t domain;
	uint32_t traceback;               /* index */
	uint64_t count, size;             /* held now */
	uint64_t total_count, total_size; /* allocated since start */
};

struct loss {       /* what was not seen, by cause */
	char *name; /* an identifier: "stack_table_full" */
	char *text; /* for people */
	uint64_t count;
};

struct snapshot_info {
	int64_t time_nanos;     /* when it was taken, since the epoch */
	int64_t duration_nanos; /* since tracing began or was cleared */
	int32_t pid;
	char *command_line, *executable, *host, *container; /* "" unknown */
	uint32_t python_version;                            /* hexversion */
	char *mode;                                         /* "exact" */
	uint32_t traceback_limit;                           /* nframe */
	uint64_t current, peak;                             /* bytes */
	uint64_t rss;                                       /* bytes, 0 unknown */
	double coverage; /* share of allocations that the probes see, 0 to 1; negative: not known */
	char *coverage_basis; /* how that was established */
	struct loss *losses;
	size_t loss_count;
};

struct snapshot {
	struct snapshot_info info;
	char **strings; /* UTF-8, lone surrogates as three bytes; [0] is "" */
	size_t string_count;
	struct frame *frames;
	size_t frame_count;
	struct traceback *tracebacks;
	size_t traceback_count;
	struct trace *traces;
	size_t trace_count;
};

/*
 * Building: strings and tracebacks are interned, so equal ones share an index; traces of equal
 * domain and traceback add up. Each function fails without memory, on an index that was not
 * handed out, and where a sum exceeds INT64_MAX; the builder is then as it was.
 */
struct snapshot_builder;

struct error *snapshot_builder_create(struct snapshot_builder **ret);
/* NULL is accepted. */
void snapshot_builder_destroy(struct snapshot_builder *builder);
/*
 * TEXT need not be NUL-terminated. It is kept as it is, but for a NUL inside it, which becomes
 * the two bytes c0 80 (as in Java's modified UTF-8), so that strings stay C strings.
 */
struct error *snapshot_builder_string(struct snapshot_builder *builder, const char *text,
				      size_t size, uint32_t *ret);
struct error *snapshot_builder_traceback(struct snapshot_builder *builder,
					 const struct frame *frames, uint32_t nframe,
					 uint32_t total_nframe, uint32_t *ret);
struct error *snapshot_builder_trace(struct snapshot_builder *builder, const struct trace *trace);
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
 * Adds a loss to INFO: NAME an identifier (letters, digits, '_'), TEXT for people; both are
 * copied. A loss of the same name adds up.
 */
struct error *snapshot_info_loss(struct snapshot_info *info, const char *name, const char *text,
				 uint64_t count);

/* "3.11.2", "3.14.0rc1", "" for 0: a hexversion (CPython's Include/patchlevel.h). */
void snapshot_python_version(uint32_t hexversion, char *buffer, size_t size);

/* FRAME's file name; "<unknown>", as tracemalloc has it, where there is none. NULL is no frame. */
const char *snapshot_filename(const struct snapshot *snapshot, const struct frame *frame);

/* Sums over all traces; none exceeds INT64_MAX. */
struct snapshot_totals {
	uint64_t count, size;
	uint64_t total_count, total_size;
};

struct snapshot_totals snapshot_totals(const struct snapshot *snapshot);

#endif
