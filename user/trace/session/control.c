// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The control socket: requests, replies, and the connections that carry them. */
#include "trace/session/control.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "trace/session/control_internal.h"
#include "trace/session/run_folder.h"

#define REQUEST_MAX        65536
#define REPLY_MAX          (64u << 20)
#define PAYLOAD_MAX        (8ull << 30)
#define REQUEST_TIMEOUT_MS 1000

struct control_subject control_subject_of_process(pid_t pid)
{
	struct control_subject subject;

	subject.pid = pid;
	snprintf(subject.file, sizeof(subject.file), "%d", pid);
	snprintf(subject.said, sizeof(subject.said), "process %d", pid);
	snprintf(subject.option, sizeof(subject.option), "-p %d", pid);
	return subject;
}

struct control_subject control_subject_of_group(const char *name)
{
	struct control_subject subject;

	snprintf(subject.file, sizeof(subject.file), CONTROL_GROUP_PREFIX "%.*s", CONTROL_GROUP_MAX,
		 name);
	snprintf(subject.said, sizeof(subject.said), "the group %.*s", CONTROL_GROUP_MAX, name);
	subject.pid = 0;
	subject.option[0] = 0;
	return subject;
}

char *control_subject_path(const struct control_subject *subject, const char *kind)
{
	char *path;

	return asprintf(&path, "%s/%s.%s", run_folder_path(), subject->file, kind) < 0 ? NULL
										       : path;
}

char *control_path(pid_t pid, const char *kind)
{
	const struct control_subject subject = control_subject_of_process(pid);

	return control_subject_path(&subject, kind);
}

char *control_group_path(const char *name, const char *kind)
{
	const struct control_subject subject = control_subject_of_group(name);

	return control_subject_path(&subject, kind);
}

static struct error *address_fill(const struct control_subject *subject, struct sockaddr_un *ret)
{
	cleanup_free char *path = control_subject_path(subject, "sock");

	if (!path)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot name the control socket");
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(ret->sun_path))
		return error_create(ERROR_FAILED, "the path of the control socket is too long: %s",
				    path);
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return NULL;
}

static struct error *subject_listen(const struct control_subject *subject, int *ret)
{
	struct sockaddr_un address;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int failed;

	try(address_fill(subject, &address));
	if (fd < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot open a control socket");
	unlink(address.sun_path);
	mask = umask(0177);
	failed = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (failed || listen(fd, 16))
		return error_create_errno(ERROR_FAILED, errno, "cannot listen at %s",
					  address.sun_path);
	*ret = take_fd(fd);
	return NULL;
}

struct error *control_listen(pid_t pid, int *ret)
{
	const struct control_subject subject = control_subject_of_process(pid);

	return subject_listen(&subject, ret);
}

struct error *control_group_listen(const char *name, int *ret)
{
	const struct control_subject subject = control_subject_of_group(name);

	return subject_listen(&subject, ret);
}

void control_subject_unlisten(const struct control_subject *subject, int fd)
{
	cleanup_free char *socket_path = control_subject_path(subject, "sock"),
			  *lock = control_subject_path(subject, "lock");

	if (socket_path)
		unlink(socket_path);
	if (lock)
		unlink(lock);
	if (fd >= 0)
		close(fd);
}

void control_unlisten(pid_t pid, int fd)
{
	const struct control_subject subject = control_subject_of_process(pid);

	control_subject_unlisten(&subject, fd);
}

void control_group_unlisten(const char *name, int fd)
{
	const struct control_subject subject = control_subject_of_group(name);

	control_subject_unlisten(&subject, fd);
}

/* Reads a line of at most MOST bytes into a malloc'd string. What follows it stays unread. */
static struct error *line_read(int fd, size_t most, int timeout, char **ret)
{
	cleanup_free char *line = NULL;
	size_t size = 0, capacity = 0;

	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		ssize_t peeked;
		char *end;

		if (capacity - size < 4096) {
			char *more = realloc(line, capacity = 2 * capacity + 8192);

			if (!more)
				return error_create_errno(ERROR_FAILED, ENOMEM,
							  "cannot read from the control socket");
			line = more;
		}
		if (poll(&wait, 1, timeout) <= 0)
			return error_create(ERROR_FAILED, "no answer at the control socket");
		peeked = recv(fd, line + size, capacity - size - 1, MSG_PEEK);
		if (peeked <= 0)
			return error_create_errno(ERROR_FAILED, peeked ? errno : ECONNRESET,
						  "the control socket was closed");
		end = memchr(line + size, '\n', peeked);
		if (end)
			peeked = end - (line + size) + 1;
		if (recv(fd, line + size, peeked, 0) != peeked)
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot read from the control socket");
		size += peeked;
		if (end)
			break;
		if (size > most)
			return error_create(ERROR_FAILED,
					    "a line of more than %zu bytes at the control socket",
					    most);
	}
	line[size - 1] = 0;
	*ret = take(line);
	return NULL;
}

static struct error *bytes_write(int fd, const void *data, size_t size)
{
	const char *next = data;

	while (size) {
		struct pollfd wait = {.fd = fd, .events = POLLOUT};
		ssize_t written;

		if (poll(&wait, 1, 10000) <= 0)
			return error_create(ERROR_FAILED, "nobody reads at the control socket");
		written = send(fd, next, size, MSG_NOSIGNAL);
		if (written < 0 && errno != EINTR && errno != EAGAIN)
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot write to the control socket");
		if (written > 0) {
			next += written;
			size -= written;
		}
	}
	return NULL;
}

