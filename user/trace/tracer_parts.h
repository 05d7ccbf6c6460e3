/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the tracer share. */
#ifndef TMBPF_TRACE_TRACER_PARTS_H
#define TMBPF_TRACE_TRACER_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include "trace/kernel.h"
#include "trace/reaper.h"
#include "trace/tracer.h"

#include "tmbpf.skel.h"

struct bpf_program;

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
	uint32_t windows; /* bursts so far */
	struct tracer_options options;
	uint64_t initial_slabs;
	uint64_t returns_unknown; /* raw results at places that no plan knew, when we looked last */
	struct probes_link *links;
	size_t link_count;
	int *fault_fds; /* the perf events of page faults, one a thread */
	size_t fault_count;
	struct probes_link *large_links; /* of the probes that see large blocks all the time */
	size_t large_count;
	struct bpf_link *exec_link, *fork_link;
	uint64_t forks;         /* that children were released of */
	uint64_t released_next; /* monotonic: not before that again */
	/* Where frees are not probed; else NULL. */
	struct reaper *reaper;
	uint64_t *slab_addresses; /* by slab: what memory it covers; 0: not known */
	uint32_t slab_count;
	struct tmbpf_record_code_end
		*ended; /* code objects found dead, to be told in their place */
	size_t ended_count, ended_capacity;
	struct reaper_counters reaped; /* by the walk at hand */
};

/* How large the maps are to be, of programs that are not loaded yet, and what CONFIG says of that. */
struct error *tracer_maps_size(struct tracer *tracer, struct tmbpf_config *config);

/* Attaches what traces all, of one file: GROUP of its sites, in process PID. */
struct error *tracer_group_attach(struct tracer *tracer, size_t group, pid_t pid,
				  struct probes_link *ret);
/* The same of what sees large blocks; RET is -1 where the group has no such site. */
struct error *tracer_large_group_attach(struct tracer *tracer, size_t index, pid_t pid,
					struct probes_link *ret);

/* A descriptor of slab INDEX, which is in use, to be closed; negative: errno. */
int tracer_slab_open(const struct tracer *tracer, uint32_t index);

/* Deletes all that is in MAP, a hash by 64-bit keys. */
void tracer_hash_clear(int map, size_t key_size);

/* Adds a program's runs and their time to RET. */
void tracer_program_stats(const struct bpf_program *program, struct tracer_counters *ret);

#endif
