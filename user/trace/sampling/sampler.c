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
static double share_running(struct burst *burst)
{
	uint64_t ran =
		process_stat(burst->process, STAT_UTIME) + process_stat(burst->process, STAT_STIME);
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	double seconds = (double)(now - burst->ran_at) / NSEC_PER_SEC;
	double running = ran > burst->ran ? (double)(ran - burst->ran) : 0;

	burst->ran = ran;
	burst->ran_at = now;
	return fmin(running / (double)sysconf(_SC_CLK_TCK) / seconds, 1);
}

/* The next window lies anywhere in the span that begins where the last one ended. */
static void window_plan(struct burst *burst)
{
	double room = burst->governor.span - burst->governor.window;

	burst->next = burst->from + (uint64_t)(random_share(&burst->random) * room * 1e9);
}

/* Where page faults cannot be sampled windows are all there is; that is said. */
static struct error *samples_begin(struct burst *burst)
{
	struct error *error = samples_create(burst->tracer, burst->process, &burst->tracebacks,
					     &burst->governor, !burst->malloc->other,
					     &burst->samples);

	if (!error || error_kind(error) == ERROR_NOTHING)
		return error;
	burst->samples_failed = strdup(error_message(error));
	error_destroy(error);
	return NULL;
}

static struct error *burst_init(struct burst *burst, const struct burst_options *options)
{
	uint64_t trap;

	try(random_fill(&burst->random, sizeof(burst->random)));
	try(trap_measure(&trap));
	try(tracer_disturbance(burst->tracer, &burst->disturbance));
	governor_init(&burst->governor, options->overhead, (double)trap / 1e9);
	burst->malloc = &tracer_python(burst->tracer)->malloc;
	try(classes_create(tracer_python(burst->tracer), &burst->classes));
	try(python_pools_create(tracer_python(burst->tracer), &burst->pools));
	try(samples_begin(burst));
	return burst_clear(burst);
}

struct error *burst_create(struct tracer *tracer, struct symbols *symbols, struct process *process,
			   const struct burst_options *options, void (*drain)(void *context),
			   void *context, struct burst **ret)
{
	struct burst *burst = calloc(1, sizeof(*burst));
	struct error *error;

	if (!burst)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace in bursts");
	burst->tracer = tracer;
	burst->symbols = symbols;
	burst->process = process;
	burst->drain = drain;
	burst->drain_context = context;
	burst->tracebacks.symbols = symbols;
	error = burst_init(burst, options);
	if (error) {
		burst_destroy(burst);
		return error;
	}
	*ret = burst;
	return NULL;
}

static void burst_forget(struct burst *burst)
{
	if (burst->samples)
		samples_clear(burst->samples);
	tracebacks_clear(&burst->tracebacks);
	burst->window_count = burst->followed_count = burst->tracebacks_most = 0;
	burst->survivors_most = BURST_SURVIVORS_MAX;
	burst_estimates_forget(burst);
}

void burst_destroy(struct burst *burst)
{
	if (!burst)
		return;
	burst_forget(burst);
	samples_destroy(burst->samples);
	tracebacks_deinit(&burst->tracebacks);
	classes_destroy(burst->classes);
	python_pools_destroy(burst->pools);
	free(burst->windows);
	free(burst->followed);
	free(burst->samples_failed);
	free(burst);
}

static struct error *census_take(struct burst *burst, bool keep)
{
	struct outside_visitor visitor = {0};
	struct error *error;

	if (burst->samples)
		try(samples_look(burst->samples));
	if (burst->samples)
		try(samples_walk_begin(burst->samples, &visitor));
	error = classes_census(burst->classes, keep, &visitor);
	if (burst->samples)
		samples_walk_end(burst->samples, classes_outside(burst->classes), visitor.done);
	return error;
}

/* CPU time since the last time that this was asked, seconds. */
static double cpu_taken(struct burst *burst)
{
	uint64_t before = burst->charged;

	burst->charged = clock_now(CLOCK_THREAD_CPUTIME_ID);
	return (double)(burst->charged - before) / 1e9;
}

void burst_charge(struct burst *burst)
{
	governor_other(&burst->governor, cpu_taken(burst));
}

void burst_charge_answer(struct burst *burst)
{
	governor_answer(&burst->governor, cpu_taken(burst));
}

/* What fails is not tried again at once. */
struct error *burst_census(struct burst *burst, bool keep)
{
	double share = fmin(CENSUS_PART * burst->governor.budget, CENSUS_SHARE);
	uint64_t cpu = clock_now(CLOCK_THREAD_CPUTIME_ID), taken;
	struct error *error = census_take(burst, keep);

	taken = clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	burst->census_cost = (double)taken / 1e9;
	if (keep)
		burst->census_next = clock_now(CLOCK_MONOTONIC) + NSEC_PER_SEC +
				     (uint64_t)((double)taken / share);
	return error;
}

