// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sizes of the BPF maps, and the slabs of the shadow. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/process.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

/* Room for the sites of modules that are loaded while we trace. */
#define LATER_SITES 4096
/*
 * Bytes of the ring. In sampling mode it need not hold the code objects of a whole start, so it may
 * be as small as RING_LEAST; it has room for RING_STACKS stacks beside code objects.
 */
#define RING_MOST   (8u << 20)
#define RING_LEAST  (2u << 20)
#define RING_STACKS 8192
/* Limits of hash tables that cannot get memory while probes run. */
#define RAW_BEFOREHAND   (1u << 18)
#define CODES_BEFOREHAND (1u << 16)
/*
 * Room for threads (5.5 KB each), beside twice as many as there are now: in sampling mode, and
 * exact.
 */
#define THREADS_MORE       256
#define THREADS_MORE_EXACT 2048

static uint32_t power_of_two(uint64_t least)
{
	uint32_t power = 8;

	while (power < least)
		power *= 2;
	return power;
}

/*
 * A record that finds no room is a loss, and counted. A window has far fewer stacks than
 * allocations.
 */
static uint32_t ring_bytes(const struct tracer_options *options)
{
	size_t frames = (options->nframe + TMBPF_NFRAME_SPARE) * sizeof(struct tmbpf_frame);
	uint32_t bytes = RING_LEAST;

	if (options->mode != TMBPF_MODE_SAMPLED)
		return RING_MOST;
	while (bytes < RING_MOST &&
	       bytes < RING_STACKS * (sizeof(struct tmbpf_record_stack) + frames))
		bytes *= 2;
	return bytes;
}

static uint32_t one_at_least(uint32_t entries)
{
	return entries ? entries : 1; /* the kernel makes no empty maps */
}

/*
 * Before Linux 6.1, if a hash table takes memory while probes run, the kernel warns, and a machine
 * that panics on warnings goes down (kernel/bpf/verifier.c, check_map_prog_compatibility). So all
 * of it is taken beforehand, for fewer entries. What finds no place is counted.
 */
static int maps_fill_beforehand(struct tracer *tracer)
{
	struct tmbpf_bpf *skeleton = tracer->skeleton;
	int failed = bpf_map__set_map_flags(skeleton->maps.raw_blocks, 0) |
		     bpf_map__set_map_flags(skeleton->maps.codes, 0);

	if (tracer->options.raw_limit > RAW_BEFOREHAND)
		failed |= bpf_map__set_max_entries(skeleton->maps.raw_blocks, RAW_BEFOREHAND);
	if (tracer->options.code_limit > CODES_BEFOREHAND)
		failed |= bpf_map__set_max_entries(skeleton->maps.codes, CODES_BEFOREHAND);
	return failed;
}

/*
 * The programs for kernels before 5.17 have a table of threads, which takes its memory beforehand.
 * Threads that find no place are counted.
 */
static struct error *threads_size(struct tracer *tracer)
{
	cleanup_free pid_t *threads = NULL;
	uint32_t more = tracer->options.mode == TMBPF_MODE_SAMPLED ? THREADS_MORE
								   : THREADS_MORE_EXACT;
	size_t count;

	try(process_threads(tracer->process, &threads, &count));
	if (bpf_map__set_max_entries(tracer->skeleton->maps.threads, 2 * (uint32_t)count + more))
		return error_create(ERROR_FAILED, "cannot set the sizes of the BPF maps");
	return NULL;
}

struct error *tracer_maps_size(struct tracer *tracer, const struct kernel_features *features,
			       struct tmbpf_config *config)
{
	struct tmbpf_bpf *skeleton = tracer->skeleton;
	const struct tracer_options *options = &tracer->options;
	/* Twice as many slots as stacks, so that hardly a bucket is full before the table is. */
	uint32_t buckets = power_of_two(2ull * options->stack_limit / TMBPF_BUCKET_SLOTS);
	uint32_t chunks = power_of_two(2ull * options->slab_limit);
	uint32_t recycled = power_of_two(options->stack_limit);
	uint32_t returns = sites_return_count(tracer->sites) + LATER_SITES;
	int failed = 0;

