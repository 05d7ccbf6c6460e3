// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/session/session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/confine.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "python/reference_process.h"
#include "trace/session/control.h"
#include "trace/attach/kernel.h"

/* How long records may wait in the ring if nothing wakes us. */
#define TICK_MS           100
#define SWEEP_NANOSECONDS NSEC_PER_SEC
/*
 * Walks over the pools: one that is asked for waits this many times as long as the last one took; those that nobody
 * asks for, which keep the rows small and the last totals young, far longer.
 */
#define WALK_REST      10
#define WALK_REST_OWN  100
#define GROWTH_REST    1 /* the same for what the heap grew by */
#define WALK_OWN_LEAST 100000000ull
#define WALK_OWN_MOST  5000000000ull
#define WALK_OWN_TIGHT NSEC_PER_SEC
/* At most this part of what was traced is younger than the last walk, while that is not much. */
#define WALK_OWN_PART 4
/* Slabs between two looks at the ring: a millisecond or two. */
#define WALK_DRAIN_SLABS 8

static void session_warn(struct session *session, struct error *error)
{
	if (!error)
		return;
	free(session->warning);
	session->warning = strdup(error_message(error));
	error_destroy(error);
}

static void drain(void *session)
{
	session_drain(session);
}

static void since_set(struct session *session)
{
	clock_gettime(CLOCK_REALTIME, &session->since);
	session->since_monotonic = clock_now(CLOCK_MONOTONIC);
}

/* Sampling windows open by themselves. */
static struct error *session_sampler(struct session *session)
{
	struct sampler_options options = {.overhead = session->options.overhead};

	try(sampler_create(session->tracer, session->symbols, session->process, &options, drain,
			   session, &session->sampler));
	since_set(session);
	return NULL;
}

static struct error *shadow_entries(void *context, uint64_t address, uint32_t count, uint32_t *ret)
{
	const struct session *session = context;

	return tracer_shadow(session->tracer, address, count, ret);
}

static void growth_fail(struct session *session, struct error *error)
{
	if (!error)
		return;
	free(session->grown.failed);
	session->grown.failed = strdup(error_message(error));
	error_destroy(error);
}

static struct error *heap_check_start(struct session *session)
{
	const struct heap_check_source source = {
		.python = tracer_python(session->tracer),
		.lazy = session_is_lazy(session),
		.hook_extra = tracer_hook_extra(session->tracer),
		.context = session,
		.entries = shadow_entries,
		.rest = drain,
	};
	struct python_heaps heaps;
	struct error *error;

	try(heap_check_create(&source, &session->heap_check));
	/* Of one that is only about to start nothing is from before. */
	if (session->reference_unchecked)
		return NULL;
	try(python_heaps_read(source.python, &heaps));
	error = heap_check_begin(session->heap_check, &heaps);
	python_heaps_deinit(&heaps);
	return error;
}

static void heap_check_end(struct session *session)
{
	heap_check_destroy(session->heap_check);
	session->heap_check = NULL;
	free(session->grown.failed);
	session->grown = (struct session_growth){0};
}

/* INHERIT: what is taken over from the parent's session; NULL nothing. */
static void session_begin(struct session *session, struct fork_protocol *fork)
{
	struct error *error;

	if (fork)
		session_warn(session, fork_protocol_put(fork, session, &session->inherited));
	since_set(session);
	tracer_open(session->tracer);
	if (fork)
		session_warn(session, fork_protocol_settle(fork, session, &session->inherited));
	heap_check_end(session);
	/* Tracing does not depend on it. */
	error = heap_check_start(session);
	if (!error)
		return;
	heap_check_destroy(session->heap_check);
	session->heap_check = NULL;
	growth_fail(session, error);
}

/* Where the target runs, while it does. */
static struct error *place_find(struct session *session, pid_t pid)
{
	cleanup(cgroups_deinit) struct cgroups of = {0};
	const char *path = "";

