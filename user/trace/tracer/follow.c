// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Watches a tree of processes or a control group for members that come and go. */
#include "trace/tracer/follow.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "follow.skel.h"
#include "trace/attach/kernel.h"

struct follow {
	struct follow_bpf *skeleton;
	struct ring_buffer *ring;
	dev_t device;          /* the folder of the control group */
	ino_t inode;           /* and its number: a folder made anew has another one */
	follow_handler handle; /* while records are consumed */
	void *context;
};

static int record_handle(void *context, void *data, size_t size)
{
	struct follow *follow = context;

	if (size >= sizeof(struct follow_record) && follow->handle)
		follow->handle(follow->context, data);
	return 0;
}

static struct error *cgroup_set(struct follow *follow, const char *folder)
{
	cleanup_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t key = 0;
	struct stat found;

	if (fd < 0)
		return error_create_errno(errno == ENOENT ? ERROR_NOTHING : ERROR_FAILED, errno,
					  "cannot open the control group %s", folder);
	if (bpf_map_update_elem(bpf_map__fd(follow->skeleton->maps.cgroup), &key, &fd, BPF_ANY))
		return error_create_errno(ERROR_FAILED, errno, "cannot watch the control group %s",
					  folder);
	if (fstat(fd, &found))
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot look at the control group %s", folder);
	follow->device = found.st_dev;
	follow->inode = found.st_ino;
	return NULL;
}

struct error *follow_cgroup(struct follow *follow, const char *folder, bool *ret)
{
	struct error *error;
	struct stat found;

	*ret = false;
	if (stat(folder, &found) ||
	    (found.st_dev == follow->device && found.st_ino == follow->inode))
		return NULL;
	error = cgroup_set(follow, folder);
	if (error && error_kind(error) == ERROR_NOTHING) { /* gone again */
		error_destroy(error);
		return NULL;
	}
	*ret = !error;
	return error;
}

static struct error *follow_start(struct follow *follow, enum follow_scope scope,
				  const char *folder)
{
	libbpf_set_print(NULL);
	follow->skeleton = follow_bpf__open();
	if (!follow->skeleton)
		return error_create_errno(ERROR_FAILED, errno, "cannot open the BPF programs");
	follow->skeleton->rodata->scope = scope;
	/* Otherwise the kernel warns: see tracer_maps.c. All of it is some 4 MB. */
	if (!runtime_memory_try())
		bpf_map__set_map_flags(follow->skeleton->maps.members, 0);
	if (follow_bpf__load(follow->skeleton))
		return error_advise(
			error_create_errno(ERROR_FAILED, errno, "cannot load the BPF programs"),
			"`tmbpf doctor` shows what this kernel and these privileges allow.");
	if (scope == FOLLOW_CGROUP)
		try(cgroup_set(follow, folder));
	follow->ring = ring_buffer__new(bpf_map__fd(follow->skeleton->maps.ring), record_handle,
					follow, NULL);
	if (!follow->ring)
		return error_create_errno(ERROR_FAILED, errno, "cannot map the ring buffer");
	if (follow_bpf__attach(follow->skeleton))
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot watch for fork, exec and exit");
	return NULL;
}

struct error *follow_create(enum follow_scope scope, const char *folder, struct follow **ret)
{
	struct follow *follow = calloc(1, sizeof(*follow));
	struct error *error;

	if (!follow)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot watch processes");
	error = follow_start(follow, scope, folder);
	if (error) {
		follow_destroy(follow);
		return error;
	}
	*ret = follow;
	return NULL;
}

void follow_destroy(struct follow *follow)
{
	if (!follow)
		return;
	ring_buffer__free(follow->ring);
	follow_bpf__destroy(follow->skeleton);
	free(follow);
}

struct error *follow_add(struct follow *follow, pid_t pid, pid_t parent)
{
	uint32_t key = pid, value = parent;

	/* The kernel may know it already, and knows better. */
	if (bpf_map_update_elem(bpf_map__fd(follow->skeleton->maps.members), &key, &value,
				BPF_NOEXIST) &&
	    errno != EEXIST)
		return error_create_errno(ERROR_FAILED, errno, "cannot follow process %d", pid);
	return NULL;
}

void follow_remove(struct follow *follow, pid_t pid)
{
	uint32_t key = pid;

	bpf_map_delete_elem(bpf_map__fd(follow->skeleton->maps.members), &key);
}

struct error *follow_members(struct follow *follow, struct follow_member **ret, size_t *ret_count)
{
	int map = bpf_map__fd(follow->skeleton->maps.members);
	cleanup_free struct follow_member *members = NULL;
	size_t count = 0, capacity = 0;
	uint32_t key, value, *last = NULL;

	/*
	 * Keys that vanish meanwhile may make it begin anew: twice as many as there is room for are
	 * enough.
	 */
	while (count < 2 * FOLLOW_MEMBERS_MAX && !bpf_map_get_next_key(map, last, &key)) {
		last = &key;
		if (bpf_map_lookup_elem(map, &key, &value))
			continue;
		try(array_reserve(&members, &capacity, count, 1, sizeof(*members)));
		members[count++] = (struct follow_member){(pid_t)key, (pid_t)value};
	}
	*ret = take(members);
	*ret_count = count;
	return NULL;
}

int follow_fd(const struct follow *follow)
{
	return ring_buffer__epoll_fd(follow->ring);
}

void follow_consume(struct follow *follow, follow_handler handle, void *context)
{
	follow->handle = handle;
	follow->context = context;
	ring_buffer__consume(follow->ring);
	follow->handle = NULL;
}

void follow_losses(const struct follow *follow, uint64_t *ret_events, uint64_t *ret_members)
{
	*ret_events = __atomic_load_n(&follow->skeleton->bss->lost_events, __ATOMIC_RELAXED);
	*ret_members = __atomic_load_n(&follow->skeleton->bss->lost_members, __ATOMIC_RELAXED);
}
