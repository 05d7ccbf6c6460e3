/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a process' memory is made of at one moment, whoever allocated it: blocks by type and owner,
 * by size, and the memory around them. Knows nothing of processes.
 */
#ifndef TMBPF_SNAPSHOT_CENSUS_H
#define TMBPF_SNAPSHOT_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum census_kind {
	CENSUS_OBJECT,       /* instances of a type */
	CENSUS_UNREFERENCED, /* of a type, and no reference to them: on a free list, or dead */
	CENSUS_OWNED,        /* no objects: a part of instances of a type */
	CENSUS_INDIRECT,     /* no objects: what such a part leads to */
	CENSUS_UNOWNED,      /* no objects, and nobody's that was found */
	CENSUS_NATIVE,       /* the same of malloc's: as a rule C code's own */
	CENSUS_KINDS
};

struct census_item {
	enum census_kind kind;
	char *type;           /* "module.qualname" of the object or the owner; "" unknown */
	char *part;           /* of the owner: "items", "+24"; "" for objects */
	uint64_t count, size; /* blocks, bytes */
};

struct census_size { /* blocks of SIZE bytes, or of more than ABOVE up to SIZE, if that is not 0 */
	uint64_t size, above;
	bool native;           /* malloc's; else pymalloc's */
	uint64_t count, total; /* blocks, bytes together */
};

/* A named part of the process' anonymous memory. */
struct census_part {
	char *name;
	uint64_t size; /* bytes */
};

struct census_info {
	int64_t time_nanos; /* when it was taken, since the epoch */
	int32_t pid;
	char *command_line, *host, *container; /* "" unknown */
	uint32_t python_version;               /* hexversion */
	uint64_t rss, rss_anonymous;           /* bytes */
	uint64_t heaps, arenas;                /* of pymalloc */
	uint64_t allocated_blocks;             /* sys.getallocatedblocks(); UINT64_MAX unknown */
	char *malloc_absent;                   /* why there is nothing of malloc's; "" there is */
	/* Allocators whose blocks are not counted: "mimalloc"; that of objects, if it is one; "" */
	char *allocators_unread, *objects_unread;
	char *allocators_unknown; /* those that may be such, or why they cannot be told; "" */
	/* Bytes of anonymous memory where blocks that are not counted may be; UINT64_MAX unknown */
	uint64_t unaccounted;
	/* What could not be made out. */
	uint64_t unstable_pools, reread_pools, lost_arenas;
	uint64_t malloc_unknown; /* bytes of malloc's where no blocks could be made out */
	/* Bytes that malloc gave back while it was looked at: blocks there may count, or not. */
	uint64_t malloc_vanished;
};

struct census {
	struct census_info info;
	struct census_item *items; /* by type, part and kind; each once */
	size_t item_count, item_capacity;
	struct census_size *sizes; /* ascending */
	size_t size_count, size_capacity;
	struct census_part *parts; /* in the order in which they were added */
	size_t part_count, part_capacity;
};

/* All but its items, sizes and parts is empty. */
struct error *census_create(struct census **ret);
/* NULL is accepted. */
void census_destroy(struct census *census);

static inline void census_cleanup(struct census **census)
{
	census_destroy(*census);
}

/* Strings are copied. Fails without memory, and where a sum is more than 63 bits. */
struct error *census_add_item(struct census *census, const struct census_item *item);
struct error *census_add_size(struct census *census, const struct census_size *size);
struct error *census_add_part(struct census *census, const char *name, uint64_t size);
/* Sorts the items, and adds those up that are of one type, part and kind. To be called once. */
struct error *census_finish(struct census *census);

/* "object", "unreferenced", "owned", "indirect", "unowned" */
const char *census_kind_name(enum census_kind kind);

enum census_by {
	CENSUS_BY_PART,  /* objects by type, and what are none by whose they are, and what of it */
	CENSUS_BY_TYPE,  /* objects by type, and all that are none as one */
	CENSUS_BY_SIZE,  /* of a block */
	CENSUS_BY_OWNER, /* objects by type, each with what is its */
};

/* A line of a table: what one group came to, in one census or two. */
struct census_row {
	char *name;
	uint64_t count;                     /* blocks; by owner, objects */
	uint64_t size;                      /* bytes, with what is owned */
	uint64_t owned;                     /* bytes of what is owned, by owner; else 0 */
	uint64_t count_before, size_before; /* the same in the older census */
};

struct census_rows {
	enum census_by by;
	struct census_row *rows;
	size_t count, capacity;
	uint64_t total_count, total_size, total_size_before;
};

/*
 * Groups of CENSUS, compared with BEFORE if that is not NULL. The largest comes first; in a
 * comparison the one that changed most, by size, then by count, as tracemalloc's compare_to() has
 * them.
 */
struct error *census_group(const struct census *census, const struct census *before,
			   enum census_by by, struct census_rows **ret);
/* NULL is accepted. */
void census_rows_destroy(struct census_rows *rows);

static inline void census_rows_cleanup(struct census_rows **rows)
{
	census_rows_destroy(*rows);
}

#endif
