// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/sampling/sampler_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "target/process/process.h"
#include "trace/tracer/window_allocations.h"
#include "trace/sampling/classes.h"
#include "trace/sampling/tracked.h"
#include "trace/attach/kernel.h"
#include "trace/attach/priority.h"
#include "trace/sampling/samples.h"
#include "trace/symbols/tracebacks.h"

/* Tracebacks that are not worth a sweep. */
#define TRACEBACKS_LEAST 8192
/* Births that are looked for after a window, likewise. */
#define BIRTHS_MAX 16384
/* So many are looked at at a time, and for so long (nanoseconds). */
#define LOOK_BATCH 512
#define LOOK_MOST  10000000ull
/* Whether there is room for more births is looked up every so many seconds. */
#define SLEEP_SLICE 0.005
/* The last part of the time that probes are on, of which births are seen but not followed; at most so many seconds. */
#define GUARD_SHARE 0.3
#define GUARD_MOST  0.003
/* Censuses may take this part of the budget, of one CPU, on average; and no more than this share of it. */
#define CENSUS_PART  0.15
#define CENSUS_SHARE 0.003

/* Fields of /proc/PID/stat: CPU time of all its threads, in user and in kernel mode. */
#define STAT_UTIME 14
#define STAT_STIME 15

/*
 * The share of the time since this was asked last in which a thread of the process ran: who does not run loses nothing while
 * probes come and go.
 */
static double share_running(struct sampler *sampler)
{
	uint64_t ran = process_stat(sampler->process, STAT_UTIME) +
		       process_stat(sampler->process, STAT_STIME);
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	double seconds = (double)(now - sampler->ran_at) / NSEC_PER_SEC;
	double running = ran > sampler->ran ? (double)(ran - sampler->ran) : 0;

	sampler->ran = ran;
	sampler->ran_at = now;
	return fmin(running / (double)sysconf(_SC_CLK_TCK) / seconds, 1);
}

/* The next window lies anywhere in the interval that begins where the last one ended. */
static void window_plan(struct sampler *sampler)
{
	double room = sampler->governor.interval - sampler->governor.window;

	sampler->next = sampler->from + (uint64_t)(random_share(&sampler->random) * room * 1e9);
}

/* Where page faults cannot be sampled windows are all there is; that is said. */
static struct error *samples_begin(struct sampler *sampler)
{
	struct error *error = samples_create(sampler->tracer, sampler->process,
					     &sampler->tracebacks, &sampler->governor,
					     !sampler->malloc->other, &sampler->samples);

	if (!error || error_kind(error) == ERROR_NOTHING)
		return error;
	sampler->samples_failed = strdup(error_message(error));
	error_destroy(error);
	return NULL;
}

static struct error *sampler_init(struct sampler *sampler, const struct sampler_options *options)
{
	uint64_t trap;

	try(random_fill(&sampler->random, sizeof(sampler->random)));
	try(trap_measure(&trap));
	try(tracer_disturbance(sampler->tracer, &sampler->disturbance));
	governor_init(&sampler->governor, options->overhead, (double)trap / 1e9);
	sampler->malloc = &tracer_python(sampler->tracer)->malloc;
	try(classes_create(tracer_python(sampler->tracer), &sampler->classes));
	try(python_pools_create(tracer_python(sampler->tracer), &sampler->pools));
	try(samples_begin(sampler));
	return sampler_clear(sampler);
}

struct error *sampler_create(struct tracer *tracer, struct symbols *symbols,
			     struct process *process, const struct sampler_options *options,
			     void (*drain)(void *context), void *context, struct sampler **ret)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));
	struct error *error;

	if (!sampler)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace in bursts");
	sampler->tracer = tracer;
	sampler->symbols = symbols;
	sampler->process = process;
	sampler->drain = drain;
	sampler->drain_context = context;
	sampler->tracebacks.symbols = symbols;
	error = sampler_init(sampler, options);
	if (error) {
		sampler_destroy(sampler);
		return error;
	}
	*ret = sampler;
	return NULL;
}

static void sampler_forget(struct sampler *sampler)
{
	if (sampler->samples)
		samples_clear(sampler->samples);
	tracebacks_clear(&sampler->tracebacks);
	sampler->window_count = sampler->tracked_count = sampler->tracebacks_most = 0;
	sampler->survivors_most = SAMPLER_SURVIVORS_MAX;
	sampler_estimates_forget(sampler);
}

