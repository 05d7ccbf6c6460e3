// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/disturbance.h"
#include "trace/kernel.h"
#include "trace/sites.h"
#include "trace/tracer_parts.h"

/* Calls ATTACH with what sees births: all sites of a file together, as each link costs a wait when it is closed. */
static struct error *births_each(struct tracer *tracer,
				 struct error *(*attach)(struct tracer *tracer,
							 const struct probes *probes,
							 void *context),
				 void *context)
{
	size_t count = sites_group_count(tracer->sites);
	uint32_t room = sites_count(tracer->sites);
	cleanup_free uint64_t *offsets = calloc(room + 1, sizeof(*offsets));
	cleanup_free uint64_t *cookies = calloc(room + 1, sizeof(*cookies));
	struct probes probes, all = {0};

	if (!offsets || !cookies)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	for (size_t i = 0; i < count; i++) {
		sites_group_births(tracer->sites, i, offsets + all.count, cookies + all.count,
				   &probes);
		if (!probes.count)
			continue;
		all.path = probes.path; /* its own file's, all of them */
		all.count += probes.count;
	}
	all.offsets = offsets;
	all.cookies = cookies;
	return all.count ? attach(tracer, &all, context) : NULL;
}

static struct error *births_attach(struct tracer *tracer, const struct probes *probes,
				   void *context)
{
	int *links = realloc(tracer->links, (tracer->link_count + 1) * sizeof(*links));

	(void)context;
	if (!links)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	tracer->links = links;
	try(probes_attach(bpf_program__fd(tracer->skeleton->progs.probe), probes,
			  tracer->process->pid, &links[tracer->link_count]));
	tracer->link_count++;
	return NULL;
}

static struct error *births_disturb(struct tracer *tracer, const struct probes *probes,
				    void *context)
{
	return disturbance_measure(bpf_program__fd(tracer->skeleton->progs.probe), probes, context);
}

struct error *tracer_disturbance(struct tracer *tracer, double *ret)
{
	*ret = 0;
	return births_each(tracer, births_disturb, ret);
}

static uint64_t monotonic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

struct error *tracer_burst_open(struct tracer *tracer, uint64_t *ret_start)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	struct error *error;

	tracer_hash_clear(bpf_map__fd(tracer->skeleton->maps.codes), sizeof(uint64_t));
	memset(tracer->stacks.data, 0, tracer->stacks.size);
	tracer->skeleton->bss->refill.active = 0;
	state->next_stack = TMBPF_STACK_FIRST;
	state->recycled_head = state->recycled_tail = 0;
	state->returned_stack = state->leaked_stacks = 0;
	state->births = state->closed_at = 0;
	error = births_each(tracer, births_attach, NULL);
	if (error) {
		tracer_burst_close(tracer);
		return error;
	}
	*ret_start = monotonic_now();
	__atomic_store_n(&state->window, ++tracer->windows, __ATOMIC_SEQ_CST);
	return NULL;
}

void tracer_burst_end(struct tracer *tracer, uint64_t *ret_end)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	__atomic_store_n(&state->window, 0, __ATOMIC_SEQ_CST);
	*ret_end = monotonic_now();
	if (state->closed_at)
		*ret_end = state->closed_at;
}

void tracer_burst_close(struct tracer *tracer)
{
	__atomic_store_n(&tracer->skeleton->bss->state.window, 0, __ATOMIC_SEQ_CST);
	/* The kernel waits for programs that run. */
	for (size_t i = 0; i < tracer->link_count; i++)
		close(tracer->links[i]);
	tracer->link_count = 0;
}

const struct tmbpf_birth *tracer_births(const struct tracer *tracer, size_t *ret_count)
{
	uint64_t count = tracer->skeleton->bss->state.births;

	*ret_count = count < tracer->options.births_limit ? count : tracer->options.births_limit;
	return tracer->births.data;
}

void tracer_runs(const struct tracer *tracer, uint64_t *ret_runs, uint64_t *ret_ns)
{
	struct tracer_counters counters = {0};

	tracer_program_stats(tracer->skeleton->progs.probe, &counters);
	*ret_runs = counters.run_count;
	*ret_ns = counters.run_ns;
}