static struct error *object_write(int fd, struct json_object *object)
{
	const char *text = object ? json_pack(object) : NULL;

	if (!text)
		return error_create_errno(ERROR_FAILED, ENOMEM,
					  "cannot write to the control socket");
	try(bytes_write(fd, text, strlen(text)));
	return bytes_write(fd, "\n", 1);
}

static struct error *object_read(int fd, size_t most, int timeout, struct json_object **ret)
{
	cleanup_free char *line = NULL;
	try(line_read(fd, most, timeout, &line));
	*ret = json_parse(line);
	return *ret ? NULL : error_create(ERROR_FAILED, "no JSON object at the control socket");
}

struct error *control_receive(int fd, struct json_object **ret)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return error_create_errno(ERROR_FAILED, errno, "cannot tell who asks");
	if (peer.uid != 0 && peer.uid != geteuid())
		return error_create(ERROR_FAILED, "user %u may not ask this session", peer.uid);
	return object_read(fd, REQUEST_MAX, REQUEST_TIMEOUT_MS, ret);
}

struct error *control_reply(int fd, struct json_object *reply, const void *payload, size_t size)
{
	struct json json = json_of(reply);

	if (payload)
		json_number(&json, reply, "payload", size);
	try(json_built(&json));
	try(object_write(fd, reply));
	return payload ? bytes_write(fd, payload, size) : NULL;
}

struct error *control_reply_error(int fd, const struct error *error)
{
	cleanup(json_deinit) struct json reply;

	json_init(&reply);
	json_text(&reply, reply.root, "error", error_message(error));
	json_number(&reply, reply.root, "kind", error_kind(error));
	if (error_advice(error))
		json_text(&reply, reply.root, "advice", error_advice(error));
	try(json_built(&reply));
	return object_write(fd, reply.root);
}

struct error *control_subject_connect(const struct control_subject *subject, int *ret)
{
	struct sockaddr_un address;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	try(run_folder_check());
	try(address_fill(subject, &address));
	if (fd < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot open a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int number = errno;

		if (number == EACCES || number == EPERM)
			return error_advise(error_create_errno(ERROR_FAILED, number,
							       "cannot reach the session of %s",
							       subject->said),
					    "Run as root.");
		if (number != ENOENT && number != ECONNREFUSED)
			return error_create_errno(ERROR_FAILED, number,
						  "cannot reach the session of %s", subject->said);
		if (subject->pid && kill(subject->pid, 0) && errno == ESRCH)
			return error_create(ERROR_NOTHING, "no %s", subject->said);
		return error_advise(error_create(ERROR_NOTHING, "%s is not traced", subject->said),
				    "`tmbpf start%s%s` begins a session.",
				    *subject->option ? " " : "", subject->option);
	}
	*ret = take_fd(fd);
	return NULL;
}

static struct error *reply_error(struct json_object *reply)
{
	const char *message = "the session failed, and does not say why", *advice;
	bool nothing = json_get_number(reply, "kind") == ERROR_NOTHING;
	struct error *error;

	if (!json_has(reply, "error"))
		return NULL;
	json_read_text(reply, "error", &message);
	error = error_create(nothing ? ERROR_NOTHING : ERROR_FAILED, "%s", message);
	if (json_read_text(reply, "advice", &advice))
		error = error_advise(error, "%s", advice);
	return error;
}

static struct error *payload_read(int fd, struct json_object *reply, void **ret, size_t *ret_size)
{
	cleanup_free char *data = NULL;
	uint64_t size;

	if (!json_has(reply, "payload"))
		return error_create(ERROR_FAILED, "the session sent no data");
	if (!json_read_number(reply, "payload", &size) || size > PAYLOAD_MAX)
		return error_create(ERROR_FAILED, "the session sent a wrong size");
	data = malloc(size + 1);
	if (!data)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot receive %" PRIu64 " bytes",
					  size);
	for (uint64_t have = 0; have < size;) {
		ssize_t got = recv(fd, data + have, size - have, 0);

		if (got <= 0)
			return error_create_errno(ERROR_FAILED, got ? errno : ECONNRESET,
						  "the session broke off");
		have += got;
	}
	*ret = take(data);
	*ret_size = size;
	return NULL;
}

static struct error *subject_request(const struct control_subject *subject,
				     struct json_object *request, struct json_object **ret,
				     void **ret_payload, size_t *ret_size)
{
	cleanup(json_cleanup) struct json_object *reply = NULL;
	cleanup_fd int fd = -1;
	struct error *error;

	try(control_subject_connect(subject, &fd));
	error = object_write(fd, request);
	if (!error)
		error = object_read(fd, REPLY_MAX, -1, &reply);
	/* The target has ended, or somebody stopped the session. */
	if (error && (error_number(error) == ECONNRESET || error_number(error) == EPIPE)) {
		error_destroy(error);
		return error_create(ERROR_NOTHING, "%s is traced no more", subject->said);
	}
	try(error);
	try(reply_error(reply));
	if (ret_payload)
		try(payload_read(fd, reply, ret_payload, ret_size));
	*ret = take(reply);
	return NULL;
}

struct error *control_request(pid_t pid, struct json_object *request, struct json_object **ret,
			      void **ret_payload, size_t *ret_size)
{
	const struct control_subject subject = control_subject_of_process(pid);

	return subject_request(&subject, request, ret, ret_payload, ret_size);
}

struct error *control_group_request(const char *name, struct json_object *request,
				    struct json_object **ret)
{
	const struct control_subject subject = control_subject_of_group(name);

	return subject_request(&subject, request, ret, NULL, NULL);
}