void sampler_destroy(struct sampler *sampler)
{
	if (!sampler)
		return;
	sampler_forget(sampler);
	samples_destroy(sampler->samples);
	tracebacks_deinit(&sampler->tracebacks);
	classes_destroy(sampler->classes);
	python_pools_destroy(sampler->pools);
	free(sampler->windows);
	free(sampler->tracked);
	free(sampler->samples_failed);
	free(sampler);
}

static struct error *census_take(struct sampler *sampler, bool keep)
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

/* CPU time since the last time that this was asked, seconds. */
static double cpu_taken(struct sampler *sampler)
{
	uint64_t before = sampler->charged;

	sampler->charged = clock_now(CLOCK_THREAD_CPUTIME_ID);
	return (double)(sampler->charged - before) / 1e9;
}

void sampler_charge(struct sampler *sampler)
{
	governor_other(&sampler->governor, cpu_taken(sampler));
}

void sampler_charge_answer(struct sampler *sampler)
{
	governor_answer(&sampler->governor, cpu_taken(sampler));
}

/* What fails is not tried again at once. */
struct error *sampler_census(struct sampler *sampler, bool keep)
{
	double share = fmin(CENSUS_PART * sampler->governor.budget, CENSUS_SHARE);
	uint64_t cpu = clock_now(CLOCK_THREAD_CPUTIME_ID), taken;
	struct error *error = census_take(sampler, keep);

	taken = clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	sampler->census_cost = (double)taken / 1e9;
	if (keep)
		sampler->census_next = clock_now(CLOCK_MONOTONIC) + NSEC_PER_SEC +
				       (uint64_t)((double)taken / share);
	return error;
}

struct error *sampler_clear(struct sampler *sampler)
{
	struct classes *classes;

	sampler_forget(sampler);
	/* Histories begin anew. */
	try(classes_create(tracer_python(sampler->tracer), &classes));
	classes_destroy(sampler->classes);
	sampler->classes = classes;
	tracked_heap_init(&sampler->look, tracer_python(sampler->tracer), sampler->process, classes,
			  sampler->pools);
	memset(&sampler->counters, 0, sizeof(sampler->counters));
	governor_init(&sampler->governor, sampler->governor.budget, sampler->governor.trap);
	sampler->charged = clock_now(CLOCK_THREAD_CPUTIME_ID);
	try(sampler_census(sampler, true));
	sampler_charge(sampler);
	governor_begin(&sampler->governor);
	sampler->began = sampler->from = sampler->looked = clock_now(CLOCK_MONOTONIC);
	share_running(sampler);
	window_plan(sampler);
	return NULL;
}

int sampler_wait(const struct sampler *sampler, int most)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);

	if (sampler->samples)
		most = samples_wait(sampler->samples, most);
	if (sampler->governor.stopped)
		return most;
	if (sampler->next <= now)
		return 0;
	return sampler->next - now < (uint64_t)most * 1000000
		       ? (int)((sampler->next - now) / 1000000)
		       : most;
}

struct error *sampler_look(struct sampler *sampler)
{
	cleanup_free struct tracked **list = calloc(sampler->tracked_count + 1, sizeof(*list));
	struct error *error;
	size_t count = 0;

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	for (size_t i = 0; i < sampler->tracked_count; i++)
		if (sampler->tracked[i].died == ESTIMATE_ALIVE)
			list[count++] = &sampler->tracked[i];
	error = tracked_look(&sampler->look, list, count, false);
	if (!error)
		error = process_check(sampler->process);
	/* What was read of a process that ended meanwhile says nothing. */
	for (size_t i = 0; error && i < count; i++)
		list[i]->died = ESTIMATE_ALIVE;
	try(error);
	sampler->looked = clock_now(CLOCK_MONOTONIC);
	return NULL;
}

/* Whoever was followed at an address that is born again is dead. */
static void reborn_mark(struct sampler *sampler, const struct tmbpf_allocation **births,
			size_t count, uint64_t start)
{
	for (size_t i = 0; i < sampler->tracked_count; i++) {
		struct tracked *block = &sampler->tracked[i];

		if (block->died != ESTIMATE_ALIVE ||
		    !window_allocations_find(births, count, block->address))
			continue;
		block->died = start + 1;
		block->reborn = true;
	}
}

