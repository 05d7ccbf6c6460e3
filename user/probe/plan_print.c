// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The plan as a table to read. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "probe/find/builder.h"
#include "probe/plan.h"

static const char *kind_name(enum site_kind kind)
{
	static const char *const names[] = {"guard",  "entry", "raw",  "result",
					    "refill", "reuse", "track"};

	return (unsigned)kind < array_size(names) ? names[kind] : "?";
}

/* "rbx", "0x40", "rax+8", "4*r14", "[rsp+8]". */
static void value_text(const struct site_value *value, char *ret, size_t size)
{
	char term[24] = "";
	int64_t displacement = value->displacement;

	if (!value->has_base) {
		snprintf(ret, size, value->dereference ? "[%#llx]" : "%#llx",
			 (unsigned long long)displacement);
		return;
	}
	if (displacement)
		snprintf(term, sizeof(term), "%s%#llx", displacement < 0 ? "-" : "+",
			 displacement < 0 ? 0 - (unsigned long long)displacement
					  : (unsigned long long)displacement);
	if (value->shift)
		snprintf(ret, size, value->dereference ? "[%u*%s%s]" : "%u*%s%s",
			 1u << value->shift, x86_register_name(value->base), term);
	else
		snprintf(ret, size, value->dereference ? "[%s%s]" : "%s%s",
			 x86_register_name(value->base), term);
}

static void track_text(const struct site *site, const char *pointer, const char *bytes, char *ret,
		       size_t size)
{
	char domain[64];

	value_text(&site->a[2], domain, sizeof(domain));
	if (site->operation == SITE_FREE)
		snprintf(ret, size, "domain=%s pointer=%s", domain, pointer);
	else
		snprintf(ret, size, "domain=%s pointer=%s size=%s", domain, pointer, bytes);
}

static void arguments_text(const struct site *site, char *ret, size_t size)
{
	static const char *const names[4][2] = {
		{"size", NULL}, {"nelem", "elsize"}, {"pointer", "size"}, {"pointer", NULL}};
	char text[2][64];

	if (site->kind == SITE_REFILL) {
		*ret = 0;
		return;
	}
	value_text(&site->a[0], text[0], sizeof(text[0]));
	value_text(&site->a[1], text[1], sizeof(text[1]));
	if (site->kind == SITE_FREELIST_POP)
		snprintf(ret, size, "object=%s", text[0]);
	else if (site->kind == SITE_TRACK)
		track_text(site, text[0], text[1], ret, size);
	else if (site->kind == SITE_RESULT)
		snprintf(ret, size, "pointer=%s", text[0]);
	else if (names[site->operation][1])
		snprintf(ret, size, "%s=%s %s=%s", names[site->operation][0], text[0],
			 names[site->operation][1], text[1]);
	else
		snprintf(ret, size, "%s=%s", names[site->operation][0], text[0]);
}

static void site_print(const struct site *site, FILE *out)
{
	bool allocates = site->kind <= SITE_RAW;
	char arguments[240], instruction[128];

	arguments_text(site, arguments, sizeof(arguments));
	if (!x86_format(site->bytes, site->length, site->address, instruction, sizeof(instruction)))
		snprintf(instruction, sizeof(instruction), "?");
	fprintf(out, "%#10llx  %-6s  %-3s  %-7s  %-32s  %s%s%s", (unsigned long long)site->address,
		kind_name(site->kind), allocates ? (site->raw ? "raw" : "obj") : "-",
		allocates ? operation_name(site->operation) : "-", arguments, instruction,
		site->single_step ? "  single-stepped" : "", site->tail ? "  tail" : "");
	if (site->malloc_only)
		fputs("  malloc-only", out);
	if (site->returns)
		fprintf(out, "  returns=%#llx", (unsigned long long)site->returns);
	if (site->stack_delta)
		fprintf(out, "  stack%+d", site->stack_delta);
	fputc('\n', out);
}

static void counts_print(const char *title, const uint32_t counts[2][4], FILE *out)
{
	fprintf(out,
		"%-8s obj malloc %u, calloc %u, realloc %u, free %u; "
		"raw malloc %u, calloc %u, realloc %u, free %u\n",
		title, counts[0][0], counts[0][1], counts[0][2], counts[0][3], counts[1][0],
		counts[1][1], counts[1][2], counts[1][3]);
}

void plan_print(const struct plan *plan, FILE *out)
{
	const struct plan_audit *audit = &plan->audit;

	fprintf(out, "%10s  %-6s  %-3s  %-7s  %-32s  %s\n", "address", "kind", "dom", "call",
		"arguments", "instruction");
	for (size_t i = 0; i < plan->site_count; i++)
		site_print(&plan->sites[i], out);
	fprintf(out, "\n%zu sites\n", plan->site_count);
	counts_print("guards", audit->guards, out);
	counts_print("entries", audit->entries, out);
	for (unsigned raw = 0; raw < 2; raw++) {
		for (unsigned operation = 0; operation < 4; operation++)
			fprintf(out, "%s %s: %#llx\n", raw ? "raw" : "obj",
				operation_name(operation),
				(unsigned long long)plan->functions[raw][operation]);
	}
	fprintf(out, "tables: raw %#llx, mem %#llx, obj %#llx\n",
		(unsigned long long)plan->tables[0], (unsigned long long)plan->tables[1],
		(unsigned long long)plan->tables[2]);
	fprintf(out, "raw: %u calls, %u tail jumps, %u shared; %u guards without\n",
		audit->raw_calls, audit->raw_tails, audit->raw_shared, audit->raw_guards_lost);
	fprintf(out,
		"results: %u (%u single-stepped, %u on frequent paths), %u returns share one, %u "
		"without\n",
		audit->results, audit->results_single_step, audit->results_hot,
		audit->results_shared, audit->results_missing);
	fprintf(out, "refill: %#llx, %u callers, %u of them attributed (%u within realloc)\n",
		(unsigned long long)plan->refill, audit->refill_callers, audit->refill_attributed,
		audit->refill_in_realloc);
	fprintf(out, "reuse: %u checks, %u objects from free lists, %u of them probed\n",
		audit->freelist_checks, audit->freelist_pops, audit->freelist_sites);
	fprintf(out, "usedpools: %#llx, usable_arenas: %#llx\n",
		(unsigned long long)plan->usedpools, (unsigned long long)plan->usable_arenas);
	fprintf(out, "compares that are no sites: %u\n", audit->rejected_compares);
	fprintf(out, "bad instructions: %u\n", audit->bad_instructions);
	for (size_t i = 0; i < plan->warning_count; i++)
		fprintf(out, "warning: %s\n", plan->warnings[i]);
	if (audit->warnings > plan->warning_count)
		fprintf(out, "warning: and %zu more\n", audit->warnings - plan->warning_count);
}
