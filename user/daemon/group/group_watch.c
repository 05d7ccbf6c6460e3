// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who is in a group: processes that begin, become others and end, and the session of each. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/group/group_internal.h"
#include "daemon/serve.h"
#include "python/find.h"
#include "target/process/process.h"

/* Tracers that attach at a time. */
#define STARTING_MAX 4
/* How long a process that is no CPython yet is looked at again. */
#define LOOK_NANOSECONDS (5 * NSEC_PER_SEC)
/*
 * A child is given as long to become another program, and an interpreter to begin, before it is
 * looked at.
 */
#define LOOK_DELAY      20000000ull
#define LOOK_REST_FIRST 20000000ull
#define LOOK_REST_MOST  NSEC_PER_SEC
/*
 * Between two looks at whether those that have no session are still there, and at who else is in
 * a control group.
 */
#define CHECK_NANOSECONDS (2 * NSEC_PER_SEC)
#define SCAN_NANOSECONDS  (5 * NSEC_PER_SEC)

/* MEMBER's program is to be looked at, DELAY nanoseconds from now. */
static void member_renew(struct member *member, uint64_t delay)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);

	member->state = MEMBER_NEW;
	member->looked = false;
	member->look_at = now + delay;
	member->look_till = 0;
	member->rest = LOOK_REST_FIRST;
	member_set_reason(member, NULL);
}

/*
 * The new member; NULL if it is known, or there is no memory. SINCE: it began no later, or was
 * looked for from then on.
 */
static struct member *member_found(struct group *group, pid_t pid, pid_t parent, uint64_t since,
				   uint64_t delay)
{
	size_t count = group->members.count;
	struct member *member;
	struct error *error = members_add(&group->members, pid, parent, &member);

	group_warn(group, error);
	if (error || group->members.count == count)
		return NULL;
	member->since = since;
	member->until = delay ? since : clock_now(CLOCK_MONOTONIC);
	member->later = group->begun;
	member_renew(member, delay);
	return member;
}

static void member_exited(struct group *group, struct member *member)
{
	if (member->gone)
		return;
	member->gone = true;
	if (member->state != MEMBER_NEW)
		return; /* one with a tracer is settled by what that reports */
	if (member->python) {
		group->members.ended_early++;
		member->state = MEMBER_MISSED;
	} else {
		group->members.ended_unseen += !member->looked;
		member->state = MEMBER_OTHER;
	}
}

/*
 * ERROR says that MEMBER cannot be looked at, and is freed. If MEMBER has ended, its end was not
 * told. No other process has its pid yet, and who has it next is not followed for that.
 */
static void member_vanished(struct group *group, struct member *member, struct error *error)
{
	bool gone = error_kind(error) == ERROR_NOTHING;

	error_destroy(error);
	if (!gone)
		return;
	if (group->scope == FOLLOW_TREE)
		follow_remove(group->follow, member->pid);
	member_exited(group, member);
}

static void member_forked(struct group *group, const struct follow_record *record)
{
	const struct member *starter = members_find(&group->members, record->parent);
	bool python = starter && (starter->python || starter->state == MEMBER_TRACED ||
				  starter->state == MEMBER_STARTING);
	struct member *member = members_find(&group->members, record->pid);

	/* Its end was not told: the pid is another's now. */
	if (member && !member->gone && record->time > member->until)
		member_exited(group, member);
	member = member_found(group, record->pid, record->parent, record->time, LOOK_DELAY);
	if (!member)
		return;
	/* In its parent's memory there is nothing of its own: it will become another program. */
	if (record->shares)
		member->state = MEMBER_OTHER;
	else
		member->python = python;
}

static void member_execed(struct member *member)
{
	member->programs++;
	member->python = false;
	free(member->command);
	member->command = NULL;
	member->again = member->state == MEMBER_STARTING;
	if (member->report < 0)
		member_renew(member, LOOK_DELAY);
}

static bool belongs(const struct group *group, pid_t pid)
{
	cleanup(cgroups_deinit) struct cgroups of = {0};
	struct error *error = cgroups_read("", pid, &of);

	if (error) {
		error_destroy(error);
		return false;
	}
	return cgroups_are_below(&of, &group->target.container.groups);
}

