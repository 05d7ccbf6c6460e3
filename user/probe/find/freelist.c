// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds the places that tell tracemalloc of new objects, and probes those objects among them that
 * were taken from a free list. How that is told: freelist_pop.c.
 */
#include "probe/find/freelist.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/operands.h"
#include "probe/find/builder.h"
#include "probe/find/freelist_pop.h"

/* Tests, and calls of _Py_NewReference(), to look at. CPython has some 1500. */
#define ROOTS_MAX 16384

struct addresses { /* each once */
	uint64_t *list;
	size_t count, capacity;
	struct lookup lookup;
};

static bool address_equal(const void *context, uint32_t position, const void *key)
{
	const struct addresses *addresses = context;

	return addresses->list[position] == *(const uint64_t *)key;
}

/* RET_NEW: whether ADDRESS was not among them. */
static struct error *addresses_add(struct addresses *addresses, uint64_t address, bool *ret_new)
{
	uint64_t hash = lookup_hash_number(0, address);
	bool new = lookup_find(&addresses->lookup, hash, address_equal, addresses, &address) ==
		   LOOKUP_NONE;

	if (new) {
		try(array_reserve(&addresses->list, &addresses->capacity, addresses->count, 1,
				  sizeof(*addresses->list)));
		try(lookup_add(&addresses->lookup, hash, addresses->count));
		addresses->list[addresses->count++] = address;
	}
	*ret_new = new;
	return NULL;
}

static void addresses_deinit(struct addresses *addresses)
{
	free(addresses->list);
	lookup_deinit(&addresses->lookup);
}

struct search {
	struct builder *builder;
	struct trail trail;
	bool cut;                      /* more roots than are looked at */
	struct addresses roots, taken; /* taken: the instructions behind which an object is */
};

static void search_destroy(struct search **search)
{
	if (*search) {
		addresses_deinit(&(*search)->roots);
		addresses_deinit(&(*search)->taken);
	}
	free(*search);
}

/* Looks through all that leads to ROOT. */
static struct error *root_examine(struct search *search, const struct x86_instruction *root)
{
	struct builder *builder = search->builder;
	struct plan_audit *audit = &builder->plan->audit;
	bool new;

	if (search->roots.count == ROOTS_MAX) {
		if (!search->cut)
			builder_warn(builder,
				     "more than %u places may tell of new objects: the "
				     "others were not looked at",
				     ROOTS_MAX);
		search->cut = true;
		return NULL;
	}
	try(addresses_add(&search->roots, root->address, &new));
	if (!new)
		return NULL;
	trail_make(builder->listing, root, &search->trail);
	if (root->kind == X86_BRANCH && !trail_tells_new(builder->listing, &search->trail))
		return NULL;
	audit->freelist_checks++;
	for (unsigned i = 1; i < search->trail.count; i++) {
		for (unsigned counted = 0; counted < 2; counted++) {
			struct site site;
			uint64_t taken;

			if (!freelist_pop_follow(builder, &search->trail, i, counted, &taken,
						 &site))
				continue;
			try(addresses_add(&search->taken, taken, &new));
			if (!new)
				continue;
			audit->freelist_pops++;
			if (site.address) {
				try(builder_site(builder, &site));
				audit->freelist_sites++;
				continue;
			}
			builder_warn(
				builder,
				"%#llx: an object from a free list that new ones join at once: "
				"its owner stays who had it before",
				(unsigned long long)taken);
		}
	}
	return NULL;
}

/* The test in the straight line behind MENTION; OWNERS: registers with the owner's content. */
static struct error *mention_examine(struct search *search, uint64_t mention, uint16_t owners)
{
	struct builder *builder = search->builder;
	struct x86_instruction root;

	if (!freelist_test_find(builder->listing, &builder->freelist_word, mention, owners, &root))
		return NULL;
	return root_examine(search, &root);
}

static struct error *mentions_examine(struct search *search, uint64_t named)
{
	const struct listing_mention *mentions;
	size_t count;

	if (!named)
		return NULL;
	mentions = listing_mentions_of(search->builder->listing, named, &count);
	for (size_t i = 0; i < count; i++)
		try(mention_examine(search, mentions[i].address, 0));
	return NULL;
}

/*
 * Looks at loads at the word's distance from a register that may hold the owner's content since
 * long before. Whether it does is not checked: such a distance is rare, and much else has to fit as
 * well.
 */
static struct error *displaced_examine(struct search *search)
{
	struct listing *listing = search->builder->listing;

	for (size_t i = 0; i < listing->displaced_count; i++) {
		struct x86_instruction load;

		if (listing_decode(listing, listing->displaced[i], &load) &&
		    load.kind == X86_MOVE &&
		    operand_is_behind(&load.operands[1], 0xffff,
				      search->builder->freelist_word.distance))
			try(mention_examine(search, load.address, 1u << load.operands[1].base));
	}
	return NULL;
}

/* The calls of, and jumps to, ADDRESS. */
static struct error *callers_examine(struct search *search, uint64_t address)
{
	struct listing *listing = search->builder->listing;
	const struct listing_edge *edges;
	struct x86_instruction root;
	size_t count;

	for (unsigned i = 0; i < 2; i++) {
		edges = i ? listing_jumps_to(listing, address, &count)
			  : listing_calls_to(listing, address, &count);
		for (size_t j = 0; j < count; j++) {
			if (listing_decode(listing, listing->start + edges[j].source, &root) &&
			    root.kind != X86_BRANCH)
				try(root_examine(search, &root));
		}
	}
	return NULL;
}

/* Those of the exported function NAME, also where it only jumps to the local one of that name. */
static struct error *function_examine(struct search *search, const char *name)
{
	const struct image *image = search->builder->image;
	const struct image_symbol *symbol = image_symbol(image, name);
	struct x86_instruction first;
	uint64_t plt = image_plt(image, name);

	if (plt)
		try(callers_examine(search, plt));
	if (!symbol)
		return NULL;
	try(callers_examine(search, symbol->address));
	if (listing_decode(search->builder->listing, symbol->address, &first) &&
	    first.kind == X86_JUMP)
		return callers_examine(search, first.target);
	return NULL;
}

struct error *freelist_sites(struct builder *builder)
{
	cleanup(search_destroy) struct search *search = calloc(1, sizeof(*search));

	if (builder->version < FREELIST_VERSION_FIRST)
		return NULL;
	if (!search)
		return error_create(ERROR_FAILED, "no memory to look for free lists");
	search->builder = builder;
	try(mentions_examine(search, builder->freelist_word.address));
	try(mentions_examine(search, builder->freelist_word.owner));
	if (freelist_word_displaced(&builder->freelist_word))
		try(displaced_examine(search));
	try(function_examine(search, "_Py_NewReference"));
	try(function_examine(search, "_Py_NewReferenceNoTotal"));
	if (!builder->plan->audit.freelist_pops)
		builder_warn(builder, "where objects come back from free lists was not found: "
				      "their owner stays who had them before");
	return NULL;
}
