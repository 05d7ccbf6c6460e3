// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plans of a made-up interpreter: each form of site, what it tells, and what is refused. */
#include "probe_fake.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "probe/code/x86.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

static struct fake *fake;
static struct plan *plan;

static int setup(void **state)
{
	const struct plan_input input = {.version = 0x030b02f0};

	(void)state;
	fake = fake_create();
	support_ok(plan_create_image(&fake->image, &input, &plan));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	plan_destroy(plan);
	fake_destroy(fake);
	return 0;
}

static const struct site *site_at(uint64_t address)
{
	for (size_t i = 0; i < plan->site_count; i++) {
		if (plan->sites[i].address == address)
			return &plan->sites[i];
	}
	return NULL;
}

static const struct site *site_expect(uint64_t address, enum site_kind kind)
{
	const struct site *site = site_at(address);

	if (!site)
		fail_msg("no site at %#llx", (unsigned long long)address);
	assert_int_equal(site->kind, kind);
	assert_int_equal(site->offset, address - FAKE_TEXT);
	assert_memory_equal(site->bytes, fake->file + site->offset, site->length);
	return site;
}

static bool is_value(const struct site_value *value, bool dereference, int base, unsigned shift,
		     int64_t displacement)
{
	return value->dereference == dereference && value->has_base == (base >= 0) &&
	       (base < 0 || (value->base == base && value->shift == shift)) &&
	       value->displacement == displacement;
}

#define assert_register(value, number) assert_true(is_value(&(value), false, number, 0, 0))
#define assert_constant(value, number) assert_true(is_value(&(value), false, -1, 0, number))
#define assert_loaded(value, base, displacement)                                                   \
	assert_true(is_value(&(value), true, base, 0, displacement))

static bool has_warning(uint64_t address)
{
	char text[32];

	snprintf(text, sizeof(text), "%#llx:", (unsigned long long)address);
	for (size_t i = 0; i < plan->warning_count; i++) {
		if (!strncmp(plan->warnings[i], text, strlen(text)))
			return true;
	}
	return false;
}

static void test_tables(void **state)
{
	(void)state;
	assert_int_equal(plan->functions[0][SITE_MALLOC], FAKE(obj_malloc));
	assert_int_equal(plan->functions[0][SITE_FREE], FAKE(obj_free));
	assert_int_equal(plan->functions[1][SITE_CALLOC], FAKE(raw_calloc));
	assert_int_equal(plan->functions[1][SITE_REALLOC], FAKE(raw_realloc));
	/* The live ones, not the copies before them. */
	assert_int_equal(plan->tables[0], FAKE_RAW);
	assert_int_equal(plan->tables[1], FAKE_MEM);
	assert_int_equal(plan->tables[2], FAKE_OBJ);
}

static void test_entries(void **state)
{
	const struct site *site = site_expect(FAKE(obj_malloc_site), SITE_ENTRY);

	(void)state;
	assert_int_equal(site->operation, SITE_MALLOC);
	assert_register(site->a[0], RSI);
	/* rsi was moved away before the first emulated instruction. */
	site = site_expect(FAKE(obj_calloc_site), SITE_ENTRY);
	assert_register(site->a[0], RBX);
	assert_register(site->a[1], RDX);
	site = site_expect(FAKE(obj_realloc_site), SITE_ENTRY);
	assert_register(site->a[0], RSI);
	assert_register(site->a[1], RDX);
	site = site_expect(FAKE(obj_free_site), SITE_ENTRY);
	assert_register(site->a[0], RSI);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(plan->audit.entries[0][i], 1);
}

/* By which extensions tell tracemalloc of blocks of their own. */
static void test_track(void **state)
{
	const struct site *site = site_expect(FAKE(track_site), SITE_TRACK);

	(void)state;
	assert_int_equal(site->operation, SITE_MALLOC);
	assert_register(site->a[0], R13);
	assert_register(site->a[1], RDX);
	assert_register(site->a[2], RDI);
	site = site_expect(FAKE(untrack_site), SITE_TRACK);
	assert_int_equal(site->operation, SITE_FREE);
	assert_register(site->a[0], RSI);
	assert_constant(site->a[1], 0);
	assert_register(site->a[2], RDI);
}

