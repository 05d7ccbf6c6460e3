// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the runtimes' state files say of a container. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "target/container/container_state.h"

#define STATE_MAX      (32 << 20) /* podman's has all containers */
#define NAME_MAX_SHOWN 512

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "containers");
}

/*
 * The JSON of a file; NULL where there is none that can be read: other runtimes, other
 * privileges.
 */
static struct json_object *file_parse(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_free char *text = NULL;
	struct stat found;
	ssize_t size;

	if (fd < 0 || fstat(fd, &found) || !S_ISREG(found.st_mode) || found.st_size > STATE_MAX)
		return NULL;
	text = malloc(found.st_size + 1);
	size = text ? read(fd, text, found.st_size) : -1;
	return size <= 0 ? NULL : json_parse_any(text, size);
}

__attribute__((format(printf, 1, 2))) static struct json_object *state_read(const char *format, ...)
{
	cleanup_free char *path = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&path, format, arguments);
	va_end(arguments);
	if (length < 0) {
		path = NULL;
		return NULL;
	}
	return file_parse(path);
}

/* A text of OBJECT that is no longer than a name may be; "" if there is none. */
static const char *name_of(struct json_object *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return strlen(text) <= NAME_MAX_SHOWN ? text : "";
}

/* Puts TEXT to *RET if there is something in it, and nothing there yet. */
static struct error *fill(char **ret, const char *text)
{
	if (!*text || (*ret && **ret))
		return NULL;
	free(*ret);
	*ret = strdup(text);
	return *ret ? NULL : no_memory();
}

static struct error *docker_describe(const char *root, struct container *container)
{
	cleanup(json_cleanup) struct json_object *state =
		state_read("%s/var/lib/docker/containers/%s/config.v2.json", root, container->id);
	const char *name;

	if (!state)
		return NULL;
	name = name_of(state, "Name");
	try(fill(&container->name, *name == '/' ? name + 1 : name));
	try(fill(&container->image, name_of(json_get_object(state, "Config"), "Image")));
	return fill(&container->runtime, "docker");
}

static struct error *storage_entry(struct json_object *entry, struct container *container)
{
	const char *text = json_get_text(entry, "metadata");
	const char *first = json_text_at(json_get_array(entry, "names"), 0);
	cleanup(json_cleanup) struct json_object *metadata = json_parse_any(text, strlen(text));
	bool pod = json_has(metadata, "pod-id") && !json_has_null(metadata, "pod-id");

	try(fill(&container->pod, name_of(metadata, "pod-name")));
	/* CRI-O's "names" say the place, "k8s_CONTAINER_POD_..."; the name stands apart. */
	if (pod)
		try(fill(&container->name, name_of(metadata, "container-name")));
	if (strlen(first) <= NAME_MAX_SHOWN)
		try(fill(&container->name, first));
	try(fill(&container->image, name_of(metadata, "image-name")));
	return fill(&container->runtime, pod ? "cri-o" : "podman");
}

/* podman's and CRI-O's containers are in one file for each way to store them (DRIVER). */
static struct error *storage_describe_by(const char *root, const char *driver,
					 struct container *container)
{
	cleanup(json_cleanup) struct json_object *all = state_read(
		"%s/var/lib/containers/storage/%s-containers/containers.json", root, driver);

	for (size_t i = 0; i < json_length(all); i++) {
		struct json_object *entry = json_at(all, i);

		if (!strcmp(name_of(entry, "id"), container->id))
			return storage_entry(entry, container);
	}
	return NULL;
}

static struct error *storage_describe(const char *root, struct container *container)
{
	static const char *const drivers[] = {"overlay", "vfs", "btrfs", "zfs"};

	for (size_t i = 0; i < array_size(drivers); i++)
		try(storage_describe_by(root, drivers[i], container));
	return NULL;
}

static struct error *annotations_describe(struct json_object *annotations,
					  struct container *container)
{
	static const struct {
		const char *key;
		size_t offset;
	} keys[] = {
		{"io.kubernetes.cri.container-name", offsetof(struct container, name)},
		{"io.kubernetes.cri.sandbox-name", offsetof(struct container, pod)},
		{"io.kubernetes.cri.image-name", offsetof(struct container, image)},
		{"nerdctl/name", offsetof(struct container, name)},
		{"nerdctl/image-name", offsetof(struct container, image)},
	};

	for (size_t i = 0; i < array_size(keys); i++)
		try(fill((char **)((char *)container + keys[i].offset),
			 name_of(annotations, keys[i].key)));
	return NULL;
}

/* The bundle's config.json of a container; RET stays NULL if containerd has no such one. */
static struct error *containerd_config(const char *root, const char *id, struct json_object **ret)
{
	cleanup_free char *path = NULL;
	cleanup_dir DIR *folder = NULL;
	struct dirent *entry;

	if (strchr(id, '/') || id[0] == '.')
		return NULL;
	if (asprintf(&path, "%s/run/containerd/io.containerd.runtime.v2.task", root) < 0) {
		path = NULL;
		return no_memory();
	}
	folder = opendir(path);
	while (folder && !*ret && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			*ret = state_read("%s/%s/%s/config.json", path, entry->d_name, id);
	return NULL;
}

static struct error *containerd_describe(const char *root, struct container *container)
{
	cleanup(json_cleanup) struct json_object *config = NULL;

	try(containerd_config(root, container->id, &config));
	if (!config)
		return NULL;
	try(annotations_describe(json_get_object(config, "annotations"), container));
	return fill(&container->runtime, "containerd");
}

struct error *container_describe(const char *root, struct container *container)
{
	char **const texts[] = {&container->name, &container->pod, &container->image,
				&container->runtime};

	for (size_t i = 0; i < array_size(texts); i++) {
		if (!*texts[i])
			*texts[i] = strdup("");
		if (!*texts[i])
			return no_memory();
	}
	if (strlen(container->id) != CONTAINER_ID_LENGTH) {
		pid_t pid;

		try(containerd_describe(root, container));
		try(fill(&container->name, container->id));
		try(container_runc_pid(root, container->id, &pid));
		return pid ? fill(&container->runtime, "runc") : NULL;
	}
	/* docker runs on containerd: the one that knows more comes first. */
	try(docker_describe(root, container));
	try(storage_describe(root, container));
	return containerd_describe(root, container);
}

struct error *container_runc_pid(const char *root, const char *name, pid_t *ret)
{
	cleanup(json_cleanup) struct json_object *state = NULL;
	uint64_t pid;

	*ret = 0;
	if (strchr(name, '/') || name[0] == '.')
		return NULL;
	state = state_read("%s/run/runc/%s/state.json", root, name);
	pid = json_get_number(state, "init_process_pid");
	if (pid <= INT_MAX)
		*ret = (pid_t)pid;
	return NULL;
}

struct error *container_is_known(const char *root, const char *name, bool *ret)
{
	cleanup(json_cleanup) struct json_object *config = NULL;
	pid_t pid;

	try(container_runc_pid(root, name, &pid));
	if (!pid)
		try(containerd_config(root, name, &config));
	*ret = pid || config;
	return NULL;
}