static void record_handle(void *context, const struct follow_record *record)
{
	struct group *group = context;
	struct member *member = members_find(&group->members, record->pid);
	/* Not what was told of another before, which had the pid. */
	bool known = member && !member->gone && record->time >= member->since;

	switch (record->type) {
	case FOLLOW_FORK:
		/* Of all forks of the machine, those of members count. */
		if (group->scope != FOLLOW_ALL || members_find(&group->members, record->parent))
			member_forked(group, record);
		break;
	case FOLLOW_EXEC:
		if (known)
			member_execed(member);
		else if (group->scope != FOLLOW_ALL || belongs(group, record->pid))
			member_found(group, record->pid, 0, record->time, LOOK_DELAY);
		break;
	case FOLLOW_EXIT:
		if (known)
			member_exited(group, member);
		break;
	}
}

/* A tree grows in the kernel as well: who is added here is one whose parent was added too late. */
static struct error *tree_scan_once(struct group *group, bool *ret)
{
	cleanup_free pid_t *pids = NULL;
	size_t count;

	*ret = false;
	try(processes_list("", &pids, &count));
	for (size_t i = 0; i < count; i++) {
		struct member *starter, *member = members_find(&group->members, pids[i]);
		struct error *error;
		pid_t parent;

		if (member && !member->gone)
			continue;
		error = process_parent(pids[i], &parent);
		starter = error ? NULL : members_find(&group->members, parent);
		error_destroy(error);
		if (!starter || starter->gone)
			continue;
		try(follow_add(group->follow, pids[i], parent));
		/* It may have ended meanwhile, and its end was told before it was a member. */
		error = process_parent(pids[i], &parent);
		if (error)
			follow_remove(group->follow, pids[i]);
		else
			member_found(group, pids[i], parent, group->scanned, 0);
		error_destroy(error);
		*ret = true;
	}
	return NULL;
}

static struct error *tree_scan(struct group *group)
{
	cleanup_free struct follow_member *members = NULL;
	size_t count;
	bool more = true;

	try(follow_members(group->follow, &members, &count));
	for (size_t i = 0; i < count; i++)
		member_found(group, members[i].pid, members[i].parent, group->scanned, 0);
	while (more)
		try(tree_scan_once(group, &more));
	return NULL;
}

static struct error *cgroup_scan(struct group *group)
{
	cleanup_free pid_t *pids = NULL;
	size_t count;

	try(cgroups_processes("", &group->target.container.groups, &pids, &count));
	for (size_t i = 0; i < count; i++) {
		pid_t parent = 0;
		struct error *error = process_parent(pids[i], &parent);

		if (!error)
			member_found(group, pids[i], parent, group->scanned, 0);
		error_destroy(error);
	}
	return NULL;
}

static struct error *group_scan(struct group *group)
{
	group->scanned = clock_now(CLOCK_MONOTONIC);
	return group->scope == FOLLOW_TREE ? tree_scan(group) : cgroup_scan(group);
}

/*
 * The kernel can tell who is in a control group of version 2. Of version 1 it cannot be asked; then
 * all processes are told of, and looked up.
 */
static const char *scope_choose(struct group *group)
{
	const struct cgroups *groups = &group->target.container.groups;

	group->scope = group->target.kind == GROUP_FOLLOW ? FOLLOW_TREE : FOLLOW_ALL;
	for (size_t i = 0; i < groups->count && groups->count == 1; i++)
		if (!*groups->list[i].hierarchy && *group->folders[i]) {
			group->scope = FOLLOW_CGROUP;
			return group->folders[i];
		}
	return NULL;
}

static struct error *folders_find(struct group *group)
{
	const struct cgroups *groups = &group->target.container.groups;

	group->folders = calloc(groups->count + 1, sizeof(*group->folders));
	if (!group->folders)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
	for (; group->folder_count < groups->count; group->folder_count++)
		try(cgroup_folder("", &groups->list[group->folder_count],
				  &group->folders[group->folder_count]));
	return NULL;
}

struct error *group_watch_begin(struct group *group)
{
	const char *folder;
	pid_t parent;

