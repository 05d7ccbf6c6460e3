// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the runtimes' state files say of a container. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/container_state.h"

#define STATE_MAX      (32 << 20) /* podman's has all containers */
#define STATE_DEEP     64
#define NAME_MAX_SHOWN 512

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "containers");
}

static void object_cleanup(json_object **object)
{
	if (*object)
		json_object_put(*object);
}

/* What the JSON in TEXT is; NULL if it is none. */
static json_object *text_parse(const char *text, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(STATE_DEEP);
	json_object *object = NULL;

	if (!tokener || size > INT_MAX)
		return NULL;
	object = json_tokener_parse_ex(tokener, text, (int)size);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

/*
 * The JSON of a file; NULL where there is none that can be read: other runtimes, other
 * privileges.
 */
static json_object *file_parse(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_free char *text = NULL;
	struct stat found;
	ssize_t size;

	if (fd < 0 || fstat(fd, &found) || !S_ISREG(found.st_mode) || found.st_size > STATE_MAX)
		return NULL;
	text = malloc(found.st_size + 1);
	size = text ? read(fd, text, found.st_size) : -1;
	return size <= 0 ? NULL : text_parse(text, size);
}

__attribute__((format(printf, 1, 2))) static json_object *state_read(const char *format, ...)
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

static json_object *member(json_object *object, const char *key)
{
	json_object *value = NULL;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value))
		return NULL;
	return value;
}

/* A text of OBJECT, "" if there is none. */
static const char *text_of(json_object *object)
{
	const char *text = json_object_is_type(object, json_type_string)
				   ? json_object_get_string(object)
				   : NULL;

	return text && strlen(text) <= NAME_MAX_SHOWN ? text : "";
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
	cleanup(object_cleanup) json_object *state =
		state_read("%s/var/lib/docker/containers/%s/config.v2.json", root, container->id);
	const char *name;

	if (!state)
		return NULL;
	name = text_of(member(state, "Name"));
	try(fill(&container->name, *name == '/' ? name + 1 : name));
	try(fill(&container->image, text_of(member(member(state, "Config"), "Image"))));
	return fill(&container->runtime, "docker");
}

static struct error *storage_entry(json_object *entry, struct container *container)
{
	json_object *names = member(entry, "names"), *text = member(entry, "metadata");
	cleanup(object_cleanup) json_object *metadata = NULL;

	if (json_object_is_type(text, json_type_string))
		metadata =
			text_parse(json_object_get_string(text), json_object_get_string_len(text));
	try(fill(&container->pod, text_of(member(metadata, "pod-name"))));
	/* CRI-O's "names" say the place, "k8s_CONTAINER_POD_..."; the name stands apart. */
	if (member(metadata, "pod-id"))
		try(fill(&container->name, text_of(member(metadata, "container-name"))));
	if (json_object_is_type(names, json_type_array) && json_object_array_length(names))
		try(fill(&container->name, text_of(json_object_array_get_idx(names, 0))));
	try(fill(&container->image, text_of(member(metadata, "image-name"))));
	return fill(&container->runtime, member(metadata, "pod-id") ? "cri-o" : "podman");
}

/* podman's and CRI-O's containers are in one file for each way to store them (DRIVER). */
static struct error *storage_describe_by(const char *root, const char *driver,
					 struct container *container)
{
	cleanup(object_cleanup) json_object *all = state_read(
		"%s/var/lib/containers/storage/%s-containers/containers.json", root, driver);

	if (!json_object_is_type(all, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		json_object *entry = json_object_array_get_idx(all, i);

		if (!strcmp(text_of(member(entry, "id")), container->id))
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

static struct error *annotations_describe(json_object *annotations, struct container *container)
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
			 text_of(member(annotations, keys[i].key))));
	return NULL;
}

/* The bundle's config.json of a container; RET stays NULL if containerd has no such one. */
static struct error *containerd_config(const char *root, const char *id, json_object **ret)
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
	cleanup(object_cleanup) json_object *config = NULL;

	try(containerd_config(root, container->id, &config));
	if (!config)
		return NULL;
	try(annotations_describe(member(config, "annotations"), container));
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
	cleanup(object_cleanup) json_object *state = NULL;
	json_object *pid;

	*ret = 0;
	if (strchr(name, '/') || name[0] == '.')
		return NULL;
	state = state_read("%s/run/runc/%s/state.json", root, name);
	pid = member(state, "init_process_pid");
	if (json_object_is_type(pid, json_type_int) && json_object_get_int64(pid) > 0 &&
	    json_object_get_int64(pid) <= INT_MAX)
		*ret = json_object_get_int(pid);
	return NULL;
}

struct error *container_is_known(const char *root, const char *name, bool *ret)
{
	cleanup(object_cleanup) json_object *config = NULL;
	pid_t pid;

	try(container_runc_pid(root, name, &pid));
	if (!pid)
		try(containerd_config(root, name, &config));
	*ret = pid || config;
	return NULL;
}
