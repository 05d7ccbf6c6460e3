// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a session says of itself: its status, and what it has traced as a snapshot. */
#include "daemon/reports.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "daemon/reports_estimate.h"
#include "daemon/silence.h"
#include "sandbox/confine.h"
#include "sandbox/privileges.h"
#include "snapshot/tables.h"
#include "target/process/namespace.h"

static const char *const loss_names[] = {
#define LOSS_NAME(upper, lower, text) #lower,
	TMBPF_LOSSES(LOSS_NAME)
#undef LOSS_NAME
};

static const char *const loss_texts[] = {
#define LOSS_TEXT(upper, lower, text) (text),
	TMBPF_LOSSES(LOSS_TEXT)
#undef LOSS_TEXT
};

static const char *const event_names[] = {
#define EVENT_NAME(upper, lower) #lower,
	TMBPF_EVENTS(EVENT_NAME)
#undef EVENT_NAME
};

/* The share of allocations that probes see, and how it is known. */
struct coverage {
	double share; /* negative: not known */
	char basis[200];
};

static uint32_t guard_count(const struct plan *plan)
{
	uint32_t count = 0;

	for (int i = 0; i < 4; i++)
		count += plan->audit.guards[0][i];
	return count;
}

/*
 * pymalloc refills a size class about once in 200 allocations, by one function, which is inlined
 * nowhere. A probed allocation that finds its class empty announces a refill. A refill that nothing
 * announced was made by an allocation that no probe saw. So the share of announced refills is a
 * sample of the share of allocations that are seen.
 */
static void coverage_measure(const struct session *session, const struct tracer_counters *counters,
			     struct coverage *ret)
{
	const struct plan *plan = tracer_plan(session->tracer);
	uint64_t refills = counters->events[TMBPF_EVENT_REFILL];
	uint64_t missed = counters->losses[TMBPF_LOSS_REFILL_UNANNOUNCED];

	ret->share = -1;
	if (refills) {
		ret->share = missed < refills ? (double)(refills - missed) / refills : 0;
		snprintf(ret->basis, sizeof(ret->basis),
			 "%" PRIu64 " of %" PRIu64
			 " refills of a size class were announced by a probed allocation",
			 refills - missed, refills);
	} else if (plan->audit.refill_callers) {
		ret->share = (double)plan->audit.refill_attributed / plan->audit.refill_callers;
		snprintf(ret->basis, sizeof(ret->basis),
			 "%u of %u callers of the refill function are in code that is probed "
			 "(no refill yet)",
			 plan->audit.refill_attributed, plan->audit.refill_callers);
	} else if (!guard_count(plan) && plan->audit.entries[0][SITE_MALLOC] &&
		   plan->audit.entries[0][SITE_CALLOC] && plan->audit.entries[0][SITE_REALLOC]) {
		/* The API calls through the table; only a guard could stand for such a call. */
		ret->share = 1;
		snprintf(ret->basis, sizeof(ret->basis), "%s",
			 "the allocator is inlined nowhere: every call enters a function that is "
			 "probed");
	} else {
		snprintf(ret->basis, sizeof(ret->basis), "%s",
			 "not measured: this interpreter has no refill function of its own to "
			 "count");
	}
}

static struct error *row_add(void *context, const struct symbols_row *row)
{
	struct snapshot_builder *builder = context;
	struct tables *tables = snapshot_builder_tables(builder);
	uint32_t frames[TMBPF_WALK_MAX];
	struct trace trace = {
		.domain = row->domain,
		.count = row->count,
		.size = row->size,
		.total_count = row->total_count,
		.total_size = row->total_size,
		.size_error = row->size_error,
	};

	for (uint32_t i = 0; i < row->nframe; i++) {
		const struct symbols_frame *from = &row->frames[i];
		struct frame frame = {.lineno = from->lineno, .firstlineno = from->firstlineno};

		try(tables_string(tables, from->filename, from->filename_length, &frame.filename));
		try(tables_string(tables, from->name, from->name_length, &frame.name));
		try(tables_frame(tables, &frame, &frames[i]));
	}
	try(tables_traceback(tables, frames, row->nframe, row->total_nframe, &trace.traceback));
	/* Several stacks may mean one traceback. */
	return snapshot_builder_sum(builder, &trace);
}

