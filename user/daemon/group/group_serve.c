// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The watcher of a group as a process: what it answers, and when it ends. */
#include "daemon/group/group_serve.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "daemon/archive.h"
#include "daemon/client.h"
#include "daemon/group/group_internal.h"
#include "daemon/group/group_status.h"
#include "daemon/serve.h"
#include "sandbox/confine.h"
#include "sandbox/privileges.h"

/* How long a tracer that attaches is waited for when all are to be stopped. */
#define STARTING_WAIT_MS 60000
/* And one whose process has ended, until it has kept what it knew last. */
#define ENDING_WAIT_MS 10000
/*
 * A control group whose folder is gone, or cannot be seen, has ended when nobody was in it for so
 * long: services restart.
 */
#define EMPTY_NANOSECONDS (10 * NSEC_PER_SEC)

struct beginning {
	const struct group_target *target;
	const struct tracer_options *options;
};

static void losses_describe(const struct group *group, struct json *json)
{
	struct json_object *losses = json_new_object(json, json->root, "losses");
	uint64_t events, members;
	const char *refused;

	follow_losses(group->follow, &events, &members);
	const struct {
		const char *name;
		uint64_t count;
	} counters[] = {
		{"events_lost", events},
		{"unfollowed_processes", members},
		{"ended_early", group->members.ended_early},
		{"ended_unseen", group->members.ended_unseen},
		{"failed", group->members.failed},
		{"killed_tracers", group->members.killed},
		{"refused_system_calls", confine_refused(&refused)},
	};

	for (size_t i = 0; i < array_size(counters); i++)
		if (counters[i].count)
			json_number(json, losses, counters[i].name, counters[i].count);
}

static void container_describe_json(const struct group *group, struct json *json)
{
	const struct container *container = &group->target.container;
	struct json_object *groups = json_new_array(json, json->root, "cgroups"), *object;

	for (size_t i = 0; i < container->groups.count; i++) {
		struct json_object *one = json_new_object(json, groups, NULL);

		json_text(json, one, "hierarchy", container->groups.list[i].hierarchy);
		json_text(json, one, "path", container->groups.list[i].path);
	}
	if (group->target.kind != GROUP_CONTAINER) {
		json_null(json, json->root, "container");
		return;
	}
	object = json_new_object(json, json->root, "container");
	json_text(json, object, "id", container->id);
	json_text(json, object, "name", container->name);
	json_text(json, object, "pod", container->pod);
	json_text(json, object, "image", container->image);
	json_text(json, object, "runtime", container->runtime);
}

/* Adds to REPLY what `tmbpf status --json` has of a group. */
static struct error *group_describe(const struct group *group, const char *state,
				    struct json_object *reply)
{
	static const char *const kinds[] = {"follow", "container", "cgroup"};
	struct json json = json_of(reply);
	struct tm utc;
	char text[32];

	json_text(&json, reply, "group", group->target.name);
	json_text(&json, reply, "kind", kinds[group->target.kind]);
	json_text(&json, reply, "title", group->target.title);
	if (group->target.kind == GROUP_FOLLOW)
		json_number(&json, reply, "root", group->target.root);
	else
		container_describe_json(group, &json);
	json_text(&json, reply, "state", state);
	gmtime_r(&group->since.tv_sec, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	json_text(&json, reply, "since", text);
	json_real(&json, reply, "seconds", clock_since(CLOCK_MONOTONIC, group->since_monotonic));
	json_number(&json, reply, "watcher_pid", getpid());
	members_describe(&group->members, &json);
	losses_describe(group, &json);
	if (group->warning)
		json_text(&json, reply, "warning", group->warning);
	return json_built(&json);
}

/* MEMBER's session has ended by itself: what it says at last is taken in. */
static void member_await(struct group *group, struct member *member)
{
	while (member->report >= 0) {
		struct pollfd wait = {.fd = member->report, .events = POLLIN};

		if (poll(&wait, 1, ENDING_WAIT_MS) <= 0)
			return;
		group_report(group, member);
	}
}

/* Stops the session of MEMBER; one that attaches answers when it has done so. */
static struct error *member_stop(struct group *group, struct member *member)
{
	struct error *error;

	while (member->state == MEMBER_STARTING) {
		struct pollfd wait = {.fd = member->report, .events = POLLIN};

		if (poll(&wait, 1, STARTING_WAIT_MS) <= 0)
			break;
		group_report(group, member);
	}
	if (member->state == MEMBER_TRACED || member->state == MEMBER_STARTING) {
		error = client_stop(member->pid);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		if (error)
			member_await(group, member);
		error_destroy(error);
		if (member->report < 0)
			return NULL;
		close(member->report);
		member->report = -1;
		member->state = MEMBER_STOPPED;
	}
	return NULL;
}

/* All sessions end, and what others have left is forgotten. The first error is returned. */
static struct error *group_stop(struct group *group)
{
	struct error *first = NULL;

