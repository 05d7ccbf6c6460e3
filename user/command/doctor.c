// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf doctor`: what this kernel, these privileges and an interpreter allow. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "command/command.h"
#include "command/options/options.h"
#include "probe/plan.h"
#include "python/allocators.h"
#include "python/python.h"
#include "sandbox/privileges.h"
#include "target/process/process.h"
#include "trace/attach/kernel.h"
#include "trace/attach/sites.h"

/* Hooks in front of hooks: debug, tracemalloc, one that someone wrote. */
#define HOOKS_MAX 4

struct arguments { /* as they were given */
	const char *pid;
	bool sites, json;
};

/* What was found, as far as it went. */
struct findings {
	struct utsname kernel;
	struct kernel_features features;
	struct process *process;
	int seccomp;
	struct python *python;
	struct plan *plan;
	char allocators[3][64]; /* "tracemalloc over pymalloc"; "" unknown */
	/* Why they are unknown; "" they are not. */
	char allocators_unknown[256];
};

static void findings_deinit(struct findings *findings)
{
	plan_destroy(findings->plan);
	python_destroy(findings->python);
	process_destroy(findings->process);
}

static const char *const domains[] = {"raw", "mem", "obj"};

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "Look at this process as well", 0},
	{"sites", 's', NULL, 0, "List each instruction that is probed, and what it tells", 0},
	{"json", 'j', NULL, 0, "For programs", 0},
	{0},
};

static const char doc[] =
	"Says what this kernel and these privileges allow, and what tmbpf finds in a process: the "
	"interpreter, how its layout was established, where its threads and its heap are, which "
	"allocators it uses, and the instructions to probe. What is missing, or refused, is said "
	"with the reason. Changes nothing in the process.\v"
	"Examples:\n"
	"  tmbpf doctor\n"
	"  tmbpf doctor -p 1234\n"
	"  tmbpf doctor -p 1234 --sites | less\n"
	"\n" COMMAND_EXIT_STATUSES;

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'p':
		arguments->pid = value;
		return 0;
	case 's':
		arguments->sites = true;
		return 0;
	case 'j':
		arguments->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is expected: %s", value);
		return EINVAL;
	}
	return ARGP_ERR_UNKNOWN;
}

/* "debug over pymalloc" */
static void allocator_describe(const struct python *python, const struct python_allocator *table,
			       const struct plan *plan, char *ret, size_t size)
{
	uint64_t pymalloc = plan->functions[0][SITE_MALLOC] + python->bias;
	uint64_t raw = plan->functions[1][SITE_MALLOC] + python->bias;
	struct python_allocator inner = *table;
	enum python_allocator_kind kind;
	size_t at = 0;
	unsigned i;

	for (i = 0; i < HOOKS_MAX; i++) {
		kind = python_allocator_kind(python, &inner, pymalloc, raw, &inner);
		at += snprintf(ret + at, size - at, "%s%s", i ? " over " : "",
			       python_allocator_name(kind));
		if (at >= size ||
		    (kind != PYTHON_ALLOCATOR_DEBUG && kind != PYTHON_ALLOCATOR_TRACEMALLOC))
			return;
	}
}

/* Does not fail: what is not found is said in the report. */
static void allocators_find(struct findings *findings)
{
	const struct python *python = findings->python;
	const struct plan *plan = findings->plan;
	struct python_allocator tables[3];
	uint64_t addresses[3];
	struct error *error;
	unsigned i;

	for (i = 0; i < 3; i++)
		addresses[i] = plan->tables[i] ? plan->tables[i] + python->bias : 0;
	error = python_allocators(python, addresses[0], addresses[1], addresses[2], tables);
	if (error)
		snprintf(findings->allocators_unknown, sizeof(findings->allocators_unknown), "%s",
			 error_message(error));
	error_destroy(error);
	if (findings->allocators_unknown[0])
		return;
	for (i = 0; i < 3; i++)
		allocator_describe(python, &tables[i], plan, findings->allocators[i],
				   sizeof(findings->allocators[i]));
}

