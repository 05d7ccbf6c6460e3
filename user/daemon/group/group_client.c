// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a group is found and asked; or what it left is read, where it has ended. */
#include "daemon/group/group_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "daemon/client.h"
#include "daemon/group/group_status.h"
#include "daemon/group/group_target.h"
#include "trace/session/control.h"

static struct error *group_request(const char *name, const char *command, struct json_object **ret)
{
	cleanup(json_deinit) struct json request;

	json_init(&request);
	json_text(&request, request.root, "command", command);
	try(json_built(&request));
	return control_group_request(name, request.root, ret);
}

struct error *group_request_stop(const char *name)
{
	cleanup(json_cleanup) struct json_object *reply = NULL;

	return group_request(name, "stop", &reply);
}

/* The sessions of a group whose watcher was killed: they know whose they are. */
static struct error *orphans_add(const char *name, struct json *json)
{
	struct json_object *processes = json_new_array(json, json->root, "processes"), *counts;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	double seconds = 0;

	counts = json_new_object(json, json->root, "counts");
	try(control_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(json_cleanup) struct json_object *session = NULL;
		struct error *error = client_request(pids[i], "status", NULL, &session, NULL, NULL);
		struct json whole = json_of(session);

		error_destroy(error);
		if (error || strcmp(json_get_text(session, "group"), name) != 0)
			continue;
		json_text(&whole, session, "state", "traced");
		json_share(json, processes, NULL, session);
		if (json_get_real(session, "seconds", 0) > seconds)
			seconds = json_get_real(session, "seconds", 0);
	}
	/* At least so long; of those that have ended nobody knows. */
	json_real(json, json->root, "seconds", seconds);
	json_number(json, counts, "traced", json_length(processes));
	return NULL;
}

static struct error *orphans_read(const char *name, struct json_object **ret)
{
	cleanup(json_deinit) struct json json;

	json_init(&json);
	json_text(&json, json.root, "group", name);
	json_text(&json, json.root, "title", name);
	json_text(&json, json.root, "state", "unwatched");
	json_text(&json, json.root, "warning",
		  "who watched for new processes was killed; `tmbpf stop` ends the sessions that "
		  "are left");
	try(orphans_add(name, &json));
	try(json_built(&json));
	if (!json_length(json_get_array(json.root, "processes")))
		return error_create(ERROR_NOTHING, "the group %s is not traced", name);
	*ret = take(json.root);
	return NULL;
}

struct error *group_status_fetch(const char *name, struct json_object **ret)
{
	struct error *error = group_request(name, "status", ret), *stored;

	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	stored = group_status_read(name, ret);
	if (stored && error_kind(stored) == ERROR_NOTHING) {
		error_destroy(stored);
		stored = orphans_read(name, ret);
	}
	if (!stored) {
		error_destroy(error);
		return NULL;
	}
	error_destroy(stored);
	return error;
}

/* Adds the status of PROCESS's session, if it has one that belongs to the group NAME. */
static struct error *session_add(const char *name, struct json_object *process)
{
	cleanup(json_cleanup) struct json_object *session = NULL;
	const char *state = json_get_text(process, "state");
	struct json json = json_of(process);
	struct error *error;

	if (strcmp(state, "traced") != 0 && strcmp(state, "ended") != 0)
		return NULL;
	error = client_status((pid_t)json_get_number(process, "pid"), &session);
	/* Another's session may have the pid by now. */
	if (!error && !strcmp(json_get_text(session, "group"), name))
		json_share(&json, process, "session", session);
	if (error && error_kind(error) != ERROR_NOTHING)
		return error;
	error_destroy(error); /* forgotten meanwhile */
	return json_built(&json);
}

struct error *group_status_whole(const char *name, struct json_object **ret)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct json_object *processes;

	try(group_status_fetch(name, &status));
	processes = json_get_array(status, "processes");
	if (!processes)
		return error_create(ERROR_FAILED, "what the group %s says is damaged", name);
	for (size_t i = 0; i < json_length(processes); i++)
		try(session_add(name, json_at(processes, i)));
	*ret = take(status);
	return NULL;
}

/* Whether the container that STATUS is of may be called WANTED. */
static bool container_is(struct json_object *status, const char *wanted)
{
	struct json_object *container = json_get_object(status, "container");
	const char *id = json_get_text(container, "id"), *name = json_get_text(container, "name");
	const char *pod = json_get_text(container, "pod");

	if (!container)
		return false;
	if (!strcmp(id, wanted) || !strcmp(name, wanted))
		return true;
	if (*pod && !strncmp(wanted, pod, strlen(pod)) && wanted[strlen(pod)] == '/' &&
	    !strcmp(wanted + strlen(pod) + 1, name))
		return true;
	return strlen(id) == CONTAINER_ID_LENGTH && *wanted && !strncmp(id, wanted, strlen(wanted));
}

/* The name of the one group among those that have a file of KIND. */
static struct error *container_group(const char *kind, const char *wanted, char **ret)
{
	cleanup_free char *found = NULL;
	struct error *error = NULL;
	size_t count = 0;
	char **names = NULL;

	try(control_groups(kind, &names, &count));
	for (size_t i = 0; i < count && !error; i++) {
		cleanup(json_cleanup) struct json_object *status = NULL;

		error_destroy(group_status_fetch(names[i], &status));
		if (!status || !container_is(status, wanted))
			continue;
		if (found)
			error = error_create(ERROR_FAILED,
					     "%s means several containers that are traced", wanted);
		else
			found = strdup(names[i]);
	}
	control_names_destroy(names, count);
	try(error);
	if (found)
		*ret = take(found);
	return NULL;
}

static bool group_exists(const char *name)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct error *error = group_status_fetch(name, &status);

	error_destroy(error);
	return !error;
}

static struct error *not_traced(const struct group_wanted *wanted)
{
	bool container = wanted->kind == GROUP_CONTAINER;

	if (wanted->kind == GROUP_FOLLOW)
		return error_advise(error_create(ERROR_NOTHING,
						 "process %d is not traced with --follow",
						 wanted->root),
				    "`tmbpf start -p %d --follow` begins that.", wanted->root);
	return error_advise(error_create(ERROR_NOTHING, "%s %s is not traced",
					 container ? "container" : "control group", wanted->text),
			    "`tmbpf start --%s %s` begins that.",
			    container ? "container" : "cgroup", wanted->text);
}

struct error *group_find(const struct group_wanted *wanted, char **ret)
{
	char name[CONTROL_GROUP_MAX + 1] = "", *found = NULL;

	if (wanted->kind == GROUP_CONTAINER) {
		try(container_group("sock", wanted->text, &found));
		if (!found)
			try(container_group("status", wanted->text, &found));
	}
	/* The sessions of a group may be there without who watched: they know its name. */
	if (!found)
		try(group_target_name(wanted, name));
	if (*name && group_exists(name))
		found = strdup(name);
	if (!found)
		return not_traced(wanted);
	*ret = found;
	return NULL;
}