/* A random sample of MOST of COUNT, in no order; how many there are then. */
static size_t births_sample(struct sampler *sampler, const struct tmbpf_allocation **births,
			    size_t count, size_t most)
{
	for (size_t i = 0; i < most && i < count; i++) {
		size_t k = i + (size_t)(random_share(&sampler->random) * (double)(count - i));
		const struct tmbpf_allocation *other = births[k];

		births[k] = births[i];
		births[i] = other;
	}
	return count < most ? count : most;
}

/* Adds MOST of the ALIVE survivors of LIST, COUNT blocks that were looked at, as the last window's. */
static struct error *survivors_add(struct sampler *sampler, const struct tracked *list,
				   size_t count, size_t alive, size_t most, double *scale)
{
	size_t left = alive;

	if (most)
		*scale *= (double)alive / (double)most;
	try(array_reserve(&sampler->tracked, &sampler->tracked_capacity, sampler->tracked_count,
			  most, sizeof(*sampler->tracked)));
	for (size_t i = 0; i < count && most; i++) {
		struct tracked *block;

		if (list[i].died != ESTIMATE_ALIVE ||
		    random_share(&sampler->random) * (double)left-- >= (double)most)
			continue;
		most--;
		block = &sampler->tracked[sampler->tracked_count];
		*block = list[i];
		/* Now is when stacks mean something: the next window forgets them. */
		try(tracebacks_index(&sampler->tracebacks,
				     symbols_hold(sampler->symbols, list[i].traceback),
				     &block->traceback));
		sampler->tracked_count++;
		sampler->counters.tracked++;
	}
	return NULL;
}

/* What a window has listed, until it is taken in. */
struct harvest {
	const struct tmbpf_allocation *
		*order; /* all births, by address, at equal ones in their order */
	size_t count;
	const struct tmbpf_allocation **seen; /* those of them that came before the look */
	size_t seen_count;
	size_t born; /* how many came before the window's end: the others only tell who is dead */
	struct tracked *list; /* of the former, those whose address was not handed out again */
	struct tracked **looked;
	size_t listed;
};

static void harvest_deinit(struct harvest *harvest)
{
	free(harvest->order);
	free(harvest->seen);
	free(harvest->list);
	free(harvest->looked);
}

/*
 * Looks at COUNT of the KEPT births, in their random order. Probes are on meanwhile: those that do not get their look in
 * time are not waited for, and the others stand for them.
 */
static struct error *harvest_follow(struct sampler *sampler, struct harvest *harvest,
				    struct window *window, size_t kept, size_t count)
{
	uint64_t deadline = clock_now(CLOCK_MONOTONIC) + LOOK_MOST;

	while (harvest->listed < count &&
	       (!harvest->listed || clock_now(CLOCK_MONOTONIC) < deadline)) {
		size_t left = count - harvest->listed;
		size_t batch = left < LOOK_BATCH ? left : LOOK_BATCH;

		try(tracked_look(&sampler->look, harvest->looked + harvest->listed, batch, true));
		harvest->listed += batch;
	}
	window->scale = harvest->listed ? (double)kept / (double)harvest->listed : 1;
	return NULL;
}

/* Looks at what was born: at once, before others take the places of those that died. */
static struct error *harvest_look(struct sampler *sampler, struct harvest *harvest,
				  struct window *window)
{
	size_t count, kept = 0;
	const struct tmbpf_allocation *births = tracer_births(sampler->tracer, &count);
	cleanup_free const struct tmbpf_allocation **unique = NULL;

	try(window_allocations_order(births, count, &harvest->seen, &harvest->seen_count));
	unique = calloc(harvest->seen_count + 1, sizeof(*unique));
	if (!unique)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	memcpy(unique, harvest->seen, harvest->seen_count * sizeof(*unique));
	count = window_allocations_unique(unique, harvest->seen_count);
	/* Of malloc's blocks glibc's chunks alone say whether they are still there; else page faults tell of them. */
	for (size_t i = 0; i < count; i++)
		if (unique[i] < births + harvest->born &&
		    !(sampler->malloc->other && unique[i]->kind == TMBPF_ALLOCATION_RAW))
			unique[kept++] = unique[i];
	count = births_sample(sampler, unique, kept, BIRTHS_MAX);
	harvest->list = calloc(count + 1, sizeof(*harvest->list));
	harvest->looked = calloc(count + 1, sizeof(*harvest->looked));
	if (!harvest->list || !harvest->looked)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	for (size_t i = 0; i < count; i++) {
		harvest->list[i] = (struct tracked){
			.address = unique[i]->address,
			.size = unique[i]->size,
			.traceback = unique[i]->stack, /* until it is known to survive */
			.window = (uint32_t)sampler->window_count,
			.raw = unique[i]->kind == TMBPF_ALLOCATION_RAW,
			.reused = unique[i]->kind == TMBPF_ALLOCATION_FREELIST,
			.died = ESTIMATE_ALIVE,
		};
		harvest->looked[i] = &harvest->list[i];
	}
	return harvest_follow(sampler, harvest, window, kept, count);
}

