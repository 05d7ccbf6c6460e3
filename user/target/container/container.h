/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Containers, by the control groups of their processes and by what the runtimes leave on this
 * machine.
 *
 * A control group's last component names a container as its runtime does:
 *
 *	docker, nerdctl     /docker/ID, /system.slice/docker-ID.scope, nerdctl-ID.scope
 *	containerd (CRI)    /kubepods/.../podUID/ID, cri-containerd-ID.scope
 *	CRI-O, podman       crio-ID.scope, libpod-ID.scope (and without .scope), machine.slice/...
 *	ctr, runc, lxc      /NAMESPACE/NAME, /NAME, runc-NAME.scope, lxc.payload.NAME
 *
 * where ID is 64 hexadecimal digits. Names and images of containers with such an id stand in the
 * state files of their runtimes:
 *
 *	docker     /var/lib/docker/containers/ID/config.v2.json: Name ("/web"), Config.Image
 *	           (moby, container/container.go)
 *	podman,    /var/lib/containers/storage/DRIVER-containers/containers.json: id, names,
 *	CRI-O      metadata, a text of JSON with "image-name" (containers/storage, containers.go)
 *	containerd /run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json:
 *	           annotations (containerd, internal/cri/annotations; nerdctl, pkg/labels)
 *	runc       /run/runc/ID/state.json: init_process_pid, cgroup_paths
 *	           (runc, libcontainer/container_linux.go)
 *
 * They were written by others, in part by who is in the container: all of it is bounded, and only
 * shown.
 */
#ifndef TMBPF_TARGET_CONTAINER_CONTAINER_H
#define TMBPF_TARGET_CONTAINER_CONTAINER_H

#include <stdbool.h>

#include "target/container/cgroup.h"

#define CONTAINER_ID_LENGTH 64

struct container {
	char *id;      /* 64 digits, or the name where there are none */
	char *name;    /* "" not known */
	char *pod;     /* Kubernetes' pod; "" none, or not known */
	char *image;   /* "" not known */
	char *runtime; /* "docker", "containerd", "cri-o", "podman", ...; "" not known */
	struct cgroups groups;
};

void container_deinit(struct container *container);

/*
 * The container that a control group of this PATH is, by its last component: its id or name in RET
 * (malloc'd), and whether that is an id. False, and RET untouched, where it does not look like one.
 */
bool container_component(const char *component, size_t length, char **ret, bool *ret_is_id);

/*
 * The container that WANTED names: by its whole id, the beginning of it that no other running
 * container shares, or its name (also "POD/NAME"). ERROR_NOTHING if no process runs in such a one;
 * ERROR_FAILED if there are several.
 */
struct error *container_find(const char *root, const char *wanted, struct container *ret);

/*
 * The innermost container that a process with these control groups is in; all members "" if none
 * is known.
 */
struct error *container_of(const char *root, const struct cgroups *of, struct container *ret);

#endif
