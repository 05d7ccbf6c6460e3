// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/control.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

#define REQUEST_MAX 65536
#define REPLY_MAX   (64u << 20)
#define PAYLOAD_MAX (8ull << 30)
/* How long a lock is waited for behind which nobody answers (yet, or any more). */
#define LOCK_WAIT_MS       2000
#define LOCK_STEP_MS       20
#define REQUEST_TIMEOUT_MS 1000

static struct error *session_connect(pid_t pid, int *ret);

static const char *folder_path(void)
{
	const char *path = getenv("TMBPF_RUN");

	return path && *path ? path : "/run/tmbpf";
}

struct error *control_folder(const char **ret)
{
	const char *path = folder_path();
	struct stat found;

	if (mkdir(path, 0700) && errno != EEXIST)
		return error_advise(error_create_errno(ERROR_FAILED, errno, "cannot make %s", path),
				    "Run as root.");
	if (lstat(path, &found) || !S_ISDIR(found.st_mode) || found.st_uid != geteuid() ||
	    found.st_mode & 0022)
		return error_advise(
			error_create(ERROR_FAILED,
				     "%s is not a directory that only this user can write to",
				     path),
			"Run as root, or set TMBPF_RUN to a directory of your own.");
	*ret = path;
	return NULL;
}

char *control_path(pid_t pid, const char *kind)
{
	char *path;

	return asprintf(&path, "%s/%d.%s", folder_path(), pid, kind) < 0 ? NULL : path;
}

/* Whether PATH still names the file that FD is: a session that ends removes its lock. */
static bool lock_current(const char *path, int fd)
{
	struct stat named, open;

	return !stat(path, &named) && !fstat(fd, &open) && named.st_ino == open.st_ino &&
	       named.st_dev == open.st_dev;
}

static struct error *lock_try(pid_t pid, const char *path, int *ret_lock)
{
	for (;;) {
		cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return error_create_errno(ERROR_FAILED, errno, "cannot open %s", path);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			if (errno != EWOULDBLOCK)
				return error_create_errno(ERROR_FAILED, errno, "cannot lock %s",
							  path);
			return error_create_errno(ERROR_FAILED, EWOULDBLOCK,
						  "process %d is traced already", pid);
		}
		if (lock_current(path, fd)) {
			*ret_lock = take_fd(fd);
			return NULL;
		}
	}
}

/* Whether somebody answers for PID's session: a tracer that was killed holds its lock until it is gone. */
static bool session_answers(pid_t pid)
{
	struct error *error;
	int fd;

	error = session_connect(pid, &fd);
	if (error) {
		error_destroy(error);
		return false;
	}
	close(fd);
	return true;
}

struct error *control_lock(pid_t pid, int *ret_lock)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000};
	cleanup_free char *path = NULL;
	struct error *error;
	const char *folder;

	try(control_folder(&folder));
	path = control_path(pid, "lock");
	if (!path)
		return error_create_errno(ERROR_FAILED, ENOMEM,
					  "cannot lock the session of process %d", pid);
	for (int waited = 0;; waited += LOCK_STEP_MS) {
		error = lock_try(pid, path, ret_lock);
		if (!error || error_number(error) != EWOULDBLOCK)
			return error;
		if (waited >= LOCK_WAIT_MS || session_answers(pid))
			break;
		error_destroy(error);
		nanosleep(&step, NULL);
	}
	error_destroy(error);
	return error_advise(error_create(ERROR_FAILED, "process %d is traced already", pid),
			    "`tmbpf status -p %d` shows the session, `tmbpf stop -p %d` ends it.",
			    pid, pid);
}

static struct error *address_fill(pid_t pid, struct sockaddr_un *ret)
{
	cleanup_free char *path = control_path(pid, "sock");

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

struct error *control_listen(pid_t pid, int *ret)
{
	struct sockaddr_un address;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int failed;

	try(address_fill(pid, &address));
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

void control_unlisten(pid_t pid, int fd)
{
	cleanup_free char *socket_path = control_path(pid, "sock"),
			  *lock = control_path(pid, "lock");

	if (socket_path)
		unlink(socket_path);
	if (lock)
		unlink(lock);
	if (fd >= 0)
		close(fd);
}

/* Reads a line of at most MOST bytes into a malloc'd string; what follows it stays unread. */
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

static struct error *object_write(int fd, json_object *object)
{
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);

	if (!text)
		return error_create_errno(ERROR_FAILED, ENOMEM,
					  "cannot write to the control socket");
	try(bytes_write(fd, text, strlen(text)));
	return bytes_write(fd, "\n", 1);
}

static struct error *object_read(int fd, size_t most, int timeout, json_object **ret)
{
	cleanup_free char *line = NULL;
	json_object *object;

	try(line_read(fd, most, timeout, &line));
	object = json_tokener_parse(line);
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return error_create(ERROR_FAILED, "no JSON object at the control socket");
	}
	*ret = object;
	return NULL;
}

struct error *control_receive(int fd, json_object **ret)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return error_create_errno(ERROR_FAILED, errno, "cannot tell who asks");
	if (peer.uid != 0 && peer.uid != geteuid())
		return error_create(ERROR_FAILED, "user %u may not ask this session", peer.uid);
	return object_read(fd, REQUEST_MAX, REQUEST_TIMEOUT_MS, ret);
}