static void test_guard_forms(void **state)
{
	(void)state;
	assert_register(site_expect(FAKE(g_register_jump), SITE_GUARD)->a[0], RBX);
	assert_constant(site_expect(FAKE(g_equal_jump), SITE_GUARD)->a[0], 0x40);
	assert_register(site_expect(FAKE(g_memory_jump), SITE_GUARD)->a[0], R15);
	assert_register(site_expect(FAKE(g_lea_jump), SITE_GUARD)->a[0], R13);
	assert_register(site_expect(FAKE(g_swapped_jump), SITE_GUARD)->a[0], R13);
	assert_constant(site_expect(FAKE(g_kept_jump), SITE_GUARD)->a[0], 1);
	assert_constant(site_expect(FAKE(g_kept_jump_2), SITE_GUARD)->a[0], 2);
	/* What stands between the compare and the jump has been done at the jump. */
	assert_register(site_expect(FAKE(g_between_jump), SITE_GUARD)->a[0], RSI);
	assert_register(site_expect(FAKE(g_jump_jump), SITE_GUARD)->a[0], RBX);
	assert_register(site_expect(FAKE(g_tail_jump), SITE_GUARD)->a[0], RBX);
}

static void test_guard_values(void **state)
{
	(void)state;
	assert_loaded(site_expect(FAKE(g_stack_jump), SITE_GUARD)->a[0], RSP, 8);
	assert_loaded(site_expect(FAKE(g_push_jump), SITE_GUARD)->a[0], RSP, 8);
	assert_loaded(site_expect(FAKE(g_frame_jump), SITE_GUARD)->a[0], RBP, -0x38);
	assert_register(site_expect(FAKE(g_stored_jump), SITE_GUARD)->a[0], RCX);
	assert_true(
		is_value(&site_expect(FAKE(g_scaled_jump), SITE_GUARD)->a[0], false, R14, 2, 0));
	assert_true(
		is_value(&site_expect(FAKE(g_chain_jump), SITE_GUARD)->a[0], false, RBP, 0, 16));
}

static void test_guard_operations(void **state)
{
	const struct site *site = site_expect(FAKE(g_calloc_jump), SITE_GUARD);

	(void)state;
	assert_int_equal(site->operation, SITE_CALLOC);
	assert_constant(site->a[0], 1);
	assert_register(site->a[1], RBP);
	site = site_expect(FAKE(g_realloc_jump), SITE_GUARD);
	assert_int_equal(site->operation, SITE_REALLOC);
	assert_register(site->a[0], RBX);
	assert_register(site->a[1], R12);
	site = site_expect(FAKE(g_free_jump), SITE_GUARD);
	assert_int_equal(site->operation, SITE_FREE);
	assert_constant(site->a[0], 0);
}

static void test_no_guards(void **state)
{
	(void)state;
	assert_null(site_at(FAKE(n_nothing_jump)));
	assert_null(site_at(FAKE(n_register_jump)));
	assert_null(site_at(FAKE(n_call_jump)));
	assert_null(site_at(FAKE(u_half_jump)));
	assert_null(site_at(FAKE(u_product_jump)));
	/* Only what looks like a guard is worth a word. */
	assert_true(has_warning(FAKE(u_half_jump)));
	assert_true(has_warning(FAKE(u_product_jump)));
	assert_false(has_warning(FAKE(n_nothing_jump)));
	/* n_set, n_nothing, n_register, n_call, n_flags, u_half, u_product */
	assert_int_equal(plan->audit.rejected_compares, 7);
	assert_int_equal(plan->audit.guards[0][SITE_MALLOC], 19);
	assert_int_equal(plan->audit.guards[0][SITE_CALLOC], 1);
	assert_int_equal(plan->audit.guards[0][SITE_REALLOC], 1);
	assert_int_equal(plan->audit.guards[0][SITE_FREE], 1);
}

