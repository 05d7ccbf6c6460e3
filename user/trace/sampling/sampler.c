// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Opens sampling windows, and tracks what was allocated in them. */
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

/* With fewer tracebacks a sweep is not worth it. */
#define TRACEBACKS_LEAST 8192
/* Allocations of a window whose blocks are looked at, at most. */
#define ALLOCATIONS_MAX 16384
/* How many blocks are looked at in one go, and the nanoseconds that all looks may take. */
#define LOOK_BATCH 512
#define LOOK_MOST  10000000ull
/* Seconds between two looks at whether allocations still have room in the list. */
#define SLEEP_SLICE 0.005
/*
 * At the end of a window allocations are listed but not tracked any more: for this share of it, and
 * at most so many seconds.
 */
#define GUARD_SHARE 0.3
#define GUARD_MOST  0.003

/* Fields of /proc/PID/stat: CPU time of all threads, in user and in kernel mode. */
#define STAT_UTIME 14
#define STAT_STIME 15

/*
 * The share of the time since the last call in which a thread of the process ran. A process that
 * does not run loses nothing while probes come and go.
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

/* The next window lies anywhere in the interval that begins where the last interval ended. */
static void window_plan(struct sampler *sampler)
{
	double room = sampler->governor.interval - sampler->governor.window;

	sampler->next = sampler->from + (uint64_t)(random_share(&sampler->random) * room * 1e9);
}

/* If page faults cannot be sampled there are only windows, and the status says so. */
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
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot sample");
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

/* A tracked block is dead if its address was handed out in this window. */
static void replaced_mark(struct sampler *sampler, const struct tmbpf_allocation **allocations,
			  size_t count, uint64_t start)
{
	for (size_t i = 0; i < sampler->tracked_count; i++) {
		struct tracked *block = &sampler->tracked[i];

		if (block->died != ESTIMATE_ALIVE ||
		    !window_allocations_find(allocations, count, block->address))
			continue;
		block->died = start + 1;
		block->replaced = true;
	}
}

/* Moves a random sample of MOST of COUNT to the front, in no order. Returns its size. */
static size_t allocations_sample(struct sampler *sampler,
				 const struct tmbpf_allocation **allocations, size_t count,
				 size_t most)
{
	for (size_t i = 0; i < most && i < count; i++) {
		size_t k = i + (size_t)(random_share(&sampler->random) * (double)(count - i));
		const struct tmbpf_allocation *other = allocations[k];

		allocations[k] = allocations[i];
		allocations[i] = other;
	}
	return count < most ? count : most;
}

/*
 * Adds the survivors of a window: MOST of the ALIVE ones among the COUNT blocks of LIST, by chance.
 */
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
		/* Now the stacks mean something: the next window forgets them. */
		try(tracebacks_index(&sampler->tracebacks,
				     symbols_hold(sampler->symbols, list[i].traceback),
				     &block->traceback));
		sampler->tracked_count++;
		sampler->counters.tracked++;
	}
	return NULL;
}

/* What a window has listed, until it is kept. */
struct harvest {
	/* all allocations, by address; of one address, in time order */
	const struct tmbpf_allocation **order;
	size_t count;
	const struct tmbpf_allocation **seen; /* those of them that came before the look */
	size_t seen_count;
	size_t in_window; /* how many came before the window's end; later ones only tell who died */
	struct tracked *list; /* those of BORN whose address was not handed out again */
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
 * Looks at the blocks of COUNT of the KEPT allocations, in their random order. Probes are on
 * meanwhile, so this ends at a deadline: the blocks that were looked at stand for the others.
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

/*
 * Looks at the blocks that were allocated, at once: before others take the places of those that
 * died.
 */
static struct error *harvest_look(struct sampler *sampler, struct harvest *harvest,
				  struct window *window)
{
	size_t count, kept = 0;
	const struct tmbpf_allocation *allocations =
		tracer_window_allocations(sampler->tracer, &count);
	cleanup_free const struct tmbpf_allocation **unique = NULL;