struct error *burst_clear(struct burst *burst)
{
	struct classes *classes;

	burst_forget(burst);
	/* Histories begin anew. */
	try(classes_create(tracer_python(burst->tracer), &classes));
	classes_destroy(burst->classes);
	burst->classes = classes;
	followed_heap_init(&burst->look, tracer_python(burst->tracer), burst->process, classes,
			   burst->pools);
	memset(&burst->counters, 0, sizeof(burst->counters));
	governor_init(&burst->governor, burst->governor.budget, burst->governor.trap);
	burst->charged = clock_now(CLOCK_THREAD_CPUTIME_ID);
	try(burst_census(burst, true));
	burst_charge(burst);
	governor_begin(&burst->governor);
	burst->began = burst->from = burst->looked = clock_now(CLOCK_MONOTONIC);
	share_running(burst);
	window_plan(burst);
	return NULL;
}

int burst_wait(const struct burst *burst, int most)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);

	if (burst->samples)
		most = samples_wait(burst->samples, most);
	if (burst->governor.stopped)
		return most;
	if (burst->next <= now)
		return 0;
	return burst->next - now < (uint64_t)most * 1000000 ? (int)((burst->next - now) / 1000000)
							    : most;
}

struct error *burst_look(struct burst *burst)
{
	cleanup_free struct followed **list = calloc(burst->followed_count + 1, sizeof(*list));
	struct error *error;
	size_t count = 0;

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	for (size_t i = 0; i < burst->followed_count; i++)
		if (burst->followed[i].died == ESTIMATE_ALIVE)
			list[count++] = &burst->followed[i];
	error = followed_look(&burst->look, list, count, false);
	if (!error)
		error = process_check(burst->process);
	/* What was read of a process that ended meanwhile says nothing. */
	for (size_t i = 0; error && i < count; i++)
		list[i]->died = ESTIMATE_ALIVE;
	try(error);
	burst->looked = clock_now(CLOCK_MONOTONIC);
	return NULL;
}

/* Whoever was followed at an address that is born again is dead. */
static void reborn_mark(struct burst *burst, const struct tmbpf_birth **births, size_t count,
			uint64_t start)
{
	for (size_t i = 0; i < burst->followed_count; i++) {
		struct followed *block = &burst->followed[i];

		if (block->died != ESTIMATE_ALIVE || !births_find(births, count, block->address))
			continue;
		block->died = start + 1;
		block->reborn = true;
	}
}

/* A random sample of MOST of COUNT, in no order; how many there are then. */
static size_t births_sample(struct burst *burst, const struct tmbpf_birth **births, size_t count,
			    size_t most)
{
	for (size_t i = 0; i < most && i < count; i++) {
		size_t k = i + (size_t)(random_share(&burst->random) * (double)(count - i));
		const struct tmbpf_birth *other = births[k];

		births[k] = births[i];
		births[i] = other;
	}
	return count < most ? count : most;
}

/* Adds MOST of the ALIVE survivors of LIST, COUNT blocks that were looked at, as the last window's. */
static struct error *survivors_add(struct burst *burst, const struct followed *list, size_t count,
				   size_t alive, size_t most, double *scale)
{
	size_t left = alive;

	if (most)
		*scale *= (double)alive / (double)most;
	try(array_reserve(&burst->followed, &burst->followed_capacity, burst->followed_count, most,
			  sizeof(*burst->followed)));
	for (size_t i = 0; i < count && most; i++) {
		struct followed *block;

		if (list[i].died != ESTIMATE_ALIVE ||
		    random_share(&burst->random) * (double)left-- >= (double)most)
			continue;
		most--;
		block = &burst->followed[burst->followed_count];
		*block = list[i];
		/* Now is when stacks mean something: the next window forgets them. */
		try(tracebacks_index(&burst->tracebacks,
				     symbols_hold(burst->symbols, list[i].traceback),
				     &block->traceback));
		burst->followed_count++;
		burst->counters.followed++;
	}
	return NULL;
}

/* What a window has listed, until it is taken in. */
struct harvest {
	const struct tmbpf_birth **order; /* all births, by address, at equal ones in their order */
	size_t count;
	const struct tmbpf_birth **seen; /* those of them that came before the look */
	size_t seen_count;
	size_t born; /* how many came before the window's end: the others only tell who is dead */
	struct followed *list; /* of the former, those whose address was not handed out again */
	struct followed **looked;
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
static struct error *harvest_follow(struct burst *burst, struct harvest *harvest,
				    struct window *window, size_t kept, size_t count)
{
	uint64_t deadline = clock_now(CLOCK_MONOTONIC) + LOOK_MOST;