	try(cgroups_read("", pid, &of));
	/* The list is in descending order of hierarchies, the one of version 2 last. */
	for (size_t i = of.count; i--;)
		if (!*path || !strcmp(path, "/"))
			path = of.list[i].path;
	session->cgroup = strdup(path);
	if (!session->cgroup)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace process %d", pid);
	return container_of("", &of, &session->container);
}

/* As early as can be: what the parent does until then is not the child's. */
static struct fork_protocol *fork_packet_ask(struct session *session)
{
	struct fork_protocol *fork = NULL;

	if (session->parent && session->options.mode != TMBPF_MODE_SAMPLED)
		session_warn(session, fork_protocol_ask(session, session->parent, &fork));
	session->heir = fork;
	session->inherits |= session->heir;
	return fork;
}

static struct error *tracing_start(struct session *session, struct fork_protocol *fork)
{
	uint64_t anonymous;

	session->reference_unchecked = session->options.reference;
	try(tracer_create(session->process, &session->options, &session->tracer));
	session->options.reference = NULL; /* the caller's, for as long as this takes */
	try(symbols_create(session->tracer, session->process, &session->symbols));
	try(control_listen(session->pid, &session->listener));
	/* The pid may have changed hands while we looked at it. */
	try(process_check(session->process));
	try(process_resident(session->process, &session->rss_at_start, &anonymous));
	session->last_rss = session->rss_at_start;
	if (session->options.mode == TMBPF_MODE_SAMPLED) {
		since_set(session);
		/* A heap that is not there yet cannot be counted. */
		return session->reference_unchecked ? NULL : session_sampler(session);
	}
	session_begin(session, fork);
	return NULL;
}

static struct error *session_start(struct session *session)
{
	struct fork_protocol *fork;
	struct error *error;

	try(control_lock(session->pid, &session->lock));
	try(process_create(session->pid, &session->process));
	/* Tracing does not depend on it. */
	session_warn(session, place_find(session, session->pid));
	fork = fork_packet_ask(session);
	error = tracing_start(session, fork);
	fork_protocol_destroy(fork);
	return error;
}

static struct error *session_join(struct session *session, const struct session_origin *origin)
{
	if (!origin)
		return NULL;
	session->parent = origin->parent;
	session->inherits = origin->inherits;
	session->group = strdup(origin->group);
	return session->group ? NULL
			      : error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace process %d",
						   session->pid);
}

struct error *session_create(pid_t pid, const struct tracer_options *options,
			     const struct session_origin *origin, struct session **ret)
{
	struct session *session = calloc(1, sizeof(*session));
	struct error *error;

	if (!session)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace process %d", pid);
	session->lock = session->listener = -1;
	session->pid = pid;
	session->options = *options;
	error = session_join(session, origin);
	if (!error)
		error = session_start(session);
	if (error) {
		session_destroy(session);
		return error;
	}
	*ret = session;
	return NULL;
}

void session_end(struct session *session)
{
	if (session->tracer)
		tracer_detach(session->tracer);
	if (session->lock < 0)
		return;
	/* Behind the lock another session may begin at once: nothing of it is to be touched later. */
	control_unlisten(session->pid, session->listener);
	close(session->lock);
	session->lock = session->listener = -1;
}

void session_destroy(struct session *session)
{
	if (!session)
		return;
	session_end(session);
	sampler_destroy(session->sampler);
	symbols_destroy(session->symbols);
	heap_check_end(session);
	tracer_destroy(session->tracer);
	process_destroy(session->process);
	free(session->warning);
	free(session->group);
	free(session->cgroup);
	container_deinit(&session->container);
	free(session);
}

static void record_handle(void *context, const struct tmbpf_record *record, size_t size)
{
	struct session *session = context;

	if (record->type == TMBPF_RECORD_EXEC)
		session->state = SESSION_EXECED;
	else if (record->type == TMBPF_RECORD_SLAB)
		session_warn(session, tracer_grow(session->tracer));
	else if (record->type != TMBPF_RECORD_SAMPLE)
		symbols_record(session->symbols, record, size);
	else if (session->sampler)
		session_warn(session, sampler_sample(session->sampler, record, size));
}

