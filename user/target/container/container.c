// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which containers the processes of this machine are in, and which one a name means. */
#include "target/container/container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/container_state.h"

#define DIGITS "0123456789abcdef"

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "containers");
}

void container_deinit(struct container *container)
{
	free(container->id);
	free(container->name);
	free(container->pod);
	free(container->image);
	free(container->runtime);
	cgroups_deinit(&container->groups);
	*container = (struct container){0};
}

static bool starts_with(const char *text, size_t length, const char *start)
{
	return length >= strlen(start) && !strncmp(text, start, strlen(start));
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	return length >= strlen(end) && !strncmp(text + length - strlen(end), end, strlen(end));
}

bool container_component(const char *component, size_t length, char **ret, bool *ret_is_id)
{
	static const char *const named[] = {"runc-", "lxc.payload.", "crun-"};
	size_t digits;

	if (ends_with(component, length, ".scope"))
		length -= strlen(".scope");
	/* The monitors of podman and CRI-O run beside the container. */
	for (digits = 0; digits < length && strchr(DIGITS, component[length - 1 - digits]);)
		digits++;
	if (digits == CONTAINER_ID_LENGTH &&
	    (length == digits || component[length - digits - 1] == '-')) {
		if (ends_with(component, length - digits, "conmon-"))
			return false;
		*ret = strndup(component + length - digits, digits);
		*ret_is_id = true;
		return *ret;
	}
	for (size_t i = 0; i < array_size(named); i++)
		if (starts_with(component, length, named[i])) {
			component += strlen(named[i]);
			length -= strlen(named[i]);
			break;
		}
	if (!length)
		return false;
	*ret = strndup(component, length);
	*ret_is_id = false;
	return *ret;
}

/* A container that processes are in. */
struct candidate {
	char *id;
	bool is_id;
	struct cgroups groups;
};

struct candidates {
	struct candidate *list;
	size_t count, capacity;
};

static void candidates_deinit(struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->count; i++) {
		free(candidates->list[i].id);
		cgroups_deinit(&candidates->list[i].groups);
	}
	free(candidates->list);
}

static struct error *candidate_get(struct candidates *candidates, const char *id, bool is_id,
				   struct candidate **ret)
{
	struct candidate *candidate;

	for (size_t i = 0; i < candidates->count; i++)
		if (!strcmp(candidates->list[i].id, id)) {
			*ret = &candidates->list[i];
			return NULL;
		}
	try(array_reserve(&candidates->list, &candidates->capacity, candidates->count, 1,
			  sizeof(*candidates->list)));
	candidate = &candidates->list[candidates->count];
	*candidate = (struct candidate){.id = strdup(id), .is_id = is_id};
	if (!candidate->id)
		return no_memory();
	candidates->count++;
	*ret = candidate;
	return NULL;
}

/*
 * Whether a component that is no id is a container's name: if it is WANTED; else if a runtime says
 * so, as most components are no containers.
 */
static struct error *name_counts(const char *root, const char *id, const char *wanted, bool *ret)
{
	*ret = wanted && !strcmp(id, wanted);
	return wanted ? NULL : container_is_known(root, id, ret);
}

/* Adds the containers along the path of GROUP. */
static struct error *path_collect(const char *root, const struct cgroup *group, const char *wanted,
				  struct candidates *candidates)
{
	const char *at = group->path;

	while (*at) {
		cleanup_free char *id = NULL, *path = NULL;
		struct candidate *candidate;
		const char *component = at + 1;
		size_t length = strcspn(component, "/");
		bool is_id, counts;

		at = component + length;
		if (!container_component(component, length, &id, &is_id))
			continue;
		try(name_counts(root, id, wanted, &counts));
		if (!is_id && !counts)
			continue;
		path = strndup(group->path, at - group->path);
		if (!path)
			return no_memory();
		try(candidate_get(candidates, id, is_id, &candidate));
		try(cgroups_add(&candidate->groups, group->hierarchy, path));
	}
	return NULL;
}

static struct error *all_collect(const char *root, const char *wanted,
				 struct candidates *candidates)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	try(processes_list(root, &pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(cgroups_deinit) struct cgroups of = {0};
		struct error *error = cgroups_read(root, pids[i], &of);

		if (error) { /* it has gone meanwhile */
			error_destroy(error);
			continue;
		}
		for (size_t j = 0; j < of.count; j++)
			try(path_collect(root, &of.list[j], wanted, candidates));
	}
	return NULL;
}

static struct error *candidate_describe(const char *root, const struct candidate *candidate,
					struct container *ret)
{
	cleanup(container_deinit) struct container container = {.id = strdup(candidate->id)};