	if (!features->loops)
		try(threads_size(tracer));
	config->stack_limit = options->stack_limit;
	config->bucket_mask = buckets - 1;
	config->chunk_mask = chunks - 1;
	config->recycled_mask = recycled - 1;
	config->slab_limit = options->slab_limit;
	config->ring_bytes = ring_bytes(options);
	failed |= bpf_map__set_max_entries(skeleton->maps.sites,
					   sites_count(tracer->sites) + LATER_SITES);
	failed |= bpf_map__set_max_entries(skeleton->maps.returns, returns);
	failed |= bpf_map__set_max_entries(skeleton->maps.addresses,
					   sites_count(tracer->sites) + LATER_SITES);
	failed |= bpf_map__set_max_entries(skeleton->maps.chunks, chunks);
	failed |= bpf_map__set_max_entries(skeleton->maps.slabs, one_at_least(options->slab_limit));
	failed |= bpf_map__set_max_entries(skeleton->maps.raw_blocks,
					   one_at_least(options->raw_limit));
	failed |= bpf_map__set_max_entries(skeleton->maps.window_allocations,
					   one_at_least(options->window_allocations));
	config->window_allocations = options->window_allocations;
	if (options->mode == TMBPF_MODE_SAMPLED)
		config->mode = TMBPF_MODE_SAMPLED;
	failed |= bpf_map__set_max_entries(skeleton->maps.codes, options->code_limit);
	failed |= bpf_map__set_max_entries(
		skeleton->maps.sampled_codes,
		options->mode == TMBPF_MODE_SAMPLED ? TRACER_SAMPLED_CODES : 1);
	config->large_least = TRACER_LARGE_LEAST;
	failed |= bpf_map__set_max_entries(skeleton->maps.stacks, buckets);
	failed |= bpf_map__set_max_entries(skeleton->maps.stats, options->stack_limit);
	failed |= bpf_map__set_max_entries(skeleton->maps.recycled, recycled);
	failed |= bpf_map__set_max_entries(skeleton->maps.ring, config->ring_bytes);
	if (!features->runtime_memory)
		failed |= maps_fill_beforehand(tracer);
	return failed ? error_create(ERROR_FAILED, "cannot set the sizes of the BPF maps") : NULL;
}

#define ENOTSUPP 524 /* the kernel's own, include/linux/errno.h */

/* One update for all slabs, as each update waits for an RCU grace period. */
struct error *tracer_slabs_add(struct tracer *tracer, uint32_t count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	int map = bpf_map__fd(tracer->skeleton->maps.slabs);
	LIBBPF_OPTS(bpf_map_create_opts, slab_options, .map_flags = BPF_F_MMAPABLE);
	cleanup_free uint32_t *keys = calloc(count, sizeof(*keys));
	uint32_t made, stored;
	int failed = 0, *fds;

	fds = realloc(tracer->slab_fds, (tracer->slab_count + count) * sizeof(*fds));
	if (!keys || !fds)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot add shadow memory");
	tracer->slab_fds = fds;
	fds += tracer->slab_count;
	for (made = 0; made < count; made++) {
		keys[made] = tracer->slab_count + made;
		fds[made] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slab", sizeof(uint32_t),
					   TMBPF_SLAB_ENTRIES * sizeof(uint32_t), 1, &slab_options);
		if (fds[made] < 0) {
			failed = fds[made];
			break;
		}
	}
	stored = made;
	if (!failed && bpf_map_update_batch(map, keys, fds, &stored, &options))
		failed = -errno;
	/* Before Linux 5.14 one at a time, each of which waits. */
	if (failed == -EOPNOTSUPP || failed == -ENOTSUPP)
		for (failed = 0, stored = 0; stored < made && !failed; stored++)
			if (bpf_map_update_elem(map, &keys[stored], &fds[stored], BPF_ANY))
				failed = -errno;
	while (failed && made--)
		close(fds[made]);
	if (failed)
		return error_create_errno(ERROR_FAILED, failed, "cannot add shadow memory");
	tracer->slab_count += count;
	return NULL;
}
