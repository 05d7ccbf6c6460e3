// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The processes of a group, as its watcher knows them. */
#include "daemon/group/group_members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"

static const char *const state_names[] = {
	[MEMBER_NEW] = "new",     [MEMBER_STARTING] = "starting", [MEMBER_TRACED] = "traced",
	[MEMBER_OTHER] = "other", [MEMBER_FAILED] = "failed",     [MEMBER_STOPPED] = "stopped",
	[MEMBER_ENDED] = "ended", [MEMBER_MISSED] = "missed",
};

static void member_destroy(struct member *member)
{
	if (member->report >= 0)
		close(member->report);
	free(member->text);
	free(member->command);
	free(member->reason);
	free(member);
}

struct member *members_find(const struct members *members, pid_t pid)
{
	/* The last one is who has the pid now. */
	for (size_t i = members->count; i--;)
		if (members->list[i]->pid == pid)
			return members->list[i];
	return NULL;
}

struct error *members_add(struct members *members, pid_t pid, pid_t parent, struct member **ret)
{
	struct member *member = members_find(members, pid);

	if (member && !member->gone) {
		if (!member->parent)
			member->parent = parent;
		*ret = member;
		return NULL;
	}
	try(array_reserve(&members->list, &members->capacity, members->count, 1,
			  sizeof(struct member *)));
	member = calloc(1, sizeof(*member));
	if (!member)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
	*member = (struct member){.pid = pid, .parent = parent, .report = -1};
	members->list[members->count++] = member;
	members->seen++;
	*ret = member;
	return NULL;
}

/* Whether nobody will ask for MEMBER any more. */
static bool member_done(const struct member *member)
{
	return member->gone && member->report < 0;
}

void members_prune(struct members *members)
{
	size_t ended = 0, kept = 0, surplus;

	for (size_t i = 0; i < members->count; i++)
		ended += member_done(members->list[i]) && members->list[i]->state != MEMBER_OTHER;
	surplus = ended > MEMBERS_ENDED_MAX ? ended - MEMBERS_ENDED_MAX : 0;
	for (size_t i = 0; i < members->count; i++) {
		struct member *member = members->list[i];
		bool drop = member_done(member) && (member->state == MEMBER_OTHER || surplus);

		if (!drop) {
			members->list[kept++] = member;
			continue;
		}
		if (member->state != MEMBER_OTHER) {
			surplus--;
			members->forgotten++;
		}
		member_destroy(member);
	}
	members->count = kept;
}

void members_deinit(struct members *members)
{
	for (size_t i = 0; i < members->count; i++)
		member_destroy(members->list[i]);
	free(members->list);
	*members = (struct members){0};
}

void member_set_reason(struct member *member, const char *text)
{
	free(member->reason);
	member->reason = text ? strdup(text) : NULL;
}

size_t members_alive(const struct members *members)
{
	size_t alive = 0;

	for (size_t i = 0; i < members->count; i++)
		alive += !member_done(members->list[i]);
	return alive;
}

size_t members_in(const struct members *members, enum member_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < members->count; i++)
		count += members->list[i]->state == state;
	return count;
}

static void member_describe(const struct member *member, struct json *json,
			    struct json_object *list)
{
	struct json_object *object = json_new_object(json, list, NULL);

	json_number(json, object, "pid", member->pid);
	json_number_or_null(json, object, "parent", member->parent);
	json_text(json, object, "state", state_names[member->state]);
	json_text(json, object, "command_line", member->command ? member->command : "");
	json_number(json, object, "programs", member->programs);
	if (member->reason)
		json_text(json, object, "reason", member->reason);
}

void members_describe(const struct members *members, struct json *json)
{
	struct json_object *list = json_new_array(json, json->root, "processes"), *counts;

	for (size_t i = 0; i < members->count; i++)
		member_describe(members->list[i], json, list);
	counts = json_new_object(json, json->root, "counts");
	for (size_t i = 0; i < array_size(state_names); i++)
		if (i != MEMBER_MISSED)
			json_number(json, counts, state_names[i], members_in(members, i));
	json_number(json, counts, "seen", members->seen);
	json_number(json, counts, "sessions", members->sessions);
	json_number(json, counts, "forgotten", members->forgotten);
}
