// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sampling windows: probes are on for a moment, and list what is allocated. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "trace/tracer/window_allocations.h"
#include "trace/attach/disturbance.h"
#include "trace/attach/kernel.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

/* Sites that see allocations: those that no window has seen hit so far, the others, or both. */
enum sites_part { PART_COLD = 1, PART_HOT = 2, PART_ALL = PART_COLD | PART_HOT };

/* What the programs have noted of each site, to be freed; NULL: nothing is known. */
static struct tmbpf_site *sites_read(struct tracer *tracer)
{
	uint32_t count = sites_count(tracer->sites), next, read = count;
	cleanup_free uint32_t *keys = calloc(count + 1, sizeof(*keys));
	cleanup_free struct tmbpf_site *records = calloc(count + 1, sizeof(*records));

	if (!keys || !records || !count)
		return NULL;
	if (bpf_map_lookup_batch(bpf_map__fd(tracer->skeleton->maps.sites), NULL, &next, keys,
				 records, &read, NULL) &&
	    errno != ENOENT)
		return NULL;
	return read == count ? take(records) : NULL;
}

/*
 * Calls ATTACH for PART of the sites that see allocations. They are all of one file, and together:
 * closing a link takes a wait.
 */
static struct error *window_allocations_each(struct tracer *tracer, enum sites_part part,
					     struct error *(*attach)(struct tracer *tracer,
								     const struct probes *probes,
								     void *context),
					     void *context)
{
	cleanup_free struct tmbpf_site *records = part == PART_ALL ? NULL : sites_read(tracer);
	size_t count = sites_group_count(tracer->sites);
	uint32_t room = sites_count(tracer->sites);
	cleanup_free uint64_t *offsets = calloc(room + 1, sizeof(*offsets));
	cleanup_free uint64_t *cookies = calloc(room + 1, sizeof(*cookies));
	struct probes probes, all = {0};

	if (!offsets || !cookies)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	for (size_t i = 0; i < count; i++) {
		uint32_t first = all.count;

		sites_group_allocations(tracer->sites, i, offsets + first, cookies + first,
					&probes);
		if (!probes.count)
			continue;
		all.path = probes.path; /* they are all of the interpreter's file */
		for (uint32_t k = first; k < first + probes.count; k++) {
			bool hit = records && records[cookies[k]].hit;

			if (!(part & (hit ? PART_HOT : PART_COLD)))
				continue;
			offsets[all.count] = offsets[k];
			cookies[all.count++] = cookies[k];
		}
	}
	all.offsets = offsets;
	all.cookies = cookies;
	return all.count ? attach(tracer, &all, context) : NULL;
}

static struct error *part_attach(struct tracer *tracer, const struct probes *probes, void *context)
{
	struct probes_link *links =
		realloc(tracer->links, (tracer->link_count + 1) * sizeof(*links));

	(void)context;
	if (!links)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	tracer->links = links;
	try(probes_attach(bpf_program__fd(tracer->skeleton->progs.probe), probes,
			  tracer->process->pid, &links[tracer->link_count]));
	tracer->link_count++;
	return NULL;
}

static struct error *part_disturb(struct tracer *tracer, const struct probes *probes, void *context)
{
	return disturbance_measure(bpf_program__fd(tracer->skeleton->progs.probe), probes, context);
}

struct error *tracer_disturbance(struct tracer *tracer, double *ret)
{
	*ret = 0;
	return window_allocations_each(tracer, PART_ALL, part_disturb, ret);
}

struct error *tracer_window_open(struct tracer *tracer, uint64_t *ret_start)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	struct error *error;
	size_t allocations;

	tracer_window_allocations(tracer, &allocations);
	window_allocations_clear(tracer->window_allocations.data, allocations);
	tracer_hash_clear(bpf_map__fd(tracer->skeleton->maps.codes));
	memset(tracer->stacks.data, 0, tracer->stacks.size);
	tracer->skeleton->bss->refill.active = 0;
	state->next_stack = TMBPF_STACK_FIRST;
	state->recycled_head = state->recycled_tail = 0;
	state->returned_stack = state->leaked_stacks = 0;
	state->window_allocations = state->closed_at = 0;
	/*
	 * Attaching and removing probes takes longer than many a window, and a thread that keeps
	 * hitting them hardly gets on. So the sites that are known to be hit come last and go
	 * first.
	 */
	if (probes_way() == PROBES_EVENTS) /* an event is defined anew if other sites are wanted */
		error = window_allocations_each(tracer, PART_ALL, part_attach, NULL);
	else
		error = window_allocations_each(tracer, PART_COLD, part_attach, NULL);
	if (!error && probes_way() != PROBES_EVENTS)
		error = window_allocations_each(tracer, PART_HOT, part_attach, NULL);
	if (error) {
		tracer_window_close(tracer);
		return error;
	}
	*ret_start = clock_now(CLOCK_MONOTONIC);
	__atomic_store_n(&state->window, ++tracer->windows, __ATOMIC_SEQ_CST);
	__atomic_store_n(&state->tracing, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

bool tracer_window_full(const struct tracer *tracer)
{
	return __atomic_load_n(&tracer->skeleton->bss->state.closed_at, __ATOMIC_RELAXED) != 0;
}

void tracer_window_end(struct tracer *tracer, uint64_t *ret_end)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	__atomic_store_n(&state->tracing, 0, __ATOMIC_SEQ_CST);
	*ret_end = clock_now(CLOCK_MONOTONIC);
	if (state->closed_at)
		*ret_end = state->closed_at;
}

void tracer_window_close(struct tracer *tracer)
{
	__atomic_store_n(&tracer->skeleton->bss->state.tracing, 0, __ATOMIC_SEQ_CST);
	/* The kernel waits for programs that run. */
	while (tracer->link_count)
		probes_detach(&tracer->links[--tracer->link_count]);
}

const struct tmbpf_allocation *tracer_window_allocations(const struct tracer *tracer,
							 size_t *ret_count)
{
	uint64_t count = tracer->skeleton->bss->state.window_allocations;

	*ret_count = count < tracer->options.window_allocations
			     ? count
			     : tracer->options.window_allocations;
	return tracer->window_allocations.data;
}

void tracer_runs(const struct tracer *tracer, uint64_t *ret_runs, uint64_t *ret_ns)
{
	const __typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	*ret_runs = state->hits;
	*ret_ns = state->hit_ns;
}
