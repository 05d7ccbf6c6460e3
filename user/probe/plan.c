// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Makes plans: prepares what the finders are given, runs them in order, and sorts what they found.
 */
#include "probe/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/find/builder.h"
#include "probe/find/entries.h"
#include "probe/find/freelist.h"
#include "probe/find/guards.h"
#include "probe/find/hooks.h"
#include "probe/find/raw.h"
#include "probe/find/refill.h"
#include "probe/find/results.h"
#include "probe/find/returns.h"

static int site_compare(const void *a, const void *b)
{
	const struct site *left = a, *right = b;

	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	return (int)left->kind - (int)right->kind;
}

static void plan_sort(struct plan *plan)
{
	if (plan->site_count)
		qsort(plan->sites, plan->site_count, sizeof(*plan->sites), site_compare);
}

static struct error *plan_run(struct builder *builder)
{
	struct plan *plan = builder->plan;

	memcpy(plan->functions, builder->tables.functions, sizeof(plan->functions));
	plan->audit.bad_instructions = builder->listing->bad_instructions;
	tables_settle(&builder->tables, builder->listing);
	memcpy(plan->tables, builder->tables.live, sizeof(plan->tables));
	try(guards_find(builder));
	try(guards_sites(builder));
	try(entries_sites(builder));
	try(raw_sites(builder));
	try(refill_sites(builder));
	try(results_sites(builder));
	try(freelist_sites(builder));
	try(track_sites(builder));
	try(builder_check(builder));
	plan_sort(plan);
	return NULL;
}

static int address_compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static uint64_t *words_add(const struct imports *imports, uint64_t *at)
{
	for (unsigned i = 0; i < imports->count; i++)
		*at++ = imports->slots[i].slot;
	return at;
}

/*
 * What the sweep is to take note of: the implementations, every slot of every table, _PyRuntime and
 * the words that lead to it, and those that lead to the exported functions.
 */
static struct error *plan_sweep(struct builder *builder)
{
	const struct tables *tables = &builder->tables;
	uint64_t addresses[8 + TABLE_WORDS * 2 * TABLES_COPIES_MAX + 1 + 2 * IMPORT_SLOTS_MAX + 2];
	uint64_t displacements[3 * 4 + 1], *at = addresses, *to = displacements;
	struct listing_watch watch = {.addresses = addresses, .displacements = displacements};

	for (unsigned i = 0; i < 8 && tables->functions[0][0]; i++)
		*at++ = tables->functions[i / 4][i % 4];
	for (unsigned raw = 0; raw < 2; raw++) {
		for (unsigned i = 0; i < tables->copy_count[raw]; i++) {
			for (unsigned word = 0; word < TABLE_WORDS; word++)
				*at++ = tables->copies[raw][i] + 8 * word;
		}
	}
	if (builder->runtime)
		*at++ = builder->runtime;
	at = words_add(&builder->runtime_words, at);
	at = words_add(&builder->exports, at);
	if (builder->freelist_word.address)
		*at++ = builder->freelist_word.address;
	if (builder->freelist_word.owner)
		*at++ = builder->freelist_word.owner;
	/* Only from 3.12 on do the live tables stand in _PyRuntime. */
	for (unsigned i = 0; i < 12 && builder->runtime_tables; i++)
		*to++ = tables->live[i / 4] + 8 + 8 * (i % 4) - builder->runtime;
	if (freelist_word_displaced(&builder->freelist_word))
		*to++ = builder->freelist_word.distance;
	watch.address_count = at - addresses;
	watch.displacement_count = to - displacements;
	qsort(addresses, watch.address_count, sizeof(*addresses), address_compare);
	qsort(displacements, watch.displacement_count, sizeof(*displacements), address_compare);
	return listing_create(builder->image, &watch, &builder->listing);
}

static struct error *plan_prepare(struct builder *builder, const uint64_t *live)
{
	const struct image_symbol *runtime = image_symbol(builder->image, "_PyRuntime");

	try(tables_find(builder->image, live, &builder->tables));
	builder->runtime_tables = builder->runtime && builder->tables.live[0] > builder->runtime &&
				  runtime && runtime->address == builder->runtime &&
				  builder->tables.live[0] - builder->runtime < runtime->size;
	freelist_word_find(builder->image, builder->version, &builder->freelist_word);
	imports_add(&builder->runtime_words, builder->image, "_PyRuntime", 0);
	for (unsigned i = 0; i < return_export_count; i++)
		imports_add(&builder->exports, builder->image, return_exports[i].name, i);
	return NULL;
}