	try(folders_find(group));
	folder = scope_choose(group);
	try(follow_create(group->scope, folder, &group->follow));
	if (group->target.kind == GROUP_FOLLOW) {
		try(follow_add(group->follow, group->target.root, 0));
		try(process_parent(group->target.root, &parent));
		member_found(group, group->target.root, parent, clock_now(CLOCK_MONOTONIC), 0);
	}
	try(group_scan(group));
	group->begun = true;
	return NULL;
}

/* Not now: later, or given up as STATE. */
static void member_postpone(struct group *group, struct member *member, enum member_state state)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);

	member->state = MEMBER_NEW;
	/* From the first look on: it may have waited for others. */
	if (!member->look_till)
		member->look_till = now + LOOK_NANOSECONDS;
	if (now < member->look_till) {
		member->look_at = now + member->rest;
		if (member->rest < LOOK_REST_MOST)
			member->rest *= 2;
		return;
	}
	member->state = state;
	group->members.failed += state == MEMBER_FAILED;
}

static void session_begin(struct group *group, struct member *member)
{
	const struct serve_member joined = {
		.origin = {.group = group->target.name,
			   .parent = member->parent,
			   .inherits = member->python && member->parent},
		.forked = group_release,
		.context = group,
	};
	struct error *error = NULL;

	if (!member->text)
		member->text = malloc(SERVE_REPORT_MAX);
	if (!member->text)
		error = error_create_errno(ERROR_FAILED, ENOMEM, "a session");
	member->size = 0;
	member->again = false;
	if (!error)
		error = serve_begin(member->pid, &group->tracing, &joined, &member->report);
	if (error) {
		member->report = -1;
		member_set_reason(member, error_message(error));
		error_destroy(error);
		member_postpone(group, member, MEMBER_FAILED);
		return;
	}
	fcntl(member->report, F_SETFL, O_NONBLOCK);
	member->state = MEMBER_STARTING;
}

static void process_cleanup(struct process **process)
{
	process_destroy(*process);
}

/* Whether the process has a CPython; an error tells that it cannot be looked at. */
static struct error *python_is_there(struct member *member, bool *ret)
{
	cleanup(python_candidates_deinit) struct python_candidates candidates = {0};
	cleanup(process_cleanup) struct process *process = NULL;
	cleanup_free char *near = NULL;

	try(process_create(member->pid, &process));
	free(member->command);
	member->command = strdup(process->command_line);
	member->started = process->start_time;
	try(python_find(process, &candidates, &near));
	try(process_check(process));
	*ret = candidates.count;
	return NULL;
}

static void member_look(struct group *group, struct member *member)
{
	bool found = false;
	struct error *error = python_is_there(member, &found);
	uint64_t started;

	if (error && error_kind(error) == ERROR_NOTHING) {
		error_destroy(error);
		/* By exec, perhaps: that is told as well. */
		error = process_start_time(member->pid, &started);
		if (error)
			member_vanished(group, member, error);
		else
			member_postpone(group, member, MEMBER_OTHER);
		return;
	}
	member->looked = true;
	if (found) {
		session_begin(group, member);
		return;
	}
	member_set_reason(member, error ? error_message(error) : NULL);
	member_postpone(group, member, error ? MEMBER_FAILED : MEMBER_OTHER);
	error_destroy(error);
}

/* The session has ended; its process runs on, as another program or this one, or it does not. */
static void session_ended(struct group *group, struct member *member)
{
	switch (member->size > 1 ? member->text[member->size - 1] : 0) {
	case SERVE_EXECED:
		if (!member->gone) {
			member_renew(member, LOOK_DELAY);
			break;
		}
		/* fall through */
	case SERVE_ENDED:
	case SERVE_LOST:
		if (member->text[member->size - 1] == SERVE_LOST)
			member_set_reason(member, "its last totals could not be kept");
		member->gone = true;
		member->state = MEMBER_ENDED;
		break;
	case SERVE_STOPPED:
		member->state = MEMBER_STOPPED;
		break;
	default:
		group->members.killed++;
		member->state = MEMBER_FAILED;
		member_set_reason(member, "its tracer was killed");
	}
}