	while (harvest->listed < count &&
	       (!harvest->listed || clock_now(CLOCK_MONOTONIC) < deadline)) {
		size_t left = count - harvest->listed;
		size_t batch = left < LOOK_BATCH ? left : LOOK_BATCH;

		try(followed_look(&burst->look, harvest->looked + harvest->listed, batch, true));
		harvest->listed += batch;
	}
	window->scale = harvest->listed ? (double)kept / (double)harvest->listed : 1;
	return NULL;
}

/* Looks at what was born: at once, before others take the places of those that died. */
static struct error *harvest_look(struct burst *burst, struct harvest *harvest,
				  struct window *window)
{
	size_t count, kept = 0;
	const struct tmbpf_birth *births = tracer_births(burst->tracer, &count);
	cleanup_free const struct tmbpf_birth **unique = NULL;

	try(births_order(births, count, &harvest->seen, &harvest->seen_count));
	unique = calloc(harvest->seen_count + 1, sizeof(*unique));
	if (!unique)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	memcpy(unique, harvest->seen, harvest->seen_count * sizeof(*unique));
	count = births_unique(unique, harvest->seen_count);
	/* Of malloc's blocks glibc's chunks alone say whether they are still there; else page faults tell of them. */
	for (size_t i = 0; i < count; i++)
		if (unique[i] < births + harvest->born &&
		    !(burst->malloc->other && unique[i]->kind == TMBPF_BIRTH_RAW))
			unique[kept++] = unique[i];
	count = births_sample(burst, unique, kept, BIRTHS_MAX);
	harvest->list = calloc(count + 1, sizeof(*harvest->list));
	harvest->looked = calloc(count + 1, sizeof(*harvest->looked));
	if (!harvest->list || !harvest->looked)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	for (size_t i = 0; i < count; i++) {
		harvest->list[i] = (struct followed){
			.address = unique[i]->address,
			.size = unique[i]->size,
			.traceback = unique[i]->stack, /* until it is known to survive */
			.window = (uint32_t)burst->window_count,
			.raw = unique[i]->kind == TMBPF_BIRTH_RAW,
			.reused = unique[i]->kind == TMBPF_BIRTH_REUSED,
			.died = ESTIMATE_ALIVE,
		};
		harvest->looked[i] = &harvest->list[i];
	}
	return harvest_follow(burst, harvest, window, kept, count);
}

/* Births went on being seen during the look: whose place was handed out by then was not what was looked at. */
static struct error *harvest_end(struct burst *burst, struct harvest *harvest)
{
	cleanup_free const struct tmbpf_birth **late = NULL; /* what came since, by address */
	size_t count;
	const struct tmbpf_birth *births = tracer_births(burst->tracer, &count);

