// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon/record.h"
#include "daemon/record_estimate.h"
#include "daemon/silence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/confine.h"
#include "base/error.h"
#include "sandbox/privileges.h"
#include "base/text.h"
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

struct coverage {
	double share; /* negative: not known */
	char basis[200];
};

/*
 * pymalloc refills a size class by one function that is never inlined apart from its callers, about once in 200
 * allocations. Each probed allocation that finds its class empty announces such a refill; one that comes
 * unannounced was made by an allocation that no probe saw. So the share of announced refills samples the share of
 * allocations seen.
 */
static uint32_t guard_count(const struct plan *plan)
{
	uint32_t count = 0;

	for (int i = 0; i < 4; i++)
		count += plan->audit.guards[0][i];
	return count;
}

static void coverage_measure(const struct session *session, const struct tracer_counters *counters,
			     struct coverage *ret)
{
	const struct plan *plan = tracer_plan(session->tracer);
	uint64_t refills = counters->events[TMBPF_EVENT_REFILL];
	uint64_t missed = counters->losses[TMBPF_LOSS_REFILL_UNANNOUNCED];

	ret->share = -1;
	if (refills) {
		ret->share = missed < refills ? (double)(refills - missed) / refills : 0;
		snprintf(
			ret->basis, sizeof(ret->basis),
			"%llu of %llu refills of a size class were announced by a probed allocation",
			(unsigned long long)(refills - missed), (unsigned long long)refills);
	} else if (plan->audit.refill_callers) {
		ret->share = (double)plan->audit.refill_attributed / plan->audit.refill_callers;
		snprintf(
			ret->basis, sizeof(ret->basis),
			"%u of %u callers of the refill function are in code that is probed (no refill yet)",
			plan->audit.refill_attributed, plan->audit.refill_callers);
	} else if (!guard_count(plan) && plan->audit.entries[0][SITE_MALLOC] &&
		   plan->audit.entries[0][SITE_CALLOC] && plan->audit.entries[0][SITE_REALLOC]) {
		/* The API calls through the table; only a guard could stand for such a call. */
		ret->share = 1;
		snprintf(ret->basis, sizeof(ret->basis), "%s",
			 "the allocator is inlined nowhere: every call enters a function that is "
			 "probed");
	} else {
		snprintf(
			ret->basis, sizeof(ret->basis),
			"not measured: this interpreter has no refill function of its own to count");
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

/* What is held is known of the moment of the last walk; of a target that is gone that may be a while ago. */
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

struct error *record_snapshot(struct session *session, bool rested, struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;

	try(session_walk(session, rested));
	try(snapshot_builder_create(NULL, &builder));
	try(info_fill(session, snapshot_builder_info(builder)));
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		try(record_estimate(session, row_add, builder));
	else
		try(session_each(session, row_add, builder));
	try(snapshot_builder_finish(take(builder), ret));
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		(*ret)->info.current = snapshot_totals(*ret).size;
	return NULL;
}

struct error *record_block(struct session *session, uint32_t stack, uint64_t size,
			   struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;

	try(snapshot_builder_create(NULL, &builder));
	try(symbols_stack(session->symbols, stack, size, row_add, builder));
	return snapshot_builder_finish(take(builder), ret);
}

static void add_number(json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_object_new_uint64(value));
}

static void add_text(json_object *to, const char *key, const char *value)
{
	json_object_object_add(to, key, value ? json_object_new_string(value) : NULL);
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
static void status_privileges(json_object *losses, json_object *reply)
{
	cleanup_free char *capabilities = privileges_text();
	json_object *privileges = json_object_new_object();
	const char *refused;
	uint64_t calls = confine_refused(&refused);

	add_text(privileges, "capabilities", capabilities);
	add_text(privileges, "refused_system_call", calls ? refused : NULL);
	json_object_object_add(reply, "privileges", privileges);
	if (calls)
		add_number(losses, "refused_system_calls", calls);
}

static void status_counters(const struct session *session, json_object *reply)
{
	json_object *losses = json_object_new_object(), *events = json_object_new_object();
	json_object *memory = json_object_new_object();
	struct tracer_counters counters;
	struct symbols_counters symbols;
	struct coverage coverage;

	tracer_counters(session->tracer, &counters);
	symbols_counters(session->symbols, &symbols);
	coverage_measure(session, &counters, &coverage);
	status_privileges(losses, reply);
	if (!session_is_lazy(session)) {
		add_number(reply, "current", counters.current);
		add_number(reply, "peak", counters.peak);
	}
	json_object_object_add(reply, "coverage",
			       coverage.share < 0 ? NULL : json_object_new_double(coverage.share));
	add_text(reply, "coverage_basis", coverage.basis);
	for (size_t i = 0; i < TMBPF_LOSS_COUNT; i++)
		if (counters.losses[i])
			add_number(losses, loss_names[i], counters.losses[i]);
	if (never_walked(session))
		add_number(losses, "pools_never_read", 1);
	if (symbols.unresolved_frames)
		add_number(losses, "unresolved_frames", symbols.unresolved_frames);
	if (symbols.shortened_strings)
		add_number(losses, "shortened_strings", symbols.shortened_strings);
	if (symbols.dropped_tracebacks)
		add_number(losses, "dropped_tracebacks", symbols.dropped_tracebacks);
	json_object_object_add(reply, "losses", losses);
	for (size_t i = 0; i < TMBPF_EVENT_COUNT; i++)
		add_number(events, event_names[i], counters.events[i]);
	json_object_object_add(reply, "events", events);
	if (session_is_lazy(session))
		json_object_object_add(reply, "unknown_frees", NULL);
	else
		add_number(reply, "unknown_frees", counters.unknown_frees);
	add_number(reply, "sites", counters.sites);
	add_number(reply, "tracebacks", symbols.tracebacks);
	add_number(reply, "stacks", symbols.stacks);
	add_number(reply, "stack_limit", session->options.stack_limit);
	if (session->options.mode != TMBPF_MODE_SAMPLED)
		add_number(reply, "large_limit", session->options.large_limit);
	add_number(reply, "recycled_stacks", symbols.recycled);
	add_number(reply, "code_objects", symbols.codes);
	add_number(memory, "tracer_rss", tracer_rss());
	add_number(memory, "maps", counters.map_bytes);
	json_object_object_add(reply, "memory", memory);
	add_number(reply, "bpf_run_ns", counters.run_ns);
	add_number(reply, "bpf_run_count", counters.run_count);
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

/* Where frees are not probed: what the last walk over the pools found, and how long ago that was. */
static void status_walk(const struct session *session, json_object *reply)
{
	const struct session_walk *walk = &session->walk;
	json_object *found = NULL;

	add_number(reply, "current", walk->size);
	json_object_object_add(reply, "peak", NULL);
	add_number(reply, "blocks", walk->count);
	add_number(reply, "frees", walk->allocated - walk->count);
	if (walk->at) {
		found = json_object_new_object();
		json_object_object_add(
			found, "age",
			json_object_new_double(clock_since(CLOCK_MONOTONIC, walk->at)));
		json_object_object_add(found, "seconds", json_object_new_double(walk->took / 1e9));
		add_number(found, "unstable_pools", walk->unstable);
	}
	json_object_object_add(reply, "walk", found);
}

static char *growth_basis(const struct session_growth *grown, double share)
{
	double age = clock_since(CLOCK_MONOTONIC, grown->at);
	char size[TEXT_NUMBER_MAX], *text = NULL;
	int length;

	if (!grown->at)
		return strdup(grown->failed ? grown->failed
					    : "it was not asked for while the process ran");
	text_size(share < 0 ? GROWTH_LEAST : grown->counts.size, size);
	length = asprintf(
		&text, "%s%s%s since the start (census of blocks of up to 512 bytes, %.1f s ago)",
		share < 0 ? "the heap grew by less than " : "", size,
		share < 0 ? "" : " that the heap grew by", age);
	return length < 0 ? NULL : text;
}

static void sum_describe(json_object *reply, const char *key, const struct fork_counts_sum *sum)
{
	json_object *object = json_object_new_object();

	add_number(object, "count", sum->count);
	add_number(object, "size", sum->size);
	json_object_object_add(reply, key, object);
}

/* What the parent's session knew of a forked process's blocks. */
static void status_inherited(const struct session *session, json_object *reply)
{
	const struct fork_counts *counts = &session->inherited;
	json_object *inherited = NULL;

	if (session->heir) {
		inherited = json_object_new_object();
		add_number(inherited, "parent", session->parent);
		add_number(inherited, "count", counts->taken.count);
		add_number(inherited, "size", counts->taken.size);
		sum_describe(inherited, "changed", &counts->changed);
		sum_describe(inherited, "gone", &counts->gone);
		sum_describe(inherited, "unread", &counts->unread);
		add_number(inherited, "parent_events", counts->parent_events);
	}
	json_object_object_add(reply, "inherited", inherited);
}

/* What was there when tracing began, of which no traceback is known. */
static void status_before(const struct session *session, json_object *reply)
{
	json_object *before = NULL;

	if (session->heap_check) {
		const struct heap_check_counts *counts = growth_before(session->heap_check);

		before = json_object_new_object();
		add_number(before, "count", counts->before_count);
		add_number(before, "size", counts->before_size);
		json_object_object_add(before, "inherited",
				       json_object_new_boolean(session->inherits));
	}
	json_object_object_add(reply, "before", before);
}

/* What of the heap's growth is traced, where everything should be. */
static void status_growth(const struct session *session, json_object *reply)
{
	const struct session_growth *grown = &session->grown;
	double share = grown->at ? growth_share(&grown->counts) : -1;
	cleanup_free char *basis = growth_basis(grown, share);
	json_object *found = NULL;

	if (session->options.mode == TMBPF_MODE_SAMPLED)
		return;
	json_object_object_add(reply, "growth_coverage",
			       share < 0 ? NULL : json_object_new_double(share));
	add_text(reply, "growth_coverage_basis", basis);
	if (grown->at) {
		found = json_object_new_object();
		add_number(found, "count", grown->counts.count);
		add_number(found, "size", grown->counts.size);
		add_number(found, "traced_count", grown->counts.traced_count);
		add_number(found, "traced_size", grown->counts.traced_size);
		add_number(found, "unstable_pools", grown->counts.unstable);
		json_object_object_add(
			found, "age",
			json_object_new_double(clock_since(CLOCK_MONOTONIC, grown->at)));
		json_object_object_add(found, "seconds", json_object_new_double(grown->took / 1e9));
	}
	json_object_object_add(reply, "growth_census", found);
	status_before(session, reply);
	status_inherited(session, reply);
}

struct error *record_status(struct session *session, json_object *reply)
{
	static const char *const states[] = {"running", "stopped", "exited", "exec"};
	struct snapshot_totals totals = {0};
	char text[32];
	struct tm utc;

	try(session_walk(session, true));
	try(symbols_each(session->symbols, totals_add, &totals));
	add_number(reply, "pid", session->process->pid);
	add_text(reply, "state", states[session->state]);
	add_text(reply, "container", session->container.id);
	add_text(reply, "container_name", session->container.name);
	add_text(reply, "image", session->container.image);
	add_text(reply, "cgroup", session->cgroup);
	if (session->group) {
		add_text(reply, "group", session->group);
		add_number(reply, "parent", session->parent);
	}
	add_text(reply, "command_line", session->process->command_line);
	add_text(reply, "executable", session->process->executable);
	python_version_text(tracer_python(session->tracer)->version, text);
	add_text(reply, "python", text);
	add_text(reply, "mode", mode_name(session));
	gmtime_r(&session->since.tv_sec, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	add_text(reply, "since", text);
	json_object_object_add(
		reply, "seconds",
		json_object_new_double(clock_since(CLOCK_MONOTONIC, session->since_monotonic)));
	add_number(reply, "nframe", session->options.nframe);
	if (session_is_lazy(session)) {
		status_walk(session, reply);
	} else {
		add_number(reply, "blocks", totals.count);
		add_number(reply, "frees", totals.total_count - totals.count);
	}
	add_number(reply, "allocations", totals.total_count);
	add_number(reply, "allocated_bytes", totals.total_size);
	add_number(reply, "rss", session->last_rss);
	add_number(reply, "rss_at_start", session->rss_at_start);
	add_number(reply, "tracer_pid", getpid());
	status_counters(session, reply);
	status_growth(session, reply);
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		try(record_estimate_status(session, reply));
	if (session->warning)
		add_text(reply, "warning", session->warning);
	else if (silence_warning(reply))
		add_text(reply, "warning", silence_warning(reply));
	return NULL;
}