/* As far as it goes: what was found before an error stays in RET. */
static struct error *findings_collect(const struct arguments *arguments, struct findings *ret)
{
	pid_t pid = 0;

	if (uname(&ret->kernel))
		memset(&ret->kernel, 0, sizeof(ret->kernel));
	kernel_features_probe(&ret->features);
	if (!arguments->pid)
		return NULL;
	try(option_pid("-p", arguments->pid, &pid));
	try(process_create(pid, &ret->process));
	try(process_seccomp(ret->process, &ret->seccomp));
	try(python_create(ret->process, &ret->python));
	try(plan_load(ret->python, &ret->plan));
	allocators_find(ret);
	/* A process that cannot be traced is no success, whatever else was found. */
	return sites_check(ret->python, ret->plan);
}

/* As hexadecimal digits; RET holds two for each byte, and one more. */
static void build_id_text(const struct image *image, char *ret)
{
	size_t i;

	*ret = 0;
	for (i = 0; i < image->build_id_size; i++)
		sprintf(ret + 2 * i, "%02x", image->build_id[i]);
}

static void thread_text(const struct python_thread *thread, char *ret, size_t size)
{
	switch (thread->source) {
	case PYTHON_THREAD_GLOBAL:
		snprintf(ret, size, "the word at 0x%" PRIx64, thread->address);
		return;
	case PYTHON_THREAD_STATIC_TLS:
		snprintf(ret, size, "fs:-0x%" PRIx64, (uint64_t)-thread->tls_offset);
		return;
	case PYTHON_THREAD_DTV:
		snprintf(ret, size, "TLS module %" PRIu64 ", offset 0x%" PRIx64, thread->tls_module,
			 (uint64_t)thread->tls_offset);
		return;
	}
	snprintf(ret, size, "unknown");
}

static void own_text(const struct python_thread *thread, char *ret, size_t size)
{
	if (thread->own_block)
		snprintf(ret, size, "[fs:0x%" PRIx32 "]+0x%" PRIx64 " (a pthread key's value)",
			 thread->own_block, (uint64_t)thread->own_offset);
	else if (!thread->own_offset)
		snprintf(ret, size,
			 "not established (raw-domain events without the GIL have no "
			 "traceback)");
	else if (thread->own_offset > 0)
		snprintf(ret, size, "fs:0x%" PRIx64 " (a pthread key's value)",
			 (uint64_t)thread->own_offset);
	else
		snprintf(ret, size, "fs:-0x%" PRIx64, (uint64_t)-thread->own_offset);
}

/* A line "NAME   TEXT", TEXT as it may be shown. */
static struct error *line_print(FILE *out, const char *name, const char *text)
{
	cleanup_free char *shown = text_display(text);

	if (!shown)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the report");
	fprintf(out, "%-14s %s\n", name, shown);
	return NULL;
}

static struct error *process_print(const struct process *process, int seccomp, FILE *out)
{
	static const char *const modes[] = {"none", "strict", "a filter"};
	char text[96];

	snprintf(text, sizeof(text), "%d%s", (int)process->pid,
		 process->inner_pid != process->pid ? " (in a pid namespace of its own)" : "");
	try(line_print(out, "process", text));
	try(line_print(out, "command", process->command_line));
	return line_print(out, "seccomp",
			  seccomp >= 0 && seccomp <= 2 ? modes[seccomp] : "unknown");
}

static struct error *heap_print(const struct python_heap *heap, FILE *out)
{
	char text[256];

	snprintf(text, sizeof(text), "pymalloc, %u-byte steps, %u KiB pools, %u KiB arenas",
		 heap->alignment, heap->pool_size >> 10, 1u << (heap->arena_bits - 10));
	try(line_print(out, "heap", text));
	if (!heap->usedpools)
		return line_print(out, "", "usedpools not found");
	if (heap->interp_obmalloc == PYTHON_NO_OFFSET)
		snprintf(text, sizeof(text), "usedpools at 0x%" PRIx64, heap->usedpools);
	else
		snprintf(text, sizeof(text),
			 "usedpools at 0x%" PRIx64 ", usable_arenas at 0x%" PRIx64 ", %s %u bytes "
			 "into the interpreter",
			 heap->usedpools, heap->usable_arenas,
			 heap->obmalloc_is_pointer ? "by the pointer" : "their state",
			 heap->interp_obmalloc);
	return line_print(out, "", text);
}

