// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slices of time, and estimates from the samples in them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"
#include "trace/sampling/classes.h"
#include "trace/estimate/estimate_internal.h"
#include "trace/sampling/samples_internal.h"

/* Slices that are kept. When there are more, two become one. */
#define SLICES_MAX 256
/* Nanoseconds that a slice has at least. */
#define SLICE_LEAST 200000000ull
/*
 * Samples that are kept. When there are more, half of them go, by chance, and the others count
 * twice.
 */
#define SAMPLES_MAX 16384

/*
 * The size of blocks of the raw domain that windows are taken to have missed (estimate.h,
 * `unseen`).
 */
#define UNSEEN_SIZE 1024
/*
 * Who first touches a small chunk is often not who keeps it. So growth of small chunks below this
 * part of all growth outside of arenas is given to nobody.
 */
#define SMALL_SHARE 0.1

static void slices_thin(struct samples *samples)
{
	size_t count = samples->slice_count / 2;

	for (size_t i = 0; i < count; i++) {
		struct estimate_window slice = samples->slices[2 * i];

		slice.end = slice.to = samples->slices[2 * i + 1].end;
		samples->slices[i] = slice;
	}
	samples->slice_count = count;
	for (size_t i = 0; i < samples->count; i++)
		samples->list[i].slice /= 2;
}

static void samples_thin(struct samples *samples)
{
	size_t kept = 0;

	for (size_t i = 0; i < samples->count; i++) {
		if (random_share(&samples->random) < 0.5)
			continue;
		samples->list[kept] = samples->list[i];
		samples->list[kept++].weight *= 2;
	}
	samples->count = samples->fresh = kept;
}

struct error *samples_slice(struct samples *samples, uint64_t now)
{
	struct error *error;

	if (now < samples->slice_from + SLICE_LEAST)
		return NULL;
	if (samples->slice_count == SLICES_MAX)
		slices_thin(samples);
	try(array_reserve(&samples->slices, &samples->slice_capacity, samples->slice_count, 1,
			  sizeof(*samples->slices)));
	error = samples_settle(samples);
	if (error) { /* nothing is known of this slice; the next one begins now */
		samples->counters.unsettled += samples->count - samples->fresh;
		samples->count = samples->fresh;
		samples->slice_from = now;
		return error;
	}
	for (size_t i = samples->fresh; i < samples->count; i++)
		samples->list[i].slice = (uint32_t)samples->slice_count;
	samples->fresh = samples->count;
	samples->slices[samples->slice_count++] = (struct estimate_window){
		.start = samples->slice_from,
		.end = now,
		.from = samples->slice_from,
		.to = now,
	};
	samples->slice_from = now;
	if (samples->count > SAMPLES_MAX)
		samples_thin(samples);
	return NULL;
}

/* False: it is not known where the sample lies. */
static bool item_fill(const struct sample *sample, bool walked, struct estimate_item *ret)
{
	bool large = sample->kind == TMBPF_SAMPLE_LARGE;
	uint64_t size = large && sample_alive(sample) ? sample->resident : sample->size;

	if (!large && walked && sample->place == SAMPLE_UNKNOWN)
		return false;
	*ret = (struct estimate_item){
		.window = sample->slice,
		.traceback = sample->traceback,
		.class = large || sample->place != SAMPLE_SMALL,
		.count = (double)sample->weight,
		.size = (double)size * (double)sample->weight,
		.died = sample->died,
	};
	return true;
}

/* Pages are not blocks: of what a traceback holds, only its blocks are counted. */
static struct error *counts_set(const struct samples *samples, const uint32_t *groups,
				struct estimate *estimate)
{
	cleanup_free double *counts = calloc(2 * samples->tracebacks->count + 1, sizeof(*counts));

	if (!counts)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < samples->fresh; i++) {
		const struct sample *sample = &samples->list[i];
		uint32_t group = groups ? groups[sample->traceback] : sample->traceback;
		bool large = sample->kind == TMBPF_SAMPLE_LARGE;

		if (sample_alive(sample))
			counts[2 * group + large] += (double)sample->weight;
	}
	for (size_t i = 0; i < estimate->count; i++) {
		struct estimate_row *row = &estimate->rows[i];
		double pages = counts[2 * row->traceback], blocks = counts[2 * row->traceback + 1];
		double share = blocks > 0 ? blocks / (pages + blocks) : 0;

		row->count.value *= share;
		row->count.error *= share;
		row->count_growth.value *= share;
		row->count_growth.error *= share;
	}
	return NULL;
}

static struct error *sampled_estimate(struct samples *samples,
				      const struct estimate_class classes[2],
				      const struct native_memory *native,
				      const struct estimate_input *windows, struct estimate **ret)
{
	cleanup_free struct estimate_item *items = calloc(samples->fresh + 1, sizeof(*items));
	struct estimate_input input = {
		.windows = samples->slices,
		.window_count = samples->slice_count,
		.items = items,
		.classes = classes,
		.class_count = 2,
		.groups = windows->groups,
		.now = windows->now,
	};
	cleanup(estimate_cleanup) struct estimate *estimate = NULL;

	if (!items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < samples->fresh; i++)
		input.item_count += item_fill(&samples->list[i], native_memory_walked(native),
					      &items[input.item_count]);
	try(estimate_create(&input, &estimate));
	try(counts_set(samples, input.groups, estimate));
	*ret = take(estimate);
	return NULL;
}

/*
 * The bytes of small chunks that windows account for at most: what their survivors stand for, twice
 * the standard error, and what they miss with a chance of 5 %.
 */
static struct error *small_most(const struct estimate_input *input, double *ret)
{
	size_t n = input->window_count;
	cleanup_free double *sums = calloc(n + 1, sizeof(*sums));
	double sum = 0, squares = 0, weight = 0;

	if (!sums)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < input->item_count; i++) {
		const struct estimate_item *item = &input->items[i];

		if (item->class == CLASSES_NATIVE && item->died == ESTIMATE_ALIVE)
			sums[item->window] +=
				item->size * estimate_weight(&input->windows[item->window]);
	}
	for (size_t i = 0; i < n; i++) {
		sum += sums[i];
		squares += sums[i] * sums[i];
		weight += estimate_weight(&input->windows[i]) / (double)n;
	}
	if (n > 1)
		squares = (squares - sum * sum / (double)n) * (double)n / (double)(n - 1);
	*ret = sum + 2 * sqrt(squares > 0 ? squares : 0) + 3 * UNSEEN_SIZE * weight;
	return NULL;
}

struct error *samples_estimate(struct samples *samples, const struct native_memory *native,
			       const struct estimate_input *input, struct estimate_class *classes,
			       struct estimate **ret)
{
	cleanup(estimate_cleanup) struct estimate *estimate = NULL, *sampled = NULL;
	struct estimate_class rest[2] = {classes[CLASSES_NATIVE], classes[CLASSES_REST]};
	double least = SMALL_SHARE * (rest[0].growth + rest[1].growth), small;

	try(small_most(input, &small));
	rest[0].growth -= small;
	if (rest[0].growth < 0 || rest[0].growth < least)
		rest[0].growth = 0;
	rest[0].total = rest[0].growth;
	classes[CLASSES_NATIVE].growth -= rest[0].growth;
	classes[CLASSES_REST].growth = 0;
	try(estimate_create(input, &estimate));
	try(sampled_estimate(samples, rest, native, input, &sampled));
	try(estimate_merge(estimate, sampled));
	*ret = take(estimate);
	return NULL;
}
