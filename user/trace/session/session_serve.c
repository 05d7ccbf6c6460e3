// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A session's loop: it answers requests, and in between does what is due. */
#include "trace/session/session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "python/reference_process.h"
#include "sandbox/confine.h"
#include "trace/attach/kernel.h"
#include "trace/session/control.h"
#include "trace/session/session_internal.h"

/* How long records may wait in the ring if nothing wakes the loop. */
#define TICK_MS           100
#define SWEEP_NANOSECONDS NSEC_PER_SEC

static void connection_serve(struct session *session, const struct session_request *requests,
			     int fd)
{
	cleanup(json_cleanup) struct json_object *request = NULL;
	cleanup(json_deinit) struct json reply;
	cleanup_free void *payload = NULL;
	const char *name;
	struct error *error;
	size_t size = 0;

	json_init(&reply);
	error = control_receive(fd, &request);
	if (!error) {
		name = json_get_text(request, "command");
		while (requests->name && strcmp(requests->name, name))
			requests++;
		session_drain(session);
		error = requests->name
				? requests->run(session, request, reply.root, &payload, &size)
				: error_create(ERROR_FAILED,
					       "this session does not know the request \"%s\"",
					       name);
	}
	/* If even the answer fails, the client has gone, and knows. */
	error_destroy(error ? control_reply_error(fd, error)
			    : control_reply(fd, reply.root, payload, size));
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
 * Checks what a reference process told against the target, as soon as the target's interpreter
 * runs. If that does not hold, nothing that was traced can be relied on.
 */
static void reference_check(struct session *session)
{
	struct python *python;
	struct error *error;

	if (!session->reference_unchecked)
		return;
	error = python_create(session->process, &python);
	if (error) { /* not there yet, or changing just now */
		error_destroy(error);
		return;
	}
	if (!python_agrees(tracer_python(session->tracer), python)) {
		tracer_close(session->tracer);
		session_warn(
			session,
			error_create(
				ERROR_FAILED,
				"the interpreter is laid out otherwise than the reference process: "
				"what was traced is wrong"));
		session->state = SESSION_STOPPED;
	} else {
		tracer_heap_found(session->tracer, python);
	}
	python_destroy(python);
	session->reference_unchecked = false;
}

/* Warns if the first thread has ended and others run on: then nothing of the target can be read. */
static void reach_check(struct session *session)
{
	struct pollfd ended = {.fd = session->process->pidfd, .events = POLLIN};
	struct error *error = process_check(session->process);

	if (error && session->state == SESSION_RUNNING && poll(&ended, 1, 0) == 0)
		session_warn(session, error);
	else
		error_destroy(error);
}

/* Milliseconds until the next tick. For a process that is OUT_OF_REACH nothing is due. */
static int session_wait(const struct session *session, bool out_of_reach)
{
	return session->sampler && !out_of_reach ? sampler_wait(session->sampler, TICK_MS)
						 : TICK_MS;
}

/*
 * Returns whether the target is out of reach. That is looked up once a tick: it reads two files of
 * /proc.
 */
static bool session_tick(struct session *session, uint64_t *swept)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC), rss, anonymous;
	bool gone = session_gone(session), reached = session->state == SESSION_RUNNING && !gone;
	struct error *error;

	session_drain(session);
	session_warn(session, tracer_grow(session->tracer));
	/* A process that is gone has no tables; its end is noticed elsewhere. */
	if (!session->reference_unchecked && reached)
		session_warn(session, tracer_hooks(session->tracer));
	if (reached)
		session_warn(session, tracer_children_release(session->tracer));
	session_walk_own(session, now);
	if (session->sampler && reached)
		session_warn(session, sampler_tick(session->sampler));
	if (now - *swept < SWEEP_NANOSECONDS)
		return gone;
	*swept = now;
	reach_check(session);
	if (session->reference_unchecked)
		reference_check(session);
	/* The interpreter has just begun: if this fails, the next sweep tries again. */
	if (!session->sampler && !session->reference_unchecked &&
	    session->options.mode == TMBPF_MODE_SAMPLED && session->state == SESSION_RUNNING &&
	    reached)
		session_warn(session, session_sampler_start(session));
	session_warn(session, tracer_modules(session->tracer));
	if (!session->sampler)
		symbols_sweep(session->symbols, now);
	error = process_resident(session->process, &rss, &anonymous);
	if (!error && rss)
		session->last_rss = rss;
	error_destroy(error);
	return gone;
}

/* Filters system calls, once no program has to be loaded and no process to be started any more. */
static void session_confine(struct session *session)
{
	if (session->confined || session->reference_unchecked ||
	    (session->options.mode == TMBPF_MODE_SAMPLED && !session->sampler))
		return;
	session->confined = true;
	/* A module that is loaded later may lie on an overlay. */
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