void session_drain(struct session *session)
{
	tracer_ring_consume(session->tracer, record_handle, session);
}

bool session_is_lazy(const struct session *session)
{
	return tracer_is_lazy(session->tracer);
}

bool session_over(const struct session *session)
{
	return session->gone || session->state == SESSION_EXITED ||
	       session->state == SESSION_EXECED;
}

static struct error *walk_sum(void *context, const struct symbols_row *row)
{
	struct session_walk *walk = context;

	walk->count += row->count;
	walk->size += row->size;
	walk->allocated += row->total_count;
	return NULL;
}

static struct error *walk_all(struct session *session)
{
	uint32_t slabs;

	try(tracer_walk_begin(session->tracer, &slabs));
	for (uint32_t i = 0; i < slabs; i++) {
		try(tracer_walk(session->tracer, i, record_handle, session));
		if (i % WALK_DRAIN_SLABS == WALK_DRAIN_SLABS - 1) {
			session_drain(session);
			try(tracer_grow(session->tracer));
		}
	}
	session_drain(session);
	return NULL;
}

struct error *session_walk(struct session *session, bool rested)
{
	uint64_t began = clock_now(CLOCK_MONOTONIC);
	struct session_walk walk = {0};
	struct error *error;

	if (!session_is_lazy(session) || session_over(session))
		return NULL;
	if (rested && session->walk.at && began - session->walk.at < WALK_REST * session->walk.took)
		return NULL;
	error = walk_all(session);
	/* What was read of a process that ended or began anew meanwhile says nothing. */
	if (!error)
		error = process_check(session->process);
	if (error && error_kind(error) == ERROR_NOTHING) {
		session->gone = true;
		error_destroy(error);
		return NULL;
	}
	try(error);
	try(symbols_each(session->symbols, walk_sum, &walk));
	try(symbols_keep(session->symbols));
	walk.unstable = tracer_walk_unstable(session->tracer);
	walk.time = (int64_t)clock_now(CLOCK_REALTIME);
	walk.at = clock_now(CLOCK_MONOTONIC);
	walk.took = walk.at - began;
	session->walk = walk;
	return NULL;
}

static struct error *heap_check_measure(struct session *session, struct heap_check_counts *ret)
{
	struct python_heaps heaps;
	struct error *error;

	try(python_heaps_read(tracer_python(session->tracer), &heaps));
	error = growth_count(session->heap_check, &heaps, ret);
	python_heaps_deinit(&heaps);
	return error ? error : process_check(session->process);
}

void session_heap_check(struct session *session, bool asked)
{
	uint64_t began = clock_now(CLOCK_MONOTONIC), rest = asked ? GROWTH_REST : WALK_REST_OWN;
	struct heap_check_counts counts;
	struct error *error;

	if (!session->heap_check || session_over(session) || session->reference_unchecked ||
	    (session->grown.at && began - session->grown.at < rest * session->grown.took))
		return;
	error = heap_check_measure(session, &counts);
	if (error && error_kind(error) == ERROR_NOTHING) {
		session->gone = true;
		error_destroy(error);
		return;
	}
	if (error) {
		growth_fail(session, error);
		return;
	}
	free(session->grown.failed);
	session->grown =
		(struct session_growth){.counts = counts, .at = clock_now(CLOCK_MONOTONIC)};
	session->grown.took = session->grown.at - began;
}

struct error *session_walk_block(struct session *session, uint64_t address)
{
	if (!session_is_lazy(session) || session_over(session))
		return NULL;
	return tracer_walk_block(session->tracer, address, record_handle, session);
}

struct error *session_each(struct session *session, symbols_visitor visit, void *context)
{
	if (session_is_lazy(session) && session_over(session))
		return symbols_each_kept(session->symbols, visit, context);
	return symbols_each(session->symbols, visit, context);
}