struct error *control_reply(int fd, json_object *reply, const void *payload, size_t size)
{
	if (payload)
		json_object_object_add(reply, "payload", json_object_new_int64(size));
	try(object_write(fd, reply));
	return payload ? bytes_write(fd, payload, size) : NULL;
}

struct error *control_reply_error(int fd, const struct error *error)
{
	cleanup(json_cleanup) json_object *reply = json_object_new_object();

	json_object_object_add(reply, "error", json_object_new_string(error_message(error)));
	json_object_object_add(reply, "kind", json_object_new_int(error_kind(error)));
	if (error_advice(error))
		json_object_object_add(reply, "advice",
				       json_object_new_string(error_advice(error)));
	return object_write(fd, reply);
}

static struct error *session_connect(pid_t pid, int *ret)
{
	struct sockaddr_un address;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	try(address_fill(pid, &address));
	if (fd < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot open a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int number = errno;

		if (number == EACCES || number == EPERM)
			return error_advise(
				error_create_errno(ERROR_FAILED, number,
						   "cannot reach the session of process %d", pid),
				"Run as root.");
		if (number != ENOENT && number != ECONNREFUSED)
			return error_create_errno(ERROR_FAILED, number,
						  "cannot reach the session of process %d", pid);
		if (kill(pid, 0) && errno == ESRCH)
			return error_create(ERROR_NOTHING, "no process %d", pid);
		return error_advise(error_create(ERROR_NOTHING, "process %d is not traced", pid),
				    "`tmbpf start -p %d` begins a session.", pid);
	}
	*ret = take_fd(fd);
	return NULL;
}

static struct error *reply_error(json_object *reply)
{
	json_object *message, *advice, *kind;
	struct error *error;

	if (!json_object_object_get_ex(reply, "error", &message))
		return NULL;
	error = error_create(json_object_object_get_ex(reply, "kind", &kind) &&
					     json_object_get_int(kind) == ERROR_NOTHING
				     ? ERROR_NOTHING
				     : ERROR_FAILED,
			     "%s", json_object_get_string(message));
	if (json_object_object_get_ex(reply, "advice", &advice))
		error = error_advise(error, "%s", json_object_get_string(advice));
	return error;
}

static struct error *payload_read(int fd, json_object *reply, void **ret, size_t *ret_size)
{
	cleanup_free char *data = NULL;
	json_object *length;
	int64_t size;

	if (!json_object_object_get_ex(reply, "payload", &length))
		return error_create(ERROR_FAILED, "the session sent no data");
	size = json_object_get_int64(length);
	if (size < 0 || (uint64_t)size > PAYLOAD_MAX)
		return error_create(ERROR_FAILED, "the session sent a wrong size");
	data = malloc(size + 1);
	if (!data)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot receive %lld bytes",
					  (long long)size);
	for (int64_t have = 0; have < size;) {
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

struct error *control_request(pid_t pid, json_object *request, json_object **ret,
			      void **ret_payload, size_t *ret_size)
{
	cleanup(json_cleanup) json_object *reply = NULL;
	cleanup_fd int fd = -1;
	struct error *error;

	try(session_connect(pid, &fd));
	error = object_write(fd, request);
	if (!error)
		error = object_read(fd, REPLY_MAX, -1, &reply);
	/* Its process has ended, or somebody stopped it. */
	if (error && (error_number(error) == ECONNRESET || error_number(error) == EPIPE)) {
		error_destroy(error);
		return error_create(ERROR_NOTHING, "process %d is traced no more", pid);
	}
	try(error);
	try(reply_error(reply));
	if (ret_payload)
		try(payload_read(fd, reply, ret_payload, ret_size));
	*ret = take(reply);
	return NULL;
}

/* Removes the socket that a tracer of PID left behind that was killed; not that of one that begins. */
static void stale_remove(pid_t pid)
{
	cleanup_free char *path = control_path(pid, "lock");
	struct error *error;
	int lock;

	if (!path)
		return;
	error = lock_try(pid, path, &lock);
	if (error) {
		error_destroy(error);
		return;
	}
	control_unlisten(pid, -1);
	close(lock);
}

static int pid_compare(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

struct error *control_files(const char *kind, pid_t **ret, size_t *ret_count)
{
	cleanup_dir DIR *folder = opendir(folder_path());
	cleanup_free pid_t *pids = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;

	if (!folder && errno != ENOENT)
		return error_advise(error_create_errno(ERROR_FAILED, errno, "cannot read %s",
						       folder_path()),
				    "Run as root.");
	while (folder && (entry = readdir(folder))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (pid <= 0 || pid > INT_MAX || *end != '.' || strcmp(end + 1, kind) != 0)
			continue;
		try(array_reserve(&pids, &capacity, count, 1, sizeof(*pids)));
		pids[count++] = (pid_t)pid;
	}
	if (count)
		qsort(pids, count, sizeof(*pids), pid_compare);
	*ret = take(pids);
	*ret_count = count;
	return NULL;
}

struct error *control_sessions(pid_t **ret, size_t *ret_count)
{
	cleanup_free pid_t *pids = NULL;
	size_t found = 0, count = 0;

	try(control_files("sock", &pids, &found));
	for (size_t i = 0; i < found; i++) {
		struct error *error;
		int fd;

		error = session_connect(pids[i], &fd);
		if (error) {
			error_destroy(error);
			stale_remove(pids[i]);
			continue;
		}
		close(fd);
		pids[count++] = pids[i];
	}
	*ret = take(pids);
	*ret_count = count;
	return NULL;
}