	if (!container.id)
		return no_memory();
	try(container_describe(root, &container));
	for (size_t i = 0; i < candidate->groups.count; i++)
		try(cgroups_add(&container.groups, candidate->groups.list[i].hierarchy,
				candidate->groups.list[i].path));
	*ret = container;
	container = (struct container){0};
	return NULL;
}

/* "web", or "pod/web". */
static bool name_matches(const struct container *container, const char *wanted)
{
	size_t pod = strlen(container->pod);

	if (!*container->name)
		return false;
	if (!strcmp(container->name, wanted))
		return true;
	return pod && !strncmp(wanted, container->pod, pod) && wanted[pod] == '/' &&
	       !strcmp(wanted + pod + 1, container->name);
}

enum match { MATCH_NONE, MATCH_START, MATCH_NAME, MATCH_WHOLE };

static enum match match_of(const struct candidate *candidate, const struct container *container,
			   const char *wanted)
{
	if (!strcmp(candidate->id, wanted))
		return MATCH_WHOLE;
	if (name_matches(container, wanted))
		return MATCH_NAME;
	if (candidate->is_id && *wanted && !strncmp(candidate->id, wanted, strlen(wanted)))
		return MATCH_START;
	return MATCH_NONE;
}

static struct error *several(const char *wanted, const char *first, const char *second)
{
	return error_advise(error_create(ERROR_FAILED,
					 "%s means several containers, %.12s and %.12s among them",
					 wanted, first, second),
			    "Give more of the id, or POD/NAME.");
}

/* runc's container whose control group is called otherwise than it is. */
static struct error *runc_find(const char *root, const char *wanted, struct container *ret)
{
	cleanup(container_deinit) struct container container = {.id = strdup(wanted),
								.name = strdup(wanted),
								.pod = strdup(""),
								.image = strdup(""),
								.runtime = strdup("runc")};
	cleanup(cgroups_deinit) struct cgroups of = {0};
	struct error *error;
	pid_t pid = 0;

	if (!container.id || !container.name || !container.pod || !container.image ||
	    !container.runtime)
		return no_memory();
	try(container_runc_pid(root, wanted, &pid));
	error = pid ? cgroups_read(root, pid, &of) : NULL;
	if (error && error_kind(error) != ERROR_NOTHING)
		return error;
	error_destroy(error);
	/* The root of a hierarchy has everybody in it. */
	for (size_t i = 0; i < of.count; i++)
		if (strcmp(of.list[i].path, "/") != 0)
			try(cgroups_add(&container.groups, of.list[i].hierarchy, of.list[i].path));
	if (!container.groups.count)
		return error_create(ERROR_NOTHING, "no process runs in a container %s", wanted);
	*ret = container;
	container = (struct container){0};
	return NULL;
}

struct error *container_find(const char *root, const char *wanted, struct container *ret)
{
	cleanup(candidates_deinit) struct candidates candidates = {0};
	cleanup(container_deinit) struct container best = {0};
	enum match found = MATCH_NONE;
	cleanup_free char *other = NULL;

	if (!*wanted || strchr(wanted, '\n') || !strcmp(wanted, ".") || !strcmp(wanted, ".."))
		return error_create(ERROR_USAGE, "\"%s\" names no container", wanted);
	try(all_collect(root, wanted, &candidates));
	for (size_t i = 0; i < candidates.count; i++) {
		cleanup(container_deinit) struct container container = {0};
		enum match match;

		try(candidate_describe(root, &candidates.list[i], &container));
		match = match_of(&candidates.list[i], &container, wanted);
		if (match == MATCH_NONE || match < found)
			continue;
		free(other);
		other = match == found ? strdup(best.id) : NULL;
		found = match;
		container_deinit(&best);
		best = container;
		container = (struct container){0};
	}
	if (other)
		return several(wanted, other, best.id);
	if (found == MATCH_NONE)
		return runc_find(root, wanted, ret);
	*ret = best;
	best = (struct container){0};
	return NULL;
}

struct error *container_of(const char *root, const struct cgroups *of, struct container *ret)
{
	cleanup(container_deinit) struct container container = {0};
	cleanup(candidates_deinit) struct candidates candidates = {0};

	for (size_t i = 0; i < of->count; i++)
		try(path_collect(root, &of->list[i], NULL, &candidates));
	if (candidates.count)
		try(candidate_describe(root, &candidates.list[candidates.count - 1], &container));
	*ret = container;
	container = (struct container){0};
	return NULL;
}