	burst->counters.births += count;
	try(births_order(births, count, &harvest->order, &harvest->count));
	try(births_since(harvest->order, harvest->count, harvest->seen, harvest->seen_count, &late,
			 &count));
	for (size_t i = 0; i < harvest->listed; i++)
		if (births_find(late, count, harvest->list[i].address))
			harvest->list[i].died = 0;
	return NULL;
}

/* Waits while births are being listed: no longer than there is room for them, as the traps would be for nothing. */
static void window_wait(const struct burst *burst, double seconds)
{
	while (seconds > 0 && !tracer_burst_full(burst->tracer)) {
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
static struct error *window_run(struct burst *burst, struct window *window, struct harvest *harvest,
				struct governor_cost *cost)
{
	cleanup(priority_restore) struct priority priority;
	uint64_t runs, ns, runs_after, ns_after, opened, end, middle, cpu;
	double guard = fmin(burst->governor.window * GUARD_SHARE, GUARD_MOST);
	struct error *error;

	priority_raise(&priority);
	opened = clock_now(CLOCK_MONOTONIC);
	cost->attach =
		burst->disturbance * share_running(burst); /* also of what is opened half way */
	tracer_runs(burst->tracer, &runs, &ns);
	try(tracer_burst_open(burst->tracer, &window->window.start));
	window_wait(burst, burst->governor.window - guard);
	tracer_births(burst->tracer, &harvest->born);
	middle = clock_now(CLOCK_MONOTONIC);
	window_wait(burst, guard);
	cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
	error = harvest_look(burst, harvest, window);
	tracer_burst_end(burst->tracer, &end);
	if (end > window->window.start)
		cost->seconds = (double)(end - window->window.start) / NSEC_PER_SEC;
	window->window.end = middle < end ? middle : end;
	if (window->window.end <= window->window.start)
		window->window.end = window->window.start + 1;
	if (!error)
		error = harvest_end(burst, harvest);
	cost->births = clock_since(CLOCK_THREAD_CPUTIME_ID, cpu);
	tracer_burst_close(burst->tracer);
	cost->open = clock_since(CLOCK_MONOTONIC, opened);
	tracer_runs(burst->tracer, &runs_after, &ns_after);
	cost->hits = runs_after - runs;
	cost->traps = (double)cost->hits * burst->governor.trap;
	cost->programs = (double)(ns_after - ns) / 1e9;
	burst->counters.seconds_open_ns += window->window.end - window->window.start;
	burst->counters.windows++;
	burst->counters.full_windows += end < middle;
	return error;
}

/* Takes in what WINDOW saw, after what was seen before. */
static struct error *window_keep(struct burst *burst, struct window *window,
				 const struct harvest *harvest)
{
	size_t followed, most, alive = 0;
	struct error *error;

	window->window.from = burst->from;
	window->window.to = burst->from + (uint64_t)(burst->governor.span * 1e9);
	if (window->window.to < window->window.end)
		window->window.to = window->window.end;
	try(burst_look(burst));
	reborn_mark(burst, harvest->order, harvest->count, window->window.start);
	for (size_t i = 0; i < harvest->listed; i++)
		alive += harvest->list[i].died == ESTIMATE_ALIVE;
	most = burst_survivors_room(burst, alive);
	followed = burst->followed_count;
	error = survivors_add(burst, harvest->list, harvest->listed, alive, most, &window->scale);
	if (error) { /* then it saw nothing at all */
		burst->followed_count = followed;
		return error;
	}
	burst->windows[burst->window_count++] = *window;
	burst->from = window->window.to;
	return NULL;
}

static struct error *window_take(struct burst *burst)
{
	cleanup(harvest_deinit) struct harvest harvest = {0};
	struct window window = {.scale = 1};
	struct governor_cost cost = {0};
	struct error *error;
	uint64_t until, cpu;

	burst_charge(burst);
	if (burst->window_count == BURST_WINDOWS_MAX)
		burst_windows_thin(burst);
	try(array_reserve(&burst->windows, &burst->window_capacity, burst->window_count, 1,
			  sizeof(*burst->windows)));
	burst->drain(burst->drain_context);
	symbols_restart(burst->symbols);
	error = window_run(burst, &window, &harvest, &cost);
	cost.failed = error != NULL;
	cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
	burst->drain(burst->drain_context);
	cost.births += clock_since(CLOCK_THREAD_CPUTIME_ID, cpu);
	if (!error)
		error = window_keep(burst, &window, &harvest);
	/* What failed has cost as well. */
	cost.tracer = cpu_taken(burst);
	until = error ? clock_now(CLOCK_MONOTONIC) : burst->from;
	governor_window(&burst->governor, &cost, (double)(until - burst->began) / 1e9);
	governor_rest(&burst->governor, classes_grow(burst->classes));
	if (error) {
		burst->next = until + (uint64_t)(burst->governor.span * 1e9);
		return error;
	}
	window_plan(burst);
	return NULL;
}

struct error *burst_sample(struct burst *burst, const struct tmbpf_record *record, size_t size)
{
	return burst->samples ? samples_record(burst->samples, record, size) : NULL;
}

/* Releases the tracebacks of what is followed no more. */
static struct error *tracebacks_sweep(struct burst *burst)
{
	cleanup_free uint32_t *map = NULL;

	if (burst->tracebacks.count <= burst->tracebacks_most)
		return NULL;
	map = calloc(burst->tracebacks.count + 1, sizeof(*map));
	if (!map)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the tracebacks");
	for (size_t i = 0; i < burst->followed_count; i++)
		map[burst->followed[i].traceback] = 1;
	if (burst->samples)
		samples_tracebacks_mark(burst->samples, map);
	/* Rows of estimates refer to them, too. */
	burst_estimates_forget(burst);
	try(tracebacks_keep(&burst->tracebacks, map));
	for (size_t i = 0; i < burst->followed_count; i++)
		burst->followed[i].traceback = map[burst->followed[i].traceback];
	if (burst->samples)
		samples_tracebacks_move(burst->samples, map);
	burst->tracebacks_most = 2 * burst->tracebacks.count + TRACEBACKS_LEAST;
	return NULL;
}

struct error *burst_tick(struct burst *burst)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	bool room;

	/* Also what others spent since the last one: on records, on answers. */
	burst_charge(burst);
	try(tracebacks_sweep(burst));
	if (burst->samples)
		try(samples_tick(burst->samples, burst->drain, burst->drain_context));
	if (now >= burst->census_next)
		try(burst_census(burst, true));
	if (burst->governor.stopped || now < burst->next)
		return NULL;
	/* What fails is not tried again at once. */
	burst->next = now + (uint64_t)(burst->governor.span * 1e9);
	try(tracer_room(burst->tracer, &room));
	return room ? window_take(burst) : NULL;
}
