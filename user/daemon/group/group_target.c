// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon/group/group_target.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "sandbox/privileges.h"
#include "command/command.h"
#include "view/status_text.h"
#include "daemon/client.h"
#include "target/process/process.h"

enum { OPTION_FOLLOW = 768, OPTION_CONTAINER, OPTION_CGROUP };

#define ID_SHOWN   12
#define STATUS_MAX (64 << 20)

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "The process", 0},
	{"follow", OPTION_FOLLOW, NULL, 0,
	 "With -p: the process and all that it starts, and that these start", 0},
	{"container", OPTION_CONTAINER, "ID|NAME", 0,
	 "All processes of a container, also those that begin later", 0},
	{"cgroup", OPTION_CGROUP, "PATH", 0,
	 "All processes of a control group and those below, also those that begin later", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct group_target_options *given = state->input;

	switch (key) {
	case 'p':
		given->pid = value;
		return 0;
	case OPTION_FOLLOW:
		given->follow = true;
		return 0;
	case OPTION_CONTAINER:
		given->container = value;
		return 0;
	case OPTION_CGROUP:
		given->cgroup = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp group_target_argp = {.options = options, .parser = parse_option};

struct error *group_target_options_check(const struct group_target_options *given)
{
	int count = !!given->pid + !!given->container + !!given->cgroup;

	if (count > 1)
		return error_create(ERROR_USAGE, "-p, --container and --cgroup exclude each other");
	if (given->follow && !given->pid)
		return error_create(ERROR_USAGE, "--follow needs -p PID: %s",
				    count ? "a container and a control group are followed anyway"
					  : "whom to follow");
	if (!count)
		return error_create(ERROR_USAGE, "-p PID is missing (or --container, --cgroup)");
	return NULL;
}

bool group_target_many(const struct group_target_options *given)
{
	return given->follow || given->container || given->cgroup;
}

bool group_target_given(const struct group_target_options *given)
{
	return given->follow || given->pid || given->container || given->cgroup;
}

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
}

/* What names may hold of TEXT, the rest as '_'. */
static void name_append(char *name, const char *text, size_t most)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < most && text[i] && length < CONTROL_GROUP_MAX; i++)
		name[length++] = isalnum((unsigned char)text[i]) || strchr("._-", text[i]) ? text[i]
											   : '_';
	name[length] = 0;
}

/* FNV-1a: the same in each process, as a name must be; nobody gains by two paths with one name. */
static uint32_t text_hash(const char *text, size_t length)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619u;
	return hash;
}

/* From the text alone: the group has a name still when it is gone. */
static struct error *cgroup_name(const char *given, char ret[CONTROL_GROUP_MAX + 1])
{
	cleanup_free char *path = cgroup_path_clean(given);
	size_t length = path ? strlen(path) : 0;
	char hash[12];

	if (!path)
		return no_memory();
	snprintf(hash, sizeof(hash), "-%08x", text_hash(path, length));
	snprintf(ret, CONTROL_GROUP_MAX + 1, "cgroup-");
	name_append(ret, path + (length > 40 ? length - 40 : 0), length > 40 ? 40 : length);
	name_append(ret, hash, sizeof(hash));
	return NULL;
}

static struct error *target_follow(const struct group_target_options *given,
				   struct group_target *ret)
{
	uint64_t started;

	ret->kind = GROUP_FOLLOW;
	try(option_pid("-p", given->pid, &ret->root));
	try(process_start_time(ret->root, &started));
	snprintf(ret->name, sizeof(ret->name), "follow-%d", ret->root);
	if (asprintf(&ret->title, "process %d and those it starts", ret->root) < 0)
		ret->title = NULL;
	return ret->title ? NULL : no_memory();
}

static struct error *target_container(const struct group_target_options *given,
				      struct group_target *ret)
{
	struct error *error;
	bool is_id;

	ret->kind = GROUP_CONTAINER;
	/* What the runtimes keep on the host is for root to read. */
	privileges_raise();
	error = container_find("", given->container, &ret->container);
	privileges_lower();
	try(error);
	is_id = strlen(ret->container.id) == CONTAINER_ID_LENGTH;
	strcpy(ret->name, "container-");
	name_append(ret->name, ret->container.id, is_id ? ID_SHOWN : CONTROL_GROUP_MAX);
	if (asprintf(&ret->title, "container %.*s%s%s", is_id ? ID_SHOWN : 256, ret->container.id,
		     is_id && *ret->container.name ? " " : "",
		     is_id ? ret->container.name : "") < 0)
		ret->title = NULL;
	return ret->title ? NULL : no_memory();
}

static struct error *target_cgroup(const struct group_target_options *given,
				   struct group_target *ret)
{
	ret->kind = GROUP_CGROUP;
	try(cgroups_resolve("", given->cgroup, &ret->container.groups));
	try(cgroup_name(given->cgroup, ret->name));
	if (asprintf(&ret->title, "control group %s", given->cgroup) < 0)
		ret->title = NULL;
	return ret->title ? NULL : no_memory();
}

struct error *group_target_init(const struct group_target_options *given, struct group_target *ret)
{
	cleanup(group_target_deinit) struct group_target target = {0};

	if (given->container)
		try(target_container(given, &target));
	else if (given->cgroup)
		try(target_cgroup(given, &target));
	else
		try(target_follow(given, &target));
	*ret = target;
	target = (struct group_target){0};
	return NULL;
}

void group_target_deinit(struct group_target *target)
{
	free(target->title);
	container_deinit(&target->container);
}

