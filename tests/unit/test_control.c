// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The control socket: both ends of it, and what is not to be trusted at either. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "control_folder.h"
#include "support.h"
#include "trace/session/control.h"
#include "trace/session/run_folder.h"

#define PAYLOAD_MAX (3u << 20)

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
		{"{\"error\": [1, 2]}\n", "does not say why", false},
		{"{\"error\": null}\n", "does not say why", false},
		{"{\"error\": {}, \"advice\": []}\n", "does not say why", false},
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(listen),           TEST(request),           TEST(payload),
		TEST(payload_unwanted), TEST(errors_come_back),  TEST(no_session),
		TEST(damaged_replies),  TEST(damaged_requests),  TEST(long_requests),
		TEST(silent_client),    TEST(request_in_pieces), TEST(client_gone),
		TEST(not_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