/* Births went on being seen during the look: whose place was handed out by then was not what was looked at. */
static struct error *harvest_end(struct sampler *sampler, struct harvest *harvest)
{
	cleanup_free const struct tmbpf_allocation **late = NULL; /* what came since, by address */
	size_t count;
	const struct tmbpf_allocation *births = tracer_births(sampler->tracer, &count);

	sampler->counters.births += count;
	try(window_allocations_order(births, count, &harvest->order, &harvest->count));
	try(window_allocations_since(harvest->order, harvest->count, harvest->seen,
				     harvest->seen_count, &late, &count));
	for (size_t i = 0; i < harvest->listed; i++)
		if (window_allocations_find(late, count, harvest->list[i].address))
			harvest->list[i].died = 0;
	return NULL;
}

/* Waits while births are being listed: no longer than there is room for them, as the traps would be for nothing. */
static void window_wait(const struct sampler *sampler, double seconds)
{
	while (seconds > 0 && !tracer_window_full(sampler->tracer)) {
		double slice = fmin(seconds, SLEEP_SLICE);
		struct timespec time = {.tv_nsec = (long)(slice * 1e9)};

		nanosleep(&time, NULL);
		seconds -= slice;
	}
}

/*
 * The window itself; what it cost but for the tracer's time goes to COST. What dies in it leaves a place that is the next
 * to be handed out, and by the time of the look may be another's: so births are seen for some time more than the window,
 * until the look is over, and who was born in it and has lost his place is known.
 */
static struct error *window_run(struct sampler *sampler, struct window *window,
				struct harvest *harvest, struct governor_cost *cost)
{
	cleanup(priority_restore) struct priority priority;
	uint64_t runs, ns, runs_after, ns_after, opened, end, middle, cpu;
	double guard = fmin(sampler->governor.window * GUARD_SHARE, GUARD_MOST);
	struct error *error;

	priority_raise(&priority);
	opened = clock_now(CLOCK_MONOTONIC);
	cost->attach =
		sampler->disturbance * share_running(sampler); /* also of what is opened half way */
	tracer_runs(sampler->tracer, &runs, &ns);
	try(tracer_window_open(sampler->tracer, &window->window.start));
	window_wait(sampler, sampler->governor.window - guard);
	tracer_births(sampler->tracer, &harvest->born);
	middle = clock_now(CLOCK_MONOTONIC);
	window_wait(sampler, guard);
	cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
	error = harvest_look(sampler, harvest, window);
	tracer_window_end(sampler->tracer, &end);
	if (end > window->window.start)
		cost->seconds = (double)(end - window->window.start) / NSEC_PER_SEC;
	window->window.end = middle < end ? middle : end;
	if (window->window.end <= window->window.start)
		window->window.end = window->window.start + 1;
	if (!error)
		error = harvest_end(sampler, harvest);
	cost->births = clock_since(CLOCK_THREAD_CPUTIME_ID, cpu);
	tracer_window_close(sampler->tracer);
	cost->open = clock_since(CLOCK_MONOTONIC, opened);
	tracer_runs(sampler->tracer, &runs_after, &ns_after);
	cost->hits = runs_after - runs;
	cost->traps = (double)cost->hits * sampler->governor.trap;
	cost->programs = (double)(ns_after - ns) / 1e9;
	sampler->counters.seconds_open_ns += window->window.end - window->window.start;
	sampler->counters.windows++;
	sampler->counters.full_windows += end < middle;
	return error;
}

