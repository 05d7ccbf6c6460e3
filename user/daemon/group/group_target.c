// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a group of processes is, and the name that its files have. */
#include "daemon/group/group_target.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sandbox/privileges.h"
#include "target/process/process.h"

#define ID_SHOWN 12

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

/*
 * FNV-1a: the same in each process, as a name must be. Nobody gains by two paths with one name.
 */
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

static void follow_name(pid_t root, char ret[CONTROL_GROUP_MAX + 1])
{
	snprintf(ret, CONTROL_GROUP_MAX + 1, "follow-%d", root);
}

static struct error *follow_init(pid_t root, struct group_target *ret)
{
	uint64_t started;

	ret->root = root;
	try(process_start_time(root, &started));
	follow_name(root, ret->name);
	if (asprintf(&ret->title, "process %d and those it starts", root) < 0)
		ret->title = NULL;
	return ret->title ? NULL : no_memory();
}

static struct error *container_init(const char *wanted, struct group_target *ret)
{
	struct error *error;
	bool is_id;

	/* What the runtimes keep on the host is for root to read. */
	privileges_raise();
	error = container_find("", wanted, &ret->container);
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

static struct error *cgroup_init(const char *path, struct group_target *ret)
{
	try(cgroups_resolve("", path, &ret->container.groups));
	try(cgroup_name(path, ret->name));
	if (asprintf(&ret->title, "control group %s", path) < 0)
		ret->title = NULL;
	return ret->title ? NULL : no_memory();
}

struct error *group_target_init(const struct group_wanted *wanted, struct group_target *ret)
{
	cleanup(group_target_deinit) struct group_target target = {.kind = wanted->kind};

	switch (wanted->kind) {
	case GROUP_FOLLOW:
		try(follow_init(wanted->root, &target));
		break;
	case GROUP_CONTAINER:
		try(container_init(wanted->text, &target));
		break;
	case GROUP_CGROUP:
		try(cgroup_init(wanted->text, &target));
		break;
	}
	*ret = target;
	target = (struct group_target){0};
	return NULL;
}

void group_target_deinit(struct group_target *target)
{
	free(target->title);
	container_deinit(&target->container);
}

struct error *group_target_name(const struct group_wanted *wanted, char ret[CONTROL_GROUP_MAX + 1])
{
	cleanup(group_target_deinit) struct group_target target = {0};
	struct error *error;

	*ret = 0;
	if (wanted->kind == GROUP_CGROUP)
		return cgroup_name(wanted->text, ret);
	if (wanted->kind == GROUP_FOLLOW) {
		follow_name(wanted->root, ret);
		return NULL;
	}
	error = container_init(wanted->text, &target);
	if (!error)
		memcpy(ret, target.name, sizeof(target.name));
	error_destroy(error);
	return NULL;
}
