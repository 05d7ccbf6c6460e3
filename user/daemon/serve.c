// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The tracer process: how it is started, and what it answers. */
#include "daemon/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/output.h"
#include "daemon/archive.h"
#include "daemon/reports.h"
#include "daemon/top.h"
#include "format/pprof.h"
#include "sandbox/privileges.h"
#include "trace/session/session.h"

/* The snapshot's file as bytes. */
static struct error *snapshot_pack(const struct snapshot *snapshot, void **ret, size_t *ret_size)
{
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_fd int fd = memfd_create("snapshot", MFD_CLOEXEC);
	cleanup_free char *data = NULL;
	struct stat file;

	if (fd < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot write a snapshot");
	try(output_create_descriptor(fd, "the snapshot", &output));
	try(pprof_write(snapshot, output));
	try(output_commit(output));
	if (fstat(fd, &file))
		return error_create_errno(ERROR_FAILED, errno, "cannot write a snapshot");
	data = malloc(file.st_size + 1);
	if (!data || pread(fd, data, file.st_size, 0) != file.st_size)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot write a snapshot");
	*ret = take(data);
	*ret_size = file.st_size;
	return NULL;
}

static struct error *serve_status(struct session *session, struct json_object *request,
				  struct json_object *reply, void **ret, size_t *ret_size)
{
	(void)ret;
	(void)ret_size;
	if (json_get_flag(request, "growth"))
		session_heap_check(session, true);
	return reports_status(session, reply);
}

static struct error *serve_snapshot(struct session *session, struct json_object *request,
				    struct json_object *reply, void **ret, size_t *ret_size)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

	(void)request;
	(void)reply;
	try(reports_snapshot(session, false, &snapshot));
	return snapshot_pack(snapshot, ret, ret_size);
}

static struct error *serve_where(struct session *session, struct json_object *request,
				 struct json_object *reply, void **ret, size_t *ret_size)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	uint32_t stack;
	uint64_t size;

	(void)reply;
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		return error_advise(
			error_create(ERROR_NOTHING,
				     "this session only samples: it does not know each block"),
			"`tmbpf start --exact` traces every one.");
	try(session_walk_block(session, json_get_number(request, "address")));
	try(tracer_block(session->tracer, json_get_number(request, "address"), &stack, &size));
	try(reports_block(session, stack, size, &snapshot));
	return snapshot_pack(snapshot, ret, ret_size);
}

static struct error *serve_top(struct session *session, struct json_object *request,
			       struct json_object *reply, void **ret, size_t *ret_size)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

	(void)ret;
	(void)ret_size;
	session_heap_check(session, false);
	try(reports_status(session, reply));
	if (session->options.mode == TMBPF_MODE_SAMPLED)
		return NULL; /* its growth says more */
	try(reports_snapshot(session, true, &snapshot));
	return top_fill(snapshot, json_get_number(request, "limit"), reply);
}

static struct error *serve_clear(struct session *session, struct json_object *request,
				 struct json_object *reply, void **ret, size_t *ret_size)
{
	(void)reply;
	(void)ret;
	(void)ret_size;
	if (json_get_flag(request, "peak") && session->options.mode == TMBPF_MODE_SAMPLED)
		return error_advise(error_create(ERROR_FAILED,
						 "this session measures no peak: it estimates"),
				    "Start one with --exact.");
	if (json_get_flag(request, "peak") && session_is_lazy(session))
		return error_advise(
			error_create(ERROR_FAILED,
				     "this session measures no peak: it probes no frees"),
			"Start one without --lazy-free.");
	if (json_get_flag(request, "peak")) {
		tracer_reset_peak(session->tracer);
		return NULL;
	}
	return session_clear(session);
}

static struct error *serve_stop(struct session *session, struct json_object *request,
				struct json_object *reply, void **ret, size_t *ret_size)
{
	(void)request;
	(void)reply;
	(void)ret;
	(void)ret_size;
	/* The answer means that the probes are gone. */
	session_end(session);
	session->state = SESSION_STOPPED;
	return NULL;
}

/* What a child's session asks of its parent's. */
static struct error *serve_inherit(struct session *session, struct json_object *request,
				   struct json_object *reply, void **ret, size_t *ret_size)
{
	const struct fork_side parent = session_fork_side(session);
	uint64_t events;
	pid_t child;

	try(fork_protocol_child(request, &child));
	if (session->options.mode == TMBPF_MODE_SAMPLED || session->state != SESSION_RUNNING ||
	    session_over(session) || !tracer_forked(session->tracer, child, &events))
		return fork_protocol_nothing(session->process);
	/* Where frees are not probed: a block that is dead here may be another one in the child. */
	try(session_walk(session, false));
	return fork_protocol_answer(&parent, child, reply, ret, ret_size);
}

static const struct session_request requests[] = {
	{"status", serve_status},
	{"snapshot", serve_snapshot},
	{"where", serve_where},
	{"top", serve_top},
	{"clear", serve_clear},
	{"stop", serve_stop},
	{FORK_PROTOCOL_COMMAND, serve_inherit},
	{0},
};

/* The session ended by itself: its last totals are kept for whoever asks later. */
static struct error *serve_end(struct session *session)
{
	cleanup(json_deinit) struct json status;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup_free void *data = NULL;
	size_t size;

	json_init(&status);
	try(reports_status(session, status.root));
	try(reports_snapshot(session, false, &snapshot));
	try(snapshot_pack(snapshot, &data, &size));
	return ended_store(session->process->pid, status.root, data, size);
}