/* Takes in what WINDOW saw, after what was seen before. */
static struct error *window_keep(struct sampler *sampler, struct window *window,
				 const struct harvest *harvest)
{
	size_t tracked, most, alive = 0;
	struct error *error;

	window->window.from = sampler->from;
	window->window.to = sampler->from + (uint64_t)(sampler->governor.interval * 1e9);
	if (window->window.to < window->window.end)
		window->window.to = window->window.end;
	try(sampler_look(sampler));
	reborn_mark(sampler, harvest->order, harvest->count, window->window.start);
	for (size_t i = 0; i < harvest->listed; i++)
		alive += harvest->list[i].died == ESTIMATE_ALIVE;
	most = sampler_survivors_room(sampler, alive);
	tracked = sampler->tracked_count;
	error = survivors_add(sampler, harvest->list, harvest->listed, alive, most, &window->scale);
	if (error) { /* then it saw nothing at all */
		sampler->tracked_count = tracked;
		return error;
	}
	sampler->windows[sampler->window_count++] = *window;
	sampler->from = window->window.to;
	return NULL;
}

static struct error *window_take(struct sampler *sampler)
{
	cleanup(harvest_deinit) struct harvest harvest = {0};
	struct window window = {.scale = 1};
	struct governor_cost cost = {0};
	struct error *error;
	uint64_t until, cpu;

	sampler_charge(sampler);
	if (sampler->window_count == SAMPLER_WINDOWS_MAX)
		sampler_windows_thin(sampler);
	try(array_reserve(&sampler->windows, &sampler->window_capacity, sampler->window_count, 1,
			  sizeof(*sampler->windows)));
	sampler->drain(sampler->drain_context);
	symbols_restart(sampler->symbols);
	error = window_run(sampler, &window, &harvest, &cost);
	cost.failed = error != NULL;
	cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
	sampler->drain(sampler->drain_context);
	cost.births += clock_since(CLOCK_THREAD_CPUTIME_ID, cpu);
	if (!error)
		error = window_keep(sampler, &window, &harvest);
	/* What failed has cost as well. */
	cost.tracer = cpu_taken(sampler);
	until = error ? clock_now(CLOCK_MONOTONIC) : sampler->from;
	governor_window(&sampler->governor, &cost, (double)(until - sampler->began) / 1e9);
	governor_rest(&sampler->governor, classes_grow(sampler->classes));
	if (error) {
		sampler->next = until + (uint64_t)(sampler->governor.interval * 1e9);
		return error;
	}
	window_plan(sampler);
	return NULL;
}

struct error *sampler_sample(struct sampler *sampler, const struct tmbpf_record *record,
			     size_t size)
{
	return sampler->samples ? samples_record(sampler->samples, record, size) : NULL;
}

/* Releases the tracebacks of what is followed no more. */
static struct error *tracebacks_sweep(struct sampler *sampler)
{
	cleanup_free uint32_t *map = NULL;

	if (sampler->tracebacks.count <= sampler->tracebacks_most)
		return NULL;
	map = calloc(sampler->tracebacks.count + 1, sizeof(*map));
	if (!map)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the tracebacks");
	for (size_t i = 0; i < sampler->tracked_count; i++)
		map[sampler->tracked[i].traceback] = 1;
	if (sampler->samples)
		samples_tracebacks_mark(sampler->samples, map);
	/* Rows of estimates refer to them, too. */
	sampler_estimates_forget(sampler);
	try(tracebacks_keep(&sampler->tracebacks, map));
	for (size_t i = 0; i < sampler->tracked_count; i++)
		sampler->tracked[i].traceback = map[sampler->tracked[i].traceback];
	if (sampler->samples)
		samples_tracebacks_move(sampler->samples, map);
	sampler->tracebacks_most = 2 * sampler->tracebacks.count + TRACEBACKS_LEAST;
	return NULL;
}

struct error *sampler_tick(struct sampler *sampler)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	bool room;

	/* Also what others spent since the last one: on records, on answers. */
	sampler_charge(sampler);
	try(tracebacks_sweep(sampler));
	if (sampler->samples)
		try(samples_tick(sampler->samples, sampler->drain, sampler->drain_context));
	if (now >= sampler->census_next)
		try(sampler_census(sampler, true));
	if (sampler->governor.stopped || now < sampler->next)
		return NULL;
	/* What fails is not tried again at once. */
	sampler->next = now + (uint64_t)(sampler->governor.interval * 1e9);
	try(tracer_room(sampler->tracer, &room));
	return room ? window_take(sampler) : NULL;
}
