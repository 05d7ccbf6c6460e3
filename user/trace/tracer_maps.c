// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <bpf/libbpf.h>

#include "base/error.h"
#include "trace/sites.h"
#include "trace/tracer_parts.h"

/* Room for the sites of modules that are loaded while we trace. */
#define LATER_SITES 4096
/* The ring at most; of bursts, who need not hold a whole start in it, at least, and so many stacks beside code objects. */
#define RING_MOST   (8u << 20)
#define RING_LEAST  (2u << 20)
#define RING_STACKS 8192

static uint32_t power_of_two(uint64_t least)
{
	uint32_t power = 8;

	while (power < least)
		power *= 2;
	return power;
}

/* What is not there in time is a loss that says so: a window's stacks are fewer, by far, than its births. */
static uint32_t ring_bytes(const struct tracer_options *options)
{
	size_t frames = (options->nframe + TMBPF_NFRAME_SPARE) * sizeof(struct tmbpf_frame);
	uint32_t bytes = RING_LEAST;

	if (!options->births_limit)
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

struct error *tracer_maps_size(struct tracer *tracer, struct tmbpf_config *config)
{
	struct tmbpf_bpf *skeleton = tracer->skeleton;
	const struct tracer_options *options = &tracer->options;
	/* Twice as many slots as stacks, so that hardly a bucket fills before the table does. */
	uint32_t buckets = power_of_two(2ull * options->stack_limit / TMBPF_BUCKET_SLOTS);
	uint32_t chunks = power_of_two(2ull * options->slab_limit);
	uint32_t recycled = power_of_two(options->stack_limit);
	uint32_t returns = sites_return_count(tracer->sites) + LATER_SITES;
	int failed = 0;

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
	failed |=
		bpf_map__set_max_entries(skeleton->maps.large, one_at_least(options->large_limit));
	failed |= bpf_map__set_max_entries(skeleton->maps.births,
					   one_at_least(options->births_limit));
	config->births = options->births_limit;
	failed |= bpf_map__set_max_entries(skeleton->maps.codes, options->code_limit);
	failed |= bpf_map__set_max_entries(skeleton->maps.sampled_codes,
					   options->births_limit ? TRACER_SAMPLED_CODES : 1);
	config->large_least = TRACER_LARGE_LEAST;
	failed |= bpf_map__set_max_entries(skeleton->maps.stacks, buckets);
	failed |= bpf_map__set_max_entries(skeleton->maps.stats, options->stack_limit);
	failed |= bpf_map__set_max_entries(skeleton->maps.recycled, recycled);
	failed |= bpf_map__set_max_entries(skeleton->maps.ring, config->ring_bytes);
	return failed ? error_create(ERROR_FAILED, "cannot set the sizes of the BPF maps") : NULL;
}
