// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a session starts, begins anew, and ends. */
#include "trace/session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "trace/session/control.h"
#include "trace/session/session_internal.h"

static void since_set(struct session *session)
{
	clock_gettime(CLOCK_REALTIME, &session->since);
	session->since_monotonic = clock_now(CLOCK_MONOTONIC);
}

static void drain(void *session)
{
	session_drain(session);
}

struct fork_side session_fork_side(struct session *session)
{
	return (struct fork_side){
		.tracer = session->tracer,
		.symbols = session->symbols,
		.process = session->process,
		.drain = drain,
		.context = session,
	};
}

struct error *session_sampler_start(struct session *session)
{
	struct sampler_options options = {.overhead = session->options.overhead};

	try(sampler_create(session->tracer, session->symbols, session->process, &options, drain,
			   session, &session->sampler));
	since_set(session);
	return NULL;
}

/* FORK is what the parent's session knows of the target's blocks; NULL: nothing. */
static void session_begin(struct session *session, struct fork_protocol *fork)
{
	const struct fork_side child = session_fork_side(session);

	if (fork)
		session_warn(session, fork_protocol_put(fork, &child, &session->inherited));
	since_set(session);
	tracer_open(session->tracer);
	if (fork)
		session_warn(session, fork_protocol_settle(fork, &child, &session->inherited));
	session_heap_check_begin(session);
}

/* Reads which control group and container the target is in, while it runs. */
static struct error *place_find(struct session *session, pid_t pid)
{
	cleanup(cgroups_deinit) struct cgroups of = {0};
	const char *path = "";

	try(cgroups_read("", pid, &of));
	/* The list is in descending order of hierarchies, with the one of version 2 last. */
	for (size_t i = of.count; i--;)
		if (!*path || !strcmp(path, "/"))
			path = of.list[i].path;
	session->cgroup = strdup(path);
	if (!session->cgroup)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot trace process %d", pid);
	return container_of("", &of, &session->container);
}

/* Asks the session of the parent what it knows of the target's blocks. */
static struct error *parent_ask(const struct session *session, struct fork_protocol **ret)
{
	cleanup(json_cleanup) struct json_object *reply = NULL;
	cleanup(json_deinit) struct json request;
	void *payload = NULL;
	size_t size = 0;

	fork_protocol_request(session->pid, &request);
	try(json_built(&request));
	try(control_request(session->parent, request.root, &reply, &payload, &size));
	return fork_protocol_receive(session->process, session->parent, reply, payload, size, ret);
}

/*
 * What the target got from its parent by fork; NULL: nothing is known. To be called as early as
 * possible: what the parent does in the meantime is not the child's.
 */
static struct fork_protocol *parent_ask_early(struct session *session)
{
	struct fork_protocol *fork = NULL;
	struct error *error = NULL;

	if (session->parent && session->options.mode != TMBPF_MODE_SAMPLED)
		error = parent_ask(session, &fork);
	if (error && error_kind(error) == ERROR_NOTHING)
		error_destroy(error);
	else if (error)
		session_warn(session,
			     error_prefix(error, "what process %d had traced is not inherited",
					  session->parent));
	session->parent_knew = fork;
	session->inherits |= session->parent_knew;
	return fork;
}

static struct error *tracing_start(struct session *session, struct fork_protocol *fork)
{
	uint64_t anonymous;

	session->reference_unchecked = session->options.reference;
	try(tracer_create(session->process, &session->options, &session->tracer));
	session->options.reference = NULL; /* the caller's, and valid only for this call */
	try(symbols_create(session->tracer, session->process, &session->symbols));
	try(control_listen(session->pid, &session->listener));
	/* The pid may have become another process's while we looked at it. */
	try(process_check(session->process));
	try(process_resident(session->process, &session->rss_at_start, &anonymous));
	session->last_rss = session->rss_at_start;
	if (session->options.mode == TMBPF_MODE_SAMPLED) {
		since_set(session);
		/* A heap that is not there yet cannot be counted. */
		return session->reference_unchecked ? NULL : session_sampler_start(session);
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
	fork = parent_ask_early(session);
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
	/* Once the lock is gone another session may begin: do not touch its files later. */
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
	session_heap_check_end(session);
	tracer_destroy(session->tracer);
	process_destroy(session->process);
	free(session->warning);
	free(session->group);
	free(session->cgroup);
	container_deinit(&session->container);
	free(session);
}

static void record_ignore(void *context, const struct tmbpf_record *record, size_t size)
{
	(void)context;
	(void)record;
	(void)size;
}

struct error *session_clear(struct session *session)
{
	/* From now on the target has more from before than what it inherited. */
	session->inherits = session->parent_knew = false;
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