static void test_raw(void **state)
{
	const struct site *site = site_expect(FAKE(r_call_call), SITE_RAW);

	(void)state;
	assert_int_equal(site->operation, SITE_MALLOC);
	assert_true(site->raw);
	assert_false(site->tail);
	assert_register(site->a[0], RDI);
	assert_int_equal(site->returns, FAKE(r_call_returns));
	site = site_expect(FAKE(obj_malloc_call), SITE_RAW);
	assert_int_equal(site->returns, FAKE(obj_malloc_returns));
	site = site_expect(FAKE(raw_malloc_tail), SITE_RAW);
	assert_true(site->tail);
	assert_int_equal(site->returns, 0);
	site = site_expect(FAKE(raw_calloc_tail), SITE_RAW);
	assert_register(site->a[0], RDI);
	assert_register(site->a[1], RSI);
	site_expect(FAKE(raw_calloc_tail_2), SITE_RAW);
	assert_int_equal(site_expect(FAKE(raw_realloc_tail), SITE_RAW)->operation, SITE_REALLOC);
	assert_int_equal(site_expect(FAKE(r_free_tail), SITE_RAW)->operation, SITE_FREE);
	/*
	 * A raw guard is not probed itself; neither is a call of libc's that is not the raw
	 * domain's.
	 */
	assert_null(site_at(FAKE(r_call_jump)));
	assert_null(site_at(FAKE(obj_realloc_tail)));
}

static void test_raw_doubts(void **state)
{
	(void)state;
	assert_true(has_warning(FAKE(r_mixed_call)));
	assert_int_equal(plan->audit.raw_shared, 1);
	assert_true(has_warning(FAKE(r_lost_jump)));
	assert_int_equal(plan->audit.raw_guards_lost, 1);
}

static void test_results(void **state)
{
	const struct site *site = site_expect(FAKE(r_call_result), SITE_RESULT);

	(void)state;
	assert_int_equal(site->returns, FAKE(r_call_returns));
	assert_register(site->a[0], RAX);
	assert_false(site->single_step);
	assert_false(site->malloc_only);
	assert_int_equal(site->stack_delta, 0);
	site = site_expect(FAKE(r_call_slow_result), SITE_RESULT);
	assert_int_equal(site->returns, FAKE(r_call_slow));
	/* rax is gone at the jump, the slot has it. */
	site = site_expect(FAKE(r_jump_result), SITE_RESULT);
	assert_int_equal(site->returns, FAKE(r_jump_returns));
	assert_loaded(site->a[0], RSP, 0x10);
	site = site_expect(FAKE(r_single_returns), SITE_RESULT);
	assert_true(site->single_step);
	assert_register(site->a[0], RAX);
	site = site_expect(FAKE(r_pop_result), SITE_RESULT);
	assert_int_equal(site->stack_delta, 0x10);
	assert_int_equal(site->returns, FAKE(r_pop_returns));
}

static void test_results_off_the_fast_path(void **state)
{
	(void)state;
	assert_null(site_at(FAKE(r_hot_test)));
	assert_int_equal(site_expect(FAKE(r_hot_result), SITE_RESULT)->returns,
			 FAKE(r_hot_returns));
	assert_null(site_at(FAKE(r_falls_test)));
	assert_true(site_expect(FAKE(r_falls_returns), SITE_RESULT)->single_step);
}

static void test_results_of_callers(void **state)
{
	const struct site *site = site_expect(FAKE(c_raw_result), SITE_RESULT);

	(void)state;
	assert_int_equal(site->returns, FAKE(c_raw_returns));
	assert_false(site->malloc_only);
	site = site_expect(FAKE(c_obj_result), SITE_RESULT);
	assert_int_equal(site->returns, FAKE(c_obj_returns));
	assert_true(site->malloc_only);
	site = site_expect(FAKE(c_slot_result), SITE_RESULT);
	assert_int_equal(site->returns, FAKE(c_slot_returns));
	assert_false(site->malloc_only);
	site = site_expect(FAKE(c_wrapped_result), SITE_RESULT);
	assert_int_equal(site->returns, FAKE(c_wrapped_returns));
}

static void test_refill(void **state)
{
	(void)state;
	assert_int_equal(plan->refill, FAKE(refill));
	assert_int_equal(plan->usable_arenas, FAKE_DATA + 0xf08);
	site_expect(FAKE(refill_site), SITE_REFILL);
	assert_int_equal(plan->audit.refill_callers, 3);
	assert_int_equal(plan->audit.refill_attributed, 2);
	assert_true(has_warning(FAKE(refills_bare_call)));
	assert_false(has_warning(FAKE(refills_call)));
}

static void test_order(void **state)
{
	(void)state;
	for (size_t i = 1; i < plan->site_count; i++)
		assert_true(plan->sites[i - 1].offset < plan->sites[i].offset);
	assert_int_equal(plan->audit.bad_instructions, 0);
}

