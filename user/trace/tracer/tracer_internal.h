/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the tracer share. */
#ifndef TMBPF_TRACE_TRACER_TRACER_INTERNAL_H
#define TMBPF_TRACE_TRACER_TRACER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/attach/kernel.h"
#include "trace/tracer/sweep.h"
#include "trace/tracer/tracer.h"

#include "tmbpf.skel.h"

struct bpf_map;

struct table { /* a map that is ours to read and write directly */
	void *data;
	size_t size;
};

struct tracer {
	struct process *process;
	struct python *python;
	struct plan *plan;
	struct sites *sites;
	struct tmbpf_bpf *skeleton;
	struct ring_buffer *ring;
	tracer_handler handle;
	void *handle_context;
	struct table stacks, stats, recycled, chunks, births;
	uint32_t windows; /* sampling windows so far */
	struct tracer_options options;
	uint64_t initial_slabs;
	int *slab_fds; /* the shadow's slabs, as many as are ready */
	uint32_t slab_count;
	uint64_t returns_unknown; /* raw results at places that no plan knew, when we looked last */
	struct probes_link *links;
	size_t link_count;
	int *fault_fds; /* the perf events of page faults, one a thread */
	size_t fault_count;
	struct probes_link *large_links; /* of the probes that see large blocks all the time */
	size_t large_count;
	struct bpf_link *thread_link; /* before Linux 5.17; else NULL */
	struct bpf_link *exec_link, *fork_link;
	uint64_t forks;         /* that children were released of */
	uint64_t released_next; /* monotonic: not before that again */
	/* Where frees are not probed; else NULL. */
	struct sweep *sweep;
	uint64_t *slab_addresses; /* by slab: what memory it covers; 0: not known */
	struct tmbpf_record_code_end
		*ended; /* code objects found dead, to be told in their place */
	size_t ended_count, ended_capacity;
	struct sweep_counters reaped; /* by the walk at hand */
};

/* How large the maps are to be, of programs that are not loaded yet, and what CONFIG says of that. */
struct error *tracer_maps_size(struct tracer *tracer, const struct kernel_features *features,
			       struct tmbpf_config *config);

/*
 * Puts COUNT new slabs behind those there are. They stay open: to open one again by what the map of
 * maps says takes CAP_SYS_ADMIN.
 */
struct error *tracer_slabs_add(struct tracer *tracer, uint32_t count);

/* Attaches what traces all, of one file: GROUP of its sites, in process PID. */
struct error *tracer_group_attach(struct tracer *tracer, size_t group, pid_t pid,
				  struct probes_link *ret);
/* The same of what sees large blocks; RET is -1 where the group has no such site. */
struct error *tracer_large_group_attach(struct tracer *tracer, size_t index, pid_t pid,
					struct probes_link *ret);

/*
 * Refuses where the memory limits of the process leave too little for the probes of the groups from FIRST on: it could be
 * killed for them.
 */
struct error *tracer_headroom_check(const struct tracer *tracer, size_t first);

/* Maps the whole of MAP; tracer_table_unmap() accepts what was never mapped. */
struct error *tracer_table_map(struct bpf_map *map, struct table *ret);
void tracer_table_unmap(struct table *table);

/* Opens the ring; tracer_destroy() frees it. */
struct error *tracer_ring_create(struct tracer *tracer);

/* The slab of CHUNK (its number plus 1; tmbpf.h); false: it has none. */
bool tracer_chunk_slab(const struct tracer *tracer, uint64_t chunk, uint32_t *ret);
/* All entries of slab INDEX, to be given back by tracer_slab_unmap(). */
struct error *tracer_slab_map(const struct tracer *tracer, uint32_t index, uint32_t **ret);
void tracer_slab_unmap(uint32_t *entries);

/* Deletes every entry of MAP, a hash table whose keys are of at most eight bytes. */
void tracer_hash_clear(int map);

/* The skeleton with the programs for kernels before 5.17. NULL: errno says why. */
struct tmbpf_bpf *tracer_plain_open(void);
/* What these need beside, if it is these that are loaded. */
struct error *tracer_plain_attach(struct tracer *tracer);

#endif