/* A process that ended before its pools were ever read: nothing says what it held. */
static bool never_walked(const struct session *session)
{
	return session_is_lazy(session) && session_over(session) && !session->walk.at;
}

static struct error *losses_add(const struct tracer_counters *counters,
				const struct symbols_counters *symbols, struct snapshot_info *info)
{
	const char *refused;
	uint64_t calls = confine_refused(&refused);
	char text[128];

	snprintf(text, sizeof(text),
		 "system calls of the tracer that its filter refused, the last one %s", refused);
	if (calls)
		try(snapshot_info_loss(info, "refused_system_calls", text, calls));
	for (size_t i = 0; i < TMBPF_LOSS_COUNT; i++)
		if (counters->losses[i])
			try(snapshot_info_loss(info, loss_names[i], loss_texts[i],
					       counters->losses[i]));
	if (symbols->unresolved_frames)
		try(snapshot_info_loss(
			info, "unresolved_frames",
			"frames without a line: their code object could not be read whole",
			symbols->unresolved_frames));
	if (symbols->shortened_strings)
		try(snapshot_info_loss(info, "shortened_strings",
				       "names cut short: longer than what is copied",
				       symbols->shortened_strings));
	if (symbols->dropped_tracebacks)
		try(snapshot_info_loss(
			info, "dropped_tracebacks",
			"tracebacks that hold nothing any more, summed up as <dropped>",
			symbols->dropped_tracebacks));
	return NULL;
}

static const char *mode_name(const struct session *session)
{
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		return SNAPSHOT_MODE_ESTIMATE;
	return session_is_lazy(session) ? SNAPSHOT_MODE_LAZY : SNAPSHOT_MODE_EXACT;
}

/*
 * What is held is known of the moment of the last walk. Of a target that is gone that may be a
 * while ago.
 */
static void info_lazy(const struct session *session, struct snapshot_info *info)
{
	const struct session_walk *walk = &session->walk;

	info->peak = 0;
	info->peak_unmeasured = true;
	if (!session_over(session))
		return;
	info->current = walk->size;
	if (!walk->at)
		return;
	info->time_nanos = walk->time;
	info->duration_nanos = walk->at - session->since_monotonic;
}

static struct error *info_fill(struct session *session, struct snapshot_info *info)
{
	struct tracer_counters counters;
	struct symbols_counters symbols;
	struct coverage coverage;
	char boot_id[BOOT_ID_SIZE], host[HOST_NAME_SIZE];

	boot_id_read(boot_id);
	host_name_read(host);
	tracer_counters(session->tracer, &counters);
	symbols_counters(session->symbols, &symbols);
	coverage_measure(session, &counters, &coverage);
	info->time_nanos = (int64_t)clock_now(CLOCK_REALTIME);
	info->duration_nanos = clock_now(CLOCK_MONOTONIC) - session->since_monotonic;
	info->pid = session->process->pid;
	info->start_time = session->process->start_time;
	info->boot_id = strdup(boot_id);
	info->mount_namespace = session->process->mount_namespace;
	info->command_line = strdup(session->process->command_line);
	info->executable = strdup(session->process->executable);
	info->host = strdup(host);
	info->container = strdup(session->container.id ? session->container.id : "");
	info->container_name = strdup(session->container.name ? session->container.name : "");
	info->image = strdup(session->container.image ? session->container.image : "");
	info->cgroup = strdup(session->cgroup ? session->cgroup : "");
	info->python_version = tracer_python(session->tracer)->version;
	info->mode = strdup(mode_name(session));
	info->traceback_limit = session->options.nframe;
	info->current = counters.current;
	info->peak = counters.peak;
	if (session_is_lazy(session))
		info_lazy(session, info);
	if (session->options.mode == TMBPF_MODE_SAMPLED) {
		info->peak = 0;
		info->peak_unmeasured = true;
	}
	if (session->sampler)
		info->period = sampler_period(session->sampler);
	info->rss = session->last_rss;
	info->coverage = coverage.share;
	info->coverage_basis = strdup(coverage.basis);
	if (never_walked(session))
		try(snapshot_info_loss(
			info, "pools_never_read",
			"the process ended before its pools were read: what it held is not known",
			1));
	return losses_add(&counters, &symbols, info);
}

