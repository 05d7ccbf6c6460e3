// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Samples page faults and large blocks, within their share of the budget. */
#include "trace/sampling/samples.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "target/process/process.h"
#include "target/process/resident.h"
#include "trace/sampling/samples_internal.h"

/* The field of /proc/PID/stat with the page faults of the process so far. */
#define STAT_MINFLT 10
/*
 * Samples wanted of page faults a second; if there are more faults, a sample stands for several.
 * Fewer are wanted if a sample takes long.
 */
#define FAULTS_WANTED 500
#define FAULTS_LEAST  50
/* The part used of what page faults may cost, by their average cost so far. */
#define FAULTS_SHARE 0.5
/* Seconds that a sample costs, until FAULTS_TELL samples tell. */
#define FAULT_COST  20e-6
#define FAULTS_TELL 16
/* The period until it is known how many faults there are. */
#define PERIOD_FIRST 31
/*
 * The period is raised at once if there are PERIOD_MOST times too many samples within PERIOD_LOOK
 * seconds.
 */
#define PERIOD_MOST 4
#define PERIOD_LOOK 0.05
/* Seconds in a row with few faults before the period is shortened. */
#define CALM_LOOKS 3
/* The part of the budget that the probes of large blocks may cost, and page faults likewise. */
#define BACKOFF_SHARE 0.25
/*
 * Seconds that perf events add to a switch between two threads. 0.3 us were measured with two
 * threads that only wake each other.
 */
#define SWITCH_COST 500e-9
/* The part of the budget, of one CPU, that counting these switches may take. */
#define SWITCHES_SHARE 0.05
/* Seconds that a program runs without taking a sample; bpf_stats says less. */
#define RUN_COST 100e-9
/* Code objects that samples may refer to. With more, they are announced anew. */
#define CODES_MAX (TRACER_SAMPLED_CODES / 4 * 3)

static struct error *samples_init(struct samples *samples)
{
	uint64_t now;

	try(random_fill(&samples->random, sizeof(samples->random)));
	try(resident_create(samples->process, &samples->resident));
	samples->minor_faults = process_stat(samples->process, STAT_MINFLT);
	samples->period = PERIOD_FIRST;
	/* Large blocks first: faults would tell of a block that was not seen being allocated. */
	tracer_sampling(samples->tracer, true);
	now = clock_now(CLOCK_MONOTONIC);
	backoff_init(&samples->large, samples->blocks, now);
	backoff_init(&samples->faults, true, now);
	if (samples->blocks)
		try(tracer_large_attach(samples->tracer));
	try(tracer_faults_open(samples->tracer, samples->period));
	samples_clear(samples);
	return NULL;
}

struct error *samples_create(struct tracer *tracer, struct process *process,
			     struct tracebacks *tracebacks, struct governor *governor, bool blocks,
			     struct samples **ret)
{
	struct samples *samples = calloc(1, sizeof(*samples));
	struct error *error;

	if (!samples)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot sample page faults");
	samples->tracer = tracer;
	samples->process = process;
	samples->tracebacks = tracebacks;
	samples->governor = governor;
	samples->blocks = blocks;
	error = samples_init(samples);
	if (error) {
		samples_destroy(samples);
		return error;
	}
	*ret = samples;
	return NULL;
}

void samples_destroy(struct samples *samples)
{
	if (!samples)
		return;
	tracer_sampling(samples->tracer, false);
	tracer_faults_close(samples->tracer);
	tracer_large_detach(samples->tracer);
	resident_destroy(samples->resident);
	free(samples->list);
	free(samples->slices);
	free(samples->sorted);
	free(samples);
}

void samples_clear(struct samples *samples)
{
	samples->count = samples->fresh = samples->slice_count = 0;
	samples->slice_from = samples->looked = clock_now(CLOCK_MONOTONIC);
	memset(&samples->counters, 0, sizeof(samples->counters));
	tracer_samples_cost(samples->tracer, &samples->told);
}

void samples_tracebacks_mark(const struct samples *samples, uint32_t *map)
{
	for (size_t i = 0; i < samples->count; i++)
		map[samples->list[i].traceback] = 1;
}

void samples_tracebacks_move(struct samples *samples, const uint32_t *map)
{
	for (size_t i = 0; i < samples->count; i++)
		samples->list[i].traceback = map[samples->list[i].traceback];
}