struct error *serve_session(struct session *session, int signals)
{
	ended_forget(session->pid);
	try(session_serve(session, requests, signals));
	return session->state == SESSION_STOPPED ? NULL : serve_end(session);
}

/* An error through a pipe: kind and errno, message, advice, each ended by NUL. */
void serve_report(int fd, const struct error *error)
{
	const char *advice = error_advice(error);

	/* If that fails, who waits for it sees a tracer that ended without a word. */
	dprintf(fd, "%d%d%c%s%c%s%c", error_kind(error), error_number(error), 0,
		error_message(error), 0, advice ? advice : "", 0);
}

struct error *serve_error(const char *text, size_t size)
{
	const char *message, *advice, *end = text + size;
	struct error *error;

	if (size && text[0] == '0')
		return NULL;
	if (size < 2 || end[-1])
		return error_create(ERROR_FAILED, "the tracer ended before it said why");
	message = text + strlen(text) + 1;
	advice = message < end ? message + strlen(message) + 1 : end;
	if (message >= end)
		return error_create(ERROR_FAILED, "the tracer ended before it said why");
	error = error_set_number(error_create(text[0] - '0', "%s", message), atoi(text + 1));
	if (advice < end && *advice)
		error = error_advise(error, "%s", advice);
	return error;
}

static struct error *error_receive(int fd)
{
	char text[SERVE_REPORT_MAX];
	size_t size = 0;
	ssize_t got = 1;

	for (; got > 0 && size<sizeof(text); size += got> 0 ? got : 0)
		got = read(fd, text + size, sizeof(text) - size);
	return serve_error(text, size);
}

void serve_detach(void)
{
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (chdir("/"))
		return; /* only keeps a file system busy */
}

int serve_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct error *serve_attached(const struct session *session, bool writes)
{
	return privileges_keep(session->options.mode == TMBPF_MODE_SAMPLED ? PRIVILEGES_WINDOWS
									   : PRIVILEGES_EXACT,
			       writes);
}

/* What starts a tracer, in the process that becomes it. */
struct beginning {
	pid_t pid;
	const struct tracer_options *options;
	const struct serve_member *member; /* NULL: it belongs to no group */
};

static void serve_run(int report, void *context)
{
	const struct beginning *beginning = context;
	/* How a group learns that it was no accident, and what became of the process. */
	static const char ends[] = {
		[SESSION_RUNNING] = SERVE_STOPPED, /* it could not go on */
		[SESSION_STOPPED] = SERVE_STOPPED,
		[SESSION_EXITED] = SERVE_ENDED,
		[SESSION_EXECED] = SERVE_EXECED,
	};
	struct session *session = NULL;
	struct error *error;
	char end;
	int signals = serve_signals();

	error = privileges_keep(PRIVILEGES_ATTACH, false);
	if (!error)
		error = session_create(beginning->pid, beginning->options,
				       beginning->member ? &beginning->member->origin : NULL,
				       &session);
	if (!error)
		error = serve_attached(session, false);
	if (error) {
		serve_report(report, error);
		session_destroy(session);
		_exit(1);
	}
	serve_detach();
	if (write(report, "0", 1) != 1 && !beginning->member)
		session->state = SESSION_STOPPED;
	if (!beginning->member)
		close(report);
	error = serve_session(session, signals);
	end = error && session->state == SESSION_EXITED ? SERVE_LOST : ends[session->state];
	session_destroy(session);
	if (beginning->member && write(report, &end, 1) != 1)
		_exit(1);
	_exit(error ? 1 : 0);
}

/* What a group has open is its own; it goes before other files get the same numbers. */
static void serve_prepare(void *context)
{
	const struct beginning *beginning = context;

	if (beginning->member && beginning->member->forked)
		beginning->member->forked(beginning->member->context);
}

struct error *serve_fork(void (*prepare)(void *context), void (*run)(int report, void *context),
			 void *context, int *ret)
{
	int ends[2];
	struct error *error;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return error_create_errno(ERROR_FAILED, errno, "cannot start a tracer");
	fflush(NULL);
	child = fork();
	if (child < 0) {
		error = error_create_errno(ERROR_FAILED, errno, "cannot start a tracer");
		close(ends[0]);
		close(ends[1]);
		return error;
	}
	if (!child) {
		setsid();
		/* Twice forked, it is nobody's zombie. */
		if (fork())
			_exit(0);
		/* Who is to be told may be gone: a write that fails says so. */
		signal(SIGPIPE, SIG_IGN);
		if (prepare)
			prepare(context);
		dup2(ends[1], 3);
		close_range(4, ~0u, 0);
		run(3, context);
		_exit(0);
	}
	close(ends[1]);
	waitpid(child, NULL, 0);
	*ret = ends[0];
	return NULL;
}

struct error *serve_begin(pid_t pid, const struct tracer_options *options,
			  const struct serve_member *member, int *ret)
{
	struct beginning beginning = {pid, options, member};

	return serve_fork(serve_prepare, serve_run, &beginning, ret);
}

struct error *serve_wait(int report)
{
	struct error *error = error_receive(report);

	close(report);
	return error;
}

struct error *serve_start(pid_t pid, const struct tracer_options *options)
{
	struct error *error;
	int report;

	try(serve_begin(pid, options, NULL, &report));
	error = serve_wait(report);
	/* The rest is talking to it. */
	return error ? error : privileges_end();
}