struct error *reports_snapshot(struct session *session, bool rested, struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;

	try(session_walk(session, rested));
	try(snapshot_builder_create(NULL, &builder));
	try(info_fill(session, snapshot_builder_info(builder)));
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		try(reports_estimate(session, row_add, builder));
	else
		try(session_each(session, row_add, builder));
	try(snapshot_builder_finish(take(builder), ret));
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		(*ret)->info.current = snapshot_totals(*ret).size;
	return NULL;
}

struct error *reports_block(struct session *session, uint32_t stack, uint64_t size,
			    struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;

	try(snapshot_builder_create(NULL, &builder));
	try(symbols_stack(session->symbols, stack, size, row_add, builder));
	return snapshot_builder_finish(take(builder), ret);
}

static uint64_t tracer_rss(void)
{
	cleanup_file FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!file || fscanf(file, "%*u %llu", &pages) != 1)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}

/* What the tracer may do, and what it was refused. */
static void status_privileges(struct json *json)
{
	cleanup_free char *capabilities = privileges_text();
	struct json_object *privileges = json_new_object(json, json->root, "privileges");
	const char *refused;
	uint64_t calls = confine_refused(&refused);

	json_text(json, privileges, "capabilities", capabilities);
	json_text(json, privileges, "refused_system_call", calls ? refused : NULL);
}

/* What was not seen, by cause: causes that lost nothing are left out. */
static void status_losses(const struct session *session, const struct tracer_counters *counters,
			  const struct symbols_counters *symbols, struct json *json)
{
	struct json_object *losses = json_new_object(json, json->root, "losses");
	const char *refused;
	uint64_t calls = confine_refused(&refused);

	if (calls)
		json_number(json, losses, "refused_system_calls", calls);
	for (size_t i = 0; i < TMBPF_LOSS_COUNT; i++)
		if (counters->losses[i])
			json_number(json, losses, loss_names[i], counters->losses[i]);
	if (never_walked(session))
		json_number(json, losses, "pools_never_read", 1);
	if (symbols->unresolved_frames)
		json_number(json, losses, "unresolved_frames", symbols->unresolved_frames);
	if (symbols->shortened_strings)
		json_number(json, losses, "shortened_strings", symbols->shortened_strings);
	if (symbols->dropped_tracebacks)
		json_number(json, losses, "dropped_tracebacks", symbols->dropped_tracebacks);
}

static void status_coverage(const struct session *session, const struct tracer_counters *counters,
			    struct json *json)
{
	struct coverage coverage;

	coverage_measure(session, counters, &coverage);
	if (coverage.share < 0)
		json_null(json, json->root, "coverage");
	else
		json_real(json, json->root, "coverage", coverage.share);
	json_text(json, json->root, "coverage_basis", coverage.basis);
}

static void status_counters(const struct session *session, struct json *json)
{
	struct json_object *reply = json->root, *events, *memory;
	struct tracer_counters counters;
	struct symbols_counters symbols;

	tracer_counters(session->tracer, &counters);
	symbols_counters(session->symbols, &symbols);
	status_privileges(json);
	if (!session_is_lazy(session)) {
		json_number(json, reply, "current", counters.current);
		json_number(json, reply, "peak", counters.peak);
	}
	status_coverage(session, &counters, json);
	status_losses(session, &counters, &symbols, json);
	events = json_new_object(json, reply, "events");
	for (size_t i = 0; i < TMBPF_EVENT_COUNT; i++)
		json_number(json, events, event_names[i], counters.events[i]);
	if (session_is_lazy(session))
		json_null(json, reply, "unknown_frees");
	else
		json_number(json, reply, "unknown_frees", counters.unknown_frees);
	json_number(json, reply, "sites", counters.sites);
	json_number(json, reply, "tracebacks", symbols.tracebacks);
	json_number(json, reply, "stacks", symbols.stacks);
	json_number(json, reply, "stack_limit", session->options.stack_limit);
	if (session->options.mode != TMBPF_MODE_SAMPLED)
		json_number(json, reply, "large_limit", session->options.raw_limit);
	json_number(json, reply, "recycled_stacks", symbols.recycled);
	json_number(json, reply, "code_objects", symbols.codes);
	memory = json_new_object(json, reply, "memory");
	json_number(json, memory, "tracer_rss", tracer_rss());
	json_number(json, memory, "maps", counters.map_bytes);
	json_number(json, reply, "bpf_run_ns", counters.run_ns);
	json_number(json, reply, "bpf_run_count", counters.run_count);
}

