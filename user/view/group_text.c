// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The status of a group for people: its processes as a tree, with the session of each. */
#include "view/group_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "base/text.h"
#include "view/status_text.h"

/* Deeper than that nothing is indented any more; what the watcher said may be a loop. */
#define DEPTH_MAX 16

static void process_print(struct json_object *process, unsigned int depth, FILE *out)
{
	cleanup_free char *command = text_display(json_get_text(process, "command_line"));
	cleanup_free char *reason = text_display(json_get_text(process, "reason"));
	const char *state = json_get_text(process, "state");
	struct json_object *session = json_get_object(process, "session");

	if (session) {
		status_print_line(session, depth, out);
		return;
	}
	/* They may be many, and are told of as a loss. */
	if (!strcmp(state, "missed"))
		return;
	if (!strcmp(state, "other"))
		state = "no CPython";
	fprintf(out, "%*s%-8" PRIu64 " %s%s%s  %.60s\n", 2 * (int)depth, "",
		json_get_number(process, "pid"), state, reason && *reason ? ": " : "",
		reason ? reason : "", command ? command : "");
}

/* Prints those that PARENT started, and below each whom that did. PRINTED marks them. */
static void children_print(struct json_object *processes, uint64_t parent, unsigned int depth,
			   bool *printed, FILE *out)
{
	for (size_t i = 0; i < json_length(processes); i++) {
		struct json_object *process = json_at(processes, i);

		if (printed[i] || json_get_number(process, "parent") != parent)
			continue;
		printed[i] = true;
		process_print(process, depth, out);
		if (depth < DEPTH_MAX)
			children_print(processes, json_get_number(process, "pid"), depth + 1,
				       printed, out);
	}
}

static bool has_parent(struct json_object *processes, struct json_object *process)
{
	uint64_t parent = json_get_number(process, "parent");

	for (size_t i = 0; i < json_length(processes); i++) {
		struct json_object *other = json_at(processes, i);

		if (other != process && json_get_number(other, "pid") == parent)
			return true;
	}
	return false;
}

static struct error *tree_print(struct json_object *processes, FILE *out)
{
	size_t count = json_length(processes);
	cleanup_free bool *printed = calloc(count + 1, sizeof(*printed));

	if (!printed)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a tree of processes");
	/* First those whose parent is none of the group; at last whoever is left, of a loop. */
	for (int all = 0; all < 2; all++)
		for (size_t i = 0; i < count; i++) {
			struct json_object *process = json_at(processes, i);

			if (printed[i] || (!all && has_parent(processes, process)))
				continue;
			printed[i] = true;
			process_print(process, 1, out);
			children_print(processes, json_get_number(process, "pid"), 2, printed, out);
		}
	return NULL;
}

void group_status_print_losses(struct json_object *status, FILE *out)
{
	static const struct {
		const char *name, *text;
	} texts[] = {
		{"events_lost",
		 "starts and ends that were not told of: processes were looked for instead"},
		{"unfollowed_processes", "processes that could not be followed: too many"},
		{"ended_early", "CPythons that ended before they could be traced"},
		{"ended_unseen", "programs that ended before they could be looked at"},
		{"failed", "processes that could not be traced"},
		{"killed_tracers", "tracers that were killed"},
		{"refused_system_calls",
		 "system calls that the filter refused to who watches the group"},
	};
	struct json_object *losses = json_get_object(status, "losses");
	const char *warning = json_get_text(status, "warning");

	for (size_t i = 0; i < array_size(texts); i++)
		if (json_get_number(losses, texts[i].name))
			fprintf(out, "  loss      %s: %" PRIu64 " %s\n", texts[i].name,
				json_get_number(losses, texts[i].name), texts[i].text);
	if (*warning)
		fprintf(out, "  warning   %s\n", warning);
}

struct error *group_status_print(struct json_object *status, FILE *out)
{
	cleanup_free char *title = text_display(json_get_text(status, "title"));
	struct json_object *counts = json_get_object(status, "counts");
	struct json_object *processes = json_get_array(status, "processes");
	const char *end = strcmp(json_get_text(status, "state"), "ended") ? "" : ", all have ended";

	fprintf(out,
		"%s: %" PRIu64 " traced, %" PRIu64 " ended, %" PRIu64 " no CPython, %" PRIu64
		" failed; %.0f s%s\n",
		title ? title : "", json_get_number(counts, "traced"),
		json_get_number(counts, "ended") + json_get_number(counts, "forgotten"),
		json_get_number(counts, "other"), json_get_number(counts, "failed"),
		json_get_real(status, "seconds", 0), end);
	if (processes)
		try(tree_print(processes, out));
	group_status_print_losses(status, out);
	return NULL;
}
