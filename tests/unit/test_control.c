// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The control socket: both ends of it, and what is not to be trusted at either. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "support.h"
#include "trace/session/control.h"
#include "trace/session/run_folder.h"

#define PID         ((int)getpid())
#define PAYLOAD_MAX (3u << 20)

static char *folder;

static int setup(void **context)
{
	char *above = support_folder();

	(void)context;
	folder = support_path(above, "run");
	free(above);
	return setenv("TMBPF_RUN", folder, 1);
}

static int teardown(void **context)
{
	char *above = strdup(folder);

	(void)context;
	assert_non_null(above);
	*strrchr(above, '/') = 0;
	support_folder_remove(above);
	free(folder);
	return 0;
}

static mode_t mode_of(const char *path)
{
	struct stat found;

	assert_int_equal(lstat(path, &found), 0);
	return found.st_mode & 07777;
}

static void test_folder(void **context)
{
	(void)context;
	support_ok(run_folder_check()); /* it is not there */
	support_ok(run_folder_make());
	assert_string_equal(run_folder_path(), folder);
	assert_int_equal(mode_of(folder), 0700);
	support_ok(run_folder_make()); /* it is there */
	support_ok(run_folder_check());
	assert_int_equal(chmod(folder, 0770), 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(chmod(folder, 0702), 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(symlink("/tmp", folder), 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(unlink(folder), 0);
	support_write(folder, "", 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(unlink(folder), 0);
	setenv("TMBPF_RUN", "/nowhere/at/all", 1);
	support_fails(run_folder_make(), ERROR_FAILED, "/nowhere/at/all");
	unsetenv("TMBPF_RUN");
	free(control_path(1, "sock"));
	setenv("TMBPF_RUN", folder, 1);
}

static void test_path(void **context)
{
	cleanup_free char *path = control_path(PID, "pb.gz"), *expected = NULL;

	(void)context;
	assert_true(asprintf(&expected, "%s/%d.pb.gz", folder, PID) > 0);
	assert_string_equal(path, expected);
}

static void test_files(void **context)
{
	static const char *const names[] = {"20.status",  "3.status",  "100.status", "7.statuses",
					    "0.status",   "-4.status", "status",     "5status",
					    "5.snapshot", "x.status"};
	cleanup_free pid_t *pids = NULL, *none = NULL;
	size_t count = 1;

	(void)context;
	support_ok(control_files("status", &none, &count)); /* no folder */
	assert_int_equal(count, 0);
	support_ok(run_folder_make());
	for (size_t i = 0; i < array_size(names); i++) {
		cleanup_free char *path = support_path(folder, names[i]);

		support_write(path, "", 0);
	}
	support_ok(control_files("status", &pids, &count));
	assert_int_equal(count, 3);
	assert_int_equal(pids[0], 3);
	assert_int_equal(pids[1], 20);
	assert_int_equal(pids[2], 100);
}

static void test_lock(void **context)
{
	cleanup_free char *path = control_path(PID, "lock");
	int lock, other, listener;

	(void)context;
	support_ok(control_lock(PID, &lock));
	support_ok(control_listen(PID, &listener));
	assert_int_equal(mode_of(path), 0600);
	support_fails(control_lock(PID, &other), ERROR_FAILED, "traced already");
	support_ok(control_lock(PID + 1, &other)); /* another process */
	close(other);
	/* Its session ends, and takes the lock's file away. */
	control_unlisten(PID, listener);
	close(lock);
	assert_int_equal(access(path, F_OK), -1);
	support_ok(control_lock(PID, &lock));
	close(lock);
	support_ok(control_lock(PID, &lock)); /* one that was killed leaves the file */
	close(lock);
	/* Nobody's link is followed. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	support_fails(control_lock(PID, &lock), ERROR_FAILED, "cannot open");
}

/* The file that is locked is taken away and made anew meanwhile: the old lock protects nothing. */
static void test_lock_of_a_file_that_is_gone(void **context)
{
	cleanup_free char *path = control_path(PID, "lock");
	int first, second;

	(void)context;
	support_ok(control_lock(PID, &first));
	assert_int_equal(unlink(path), 0);
	support_ok(control_lock(PID, &second));
	assert_int_equal(flock(second, LOCK_EX | LOCK_NB), 0);
	close(first);
	close(second);
}

static void test_listen(void **context)
{
	cleanup_free char *path = control_path(PID, "sock");
	char long_folder[200];
	int lock, listener, again;

	(void)context;
	support_ok(control_lock(PID, &lock));
	support_write(path, "left behind", 11);
	support_ok(control_listen(PID, &listener));
	assert_int_equal(mode_of(path) & 0177, 0);
	support_ok(control_listen(PID, &again));
	close(listener);
	control_unlisten(PID, again);
	assert_int_equal(access(path, F_OK), -1);
	control_unlisten(PID, -1); /* nothing is there any more */
	memset(long_folder, 'x', sizeof(long_folder) - 1);
	long_folder[0] = '/';
	long_folder[sizeof(long_folder) - 1] = 0;
	setenv("TMBPF_RUN", long_folder, 1);
	support_fails(control_listen(PID, &listener), ERROR_FAILED, "too long");
	setenv("TMBPF_RUN", folder, 1);
	close(lock);
}

static void put(int fd, const void *data, size_t size)
{
	const char *next = data;

	while (size) {
		ssize_t written = send(fd, next, size, MSG_NOSIGNAL);

		if (written < 0)
			return; /* the other end has had enough */
		next += written;
		size -= written;
	}
}

/* A session of one request: a thread that takes it, keeps it, and answers as it is told. */
static struct session {
	pthread_t thread;
	int lock, listener;
	json_object *request;
	struct error *error; /* of taking the request, or of the reply */
	/* What is answered: the first that is set. */
	const struct error *reply_error;
	const char *raw;
	size_t raw_size;
	const char *reply;
	const void *payload;
	size_t payload_size;
} session;

static void *session_run(void *context)
{
	struct pollfd wait = {.fd = session.listener, .events = POLLIN};
	cleanup(json_cleanup) json_object *reply = NULL;
	cleanup_fd int fd = -1;

	(void)context;
	if (poll(&wait, 1, 10000) != 1)
		return NULL;
	fd = accept4(session.listener, NULL, NULL, SOCK_CLOEXEC);
	session.error = control_receive(fd, &session.request);
	if (session.error)
		return NULL;
	if (session.reply_error) {
		session.error = control_reply_error(fd, session.reply_error);
	} else if (session.raw) {
		put(fd, session.raw, session.raw_size);
	} else {
		reply = json_tokener_parse(session.reply);
		session.error = control_reply(fd, reply, session.payload, session.payload_size);
	}
	return NULL;
}

static void session_begin(void)
{
	support_ok(control_lock(PID, &session.lock));
	support_ok(control_listen(PID, &session.listener));
	assert_int_equal(pthread_create(&session.thread, NULL, session_run, NULL), 0);
}

static void session_finish(void)
{
	pthread_join(session.thread, NULL);
	error_destroy(session.error);
	json_object_put(session.request);
	control_unlisten(PID, session.listener);
	close(session.lock);
	session = (struct session){0};
}

static struct error *ask(json_object **ret, void **ret_payload, size_t *ret_size)
{
	cleanup(json_cleanup) json_object *request = json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string("status"));
	json_object_object_add(request, "text", json_object_new_string("a\nb\xc3\xb6\""));
	return control_request(PID, request, ret, ret_payload, ret_size);
}

static void test_request(void **context)
{
	cleanup(json_cleanup) json_object *reply = NULL;

	(void)context;
	session.reply = "{\"current\": 9007199254740993, \"name\": \"x\\ny\"}";
	session_begin();
	support_ok(ask(&reply, NULL, NULL));
	assert_true(json_object_get_int64(json_object_object_get(reply, "current")) ==
		    9007199254740993);
	assert_string_equal(json_object_get_string(json_object_object_get(reply, "name")), "x\ny");
	pthread_join(session.thread, NULL);
	support_ok(take(session.error));
	/* Line breaks within strings do not end the line. */
	assert_string_equal(json_object_get_string(json_object_object_get(session.request, "text")),
			    "a\nb\xc3\xb6\"");
	json_object_put(session.request);
	control_unlisten(PID, session.listener);
	close(session.lock);
	session = (struct session){0};
}

static void test_payload(void **context)
{
	static const size_t sizes[] = {0, 1, 4096, PAYLOAD_MAX};
	uint8_t *data = malloc(PAYLOAD_MAX);

	(void)context;
	assert_non_null(data);
	for (size_t i = 0; i < PAYLOAD_MAX; i++)
		data[i] = i * 31 + i / 7;
	for (size_t i = 0; i < array_size(sizes); i++) {
		cleanup(json_cleanup) json_object *reply = NULL;
		cleanup_free void *payload = NULL;
		size_t size = 77;

		session.reply = "{}";
		session.payload = data;
		session.payload_size = sizes[i];
		session_begin();
		support_ok(ask(&reply, &payload, &size));
		assert_int_equal(size, sizes[i]);
		assert_memory_equal(payload, data, size);
		session_finish();
	}
	free(data);
}

/* A payload that nobody wants is left in the socket. */
static void test_payload_unwanted(void **context)
{
	cleanup(json_cleanup) json_object *reply = NULL;

	(void)context;
	session.reply = "{\"a\": 1}";
	session.payload = "12345";
	session.payload_size = 5;
	session_begin();
	support_ok(ask(&reply, NULL, NULL));
	assert_int_equal(json_object_get_int(json_object_object_get(reply, "a")), 1);
	session_finish();
}

static void assert_error_comes_back(struct error *sent)
{
	json_object *reply = NULL;
	struct error *error;

	session.reply_error = sent;
	session_begin();
	error = ask(&reply, NULL, NULL);
	assert_non_null(error);
	assert_null(reply);
	assert_int_equal(error_kind(error), error_kind(sent));
	assert_string_equal(error_message(error), error_message(sent));
	if (error_advice(sent))
		assert_string_equal(error_advice(error), error_advice(sent));
	else
		assert_null(error_advice(error));
	error_destroy(error);
	session_finish();
	error_destroy(sent);
}

static void test_errors_come_back(void **context)
{
	(void)context;
	assert_error_comes_back(error_create(ERROR_FAILED, "50 %% of \"it\" failed\n%s", "%s%n"));
	assert_error_comes_back(error_advise(error_create(ERROR_NOTHING, "no traced block"),
					     "Try `tmbpf where`: 100 %%."));
}

static void test_no_session(void **context)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_free char *path = control_path(PID, "sock");
	json_object *reply;
	int fd;

	(void)context;
	support_fails(ask(&reply, NULL, NULL), ERROR_NOTHING, "not traced"); /* nor the folder */
	support_ok(run_folder_make());
	support_fails(ask(&reply, NULL, NULL), ERROR_NOTHING, "not traced");
	/* A tracer that was killed leaves its socket. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_in_range(strlen(path), 1, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	support_fails(ask(&reply, NULL, NULL), ERROR_NOTHING, "not traced");
	assert_int_equal(unlink(path), 0);
	support_write(path, "", 0); /* no socket at all */
	support_fails(ask(&reply, NULL, NULL), ERROR_NOTHING, "not traced");
}

/* Replies of a session that is none. */
static void test_damaged_replies(void **context)
{
	static const struct {
		const char *raw, *message;
		bool payload;
	} cases[] = {
		/* Its process ended meanwhile, or it was stopped. */
		{"", "traced no more", false},
		{"{\"a\"", "traced no more", false},
		{"\n", "no JSON object", false},
		{"[1]\n", "no JSON object", false},
		{"{\"a\": }\n", "no JSON object", false},
		{"7\n", "no JSON object", false},
		{"{}\n", "no data", true},
		{"{\"payload\": -1}\n", "wrong size", true},
		{"{\"payload\": 99999999999999}\n", "wrong size", true},
		{"{\"payload\": 10}\n12345", "broke off", true},
		{"{\"payload\": 1}\n", "broke off", true},
		{"{\"error\": \"bad\", \"kind\": \"none\"}\n", "bad", false},
		{"{\"error\": [1, 2]}\n", "[", false},
		{"{\"error\": {}, \"advice\": []}\n", "{", false},
	};

	(void)context;
	for (size_t i = 0; i < array_size(cases); i++) {
		json_object *reply = NULL;
		void *payload = NULL;
		size_t size = 0;

		session.raw = cases[i].raw;
		session.raw_size = strlen(cases[i].raw);
		session_begin();
		support_fails(ask(&reply, cases[i].payload ? &payload : NULL, &size),
			      i < 2 ? ERROR_NOTHING : ERROR_FAILED, cases[i].message);
		assert_null(reply);
		assert_null(payload);
		session_finish();
	}
}

/* What a session takes in: RAW is written, then the other end is closed, or stays. */
static struct error *receive(const void *raw, size_t size, bool stays, json_object **ret)
{
	struct error *error;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	put(pair[0], raw, size);
	if (!stays)
		shutdown(pair[0], SHUT_WR);
	error = control_receive(pair[1], ret);
	close(pair[0]);
	close(pair[1]);
	return error;
}

static void test_damaged_requests(void **context)
{
	static const struct {
		const char *raw;
		size_t size;
		const char *message;
	} cases[] = {
		{"", 0, "closed"},
		{"{\"command\": \"stop\"}", 19, "closed"},
		{"\n", 1, "no JSON object"},
		{"\0\0\0\n", 4, "no JSON object"},
		{"{\"a\"\0: 1}\n", 10, "no JSON object"},
		{"null\n", 5, "no JSON object"},
		{"\"stop\"\n", 7, "no JSON object"},
		{"{{}\n", 4, "no JSON object"},
	};
	json_object *request = NULL;
	char deep[20002];

	(void)context;
	for (size_t i = 0; i < array_size(cases); i++)
		support_fails(receive(cases[i].raw, cases[i].size, false, &request), ERROR_FAILED,
			      cases[i].message);
	/* Objects in objects without end do not use up the stack. */
	for (size_t i = 0; i < sizeof(deep) - 2; i++)
		deep[i] = "{\"a\":"[i % 5];
	deep[sizeof(deep) - 2] = '\n';
	support_fails(receive(deep, sizeof(deep) - 1, false, &request), ERROR_FAILED,
		      "no JSON object");
	assert_null(request);
}

static void test_long_requests(void **context)
{
	const size_t most = 300000;
	cleanup(json_cleanup) json_object *request = NULL, *none = NULL;
	cleanup_free char *line = malloc(most);

	(void)context;
	assert_non_null(line);
	/* A good one of nearly 64 KiB. */
	assert_int_equal(snprintf(line, most, "{\"command\": \"%065000d\"}\n", 0), 65016);
	support_ok(receive(line, strlen(line), true, &request));
	assert_non_null(request);
	/* One that never ends is given up, with bytes left unread. */
	memset(line, ' ', most);
	support_fails(receive(line, 150000, true, &none), ERROR_FAILED, "more than 65536 bytes");
	line[149999] = '\n';
	support_fails(receive(line, 150000, true, &none), ERROR_FAILED, "more than 65536 bytes");
	assert_null(none);
}

/* Nobody keeps a session waiting: it gives up after a second. */
static void test_silent_client(void **context)
{
	json_object *request = NULL;

	(void)context;
	support_fails(receive("{\"a\": 1}", 8, true, &request), ERROR_FAILED, "no answer");
	assert_null(request);
}

struct slow {
	int fd;
	const char *text;
};

static void *slow_write(void *context)
{
	const struct timespec moment = {.tv_nsec = 2000000};
	const struct slow *slow = context;

	for (const char *at = slow->text; *at; at++) {
		put(slow->fd, at, 1);
		nanosleep(&moment, NULL);
	}
	return NULL;
}

/* Byte by byte; what follows the line stays for whoever reads next. */
static void test_request_in_pieces(void **context)
{
	cleanup(json_cleanup) json_object *request = NULL, *next = NULL;
	struct slow slow = {.text = "{\"a\": 17}\n"};
	pthread_t thread;
	int pair[2];

	(void)context;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	slow.fd = pair[0];
	assert_int_equal(pthread_create(&thread, NULL, slow_write, &slow), 0);
	support_ok(control_receive(pair[1], &request));
	pthread_join(thread, NULL);
	assert_int_equal(json_object_get_int(json_object_object_get(request, "a")), 17);
	json_object_put(take(request));
	put(pair[0], "{\"a\": 1}\n{\"a\": 2}\n", 18);
	support_ok(control_receive(pair[1], &request));
	support_ok(control_receive(pair[1], &next));
	assert_int_equal(json_object_get_int(json_object_object_get(request, "a")), 1);
	assert_int_equal(json_object_get_int(json_object_object_get(next, "a")), 2);
	close(pair[0]);
	close(pair[1]);
}

/* The client is gone before it has its reply: an error, no signal. */
static void test_client_gone(void **context)
{
	cleanup(json_cleanup) json_object *reply = json_object_new_object();
	cleanup_free void *payload = calloc(1, PAYLOAD_MAX);
	int pair[2];

	(void)context;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[0]);
	support_fails(control_reply(pair[1], reply, payload, PAYLOAD_MAX), ERROR_FAILED,
		      "cannot write");
	close(pair[1]);
}

static void test_not_a_socket(void **context)
{
	json_object *request = NULL;
	int pipes[2];

	(void)context;
	assert_int_equal(pipe(pipes), 0);
	support_fails(control_receive(pipes[0], &request), ERROR_FAILED, "who asks");
	close(pipes[0]);
	close(pipes[1]);
}

static void test_sessions(void **context)
{
	static const pid_t listed[] = {300, 7, 4000000, 12};
	cleanup_free char *stale = control_path(99, "sock"), *other = control_path(5, "pb.gz"),
			  *odd = support_path(folder, "12x.sock");
	int listeners[array_size(listed)];
	size_t count = 77;
	pid_t *pids = NULL;

	(void)context;
	support_ok(control_sessions(&pids, &count)); /* no folder */
	assert_int_equal(count, 0);
	free(pids);
	support_ok(run_folder_make());
	for (size_t i = 0; i < array_size(listed); i++)
		support_ok(control_listen(listed[i], &listeners[i]));
	support_write(stale, "", 0);
	support_write(other, "", 0);
	support_write(odd, "", 0);
	support_ok(control_sessions(&pids, &count));
	assert_int_equal(count, 4);
	assert_int_equal(pids[0], 7);
	assert_int_equal(pids[1], 12);
	assert_int_equal(pids[2], 300);
	assert_int_equal(pids[3], 4000000);
	free(pids);
	for (size_t i = 0; i < array_size(listed); i++)
		control_unlisten(listed[i], listeners[i]);
	support_ok(control_sessions(&pids, &count));
	assert_int_equal(count, 0);
	free(pids);
}

static void old_make(const char *path)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

	support_write(path, "", 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Of files that are being written, a name alone does not tell; their age is that of the inode's last change. */
static void test_sweep(void **context)
{
	cleanup_free char *dead = control_path(7, "lock"), *dead_socket = control_path(7, "sock");
	cleanup_free char *held = control_path(8, "lock"), *held_socket = control_path(8, "sock");
	cleanup_free char *whole = control_path(9, "snapshot"), *status = control_path(9, "status");
	cleanup_free char *young = control_path(10, "snapshot");
	int lock, listeners[2];

	(void)context;
	run_folder_sweep(); /* no folder */
	support_ok(run_folder_make());
	support_ok(control_lock(7, &lock));
	support_ok(control_listen(7, &listeners[0]));
	close(lock);
	close(listeners[0]);
	support_ok(control_lock(8, &lock));
	support_ok(control_listen(8, &listeners[1]));
	old_make(whole);
	old_make(status);
	old_make(young); /* its inode was changed just now */
	run_folder_sweep();
	assert_int_not_equal(access(dead, F_OK), 0);
	assert_int_not_equal(access(dead_socket, F_OK), 0);
	assert_int_equal(access(held, F_OK), 0);
	assert_int_equal(access(held_socket, F_OK), 0);
	assert_int_equal(access(whole, F_OK), 0);
	assert_int_equal(access(status, F_OK), 0);
	assert_int_equal(access(young, F_OK), 0);
	control_unlisten(8, listeners[1]);
	close(lock);
	/* In a folder of which others may make what they like, nothing is removed. */
	support_write(dead, "", 0);
	assert_int_equal(chmod(folder, 0777), 0);
	run_folder_sweep();
	assert_int_equal(access(dead, F_OK), 0);
	assert_int_equal(chmod(folder, 0700), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(folder),
		TEST(path),
		TEST(files),
		TEST(lock),
		TEST(lock_of_a_file_that_is_gone),
		TEST(listen),
		TEST(request),
		TEST(payload),
		TEST(payload_unwanted),
		TEST(errors_come_back),
		TEST(no_session),
		TEST(damaged_replies),
		TEST(damaged_requests),
		TEST(long_requests),
		TEST(silent_client),
		TEST(request_in_pieces),
		TEST(client_gone),
		TEST(not_a_socket),
		TEST(sessions),
		TEST(sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