static struct error *python_print(const struct python *python, FILE *out)
{
	char text[256], version[24], build_id[2 * sizeof(python->image->build_id) + 1];

	python_version_text(python->version, version);
	snprintf(text, sizeof(text), "%s, %s%s", version,
		 python->is_shared ? "a shared library" : "the executable",
		 python->image->position_independent ? ", position-independent" : "");
	try(line_print(out, "CPython", text));
	try(line_print(out, "image", python->image->path));
	build_id_text(python->image, build_id);
	try(line_print(out, "build-id", build_id[0] ? build_id : "none"));
	try(line_print(out, "layout", python->layout_source));
	snprintf(text, sizeof(text), "%u thread states, %u of them with frames and code objects",
		 python->thread_states, python->frames_checked);
	try(line_print(out, "checked", text));
	thread_text(&python->thread, text, sizeof(text));
	try(line_print(out, "current thread", text));
	try(line_print(out, "", python->thread.evidence));
	own_text(&python->thread, text, sizeof(text));
	try(line_print(out, "each thread's", text));
	return heap_print(&python->heap, out);
}

/* How many instructions there are to probe, and of which kinds. */
static void sites_text(const struct plan *plan, char *buffer, size_t size)
{
	static const char *const kinds[] = {
		[SITE_GUARD] = "guards",
		[SITE_ENTRY] = "entries",
		[SITE_RAW] = "raw calls and jumps",
		[SITE_RESULT] = "results",
		[SITE_REFILL] = "refill",
		[SITE_FREELIST_POP] = "reuses of free objects",
		[SITE_TRACK] = "of other domains",
	};
	size_t counts[array_size(kinds)] = {0}, used;

	for (size_t i = 0; i < plan->site_count; i++)
		counts[plan->sites[i].kind]++;
	used = (size_t)snprintf(buffer, size, "%zu", plan->site_count);
	for (size_t i = 0; i < array_size(kinds) && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s %s %zu", i ? "," : ":",
					 kinds[i], counts[i]);
}

static struct error *malloc_print(const struct python_malloc *malloc, FILE *out)
{
	char text[2 * PYTHON_MALLOC_NAME];

	snprintf(text, sizeof(text), "%s%s", malloc->name[0] ? malloc->name : "unknown",
		 malloc->other ? ": heap does not walk it, and estimates know its blocks by page "
				 "faults alone"
			       : "");
	return line_print(out, "malloc", text);
}

static struct error *plan_summary_print(const struct findings *findings, bool sites, FILE *out)
{
	const struct plan *plan = findings->plan;
	const struct plan_audit *audit = &plan->audit;
	char text[256];
	size_t i;

	if (findings->allocators_unknown[0]) {
		try(line_print(out, "allocators", findings->allocators_unknown));
	} else {
		for (i = 0; i < 3; i++) {
			snprintf(text, sizeof(text), "%s %s", domains[i], findings->allocators[i]);
			try(line_print(out, i ? "" : "allocators", text));
		}
	}
	try(malloc_print(&findings->python->malloc, out));
	sites_text(plan, text, sizeof(text));
	try(line_print(out, "sites", text));
	snprintf(text, sizeof(text), "%" PRIu32 " of %" PRIu32 " callers of the refill function",
		 audit->refill_attributed, audit->refill_callers);
	try(line_print(out, "attributed", plan->refill ? text : "no refill function of its own"));
	for (i = 0; i < plan->warning_count; i++)
		try(line_print(out, i ? "" : "warnings", plan->warnings[i]));
	if (sites) {
		fputc('\n', out);
		plan_print(plan, out);
	}
	return NULL;
}

