// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Asks a helper process for lines, and ends it where it takes too long. */
#include "target/source/source.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/source/source_files.h"
#include "target/source/source_memo.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* How long a line may take, milliseconds. */
#define PATIENCE 2000

/* A question. An answer is the line's text, or one byte where there is none. */
#define ANSWER_NO_LINE '\0'
#define ANSWER_NO_FILE '\1' /* and will be none of this file's; no line begins so */

struct question {
	uint32_t lineno;
	char name[PATH_MAX];
};

/* Longer than any answer (source_text.c). */
#define ANSWER_MAX 1024

struct source {
	pid_t helper;
	int socket; /* SOCK_SEQPACKET: a question or an answer in one piece; -1: no helper */
	bool stuck;
	struct source_memo memo;
};

static void helper_answer(struct source_files *files, int socket, struct question *question)
{
	cleanup_free char *line = NULL;
	bool refused;

	question->name[sizeof(question->name) - 1] = '\0';
	line = source_files_line(files, question->name, question->lineno, &refused);
	if (line && (unsigned char)*line > ANSWER_NO_FILE)
		send(socket, line, strlen(line), MSG_NOSIGNAL);
	else
		send(socket, (char[]){refused ? ANSWER_NO_FILE : ANSWER_NO_LINE}, 1, MSG_NOSIGNAL);
}

__attribute__((noreturn)) static void helper_run(const struct source_origin *origin, int socket)
{
	struct source_files *files = NULL;
	struct question question;
	struct error *error;

	/* If this one is stuck, nothing of the parent's stays open. It ends with its parent. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (socket > 0)
		close_range(0, (unsigned int)socket - 1, 0);
	close_range((unsigned int)socket + 1, UINT_MAX, 0);
	error = source_files_create(origin, &files);
	error_destroy(error);
	for (;;) {
		ssize_t got = recv(socket, &question, sizeof(question), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (error || got < (ssize_t)offsetof(struct question, name) + 1)
			break;
		memset((char *)&question + got, 0, sizeof(question) - (size_t)got);
		helper_answer(files, socket, &question);
	}
	source_files_destroy(files);
	_exit(0);
}

struct error *source_create(const struct source_origin *origin, struct source **ret)
{
	struct source *source = calloc(1, sizeof(*source));
	int ends[2];
	pid_t helper;

	if (!source)
		return error_create_errno(ERROR_FAILED, ENOMEM, "source files");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		free(source);
		return error_create_errno(ERROR_FAILED, errno,
					  "source files: cannot make a socket");
	}
	helper = fork();
	if (helper == 0)
		helper_run(origin, ends[1]);
	close(ends[1]);
	if (helper < 0) {
		int number = errno;

		close(ends[0]);
		free(source);
		return error_create_errno(ERROR_FAILED, number,
					  "source files: cannot start a process");
	}
	*source = (struct source){.helper = helper, .socket = ends[0]};
	*ret = source;
	return NULL;
}

/* Does not wait for one that even a signal cannot end. */
static void helper_end(struct source *source)
{
	if (source->socket < 0)
		return;
	close(source->socket);
	source->socket = -1;
	kill(source->helper, SIGKILL);
	waitpid(source->helper, NULL, source->stuck ? WNOHANG : 0);
}

void source_destroy(struct source *source)
{
	if (!source)
		return;
	helper_end(source);
	source_memo_deinit(&source->memo);
	free(source);
}

static bool question_send(const struct source *source, const char *name, uint32_t lineno)
{
	struct question question = {.lineno = lineno};
	size_t length = strlen(name);
	size_t size = offsetof(struct question, name) + length + 1;

	if (length == 0 || length >= sizeof(question.name))
		return false;
	memcpy(question.name, name, length);
	return send(source->socket, &question, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool answer_wait(const struct source *source)
{
	struct pollfd wait = {.fd = source->socket, .events = POLLIN};
	int ready;

	do
		ready = poll(&wait, 1, PATIENCE);
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

/* The helper's answer; empty where it gives none. */
static void line_ask(struct source *source, const char *name, uint32_t lineno,
		     char answer[ANSWER_MAX])
{
	ssize_t length;

	answer[0] = '\0';
	if (source->socket < 0 || !question_send(source, name, lineno))
		return;
	if (!answer_wait(source)) {
		source->stuck = true;
		helper_end(source);
		return;
	}
	length = recv(source->socket, answer, ANSWER_MAX - 1, 0);
	answer[length > 0 ? length : 0] = '\0';
}

char *source_line(struct source *source, const char *name, uint32_t lineno)
{
	char answer[ANSWER_MAX];
	const char *line;

	/* As line 0, which no file has, a file is known that has no lines. */
	if (lineno == 0 || source_memo_find(&source->memo, name, 0, &line))
		return NULL;
	if (!source_memo_find(&source->memo, name, lineno, &line)) {
		line_ask(source, name, lineno, answer);
		line = (unsigned char)*answer > ANSWER_NO_FILE ? answer : NULL;
		source_memo_add(&source->memo, name, *answer == ANSWER_NO_FILE ? 0 : lineno, line);
	}
	return line ? strdup(line) : NULL;
}

bool source_stuck(const struct source *source)
{
	return source->stuck;
}