static struct error *totals_add(void *context, const struct symbols_row *row)
{
	struct snapshot_totals *totals = context;

	totals->count += row->count;
	totals->size += row->size;
	totals->total_count += row->total_count;
	totals->total_size += row->total_size;
	return NULL;
}

/* When something was measured, and how long that took; monotonic nanoseconds. */
static void status_moment(struct json *json, struct json_object *to, uint64_t at, uint64_t took)
{
	json_real(json, to, "age", clock_since(CLOCK_MONOTONIC, at));
	json_real(json, to, "seconds", took / 1e9);
}

/* Where frees are not probed: what the last walk over the pools found, and how long ago it was. */
static void status_walk(const struct session *session, struct json *json)
{
	const struct session_walk *walk = &session->walk;
	struct json_object *found;

	json_number(json, json->root, "current", walk->size);
	json_null(json, json->root, "peak");
	json_number(json, json->root, "blocks", walk->count);
	json_number(json, json->root, "frees", walk->allocated - walk->count);
	if (!walk->at) {
		json_null(json, json->root, "walk");
		return;
	}
	found = json_new_object(json, json->root, "walk");
	status_moment(json, found, walk->at, walk->took);
	json_number(json, found, "unstable_pools", walk->unstable);
}

static char *growth_basis(const struct session_growth *grown, double share)
{
	double age = clock_since(CLOCK_MONOTONIC, grown->at);
	char size[TEXT_NUMBER_MAX], *text = NULL;
	int length;

	if (!grown->at)
		return strdup(grown->failed ? grown->failed
					    : "it was not asked for while the process ran");
	text_size(share < 0 ? HEAP_CHECK_LEAST : grown->counts.size, size);
	length = asprintf(
		&text, "%s%s%s since the start (census of blocks of up to 512 bytes, %.1f s ago)",
		share < 0 ? "the heap grew by less than " : "", size,
		share < 0 ? "" : " that the heap grew by", age);
	return length < 0 ? NULL : text;
}

static void status_sum(struct json *json, struct json_object *to, const char *key,
		       const struct fork_counts_sum *sum)
{
	struct json_object *object = json_new_object(json, to, key);

	json_number(json, object, "count", sum->count);
	json_number(json, object, "size", sum->size);
}

/* What the parent's session knew of a forked process's blocks. */
static void status_inherited(const struct session *session, struct json *json)
{
	const struct fork_counts *counts = &session->inherited;
	struct json_object *inherited;

	if (!session->parent_knew) {
		json_null(json, json->root, "inherited");
		return;
	}
	inherited = json_new_object(json, json->root, "inherited");
	json_number(json, inherited, "parent", session->parent);
	json_number(json, inherited, "count", counts->taken.count);
	json_number(json, inherited, "size", counts->taken.size);
	status_sum(json, inherited, "changed", &counts->changed);
	status_sum(json, inherited, "gone", &counts->gone);
	status_sum(json, inherited, "unread", &counts->unread);
	json_number(json, inherited, "parent_events", counts->parent_events);
}