static bool session_gone(const struct session *session)
{
	struct error *error = process_check(session->process);

	if (!error)
		return false;
	error_destroy(error);
	return true;
}

/* Now and then, also if nobody asks. */
static void walk_own(struct session *session, uint64_t now)
{
	uint64_t begin = session->since_monotonic;
	uint64_t last = session->walk.at > begin ? session->walk.at : begin;
	uint64_t rest = (now - begin) / WALK_OWN_PART;
	struct error *error;

	if (rest > WALK_OWN_MOST)
		rest = WALK_OWN_MOST;
	if (rest > WALK_OWN_TIGHT && symbols_tight(session->symbols))
		rest = WALK_OWN_TIGHT;
	if (rest < WALK_OWN_LEAST)
		rest = WALK_OWN_LEAST;
	if (!session_is_lazy(session) || session->state != SESSION_RUNNING || last > now ||
	    now - last < rest || now - last < WALK_REST_OWN * session->walk.took)
		return;
	error = session_walk(session, false);
	/* Of one that is just ending not all can be read: its end is seen elsewhere. */
	if (error && session_gone(session))
		error_destroy(error);
	else
		session_warn(session, error);
}

static void record_ignore(void *context, const struct tmbpf_record *record, size_t size)
{
	(void)context;
	(void)record;
	(void)size;
}

struct error *session_clear(struct session *session)
{
	/* From now on it is not alone what there is from before. */
	session->inherits = session->heir = false;
	session->inherited = (struct fork_counts){0};
	if (session->options.mode == TMBPF_MODE_SAMPLED && !session->sampler)
		return NULL; /* nothing was seen yet */
	if (session->sampler) {
		try(sampler_clear(session->sampler));
		since_set(session);
		return NULL;
	}
	tracer_close(session->tracer);
	try(tracer_clear(session->tracer));
	tracer_ring_consume(session->tracer, record_ignore, NULL);
	symbols_clear(session->symbols);
	session->walk = (struct session_walk){0};
	session_begin(session, NULL);
	return NULL;
}

static void connection_serve(struct session *session, const struct session_request *requests,
			     int fd)
{
	cleanup(json_cleanup) json_object *request = NULL, *reply = json_object_new_object();
	cleanup_free void *payload = NULL;
	const char *name = "";
	json_object *command;
	struct error *error;
	size_t size = 0;

	error = control_receive(fd, &request);
	if (!error) {
		if (json_object_object_get_ex(request, "command", &command))
			name = json_object_get_string(command);
		while (requests->name && strcmp(requests->name, name))
			requests++;
		session_drain(session);
		error = requests->name
				? requests->run(session, request, reply, &payload, &size)
				: error_create(ERROR_FAILED,
					       "this session does not know the request \"%s\"",
					       name);
	}
	/* If even the answer fails, the asker has gone: it knows. */
	error_destroy(error ? control_reply_error(fd, error)
			    : control_reply(fd, reply, payload, size));
	error_destroy(error);
}