struct error *plan_create_image(const struct image *image, const struct plan_input *input,
				struct plan **ret)
{
	cleanup(plan_cleanup) struct plan *plan = calloc(1, sizeof(*plan));
	cleanup(builder_deinit) struct builder builder = {
		.image = image, .version = input->version, .runtime = input->runtime, .plan = plan};

	if (!plan)
		return error_create(ERROR_FAILED, "no memory for a plan");
	try(plan_prepare(&builder, input->live[0] ? input->live : NULL));
	try(plan_sweep(&builder));
	try(plan_run(&builder));
	*ret = take(plan);
	return NULL;
}

/*
 * No probed code leads out of a module: its sites are those behind its calls into the interpreter.
 */
struct error *plan_module_results(const struct image *image, struct site **ret, size_t *ret_count)
{
	cleanup(plan_cleanup) struct plan *plan = calloc(1, sizeof(*plan));
	cleanup(builder_deinit) struct builder builder = {.image = image, .plan = plan};

	if (!plan)
		return error_create(ERROR_FAILED, "no memory for a plan");
	for (unsigned i = 0; i < return_export_count; i++)
		imports_add(&builder.exports, image, return_exports[i].name, i);
	if (builder.exports.count) {
		try(plan_sweep(&builder));
		try(results_sites(&builder));
		try(builder_check(&builder));
		plan_sort(plan);
	}
	*ret = take(plan->sites);
	*ret_count = plan->site_count;
	return NULL;
}

struct error *plan_hook_results(const struct image *image, const struct plan *plan,
				const uint64_t *functions, size_t count, struct site **ret,
				size_t *ret_count)
{
	cleanup(plan_cleanup) struct plan *found = calloc(1, sizeof(*found));
	cleanup(builder_deinit) struct builder builder = {.image = image, .plan = found};

	if (!found)
		return error_create(ERROR_FAILED, "no memory for a plan");
	try(plan_sweep(&builder));
	try(hooks_results(&builder, functions, count));
	try(builder_check(&builder));
	hooks_subtract(found, plan);
	plan_sort(found);
	*ret = take(found->sites);
	*ret_count = found->site_count;
	return NULL;
}

struct error *plan_hook_entries(const struct image *image, const uint64_t functions[4],
				struct site **ret, size_t *ret_count)
{
	cleanup(plan_cleanup) struct plan *found = calloc(1, sizeof(*found));
	cleanup(builder_deinit) struct builder builder = {.image = image, .plan = found};

	if (!found)
		return error_create(ERROR_FAILED, "no memory for a plan");
	try(plan_sweep(&builder));
	for (unsigned i = 0; i < 4; i++) {
		struct site site;

		if (!functions[i])
			continue;
		if (!entry_find(builder.listing, functions[i], i, true, &site))
			return error_create(ERROR_FAILED, "a hook's function at 0x%llx has no code",
					    (unsigned long long)functions[i]);
		try(builder_site(&builder, &site));
	}
	try(builder_check(&builder));
	plan_sort(found);
	*ret = take(found->sites);
	*ret_count = found->site_count;
	return NULL;
}

struct plan_input plan_input(const struct python *python)
{
	const struct python_layout *layout = &python->layout;
	struct plan_input input = {.version = python->version};

	if (python->runtime)
		input.runtime = python->runtime - python->bias;
	if (python->runtime && layout->runtime.allocators_raw != PYTHON_NO_OFFSET) {
		input.live[TABLES_RAW] = input.runtime + layout->runtime.allocators_raw;
		input.live[TABLES_MEM] = input.runtime + layout->runtime.allocators_mem;
		input.live[TABLES_OBJ] = input.runtime + layout->runtime.allocators_obj;
	}
	return input;
}

struct error *plan_create(const struct python *python, struct plan **ret)
{
	struct plan_input input = plan_input(python);

	return plan_create_image(python->image, &input, ret);
}

void plan_destroy(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->warning_count; i++)
		free(plan->warnings[i]);
	free(plan->warnings);
	free(plan->sites);
	free(plan);
}