struct error *samples_record(struct samples *samples, const struct tmbpf_record *record,
			     size_t size)
{
	const struct tmbpf_record_sample *sample = (const struct tmbpf_record_sample *)record;
	struct sample *added;
	uint32_t traceback;

	/* A record that was under way when everything was forgotten is forgotten too. */
	if (size < sizeof(*sample) || sample->time < samples->slice_from)
		return NULL;
	try(array_reserve(&samples->list, &samples->capacity, samples->count, 1,
			  sizeof(*samples->list)));
	try(tracebacks_index(samples->tracebacks,
			     symbols_sample(samples->tracebacks->symbols, record, size),
			     &traceback));
	added = &samples->list[samples->count++];
	*added = (struct sample){
		.address = sample->address,
		.size = sample->size,
		.weight = sample->weight ? sample->weight : 1,
		.time = sample->time,
		.died = ESTIMATE_ALIVE,
		.traceback = traceback,
		.kind = sample->kind == TMBPF_SAMPLE_LARGE ? TMBPF_SAMPLE_LARGE
							   : TMBPF_SAMPLE_FAULT,
	};
	if (added->kind == TMBPF_SAMPLE_LARGE)
		samples->counters.large++;
	else
		samples->counters.faults++;
	return NULL;
}

/* Samples a second that there may be: a long traceback takes a while. */
static double faults_wanted(const struct samples *samples)
{
	double cost = FAULT_COST, wanted;
	struct tracer_samples_cost spent;

	tracer_samples_cost(samples->tracer, &spent);
	if (spent.fault_hits >= FAULTS_TELL)
		cost = samples->governor->trap + RUN_COST +
		       (double)spent.fault_ns / NSEC_PER_SEC / (double)spent.fault_hits;
	wanted = FAULTS_SHARE * BACKOFF_SHARE * samples->governor->budget / cost;
	return fmax(fmin(wanted, FAULTS_WANTED), FAULTS_LEAST);
}

/* Primes, as what programs do in their loops comes in other numbers. */
static uint64_t period_choose(double rate, double wanted)
{
	static const uint64_t periods[] = {1, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093};
	size_t i = 0;

	while (i + 1 < array_size(periods) && (double)periods[i] * wanted < rate)
		i++;
	return periods[i];
}

/* Closes what could not be opened. It is tried again later. */
static struct error *backoff_fail(struct backoff *backoff, uint64_t now, struct error *error)
{
	if (error)
		backoff_close(backoff, now);
	return error;
}

/*
 * Opens the events anew, with PERIOD. If that fails nothing is sampled, but what came so far is
 * still settled.
 */
static struct error *faults_reopen(struct samples *samples, uint64_t period, uint64_t now)
{
	struct error *error = tracer_faults_open(samples->tracer, period);

	if (error)
		tracer_faults_close(samples->tracer);
	else
		samples->period = period;
	return backoff_fail(&samples->faults, now, error);
}

static struct error *period_set(struct samples *samples, uint64_t now)
{
	uint64_t faults = process_stat(samples->process, STAT_MINFLT), period;
	double seconds = (double)(now - samples->looked) / NSEC_PER_SEC;

	if (faults < samples->minor_faults || seconds <= 0)
		return NULL;
	period = period_choose((double)(faults - samples->minor_faults) / seconds,
			       faults_wanted(samples));
	samples->minor_faults = faults;
	samples->looked = now;
	samples->calm = period < samples->period ? samples->calm + 1 : 0;
	if (period == samples->period ||
	    (samples->calm && samples->calm < CALM_LOOKS && samples->counters.faults))
		return NULL;
	samples->calm = 0;
	if (samples->faults.open)
		return faults_reopen(samples, period, now);
	samples->period = period;
	return NULL;
}

/* Faults may suddenly come by the hundred thousand. Then the period must not stay for a second. */
static struct error *period_raise(struct samples *samples, uint64_t now)
{
	struct tracer_samples_cost spent;
	double seconds = (double)(now - samples->hits_at) / NSEC_PER_SEC, rate;
	uint64_t hits, period;

	if (seconds < PERIOD_LOOK)
		return NULL;
	tracer_samples_cost(samples->tracer, &spent);
	hits = spent.fault_hits - samples->hits;
	samples->hits = spent.fault_hits;
	samples->hits_at = now;
	rate = (double)hits / seconds;
	if (rate < PERIOD_MOST * faults_wanted(samples) || !samples->faults.open)
		return NULL;
	period = period_choose(rate * (double)samples->period, faults_wanted(samples));
	samples->calm = 0;
	return faults_reopen(samples, period, now);
}

/*
 * How often the live threads were switched to (sched_info,
 * Documentation/scheduler/sched-stats.rst).
 */
static uint64_t switches_read(const struct samples *samples)
{
	cleanup_dir DIR *directory = NULL;
	const struct dirent *entry;
	uint64_t sum = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)samples->process->pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		cleanup_file FILE *file = NULL;
		unsigned long long times = 0;

		snprintf(path, sizeof(path), "/proc/%d/task/%.10s/schedstat",
			 (int)samples->process->pid, entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (file && fscanf(file, "%*u %*u %llu", &times) == 1)
			sum += times;
	}
	return sum;
}