	for (size_t i = 0; i < group->members.count; i++) {
		struct member *member = group->members.list[i];
		struct error *error = member_stop(group, member);

		if (first)
			error_destroy(error);
		else
			first = error;
		if (member->state == MEMBER_ENDED)
			ended_forget_of(member->pid, group->target.name);
	}
	group->stopped = true;
	return first;
}

/* Behind the lock another watcher may begin at once: nothing of it is to be touched later. */
static void group_end(struct group *group)
{
	if (group->lock < 0)
		return;
	control_group_unlisten(group->target.name, group->listener);
	close(group->lock);
	group->lock = group->listener = -1;
}

static struct error *request_run(struct group *group, const char *name, struct json_object *reply)
{
	if (!strcmp(name, "status"))
		return group_describe(group, "running", reply);
	if (!strcmp(name, "stop")) {
		struct error *error = group_stop(group);

		/* The answer means that nothing is left, and that another group may begin. */
		group_end(group);
		return error;
	}
	return error_create(ERROR_FAILED, "a group does not know the request \"%s\"", name);
}

static void listener_serve(struct group *group)
{
	cleanup(json_cleanup) struct json_object *request = NULL;
	cleanup(json_deinit) struct json reply;
	cleanup_fd int fd = accept4(group->listener, NULL, NULL, SOCK_CLOEXEC);
	struct error *error;

	json_init(&reply);
	if (fd < 0)
		return;
	error = control_receive(fd, &request);
	if (!error)
		error = request_run(group, json_get_text(request, "command"), reply.root);
	/* If even the answer fails, the asker has gone: it knows. */
	error_destroy(error ? control_reply_error(fd, error)
			    : control_reply(fd, reply.root, NULL, 0));
	error_destroy(error);
}

/* Whether nobody is known to be in the group, nor will be. */
static bool group_empty(struct group *group)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	bool known = false;
	struct stat found;

	if (members_alive(&group->members)) {
		group->occupied = now;
		return false;
	}
	for (size_t i = 0; i < group->folder_count; i++) {
		if (!*group->folders[i])
			continue;
		known = true;
		if (!stat(group->folders[i], &found))
			return false;
	}
	/* A container's is its own: it ends with it. */
	return group->target.kind == GROUP_FOLLOW ||
	       (known && group->target.kind == GROUP_CONTAINER) ||
	       now - group->occupied > EMPTY_NANOSECONDS;
}

/* The last that is known may have started another one, of which was not told yet. */
static bool group_over(struct group *group)
{
	if (!group_empty(group))
		return false;
	group_catch_up(group);
	return group_empty(group);
}

/* Waits TIMEOUT milliseconds for something to happen, and serves it. */
static struct error *group_wait(struct group *group, int signals, int timeout)
{
	size_t count = 3, last = group->members.count;
	cleanup_free struct pollfd *waits = calloc(count + last, sizeof(*waits));
	cleanup_free struct member **members = calloc(count + last, sizeof(struct member *));

	if (!waits || !members)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
	waits[0] = (struct pollfd){.fd = group->listener, .events = POLLIN};
	waits[1] = (struct pollfd){.fd = follow_fd(group->follow), .events = POLLIN};
	waits[2] = (struct pollfd){.fd = signals, .events = POLLIN};
	for (size_t i = 0; i < last; i++) {
		if (group->members.list[i]->report < 0)
			continue;
		members[count] = group->members.list[i];
		waits[count].fd = members[count]->report;
		waits[count++].events = POLLIN;
	}
	if (poll(waits, count, timeout) < 0 && errno != EINTR)
		return error_create_errno(ERROR_FAILED, errno, "cannot wait");
	for (size_t i = 3; i < count; i++)
		if (waits[i].revents)
			group_report(group, members[i]);
	if (waits[2].revents)
		error_destroy(group_stop(group));
	else if (waits[0].revents)
		listener_serve(group);
	return NULL;
}

static struct error *group_begin(struct group *group)
{
	try(control_group_lock(group->target.name, &group->lock));
	group_status_forget(group->target.name);
	clock_gettime(CLOCK_REALTIME, &group->since);
	group->since_monotonic = group->occupied = clock_now(CLOCK_MONOTONIC);
	try(control_group_listen(group->target.name, &group->listener));
	return group_watch_begin(group);
}

/*
 * Tells REPORT that all goes well. Who began the group may have been interrupted: then the group is
 * not to be.
 */
static void begun_report(struct group *group, int report)
{
	if (write(report, "0", 1) == 1)
		serve_detach();
	else
		error_destroy(group_stop(group));
	close(report);
}

/* Until it is stopped or over; REPORT is told when all that are there have been looked at. */
static void group_loop(struct group *group, int report, int signals)
{
	struct error *error = NULL;

	while (!error && !group->stopped && !group_over(group)) {
		int timeout = group_watch(group);

		if (report >= 0 && group_settled(group)) {
			begun_report(group, report);
			report = -1;
			if (group->stopped)
				break;
		}
		error = group_wait(group, signals, timeout);
	}
	if (report >= 0 && !error) { /* all ended at once */
		begun_report(group, report);
	} else if (report >= 0) {
		serve_report(report, error);
		close(report);
	}
	error_destroy(error);
}

/* Keeps the last status, for who asks later. If it cannot be kept, nobody is there to be told. */
static void status_leave(const struct group *group)
{
	cleanup(json_deinit) struct json last;
	struct error *error;

	json_init(&last);
	error = group_describe(group, "ended", last.root);
	if (!error)
		error = group_status_store(group->target.name, last.root);
	error_destroy(error);
}

static void group_run(int report, void *context)
{
	const struct beginning *beginning = context;
	struct group group = {.target = *beginning->target,
			      .tracing = *beginning->options,
			      .lock = -1,
			      .listener = -1};
	int signals = serve_signals();
	struct error *error = privileges_keep(PRIVILEGES_ATTACH, false);

	if (!error)
		error = confine(CONFINE_WATCHER);
	if (!error)
		error = group_begin(&group);
	if (!error) {
		group_loop(&group, report, signals);
		if (!group.stopped)
			status_leave(&group);
	} else {
		serve_report(report, error);
	}
	group_end(&group);
	group_release(&group);
	_exit(error ? 1 : 0);
}

struct error *group_start(const struct group_target *target, const struct tracer_options *options)
{
	struct beginning beginning = {target, options};
	struct error *error;
	int report;

	try(serve_fork(NULL, group_run, &beginning, &report));
	error = serve_wait(report);
	return error ? error : privileges_end();
}