static void listener_serve(struct session *session, const struct session_request *requests)
{
	cleanup_fd int fd = accept4(session->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (session->sampler)
		sampler_charge(session->sampler);
	connection_serve(session, requests, fd);
	if (session->sampler)
		sampler_charge_answer(session->sampler);
}

/*
 * What was learned from a reference process is checked against the process as soon as its interpreter runs. If it does not hold,
 * nothing that was seen can be relied on.
 */
static void reference_check(struct session *session)
{
	struct python *python;
	struct error *error;

	if (!session->reference_unchecked)
		return;
	error = python_create(session->process, &python);
	if (error) { /* not there yet, or just being changed */
		error_destroy(error);
		return;
	}
	if (!python_agrees(tracer_python(session->tracer), python)) {
		tracer_close(session->tracer);
		session_warn(
			session,
			error_create(
				ERROR_FAILED,
				"the interpreter is laid out otherwise than its twin: what was traced is wrong"));
		session->state = SESSION_STOPPED;
	} else {
		tracer_heap_found(session->tracer, python);
	}
	python_destroy(python);
	session->reference_unchecked = false;
}

/* Its first thread may have ended, and others run on: then nothing can be read any more, and that is said. */
static void reach_check(struct session *session)
{
	struct pollfd ended = {.fd = session->process->pidfd, .events = POLLIN};
	struct error *error = process_check(session->process);

	if (error && session->state == SESSION_RUNNING && poll(&ended, 1, 0) == 0)
		session_warn(session, error);
	else
		error_destroy(error);
}

/* Milliseconds. What is due is not done of a process that is OUT_OF_REACH. */
static int session_wait(const struct session *session, bool out_of_reach)
{
	return session->sampler && !out_of_reach ? sampler_wait(session->sampler, TICK_MS)
						 : TICK_MS;
}

/* Returns whether the target is out of reach; that is looked up once a tick, as it costs two reads of /proc's files. */
static bool session_tick(struct session *session, uint64_t *swept)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC), rss, anonymous;
	bool gone = session_gone(session), reached = session->state == SESSION_RUNNING && !gone;
	struct error *error;

	session_drain(session);
	session_warn(session, tracer_grow(session->tracer));
	/* A process that is gone has no tables: that is seen elsewhere. */
	if (!session->reference_unchecked && reached)
		session_warn(session, tracer_hooks(session->tracer));
	if (reached)
		session_warn(session, tracer_children_release(session->tracer));
	walk_own(session, now);
	if (session->sampler && reached)
		session_warn(session, sampler_tick(session->sampler));
	if (now - *swept < SWEEP_NANOSECONDS)
		return gone;
	*swept = now;
	reach_check(session);
	if (session->reference_unchecked)
		reference_check(session);
	/* What fails, as the interpreter has just begun, is tried again. */
	if (!session->sampler && !session->reference_unchecked &&
	    session->options.mode == TMBPF_MODE_SAMPLED && session->state == SESSION_RUNNING &&
	    reached)
		session_warn(session, session_sampler(session));
	session_warn(session, tracer_modules(session->tracer));
	if (!session->sampler)
		symbols_sweep(session->symbols, now);
	error = process_resident(session->process, &rss, &anonymous);
	if (!error && rss)
		session->last_rss = rss;
	error_destroy(error);
	return gone;
}

/* When no program is to be loaded any more, and no process to be started. */
static void session_confine(struct session *session)
{
	if (session->confined || session->reference_unchecked ||
	    (session->options.mode == TMBPF_MODE_SAMPLED && !session->sampler))
		return;
	session->confined = true;
	/* A module that comes later may lie on an overlay. */
	session_warn(session, probe_try_prepare());
	session_warn(session, confine(CONFINE_SESSION));
}

struct error *session_serve(struct session *session, const struct session_request *requests,
			    int signals)
{
	uint64_t swept = clock_now(CLOCK_MONOTONIC);
	bool gone = session_gone(session);

	while (session->state == SESSION_RUNNING) {
		struct pollfd waits[] = {
			{.fd = session->listener, .events = POLLIN},
			{.fd = tracer_ring_fd(session->tracer), .events = POLLIN},
			{.fd = session->process->pidfd, .events = POLLIN},
			{.fd = signals, .events = POLLIN},
		};

		session_confine(session);
		if (poll(waits, array_size(waits), session_wait(session, gone)) < 0 &&
		    errno != EINTR)
			return error_create_errno(ERROR_FAILED, errno, "cannot wait for process %d",
						  session->process->pid);
		gone = session_tick(session, &swept);
		if (waits[0].revents)
			listener_serve(session, requests);
		if (waits[3].revents && session->state == SESSION_RUNNING)
			session->state = SESSION_STOPPED;
		if (waits[2].revents && session->state == SESSION_RUNNING)
			session->state = SESSION_EXITED;
	}
	tracer_detach(session->tracer);
	session_drain(session);
	return NULL;
}