	try(window_allocations_order(allocations, count, &harvest->seen, &harvest->seen_count));
	unique = calloc(harvest->seen_count + 1, sizeof(*unique));
	if (!unique)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot track blocks");
	memcpy(unique, harvest->seen, harvest->seen_count * sizeof(*unique));
	count = window_allocations_unique(unique, harvest->seen_count);
	/*
	 * Only glibc's chunks tell whether a block of malloc's is still there. For another malloc,
	 * page faults tell of its blocks.
	 */
	for (size_t i = 0; i < count; i++)
		if (unique[i] < allocations + harvest->in_window &&
		    !(sampler->malloc->other && unique[i]->kind == TMBPF_ALLOCATION_RAW))
			unique[kept++] = unique[i];
	count = allocations_sample(sampler, unique, kept, ALLOCATIONS_MAX);
	harvest->list = calloc(count + 1, sizeof(*harvest->list));
	harvest->looked = calloc(count + 1, sizeof(*harvest->looked));
	if (!harvest->list || !harvest->looked)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot track blocks");
	for (size_t i = 0; i < count; i++) {
		harvest->list[i] = (struct tracked){
			.address = unique[i]->address,
			.size = unique[i]->size,
			.traceback = unique[i]->stack, /* the stack, until it is known to survive */
			.window = (uint32_t)sampler->window_count,
			.raw = unique[i]->kind == TMBPF_ALLOCATION_RAW,
			.reused = unique[i]->kind == TMBPF_ALLOCATION_FREELIST,
			.died = ESTIMATE_ALIVE,
		};
		harvest->looked[i] = &harvest->list[i];
	}
	return harvest_follow(sampler, harvest, window, kept, count);
}

/*
 * Allocations were listed during the look as well. A block whose place was handed out by then is
 * not what was looked at.
 */
static struct error *harvest_end(struct sampler *sampler, struct harvest *harvest)
{
	/* those that came since, by address */
	cleanup_free const struct tmbpf_allocation **late = NULL;
	size_t count;
	const struct tmbpf_allocation *allocations =
		tracer_window_allocations(sampler->tracer, &count);

	sampler->counters.allocations += count;
	try(window_allocations_order(allocations, count, &harvest->order, &harvest->count));
	try(window_allocations_since(harvest->order, harvest->count, harvest->seen,
				     harvest->seen_count, &late, &count));
	for (size_t i = 0; i < harvest->listed; i++)
		if (window_allocations_find(late, count, harvest->list[i].address))
			harvest->list[i].died = 0;
	return NULL;
}

/*
 * Waits while allocations are listed. When the list is full the wait is over: more traps would be
 * for nothing.
 */
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
 * The window itself. COST gets what it cost, but for the tracer's time.
 *
 * A block that dies leaves a place that is handed out next, so by the time of the look it may be
 * another's. So allocations are listed for longer than the window lasts, until the look is over.
 * Then it is known which block of the window has lost its place.
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
		sampler->disturbance * share_running(sampler); /* also if it fails half way */
	tracer_runs(sampler->tracer, &runs, &ns);
	try(tracer_window_open(sampler->tracer, &window->window.start));
	window_wait(sampler, sampler->governor.window - guard);
	tracer_window_allocations(sampler->tracer, &harvest->in_window);
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
	cost->allocations = clock_since(CLOCK_THREAD_CPUTIME_ID, cpu);
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

/* Adds what WINDOW saw to what was seen before. */
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
	replaced_mark(sampler, harvest->order, harvest->count, window->window.start);
	for (size_t i = 0; i < harvest->listed; i++)
		alive += harvest->list[i].died == ESTIMATE_ALIVE;
	most = sampler_survivors_room(sampler, alive);
	tracked = sampler->tracked_count;
	error = survivors_add(sampler, harvest->list, harvest->listed, alive, most, &window->scale);
	if (error) { /* then the window saw nothing at all */
		sampler->tracked_count = tracked;
		return error;
	}
	sampler->windows[sampler->window_count++] = *window;
	sampler->from = window->window.to;
	return NULL;
}

static struct error *window_sample(struct sampler *sampler)
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
	cost.allocations += clock_since(CLOCK_THREAD_CPUTIME_ID, cpu);
	if (!error)
		error = window_keep(sampler, &window, &harvest);
	/* A failure costs time as well. */
	cost.tracer = sampler_cpu_taken(sampler);
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

/* Releases the tracebacks that nothing tracked refers to. */
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
	/* Rows of estimates refer to tracebacks, too. */
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

	/* Includes what others spent since the last window: on records, on answers. */
	sampler_charge(sampler);
	try(tracebacks_sweep(sampler));
	if (sampler->samples)
		try(samples_tick(sampler->samples, sampler->drain, sampler->drain_context));
	if (now >= sampler->census_next)
		try(sampler_census(sampler, true));
	if (sampler->governor.stopped || now < sampler->next)
		return NULL;
	/* Whatever fails is not tried again at once. */
	sampler->next = now + (uint64_t)(sampler->governor.interval * 1e9);
	try(tracer_room(sampler->tracer, &room));
	return room ? window_sample(sampler) : NULL;
}