/* Each line of the table names a site. */
static void test_print(void **state)
{
	char *text = NULL, needle[64];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	plan_print(plan, out);
	fclose(out);
	snprintf(needle, sizeof(needle), "%#10llx  guard   obj  malloc   size=4*r14",
		 (unsigned long long)FAKE(g_scaled_jump));
	assert_non_null(strstr(text, needle));
	assert_non_null(strstr(text, "size=[rbp-0x38]"));
	assert_non_null(strstr(text, "nelem=0x1 elsize=rbp"));
	assert_non_null(strstr(text, "warning: "));
	free(text);
}

static void test_hooks(void **state)
{
	const uint64_t functions[] = {FAKE(h_hook), 0x1234};
	struct site *sites;
	size_t count;

	(void)state;
	assert_null(site_at(FAKE(h_hook_result)));
	support_ok(plan_hook_results(&fake->image, plan, functions, 2, &sites, &count));
	assert_int_equal(count, 2);
	assert_int_equal(sites[0].kind, SITE_RESULT);
	assert_int_equal(sites[0].address, FAKE(h_hook_result));
	assert_int_equal(sites[0].returns, FAKE(h_hook_returns));
	assert_int_equal(sites[1].address, FAKE(h_inner_result));
	assert_register(sites[1].a[0], RAX);
	free(sites);
	support_ok(plan_hook_results(&fake->image, plan, functions + 1, 1, &sites, &count));
	assert_int_equal(count, 0);
	free(sites);
}

/* Position-independent: the tables' words are relocations. */
static void test_relocated_tables(void **state)
{
	const struct plan_input input = {.version = 0x030b02f0};
	struct fake *other = fake_create();
	struct plan *same;
	size_t count = 0;

	(void)state;
	for (uint64_t at = FAKE_DATA; at < FAKE_DATA + 0x200; at += 8) {
		uint64_t word;

		memcpy(&word, other->file + (at - FAKE_TEXT), 8);
		count += word != 0;
	}
	other->image.relocations = calloc(count + 4, sizeof(struct image_relocation));
	assert_non_null(other->image.relocations);
	other->image.relocation_count = 0;
	for (uint64_t at = FAKE_DATA; at < FAKE_DATA + 0x200; at += 8) {
		uint64_t word;

		memcpy(&word, other->file + (at - FAKE_TEXT), 8);
		if (!word)
			continue;
		other->image.relocations[other->image.relocation_count++] =
			(struct image_relocation){
				.address = at, .type = 8, .symbol = "", .addend = word};
		fake_word(other, at, 0);
	}
	for (unsigned i = 0; i < 4; i++)
		other->image.relocations[other->image.relocation_count++] = other->relocations[i];
	support_ok(plan_create_image(&other->image, &input, &same));
	assert_memory_equal(same->functions, plan->functions, sizeof(plan->functions));
	assert_int_equal(same->site_count, plan->site_count);
	plan_destroy(same);
	free(other->image.relocations);
	fake_destroy(other);
}

/* A table of four other functions, as libraries have them that are linked in. */
static void foreign_set(struct fake *other, uint64_t address)
{
	const uint64_t functions[4] = {FAKE(g_register), FAKE(g_equal), FAKE(g_lea), FAKE(g_kept)};

	fake_word(other, address, 0);
	for (unsigned i = 0; i < 4; i++)
		fake_word(other, address + 8 + 8 * i, functions[i]);
}

/*
 * Constants are not taken for allocators' tables, however often they repeat. They are told by
 * flags, by what is read-only after relocation, by name.
 */
static void test_constant_tables(void **state)
{
	const struct plan_input input = {.version = 0x030b02f0};
	const uint64_t start = FAKE_DATA + 0x800, size = 0x400;

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		struct fake *other = fake_create();
		struct plan *same;

		for (unsigned i = 0; i < 6; i++)
			foreign_set(other, start + i * 64);
		other->sections[3] = other->sections[2];
		other->sections[3].address = start;
		other->sections[3].size = size;
		other->sections[3].offset += start - FAKE_DATA;
		other->sections[3].data += start - FAKE_DATA;
		other->sections[2].size = start - FAKE_DATA;
		other->image.section_count = 4;
		if (kind == 0)
			other->sections[3].flags &= ~(uint64_t)SHF_WRITE;
		else if (kind == 1)
			other->image.relro = (struct image_segment){.address = start - 16,
								    .memory_size = size + 16};
		else if (kind == 2)
			other->sections[3].name = ".data.rel.ro.local";
		if (kind == 3) {
			/* As variables they are more than pymalloc's: then nobody knows. */
			support_fails(plan_create_image(&other->image, &input, &same), ERROR_FAILED,
				      "raw domain's allocator table was not found");
			fake_destroy(other);
			continue;
		}
		support_ok(plan_create_image(&other->image, &input, &same));
		assert_memory_equal(same->functions, plan->functions, sizeof(plan->functions));
		assert_memory_equal(same->tables, plan->tables, sizeof(plan->tables));
		assert_int_equal(same->site_count, plan->site_count);
		plan_destroy(same);
		fake_destroy(other);
	}
}