/* Whether the container that STATUS is of may be called WANTED. */
static bool container_is(json_object *status, const char *wanted)
{
	json_object *container;
	const char *id, *pod;

	if (!json_object_object_get_ex(status, "container", &container) || !container)
		return false;
	id = status_text(container, "id");
	pod = status_text(container, "pod");
	if (!strcmp(id, wanted) || !strcmp(status_text(container, "name"), wanted))
		return true;
	if (*pod && !strncmp(wanted, pod, strlen(pod)) && wanted[strlen(pod)] == '/' &&
	    !strcmp(wanted + strlen(pod) + 1, status_text(container, "name")))
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
		cleanup(json_cleanup) json_object *status = NULL;

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
	json_object *status = NULL;
	struct error *error = group_status_fetch(name, &status);

	error_destroy(error);
	json_object_put(status);
	return !error;
}

/* The name that a group of a container has which is there: its sessions may be, without who watched. */
static void container_name(const struct group_target_options *given,
			   char ret[CONTROL_GROUP_MAX + 1])
{
	cleanup(group_target_deinit) struct group_target target = {0};
	struct error *error = target_container(given, &target);

	if (!error)
		memcpy(ret, target.name, sizeof(target.name));
	error_destroy(error);
}

struct error *group_find(const struct group_target_options *given, char **ret)
{
	char name[CONTROL_GROUP_MAX + 1] = "", *found = NULL;
	pid_t pid;

	if (given->container) {
		try(container_group("sock", given->container, &found));
		if (!found)
			try(container_group("status", given->container, &found));
		if (!found)
			container_name(given, name);
	} else if (given->cgroup) {
		try(cgroup_name(given->cgroup, name));
	} else {
		try(option_pid("-p", given->pid, &pid));
		snprintf(name, sizeof(name), "follow-%d", pid);
	}
	if (*name && group_exists(name))
		found = strdup(name);
	if (found) {
		*ret = found;
		return NULL;
	}
	if (given->pid)
		return error_advise(error_create(ERROR_NOTHING,
						 "process %s is not traced with --follow",
						 given->pid),
				    "`tmbpf start -p %s --follow` begins that.", given->pid);
	return error_advise(error_create(ERROR_NOTHING, "%s %s is not traced",
					 given->container ? "container" : "control group",
					 given->container ? given->container : given->cgroup),
			    "`tmbpf start --%s %s` begins that.",
			    given->container ? "container" : "cgroup",
			    given->container ? given->container : given->cgroup);
}

static struct error *stored_read(const char *name, json_object **ret)
{
	cleanup_free char *path = control_group_path(name, "status"), *text = NULL;
	cleanup_file FILE *file = path ? fopen(path, "re") : NULL;
	json_object *status;
	size_t size;

	if (!file)
		return error_create(ERROR_NOTHING, "the group %s is not traced", name);
	text = malloc(STATUS_MAX + 1);
	if (!text)
		return no_memory();
	size = fread(text, 1, STATUS_MAX, file);
	text[size] = 0;
	status = json_tokener_parse(text);
	if (!json_object_is_type(status, json_type_object)) {
		json_object_put(status);
		return error_create(ERROR_FAILED, "what the group %s left is damaged", name);
	}
	*ret = status;
	return NULL;
}

/* The sessions of a group whose watcher was killed: they know whose they are. */
static struct error *orphans_read(const char *name, json_object **ret)
{
	cleanup(json_cleanup) json_object *status = json_object_new_object();
	json_object *processes = json_object_new_array(), *counts = json_object_new_object();
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	double seconds = 0;

	json_object_object_add(status, "group", json_object_new_string(name));
	json_object_object_add(status, "title", json_object_new_string(name));
	json_object_object_add(status, "state", json_object_new_string("unwatched"));
	json_object_object_add(
		status, "warning",
		json_object_new_string(
			"who watched for new processes was killed; `tmbpf stop` ends "
			"the sessions that are left"));
	json_object_object_add(status, "processes", processes);
	json_object_object_add(status, "counts", counts);
	try(control_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(json_cleanup) json_object *session = NULL;
		struct error *error = target_request(pids[i], "status", NULL, &session, NULL, NULL);

		error_destroy(error);
		if (error || strcmp(status_text(session, "group"), name) != 0)
			continue;
		json_object_object_add(session, "state", json_object_new_string("traced"));
		json_object_array_add(processes, json_object_get(session));
		if (status_real(session, "seconds", 0) > seconds)
			seconds = status_real(session, "seconds", 0);
	}
	if (!json_object_array_length(processes))
		return error_create(ERROR_NOTHING, "the group %s is not traced", name);
	/* At least so long; of those that have ended nobody knows. */
	json_object_object_add(status, "seconds", json_object_new_double(seconds));
	json_object_object_add(counts, "traced",
			       json_object_new_uint64(json_object_array_length(processes)));
	*ret = take(status);
	return NULL;
}

struct error *group_status_fetch(const char *name, json_object **ret)
{
	cleanup(json_cleanup) json_object *request = json_object_new_object();
	struct error *error, *stored;

	json_object_object_add(request, "command", json_object_new_string("status"));
	error = control_group_request(name, request, ret);
	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	stored = stored_read(name, ret);
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

struct error *group_status_store(const char *name, json_object *status)
{
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_free char *path = control_group_path(name, "status");
	const char *text = json_object_to_json_string_ext(status, JSON_C_TO_STRING_PLAIN);

	if (!path || !text)
		return no_memory();
	try(output_create(path, &output));
	try(output_write(output, text, strlen(text)));
	return output_commit(output);
}

void group_status_forget(const char *name)
{
	cleanup_free char *path = control_group_path(name, "status");

	if (path)
		unlink(path);
}
