// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How the sampler looks at the target: at the blocks it tracks, and at the whole heap (the census).
 * Also tells the governor the CPU time that was spent.
 */
#include "trace/sampling/sampler_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "target/process/process.h"
#include "trace/sampling/classes.h"
#include "trace/sampling/samples.h"
#include "trace/sampling/tracked.h"

/*
 * On average, censuses may take this part of the budget, of one CPU; and at most this share of it.
 */
#define CENSUS_PART  0.15
#define CENSUS_SHARE 0.003

double sampler_cpu_taken(struct sampler *sampler)
{
	uint64_t before = sampler->charged;

	sampler->charged = clock_now(CLOCK_THREAD_CPUTIME_ID);
	return (double)(sampler->charged - before) / 1e9;
}

void sampler_charge(struct sampler *sampler)
{
	governor_other(&sampler->governor, sampler_cpu_taken(sampler));
}

void sampler_charge_answer(struct sampler *sampler)
{
	governor_answer(&sampler->governor, sampler_cpu_taken(sampler));
}

struct error *sampler_look(struct sampler *sampler)
{
	cleanup_free struct tracked **list = calloc(sampler->tracked_count + 1, sizeof(*list));
	struct error *error;
	size_t count = 0;

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot track blocks");
	for (size_t i = 0; i < sampler->tracked_count; i++)
		if (sampler->tracked[i].died == ESTIMATE_ALIVE)
			list[count++] = &sampler->tracked[i];
	error = tracked_look(&sampler->look, list, count, false);
	if (!error)
		error = process_check(sampler->process);
	/* What was read of a process that ended meanwhile means nothing. */
	for (size_t i = 0; error && i < count; i++)
		list[i]->died = ESTIMATE_ALIVE;
	try(error);
	sampler->looked = clock_now(CLOCK_MONOTONIC);
	return NULL;
}

static struct error *heap_count(struct sampler *sampler, bool keep)
{
	struct native_memory_visitor visitor = {0};
	struct error *error;

	if (sampler->samples)
		try(samples_look(sampler->samples));
	if (sampler->samples)
		try(samples_walk_begin(sampler->samples, &visitor));
	error = classes_census(sampler->classes, keep, &visitor);
	if (sampler->samples)
		samples_walk_end(sampler->samples, classes_native(sampler->classes), visitor.done);
	return error;
}

/* If it fails it is not tried again at once. */
struct error *sampler_census(struct sampler *sampler, bool keep)
{
	double share = fmin(CENSUS_PART * sampler->governor.budget, CENSUS_SHARE);
	uint64_t cpu = clock_now(CLOCK_THREAD_CPUTIME_ID), taken;
	struct error *error = heap_count(sampler, keep);

	taken = clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	sampler->census_cost = (double)taken / 1e9;
	if (keep)
		sampler->census_next = clock_now(CLOCK_MONOTONIC) + NSEC_PER_SEC +
				       (uint64_t)((double)taken / share);
	return error;
}