static struct error *findings_print(const struct findings *findings, bool sites, FILE *out)
{
	fprintf(out, "%-14s %s %s, %s\n", "kernel", findings->kernel.sysname,
		findings->kernel.release, findings->kernel.machine);
	kernel_features_print(&findings->features, out);
	if (!findings->process)
		return NULL;
	fputc('\n', out);
	try(process_print(findings->process, findings->seccomp, out));
	if (!findings->python)
		return NULL;
	fputc('\n', out);
	try(python_print(findings->python, out));
	if (!findings->plan)
		return NULL;
	return plan_summary_print(findings, sites, out);
}

static void features_json(struct json *json, const struct findings *findings)
{
	struct json_object *kernel = json_new_object(json, json->root, "kernel");

	json_text(json, kernel, "release", findings->kernel.release);
	json_text(json, kernel, "machine", findings->kernel.machine);
	json_flag(json, kernel, "btf", findings->features.btf);
	json_flag(json, kernel, "bpf", findings->features.bpf);
	json_flag(json, kernel, "uprobe_multi", findings->features.uprobe_multi);
	/* Where there is the former it is not tried. */
	if (!findings->features.uprobe_multi || findings->features.uprobe_events)
		json_flag(json, kernel, "uprobe_events", findings->features.uprobe_events);
	json_flag(json, kernel, "uprobe_session", findings->features.uprobe_session);
	json_flag(json, kernel, "bpf_loop", findings->features.loops);
	json_flag(json, kernel, "runtime_memory", findings->features.runtime_memory);
}

static void heap_json(struct json *json, struct json_object *to, const struct python_heap *heap)
{
	struct json_object *object = json_new_object(json, to, "heap");

	json_number(json, object, "alignment", heap->alignment);
	json_number(json, object, "pool_size", heap->pool_size);
	json_number(json, object, "arena_size", 1ULL << heap->arena_bits);
	json_number(json, object, "usedpools", heap->usedpools);
	json_number(json, object, "usable_arenas", heap->usable_arenas);
	if (heap->interp_obmalloc == PYTHON_NO_OFFSET)
		json_null(json, object, "interpreter_offset");
	else
		json_number(json, object, "interpreter_offset", heap->interp_obmalloc);
	json_flag(json, object, "by_pointer", heap->obmalloc_is_pointer);
}

static void thread_json(struct json *json, struct json_object *to,
			const struct python_thread *thread)
{
	static const char *const sources[] = {
		[PYTHON_THREAD_GLOBAL] = "global",
		[PYTHON_THREAD_STATIC_TLS] = "static_tls",
		[PYTHON_THREAD_DTV] = "dtv",
	};
	struct json_object *object = json_new_object(json, to, "thread");

	json_text(json, object, "source", sources[thread->source]);
	json_text(json, object, "evidence", thread->evidence);
	json_number(json, object, "address", thread->address);
	json_signed(json, object, "tls_offset", thread->tls_offset);
	json_number(json, object, "tls_module", thread->tls_module);
	json_signed(json, object, "own_offset", thread->own_offset);
	json_number(json, object, "own_block", thread->own_block);
}

static void python_json(struct json *json, const struct python *python)
{
	struct json_object *object = json_new_object(json, json->root, "python");
	char version[24], build_id[2 * sizeof(python->image->build_id) + 1];

	python_version_text(python->version, version);
	build_id_text(python->image, build_id);
	json_text(json, object, "version", version);
	json_number(json, object, "hexversion", python->version);
	json_text(json, object, "image", python->image->path);
	json_text(json, object, "build_id", build_id);
	json_flag(json, object, "shared", python->is_shared);
	json_number(json, object, "bias", python->bias);
	json_number(json, object, "runtime", python->runtime);
	json_text(json, object, "layout", python->layout_source);
	json_number(json, object, "thread_states", python->thread_states);
	json_number(json, object, "thread_states_with_frames", python->frames_checked);
	thread_json(json, object, &python->thread);
	heap_json(json, object, &python->heap);
}

static void counts_json(struct json *json, struct json_object *to, const char *key,
			const uint32_t counts[2][4])
{
	static const char *const operations[] = {"malloc", "calloc", "realloc", "free"};
	struct json_object *object = json_new_object(json, to, key);
	size_t raw, i;

	for (raw = 0; raw < 2; raw++) {
		struct json_object *domain = json_new_object(json, object, raw ? "raw" : "obj");

		for (i = 0; i < array_size(operations); i++)
			json_number(json, domain, operations[i], counts[raw][i]);
	}
}

