// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Objects taken from free lists, in the forms in which compilers write it, and what looks like it.
 * The code: probe_freelist_code.c.
 */
#include "support.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "probe/find/builder.h"
#include "probe/find/freelist.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

#define TEXT   0x400000
#define DATA   0x600000
#define OWNER  (DATA + 0x40) /* a word of the GOT */
#define CONFIG (DATA + 0x80)

extern const uint8_t freelist_text[], freelist_text_end[];

#define AT(label)                                                                                  \
	({                                                                                         \
		extern const uint8_t freelist_##label[];                                           \
		(uint64_t)(freelist_##label - freelist_text) + TEXT;                               \
	})

struct made {
	uint8_t text[4096], data[0x400];
	struct image image;
	struct image_section sections[2];
	struct image_segment segments[2];
	struct image_symbol symbols[1];
	struct image_relocation relocations[1];
	struct plan plan;
	struct builder builder;
};

static struct made *made_create(const char *symbol, uint64_t address)
{
	struct made *made = calloc(1, sizeof(*made));
	size_t size = freelist_text_end - freelist_text;

	assert_non_null(made);
	assert_true(size <= sizeof(made->text));
	memcpy(made->text, freelist_text, size);
	made->sections[0] = (struct image_section){.name = ".text",
						   .address = TEXT,
						   .size = size,
						   .data = made->text,
						   .type = SHT_PROGBITS,
						   .flags = SHF_ALLOC | SHF_EXECINSTR};
	made->sections[1] = (struct image_section){.name = ".data",
						   .address = DATA,
						   .size = sizeof(made->data),
						   .offset = sizeof(made->text),
						   .data = made->data,
						   .type = SHT_PROGBITS,
						   .flags = SHF_ALLOC | SHF_WRITE};
	for (unsigned i = 0; i < 2; i++)
		made->segments[i] = (struct image_segment){.address = made->sections[i].address,
							   .memory_size = made->sections[i].size,
							   .offset = made->sections[i].offset,
							   .file_size = made->sections[i].size};
	made->symbols[0] = (struct image_symbol){
		.name = symbol, .address = address, .function = true, .global = true};
	made->image = (struct image){.fd = -1,
				     .path = (char *)"made-up",
				     .data = made->text,
				     .size = sizeof(made->text) + sizeof(made->data),
				     .segments = made->segments,
				     .segment_count = 2,
				     .sections = made->sections,
				     .section_count = 2,
				     .symbols = made->symbols,
				     .symbol_count = 1,
				     .relocations = made->relocations};
	made->builder =
		(struct builder){.image = &made->image, .version = 0x030e00f0, .plan = &made->plan};
	return made;
}

static struct error *made_run(struct made *made)
{
	const struct freelist_word *word = &made->builder.freelist_word;
	uint64_t addresses[2];
	struct listing_watch watch = {.addresses = addresses};

	freelist_word_find(&made->image, made->builder.version, &made->builder.freelist_word);
	if (word->address)
		addresses[watch.address_count++] = word->address;
	if (word->owner)
		addresses[watch.address_count++] = word->owner;
	if (watch.address_count == 2 && addresses[0] > addresses[1]) {
		addresses[0] = word->owner;
		addresses[1] = word->address;
	}
	try(listing_create(&made->image, &watch, &made->builder.listing));
	return freelist_sites(&made->builder);
}

static void made_destroy(struct made *made)
{
	for (size_t i = 0; i < made->plan.warning_count; i++)
		free(made->plan.warnings[i]);
	free(made->plan.warnings);
	free(made->plan.sites);
	listing_destroy(made->builder.listing);
	lookup_deinit(&made->builder.by_address);
	free(made);
}

static struct made *made;

static int setup(void **state)
{
	(void)state;
	made = made_create("_Py_NewReference", AT(NewReference));
	support_ok(made_run(made));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_destroy(made);
	return 0;
}

static void expect_site(uint64_t address, uint8_t base)
{
	const struct site *site = builder_site_at(&made->builder, address);

	if (!site)
		fail_msg("no site at %#llx", (unsigned long long)address);
	assert_int_equal(site->kind, SITE_FREELIST_POP);
	assert_true(site->a[0].has_base);
	assert_int_equal(site->a[0].base, base);
	assert_false(site->a[0].dereference || site->a[0].shift || site->a[0].displacement);
	assert_false(site->single_step);
}

static void expect_none(uint64_t address)
{
	if (builder_site_at(&made->builder, address))
		fail_msg("a site at %#llx", (unsigned long long)address);
}

static void test_linked(void **state)
{
	(void)state;
	expect_site(AT(linked_site), RCX);
	expect_none(AT(linked_new));
	expect_site(AT(turned_site), RBP);
	expect_site(AT(indexed_site), RBP);
	expect_site(AT(copied_site), RBX);
	expect_site(AT(tested_count_site), RBX);
	expect_site(AT(lowered_site), RBX);
	expect_site(AT(called_site), RBX);
}

static void test_counted(void **state)
{
	(void)state;
	expect_site(AT(counted_site), R14);
	expect_none(AT(untested_check));
	expect_none(AT(other_element_check));
}

static void test_single(void **state)
{
	(void)state;
	expect_site(AT(single_site), RBX);
}

/* Never a place that new objects pass as well. */
static void test_joined(void **state)
{
	char text[32];
	bool warned = false;

	(void)state;
	expect_site(AT(joined_site), RBX);
	expect_none(AT(joined_check));
	expect_none(AT(lost_check));
	snprintf(text, sizeof(text), "%#llx:", (unsigned long long)AT(lost_joins));
	for (size_t i = 0; i < made->plan.warning_count; i++)
		warned |= !strncmp(made->plan.warnings[i], text, strlen(text));
	assert_true(warned);
	assert_int_equal(made->plan.warning_count, 1);
}

static void test_others(void **state)
{
	(void)state;
	expect_none(AT(misindexed_check));
	expect_none(AT(elsewhere_call));
	expect_none(AT(clobbered_call));
	expect_none(AT(pymalloc_check));
	expect_none(AT(keys_jump));
	expect_none(AT(dies_check));
}

static void test_audit(void **state)
{
	const struct plan_audit *audit = &made->plan.audit;

	(void)state;
	assert_int_equal(audit->freelist_sites, made->plan.site_count);
	assert_int_equal(audit->freelist_sites, 10);
	assert_int_equal(audit->freelist_pops, 11);
	/*
	 * Two of linked; joined, lost, turned, counted, untested, other_element, indexed,
	 * misindexed, copied, single, lowered, called, clobbered, pymalloc; NewReference itself;
	 * the calls of tested_count and elsewhere.
	 */
	assert_int_equal(audit->freelist_checks, 19);
}

static void test_word(void **state)
{
	struct made *other = made_create("_Py_NewReference", AT(NewReferenceOwned));

	(void)state;
	assert_int_equal(made->builder.freelist_word.address, DATA + 0x20);
	assert_int_equal(made->builder.freelist_word.owner, 0);
	freelist_word_find(&other->image, other->builder.version, &other->builder.freelist_word);
	assert_int_equal(other->builder.freelist_word.address, 0);
	assert_int_equal(other->builder.freelist_word.owner, OWNER);
	assert_int_equal(other->builder.freelist_word.distance, 4);
	made_destroy(other);

	/* 3.8 has no such function, but the exported word. */
	other = made_create("_Py_tracemalloc_config", CONFIG);
	other->relocations[0] = (struct image_relocation){
		.address = OWNER, .type = R_X86_64_GLOB_DAT, .symbol = "_Py_tracemalloc_config"};
	other->image.relocation_count = 1;
	other->builder.version = 0x030800f0;
	freelist_word_find(&other->image, other->builder.version, &other->builder.freelist_word);
	assert_int_equal(other->builder.freelist_word.address, CONFIG + 4);
	assert_int_equal(other->builder.freelist_word.owner, OWNER);
	assert_int_equal(other->builder.freelist_word.distance, 4);
	made_destroy(other);
}

static void test_owner(void **state)
{
	struct made *other = made_create("_Py_NewReference", AT(NewReferenceOwned));
	const struct site *site;

	(void)state;
	other->builder.version = 0x030900f0;
	support_ok(made_run(other));
	site = builder_site_at(&other->builder, AT(owned_site));
	assert_non_null(site);
	assert_int_equal(site->kind, SITE_FREELIST_POP);
	assert_int_equal(site->a[0].base, RBX);
	/* Of the tests of the other word nothing is known here. */
	assert_int_equal(other->plan.site_count, 1);
	assert_null(builder_site_at(&made->builder, AT(owned_site)));
	made_destroy(other);
}

/* Before 3.8 nobody is told. */
static void test_version(void **state)
{
	struct made *other = made_create("_Py_NewReference", AT(NewReference));

	(void)state;
	other->builder.version = 0x030710f0;
	support_ok(made_run(other));
	assert_int_equal(other->plan.site_count, 0);
	assert_int_equal(other->plan.audit.freelist_checks, 0);
	made_destroy(other);
}

/* Without the symbol nothing is known, and nothing chosen. */
static void test_nameless(void **state)
{
	struct made *other = made_create("other", AT(allocate));

	(void)state;
	support_ok(made_run(other));
	assert_int_equal(other->plan.site_count, 0);
	made_destroy(other);
}

/* Whatever the code is: no crash, no hang. */
static void test_damage(void **state)
{
	unsigned found = 0;

	(void)state;
	srandom(1);
	for (unsigned round = 0; round < 400; round++) {
		struct made *other = made_create("_Py_NewReference", AT(NewReference));

		for (unsigned i = 0; i < 1 + round / 8; i++)
			other->text[random() % other->sections[0].size] = random();
		error_destroy(made_run(other));
		found += other->plan.site_count;
		made_destroy(other);
	}
	assert_true(found > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linked),  cmocka_unit_test(test_counted),
		cmocka_unit_test(test_single),  cmocka_unit_test(test_joined),
		cmocka_unit_test(test_others),  cmocka_unit_test(test_audit),
		cmocka_unit_test(test_word),    cmocka_unit_test(test_owner),
		cmocka_unit_test(test_version), cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
