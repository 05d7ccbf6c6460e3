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

struct table { /* a map that user space reads and writes directly */
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
	struct table stacks, stats, recycled, chunks, window_allocations;
	uint32_t windows; /* how many there were so far */
	struct tracer_options options;
	uint64_t initial_slabs;
	int *slab_fds; /* as many slabs of the shadow as are ready */
	uint32_t slab_count;
	uint64_t returns_unknown; /* raw results at unknown places, at the last look */
	struct probes_link *links;
	size_t link_count;
	int *fault_fds; /* the perf events of page faults, one for each thread */
	size_t fault_count;
	struct probes_link *large_links; /* the probes of large blocks, attached all the time */
	size_t large_count;
	struct bpf_link *thread_link; /* before Linux 5.17; otherwise NULL */
	struct bpf_link *exec_link, *fork_link;
	uint64_t forks;         /* those whose children were released */
	uint64_t released_next; /* the next release is not before this, monotonic nanoseconds */
	/* NULL if frees are probed. */
	struct sweep *sweep;
	uint64_t *slab_addresses; /* by slab: the memory that it covers; 0: not known */
	/* code objects found dead, whose ends are to be handed out in their turn */
	struct tmbpf_record_code_end *ended;
	size_t ended_count, ended_capacity;
	struct sweep_counters reaped; /* by this walk */
};

/* Sets the sizes of the maps before the programs are loaded, and tells CONFIG of them. */
struct error *tracer_maps_size(struct tracer *tracer, const struct kernel_features *features,
			       struct tmbpf_config *config);

/*
 * Adds COUNT slabs. Their descriptors stay open: to get one from the map of maps takes
 * CAP_SYS_ADMIN.
 */
struct error *tracer_slabs_add(struct tracer *tracer, uint32_t count);

/* Attaches the probes of exact tracing in process PID: those of GROUP, which is of one file. */
struct error *tracer_group_attach(struct tracer *tracer, size_t group, pid_t pid,
				  struct probes_link *ret);
/* The same for the probes of large blocks. RET->fd is -1 if the group has none. */
struct error *tracer_large_group_attach(struct tracer *tracer, size_t index, pid_t pid,
					struct probes_link *ret);

/*
 * Refuses if the memory limits of the process leave too little for the probes of the groups from
 * FIRST on: they could get it killed.
 */
struct error *tracer_headroom_check(const struct tracer *tracer, size_t first);

/* Maps all of MAP into memory. tracer_table_unmap() accepts a table that was never mapped. */
struct error *tracer_table_map(struct bpf_map *map, struct table *ret);
void tracer_table_unmap(struct table *table);

/* Opens the ring; tracer_destroy() frees it. */
struct error *tracer_ring_create(struct tracer *tracer);

/* The slab of CHUNK (its number plus 1; see tmbpf.h). False: it has none. */
bool tracer_chunk_slab(const struct tracer *tracer, uint64_t chunk, uint32_t *ret);
/* Maps the entries of slab INDEX. tracer_slab_unmap() unmaps them. */
struct error *tracer_slab_map(const struct tracer *tracer, uint32_t index, uint32_t **ret);
void tracer_slab_unmap(uint32_t *entries);

/* Deletes every entry of MAP, a hash table whose keys are of at most eight bytes. */
void tracer_hash_clear(int map);

/* Opens the skeleton with the programs for kernels before 5.17. NULL: errno says why. */
struct tmbpf_bpf *tracer_plain_open(void);
/* Attaches what these programs need in addition, if they are loaded. */
struct error *tracer_plain_attach(struct tracer *tracer);

#endif