static void plan_json(struct json *json, const struct findings *findings)
{
	const struct plan *plan = findings->plan;
	struct json_object *object = json_new_object(json, json->root, "plan"), *list;
	size_t i;

	json_number(json, object, "sites", plan->site_count);
	counts_json(json, object, "guards", plan->audit.guards);
	counts_json(json, object, "entries", plan->audit.entries);
	json_number(json, object, "raw_calls", plan->audit.raw_calls);
	json_number(json, object, "raw_tails", plan->audit.raw_tails);
	json_number(json, object, "results", plan->audit.results);
	json_number(json, object, "refill_callers", plan->audit.refill_callers);
	json_number(json, object, "refill_attributed", plan->audit.refill_attributed);
	list = json_new_array(json, object, "warnings");
	for (i = 0; i < plan->warning_count; i++)
		json_text(json, list, NULL, plan->warnings[i]);
	json_text(json, json->root, "malloc", findings->python->malloc.name);
	json_flag(json, json->root, "malloc_other", findings->python->malloc.other);
	if (findings->allocators_unknown[0])
		return;
	object = json_new_object(json, json->root, "allocators");
	for (i = 0; i < 3; i++)
		json_text(json, object, domains[i], findings->allocators[i]);
}

/* The same as text, and the error that ended it. */
static struct error *findings_print_json(const struct findings *findings, const struct error *error)
{
	cleanup(json_deinit) struct json json;

	json_init(&json);
	features_json(&json, findings);
	if (findings->process) {
		struct json_object *process = json_new_object(&json, json.root, "process");

		json_number(&json, process, "pid", findings->process->pid);
		json_number(&json, process, "inner_pid", findings->process->inner_pid);
		json_text(&json, process, "command", findings->process->command_line);
		json_number(&json, process, "seccomp", findings->seccomp);
	}
	if (findings->python)
		python_json(&json, findings->python);
	if (findings->plan)
		plan_json(&json, findings);
	if (error)
		json_text(&json, json.root, "error", error_message(error));
	return json_print(&json, stdout);
}

/* An error where something is missing without which no process can be traced. */
static struct error *features_check(const struct kernel_features *features)
{
	if (features->btf && features->bpf && (features->uprobe_multi || features->uprobe_events))
		return NULL;
	if (features->bpf_errno == EPERM || features->bpf_errno == EACCES)
		return error_advise(error_create(ERROR_FAILED, "what this kernel allows cannot be "
							       "told without privileges"),
				    "Run as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and "
				    "CAP_DAC_READ_SEARCH.");
	return error_create(ERROR_FAILED, "something is missing that is needed; see above");
}

static struct error *doctor_run(int argc, char **argv)
{
	static const struct argp argp = {.options = options, .parser = parse_option, .doc = doc};
	cleanup(findings_deinit) struct findings findings = {0};
	struct arguments arguments = {0};
	struct error *error, *printing;

	try(options_parse(&argp, argc, argv, &arguments));
	if (arguments.sites && !arguments.pid)
		return error_create(ERROR_USAGE, "--sites needs a process: -p PID");
	if (arguments.sites && arguments.json)
		return error_create(ERROR_USAGE, "--sites does not go with --json");
	try(privileges_keep(PRIVILEGES_ATTACH, false));
	error = findings_collect(&arguments, &findings);
	if (error && error_kind(error) == ERROR_USAGE)
		return error;
	if (arguments.json)
		printing = findings_print_json(&findings, error);
	else
		printing = findings_print(&findings, arguments.sites, stdout);
	if (!error && !printing)
		return features_check(&findings.features);
	/* What was refused says more than that the report could not be printed. */
	if (!error)
		return printing;
	error_destroy(printing);
	return error;
}

const struct command command_doctor = {
	.name = "doctor",
	.summary = "what this kernel, these privileges and this interpreter allow",
	.needs = COMMAND_OF_SESSIONS,
	.run = doctor_run,
};