/* Adds the switches since the last time, if there are perf events. */
static void switches_count(struct samples *samples, uint64_t now)
{
	uint64_t cpu = clock_now(CLOCK_THREAD_CPUTIME_ID), sum;
	double taken;

	if (now < samples->switches_next)
		return;
	sum = switches_read(samples);
	if (samples->faults.open && samples->switches_next && sum > samples->switches_last)
		samples->switches += sum - samples->switches_last;
	samples->switches_last = sum;
	taken = (double)(clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu);
	samples->switches_next = now + NSEC_PER_SEC +
				 (uint64_t)(taken / (SWITCHES_SHARE * samples->governor->budget));
}

int samples_wait(const struct samples *samples, int most)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	bool trial = backoff_on_trial(&samples->large, now) ||
		     backoff_on_trial(&samples->faults, now);

	return trial && most > BACKOFF_LOOK_MS ? BACKOFF_LOOK_MS : most;
}

/* Closes what costs too much, and opens it again later. */
static struct error *backoffs_set(struct samples *samples, uint64_t now)
{
	double share = BACKOFF_SHARE * samples->governor->budget;
	double hit = samples->governor->trap + RUN_COST;
	bool large = samples->large.open, faults = samples->faults.open;
	struct tracer_samples_cost spent;

	tracer_samples_cost(samples->tracer, &spent);
	if (samples->blocks)
		backoff_pass(&samples->large,
			     (double)spent.large_hits * hit + (double)spent.large_ns / NSEC_PER_SEC,
			     share, now);
	backoff_pass(&samples->faults,
		     (double)spent.fault_hits * hit + (double)spent.fault_ns / NSEC_PER_SEC +
			     (double)samples->switches * SWITCH_COST,
		     share, now);
	if (large && !samples->large.open)
		tracer_large_detach(samples->tracer);
	if (faults && !samples->faults.open)
		tracer_faults_close(samples->tracer);
	if (!large && samples->large.open)
		try(backoff_fail(&samples->large, now, tracer_large_attach(samples->tracer)));
	if (!faults && samples->faults.open)
		try(faults_reopen(samples, samples->period, now));
	return NULL;
}

static void cost_tell(struct samples *samples)
{
	const struct tracer_samples_cost *told = &samples->told;
	struct tracer_samples_cost now;
	struct governor_cost cost = {0};

	tracer_samples_cost(samples->tracer, &now);
	cost.hits = now.fault_hits - told->fault_hits + now.large_hits - told->large_hits;
	/* An event of the kernel costs less than a trap. */
	cost.traps = (double)cost.hits * samples->governor->trap +
		     (double)(samples->switches - samples->switches_told) * SWITCH_COST;
	cost.programs = (double)cost.hits * RUN_COST +
			(double)(now.fault_ns - told->fault_ns + now.large_ns - told->large_ns) /
				NSEC_PER_SEC;
	samples->told = now;
	samples->switches_told = samples->switches;
	governor_samples(samples->governor, &cost);
}

struct error *samples_tick(struct samples *samples, void (*drain)(void *context), void *context)
{
	uint64_t now;

	drain(context);
	now = clock_now(CLOCK_MONOTONIC);
	switches_count(samples, now);
	cost_tell(samples);
	try(period_raise(samples, now));
	try(backoffs_set(samples, now));
	if (now - samples->slice_from < NSEC_PER_SEC)
		return NULL;
	try(samples_slice(samples, clock_now(CLOCK_MONOTONIC)));
	try(period_set(samples, now));
	if (symbols_samples_codes(samples->tracebacks->symbols) < CODES_MAX)
		return NULL;
	tracer_sampling(samples->tracer, false);
	drain(context);
	tracer_samples_forget(samples->tracer);
	symbols_samples_forget(samples->tracebacks->symbols);
	tracer_sampling(samples->tracer, true);
	return NULL;
}

struct error *samples_end(struct samples *samples)
{
	return samples_slice(samples, clock_now(CLOCK_MONOTONIC));
}

void samples_counters(const struct samples *samples, struct samples_counters *ret)
{
	struct tracer_samples_cost cost;

	tracer_samples_cost(samples->tracer, &cost);
	*ret = samples->counters;
	ret->fault_hits = cost.fault_hits;
	ret->large_hits = cost.large_hits;
	ret->period = samples->period;
	ret->large_open = samples->large.open;
	ret->faults_open = samples->faults.open;
	ret->switches = samples->switches;
	for (size_t i = 0; i < samples->fresh; i++) {
		if (!sample_alive(&samples->list[i]))
			continue;
		if (samples->list[i].kind == TMBPF_SAMPLE_LARGE)
			ret->blocks++;
		else
			ret->pages++;
	}
}