static void session_failed(struct group *group, struct member *member)
{
	struct error *error = serve_error(member->text, member->size);
	bool nothing = error && error_kind(error) == ERROR_NOTHING;
	uint64_t started;

	if (nothing && !member->gone && !member->again) {
		struct error *gone = process_start_time(member->pid, &started);

		member->gone = gone;
		error_destroy(gone);
	}
	member_set_reason(member, error && !nothing ? error_message(error) : NULL);
	error_destroy(error);
	if (member->gone) {
		group->members.ended_early++;
		member->state = MEMBER_MISSED;
	} else if (member->again) {
		member_renew(member, LOOK_DELAY);
	} else {
		member_postpone(group, member, MEMBER_FAILED);
	}
}

void group_report(struct group *group, struct member *member)
{
	ssize_t got =
		read(member->report, member->text + member->size, SERVE_REPORT_MAX - member->size);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0 && member->size + got < SERVE_REPORT_MAX) {
		member->size += got;
		if (member->state == MEMBER_STARTING && member->text[0] == '0') {
			member->state = MEMBER_TRACED;
			member->python = true;
			member_set_reason(member, NULL);
			group->members.sessions++;
		}
		return;
	}
	close(member->report);
	member->report = -1;
	if (member->state == MEMBER_TRACED)
		session_ended(group, member);
	else
		session_failed(group, member);
}

/* Those without a session: nobody else would see that one has ended whose end was not told. */
static void members_check(struct group *group)
{
	for (size_t i = 0; i < group->members.count; i++) {
		struct member *member = group->members.list[i];
		struct error *error;
		uint64_t started = 0;
		pid_t parent;

		if (member->gone || member->report >= 0)
			continue;
		error = process_origin(member->pid, &parent, &started);
		if (error)
			member_vanished(group, member, error);
		else if (member->started && started != member->started)
			member_exited(group, member);
	}
}

/*
 * A control group that was removed and made anew, as when a service restarts, is another one to the
 * kernel. If it was, it is scanned, and the answer is true.
 */
static bool cgroup_mend(struct group *group)
{
	bool changed = false;

	if (group->scope != FOLLOW_CGROUP)
		return false;
	group_warn(group, follow_cgroup(group->follow, group->folders[0], &changed));
	if (changed)
		group_warn(group, group_scan(group));
	return changed;
}

/* What was not told is found by looking. */
static void losses_mend(struct group *group, uint64_t now)
{
	uint64_t events, members;

	follow_losses(group->follow, &events, &members);
	if (events != group->events_lost ||
	    (group->scope != FOLLOW_TREE && now - group->scanned > SCAN_NANOSECONDS)) {
		group->events_lost = events;
		if (!cgroup_mend(group))
			group_warn(group, group_scan(group));
	}
	if (now - group->checked < CHECK_NANOSECONDS)
		return;
	group->checked = now;
	(void)cgroup_mend(group);
	members_check(group);
	members_prune(&group->members);
}

int group_watch(struct group *group)
{
	size_t starting = members_in(&group->members, MEMBER_STARTING);
	uint64_t now, next;

	follow_consume(group->follow, record_handle, group);
	now = clock_now(CLOCK_MONOTONIC);
	losses_mend(group, now);
	next = now + CHECK_NANOSECONDS;
	for (size_t i = 0; i < group->members.count; i++) {
		struct member *member = group->members.list[i];

		if (member->state != MEMBER_NEW || member->gone)
			continue;
		if (member->look_at <= now && starting < STARTING_MAX) {
			member_look(group, member);
			starting += member->state == MEMBER_STARTING;
		}
		if (member->state == MEMBER_NEW && !member->gone && member->look_at < next &&
		    starting < STARTING_MAX)
			next = member->look_at;
	}
	now = clock_now(CLOCK_MONOTONIC);
	return next > now ? (int)((next - now) / 1000000) + 1 : 0;
}

void group_catch_up(struct group *group)
{
	follow_consume(group->follow, record_handle, group);
	if (group->scope == FOLLOW_TREE)
		group_warn(group, group_scan(group));
}

bool group_settled(const struct group *group)
{
	for (size_t i = 0; i < group->members.count; i++) {
		const struct member *member = group->members.list[i];

		if (member->later)
			continue;
		if (member->state == MEMBER_STARTING ||
		    (member->state == MEMBER_NEW && (!member->looked || member->reason)))
			return false;
	}
	return true;
}