/*
 * A register that keeps what was loaded from a table in an endless loop is not followed for ever.
 */
static void test_endless_loop(void **state)
{
	static const uint8_t loop[] = {0x48, 0x8b, 0x1c, 0x25,
				       0x18, 0x01, 0x60, 0x00, /* mov raw + 24, %rbx */
				       0xeb, 0xfe,             /* jmp . */
				       0x90, 0x90, 0x90, 0x90};
	static const uint8_t branches[] = {0x48, 0x8b, 0x1c, 0x25, 0x18,
					   0x01, 0x60, 0x00, 0x74, 0xfe, /* je . */
					   0x75, 0xfc, 0xeb, 0xfc};
	const struct plan_input input = {.version = 0x030b02f0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fake *other = fake_create();
		struct plan *made;

		memcpy(other->file + (FAKE(PyMem_RawRealloc) - FAKE_TEXT), i ? branches : loop,
		       sizeof(loop));
		support_ok(plan_create_image(&other->image, &input, &made));
		assert_memory_equal(made->functions, plan->functions, sizeof(plan->functions));
		plan_destroy(made);
		fake_destroy(other);
	}
}

static void refused(struct fake *other, const char *text)
{
	const struct plan_input input = {.version = 0x030b02f0};
	struct plan *none = NULL;

	support_fails(plan_create_image(&other->image, &input, &none), ERROR_FAILED, text);
	assert_null(none);
	fake_destroy(other);
}

static void test_refusals(void **state)
{
	const struct plan_input wrong = {.version = 0x030c01f0, .live = {FAKE_DATA + 0x300, 1, 2}};
	struct plan *none = NULL;
	struct fake *other = fake_create();

	(void)state;
	for (unsigned i = 0; i < 0x200; i += 8)
		fake_word(other, FAKE_DATA + i, 0);
	refused(other, "pymalloc's functions cannot be told");

	other = fake_create();
	fake_word(other, FAKE_RAW + 8, 0);
	fake_word(other, FAKE_DATA + 0x28, 0);
	refused(other, "raw domain's allocator table was not found");

	other = fake_create();
	other->image.section_count = 0;
	refused(other, "made-up");

	other = fake_create();
	support_fails(plan_create_image(&other->image, &wrong, &none), ERROR_FAILED, "made-up");
	assert_null(none);
	fake_destroy(other);
}

/* Whatever the file holds: an error or a plan, nothing worse. */
static void test_damage(void **state)
{
	const struct plan_input input = {.version = 0x030b02f0};
	unsigned made = 0;

	(void)state;
	srandom(1);
	for (unsigned round = 0; round < 300; round++) {
		size_t text = fake_text_end - fake_text;
		struct fake *other = fake_create();
		struct plan *damaged = NULL;
		struct error *error;

		for (unsigned i = 0; i < 1 + round / 4; i++)
			other->file[random() % text] = random();
		for (unsigned i = 0; i < round / 50; i++)
			fake_word(other, FAKE_DATA + random() % 0x200 / 8 * 8, random());
		error = plan_create_image(&other->image, &input, &damaged);
		made += !error;
		error_destroy(error);
		plan_destroy(damaged);
		fake_destroy(other);
	}
	assert_true(made > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_track),
		cmocka_unit_test(test_guard_forms),
		cmocka_unit_test(test_guard_values),
		cmocka_unit_test(test_guard_operations),
		cmocka_unit_test(test_no_guards),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_raw_doubts),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_results_off_the_fast_path),
		cmocka_unit_test(test_results_of_callers),
		cmocka_unit_test(test_refill),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_relocated_tables),
		cmocka_unit_test(test_constant_tables),
		cmocka_unit_test(test_endless_loop),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