/* What was there when tracing began, of which no traceback is known. */
static void status_before(const struct session *session, struct json *json)
{
	const struct heap_check_counts *counts;
	struct json_object *before;

	if (!session->heap_check) {
		json_null(json, json->root, "before");
		return;
	}
	counts = heap_check_before(session->heap_check);
	before = json_new_object(json, json->root, "before");
	json_number(json, before, "count", counts->before_count);
	json_number(json, before, "size", counts->before_size);
	json_flag(json, before, "inherited", session->inherits);
}

static void status_growth_census(const struct session_growth *grown, struct json *json)
{
	struct json_object *found;

	if (!grown->at) {
		json_null(json, json->root, "growth_census");
		return;
	}
	found = json_new_object(json, json->root, "growth_census");
	json_number(json, found, "count", grown->counts.count);
	json_number(json, found, "size", grown->counts.size);
	json_number(json, found, "traced_count", grown->counts.traced_count);
	json_number(json, found, "traced_size", grown->counts.traced_size);
	json_number(json, found, "unstable_pools", grown->counts.unstable);
	status_moment(json, found, grown->at, grown->took);
}

/* What of the heap's growth is traced, where everything should be. */
static void status_growth(const struct session *session, struct json *json)
{
	const struct session_growth *grown = &session->grown;
	double share = grown->at ? heap_check_share(&grown->counts) : -1;
	cleanup_free char *basis = growth_basis(grown, share);

	if (session->options.mode == TMBPF_MODE_SAMPLED)
		return;
	if (share < 0)
		json_null(json, json->root, "growth_coverage");
	else
		json_real(json, json->root, "growth_coverage", share);
	json_text(json, json->root, "growth_coverage_basis", basis);
	status_growth_census(grown, json);
	status_before(session, json);
	status_inherited(session, json);
}

/* Which process it is, and where it runs. */
static void status_process(const struct session *session, struct json *json)
{
	static const char *const states[] = {"running", "stopped", "exited", "exec"};
	struct json_object *reply = json->root;

	json_number(json, reply, "pid", session->process->pid);
	json_text(json, reply, "state", states[session->state]);
	json_text(json, reply, "container", session->container.id);
	json_text(json, reply, "container_name", session->container.name);
	json_text(json, reply, "image", session->container.image);
	json_text(json, reply, "cgroup", session->cgroup);
	if (session->group) {
		json_text(json, reply, "group", session->group);
		json_number(json, reply, "parent", session->parent);
	}
	json_text(json, reply, "command_line", session->process->command_line);
	json_text(json, reply, "executable", session->process->executable);
}

/* How it is traced, and since when. */
static void status_tracing(const struct session *session, struct json *json)
{
	struct json_object *reply = json->root;
	char text[32];
	struct tm utc;

	python_version_text(tracer_python(session->tracer)->version, text);
	json_text(json, reply, "python", text);
	json_text(json, reply, "mode", mode_name(session));
	gmtime_r(&session->since.tv_sec, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	json_text(json, reply, "since", text);
	json_real(json, reply, "seconds", clock_since(CLOCK_MONOTONIC, session->since_monotonic));
	json_number(json, reply, "nframe", session->options.nframe);
}

struct error *reports_status(struct session *session, struct json_object *reply)
{
	struct snapshot_totals totals = {0};
	struct json json = json_of(reply);

	try(session_walk(session, true));
	try(symbols_each(session->symbols, totals_add, &totals));
	status_process(session, &json);
	status_tracing(session, &json);
	if (session_is_lazy(session)) {
		status_walk(session, &json);
	} else {
		json_number(&json, reply, "blocks", totals.count);
		json_number(&json, reply, "frees", totals.total_count - totals.count);
	}
	json_number(&json, reply, "allocations", totals.total_count);
	json_number(&json, reply, "allocated_bytes", totals.total_size);
	json_number(&json, reply, "rss", session->last_rss);
	json_number(&json, reply, "rss_at_start", session->rss_at_start);
	json_number(&json, reply, "tracer_pid", getpid());
	status_counters(session, &json);
	status_growth(session, &json);
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		try(reports_estimate_status(session, &json));
	if (session->warning)
		json_text(&json, reply, "warning", session->warning);
	else if (silence_warning(reply))
		json_text(&json, reply, "warning", silence_warning(reply));
	return json_built(&json);
}
