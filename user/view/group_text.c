// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The status of a group: its processes as a tree, with the session of each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "command/group_commands.h"
#include "view/status_text.h"
#include "daemon/client.h"

/* Deeper than that nothing is indented any more; what the watcher said may be a loop. */
#define DEPTH_MAX 16

struct error *group_status_whole(const char *name, json_object **ret)
{
	cleanup(json_cleanup) json_object *status = NULL;
	json_object *processes;

	try(group_status_fetch(name, &status));
	if (!json_object_object_get_ex(status, "processes", &processes) ||
	    !json_object_is_type(processes, json_type_array))
		return error_create(ERROR_FAILED, "what the group %s says is damaged", name);
	for (size_t i = 0; i < json_object_array_length(processes); i++) {
		json_object *process = json_object_array_get_idx(processes, i), *session = NULL;
		const char *state = status_text(process, "state");
		struct error *error;

		if (strcmp(state, "traced") != 0 && strcmp(state, "ended") != 0)
			continue;
		error = target_status(status_number(process, "pid"), &session);
		/* Another's session may have the pid by now. */
		if (!error && !strcmp(status_text(session, "group"), name))
			json_object_object_add(process, "session", json_object_get(session));
		json_object_put(session);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		error_destroy(error); /* forgotten meanwhile */
	}
	*ret = take(status);
	return NULL;
}

static void process_print(json_object *process, unsigned depth, FILE *out)
{
	cleanup_free char *command = text_display(status_text(process, "command_line")),
			  *reason = text_display(status_text(process, "reason"));
	const char *state = status_text(process, "state");
	json_object *session;

	if (json_object_object_get_ex(process, "session", &session)) {
		status_print_line(session, depth, out);
		return;
	}
	/* They may be many, and are told of as a loss. */
	if (!strcmp(state, "missed"))
		return;
	if (!strcmp(state, "other"))
		state = "no CPython";
	fprintf(out, "%*s%-8llu %s%s%s  %.60s\n", 2 * (int)depth, "",
		(unsigned long long)status_number(process, "pid"), state,
		reason && *reason ? ": " : "", reason ? reason : "", command ? command : "");
}

/* Prints those that PARENT started, and below each whom that did. PRINTED marks them. */
static void children_print(json_object *processes, uint64_t parent, unsigned depth, bool *printed,
			   FILE *out)
{
	for (size_t i = 0; i < json_object_array_length(processes); i++) {
		json_object *process = json_object_array_get_idx(processes, i);

		if (printed[i] || status_number(process, "parent") != parent)
			continue;
		printed[i] = true;
		process_print(process, depth, out);
		if (depth < DEPTH_MAX)
			children_print(processes, status_number(process, "pid"), depth + 1, printed,
				       out);
	}
}

static bool has_parent(json_object *processes, json_object *process)
{
	uint64_t parent = status_number(process, "parent");

	for (size_t i = 0; i < json_object_array_length(processes); i++) {
		json_object *other = json_object_array_get_idx(processes, i);

		if (other != process && status_number(other, "pid") == parent)
			return true;
	}
	return false;
}

static struct error *tree_print(json_object *processes, FILE *out)
{
	size_t count = json_object_array_length(processes);
	cleanup_free bool *printed = calloc(count + 1, sizeof(*printed));

	if (!printed)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a tree of processes");
	/* First those whose parent is none of the group; at last whoever is left, of a loop. */
	for (int all = 0; all < 2; all++)
		for (size_t i = 0; i < count; i++) {
			json_object *process = json_object_array_get_idx(processes, i);

			if (printed[i] || (!all && has_parent(processes, process)))
				continue;
			printed[i] = true;
			process_print(process, 1, out);
			children_print(processes, status_number(process, "pid"), 2, printed, out);
		}
	return NULL;
}

void group_status_print_losses(json_object *status, FILE *out)
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
	json_object *losses;

	if (!json_object_object_get_ex(status, "losses", &losses))
		return;
	for (size_t i = 0; i < array_size(texts); i++)
		if (status_number(losses, texts[i].name))
			fprintf(out, "  loss      %s: %llu %s\n", texts[i].name,
				(unsigned long long)status_number(losses, texts[i].name),
				texts[i].text);
	if (*status_text(status, "warning"))
		fprintf(out, "  warning   %s\n", status_text(status, "warning"));
}

struct error *group_status_print(json_object *status, FILE *out)
{
	cleanup_free char *title = text_display(status_text(status, "title"));
	json_object *counts = NULL, *processes;

	json_object_object_get_ex(status, "counts", &counts);
	fprintf(out, "%s: %llu traced, %llu ended, %llu no CPython, %llu failed; %.0f s%s\n",
		title ? title : "", (unsigned long long)status_number(counts, "traced"),
		(unsigned long long)status_number(counts, "ended") +
			status_number(counts, "forgotten"),
		(unsigned long long)status_number(counts, "other"),
		(unsigned long long)status_number(counts, "failed"),
		status_real(status, "seconds", 0),
		!strcmp(status_text(status, "state"), "ended") ? ", all have ended" : "");
	if (json_object_object_get_ex(status, "processes", &processes))
		try(tree_print(processes, out));
	group_status_print_losses(status, out);
	return NULL;
}
