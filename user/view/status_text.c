// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The status of a session for people: whole, in a line, and the parts that the live view shows. */
#include "view/status_text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "base/text.h"
#include "view/table.h"

const char *status_size(struct json_object *status, const char *key, char *buffer)
{
	if (json_has_null(status, key))
		return "not measured";
	return text_size(json_get_number(status, key), buffer);
}

/* What of the heap's growth is traced; of sessions that trace everything. */
static void growth_coverage_print(struct json_object *status, FILE *out)
{
	double share = json_get_real(status, "growth_coverage", -1);

	if (!*json_get_text(status, "growth_coverage_basis"))
		return;
	if (share >= 0)
		fprintf(out, "coverage  %.2f %% of %s\n", share * 100,
			json_get_text(status, "growth_coverage_basis"));
	else
		fprintf(out, "coverage  of growth is not told: %s\n",
			json_get_text(status, "growth_coverage_basis"));
}

void status_print_losses(struct json_object *status, FILE *out)
{
	double coverage = json_get_real(status, "coverage", -1);
	const char *basis = json_get_text(status, "coverage_basis");
	struct json_object *losses = json_get_object(status, "losses");

	if (coverage >= 0)
		fprintf(out, "coverage  %.2f %%: %s\n", coverage * 100, basis);
	else
		fprintf(out, "coverage  %s\n", basis);
	growth_coverage_print(status, out);
	if (!losses || !json_object_object_length(losses)) {
		fprintf(out, "losses    none\n");
		return;
	}
	json_object_object_foreach(losses, name, count)
	{
		(void)count;
		fprintf(out, "loss      %s: %" PRIu64 "\n", name, json_get_number(losses, name));
	}
}

/* What is sampled beside windows, where it is not. */
static void samples_print(struct json_object *status, FILE *out)
{
	struct json_object *samples = json_get_object(status, "samples");
	const char *failed = json_get_text(samples, "failed");
	const char *other = json_get_text(samples, "malloc_other");

	if (!samples)
		return;
	if (*failed) {
		fprintf(out, "samples   none of page faults: %s\n", failed);
		return;
	}
	if (!json_get_flag(samples, "faults_sampled"))
		fprintf(out, "samples   none of page faults now: they cost too much\n");
	if (*other)
		fprintf(out,
			"samples   none of malloc's blocks: %s's cannot be followed; page faults "
			"tell of them\n",
			other);
	else if (!json_get_flag(samples, "large_seen"))
		fprintf(out, "samples   none of large blocks now: allocations are too many for "
			     "their probes\n");
}

void status_print_cost(struct json_object *status, FILE *out)
{
	struct json_object *cost = json_get_object(status, "cost");
	uint64_t windows = json_get_number(status, "windows");
	double spent = json_get_real(cost, "traps", 0) + json_get_real(cost, "programs", 0) +
		       json_get_real(cost, "attach", 0);
	double tracer = json_get_real(cost, "tracer", 0);
	double share = 100 * json_get_real(cost, "share", 0);

	if (!cost)
		return;
	fprintf(out,
		"cost      %.2f %% of the time, budget %.0f %%: %.2f %% in the process, %.2f %% "
		"the tracer's (%s confidence: %" PRIu64 " window%s, %" PRIu64 " hits)\n",
		share, 100 * json_get_real(cost, "budget", 0),
		spent > 0 ? share * spent / (spent + tracer) : 0,
		tracer > 0 ? share * tracer / (spent + tracer) : 0,
		json_get_text(cost, "confidence"), windows, windows == 1 ? "" : "s",
		json_get_number(cost, "hits"));
	if (json_get_real(status, "slowdown", 1) > 1)
		fprintf(out,
			"slowdown  %.1f times while a window is open: the process has no time to "
			"spare, so windows stand for that much more\n",
			json_get_real(status, "slowdown", 1));
	if (json_get_flag(cost, "stopped"))
		fprintf(out, "stopped   even the rarest windows cost more than the budget; "
			     "--overhead raises it\n");
	samples_print(status, out);
}

/* "12.3 MiB ± 1.2" */
static char *estimate_text(struct json_object *row, const char *value, const char *error)
{
	char size[TEXT_NUMBER_MAX], doubt[TEXT_NUMBER_MAX], *text = NULL;

	text_size((uint64_t)json_get_real(row, value, 0), size);
	text_size((uint64_t)json_get_real(row, error, 0), doubt);
	return asprintf(&text, "%s \302\261 %s", size, doubt) < 0 ? NULL : text;
}

bool status_grows(struct json_object *row)
{
	return json_get_flag(row, "grows");
}

struct error *status_growth_row(struct json_object *row, const char *pid, struct table *table)
{
	cleanup_free char *growth = estimate_text(row, "size", "size_error");
	cleanup_free char *held = estimate_text(row, "held", "held_error");
	cleanup_free char *name = text_display(json_get_text(row, "filename"));
	cleanup_free char *function = text_display(json_get_text(row, "function"));
	cleanup_free char *place = NULL;
	const char *cells[5];
	size_t count = 0;
	char windows[24];

	snprintf(windows, sizeof(windows), "%" PRIu64, json_get_number(row, "windows"));
	if (asprintf(&place, "%s:%" PRIu64 " %s", name ? name : "", json_get_number(row, "lineno"),
		     function ? function : "") < 0)
		place = NULL;
	cells[count++] = growth ? growth : "";
	cells[count++] = held ? held : "";
	cells[count++] = windows;
	if (pid)
		cells[count++] = pid;
	cells[count] = place ? place : "";
	return table_row(table, cells);
}

struct error *status_print_growth(struct json_object *status, size_t limit, FILE *out)
{
	static const struct table_column columns[] = {
		{"growth", true}, {"held", true}, {"windows", true}, {"line", false}};
	cleanup(table_cleanup) struct table *table = NULL;
	struct json_object *rows = json_get_array(status, "growth");
	size_t count = 0;

	if (!rows)
		return NULL;
	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < json_length(rows); i++) {
		struct json_object *row = json_at(rows, i);

		if (!status_grows(row))
			continue;
		if (count++ < limit)
			try(status_growth_row(row, NULL, table));
	}
	if (count)
		table_print(table, out, terminal_has_colour(out));
	if (count > limit)
		fprintf(out, "and %zu more line%s\n", count - limit,
			count - limit == 1 ? " that grows" : "s that grow");
	if (!count)
		fprintf(out, "no line is known to grow%s\n",
			json_get_number(status, "windows") < STATUS_WINDOWS_LEAST
				? " yet: too few windows"
				: "");
	return NULL;
}

struct error *status_line_row(struct json_object *line, uint64_t current, uint64_t before,
			      const char *pid, struct table *table)
{
	cleanup_free char *shown = text_display(json_get_text(line, "place"));
	char held[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX], change[TEXT_NUMBER_MAX], blocks[24];
	uint64_t size = json_get_number(line, "size");
	const char *cells[6];
	size_t count = 0;

	snprintf(blocks, sizeof(blocks), "%" PRIu64, json_get_number(line, "count"));
	cells[count++] = text_size(size, held);
	cells[count++] = blocks;
	cells[count++] = text_share(size, current, share);
	cells[count++] =
		before == STATUS_NO_LAST ? "" : text_size_diff((int64_t)(size - before), change);
	if (pid)
		cells[count++] = pid;
	cells[count] = shown ? shown : "";
	return table_row(table, cells);
}

static void state_print(struct json_object *status, FILE *out)
{
	const char *state = json_get_text(status, "state");
	const char *warning = json_get_text(status, "warning");

	if (!strcmp(state, "exited"))
		fprintf(out, "the process has exited; these are its last totals (`tmbpf stop` "
			     "forgets them)\n");
	if (!strcmp(state, "exec"))
		fprintf(out, "the process became another program by exec; these are the totals "
			     "until then (`tmbpf stop` forgets them)\n");
	if (*warning)
		fprintf(out, "warning   %s\n", warning);
}

/* Where frees are not probed: when the pools told what is held. */
static void walk_print(struct json_object *status, FILE *out)
{
	struct json_object *walk = json_get_object(status, "walk");
	uint64_t unstable = json_get_number(walk, "unstable_pools");

	if (!json_has(status, "walk")) {
		fputc('\n', out);
		return;
	}
	if (!walk) {
		fputs(" (its pools were never read)\n", out);
		return;
	}
	fprintf(out, " (its pools were read in %.3f s, %.1f s %s",
		json_get_real(walk, "seconds", 0), json_get_real(walk, "age", 0),
		strcmp(json_get_text(status, "state"), "running") ? "before the end" : "ago");
	if (unstable)
		fprintf(out,
			"; %" PRIu64 " of them changed too fast, and their blocks count as held",
			unstable);
	fputs(")\n", out);
}

static void memory_print(struct json_object *status, FILE *out)
{
	struct json_object *memory = json_get_object(status, "memory");
	char one[TEXT_NUMBER_MAX], two[TEXT_NUMBER_MAX];

	fprintf(out, "rss       %s, %s when the session began\n",
		text_size(json_get_number(status, "rss"), one),
		text_size(json_get_number(status, "rss_at_start"), two));
	fprintf(out, "memory    %s tracer, %s maps\n",
		text_size(json_get_number(memory, "tracer_rss"), one),
		text_size(json_get_number(memory, "maps"), two));
}

/* What a forked process took over from its parent's session. */
static bool inherited_print(struct json_object *status, FILE *out)
{
	struct json_object *inherited = json_get_object(status, "inherited");
	uint64_t changed = json_get_number(json_get_object(inherited, "changed"), "count");
	uint64_t events = json_get_number(inherited, "parent_events");
	char size[TEXT_NUMBER_MAX];

	if (!inherited)
		return false;
	fprintf(out,
		"inherited %s in %" PRIu64 " blocks, with their tracebacks, from process %" PRIu64
		" by fork",
		text_size(json_get_number(inherited, "size"), size),
		json_get_number(inherited, "count"), json_get_number(inherited, "parent"));
	if (changed)
		fprintf(out, "; %" PRIu64 " hold something else than there", changed);
	if (events)
		fprintf(out, "; that one allocated or freed %" PRIu64 " times until it was asked",
			events);
	fputc('\n', out);
	return true;
}

/* What is held and was there before; it has no traceback. */
static void before_print(struct json_object *status, FILE *out)
{
	bool known = inherited_print(status, out);
	struct json_object *before = json_get_object(status, "before");
	char size[TEXT_NUMBER_MAX];

	if (!before)
		return;
	fprintf(out,
		"before    %s in %" PRIu64
		" %sblocks of up to 512 bytes were there at the start, or the last clear",
		text_size(json_get_number(before, "size"), size), json_get_number(before, "count"),
		known ? "more " : "");
	if (json_get_flag(before, "inherited"))
		fprintf(out, ": %s process %" PRIu64 "%s, and not in these totals",
			known ? "from before that of" : "inherited from",
			json_get_number(status, "parent"), known ? "" : " by fork");
	fputc('\n', out);
}

/* "+1.2 MiB": what the census says is exact, and may be less than nothing. */
static const char *change_text(double change, char *buffer)
{
	buffer[0] = change < 0 ? '-' : '+';
	text_size((uint64_t)fabs(change), buffer + 1);
	return buffer;
}

/* What sampling windows can say. */
static struct error *estimate_print(struct json_object *status, FILE *out)
{
	char one[TEXT_NUMBER_MAX + 1], two[TEXT_NUMBER_MAX];

	fprintf(out, "grown     %s since then (census); %s of it in blocks that no window saw\n",
		change_text(json_get_real(status, "census_growth", 0), one),
		text_size((uint64_t)json_get_real(status, "growth_missing", 0), two));
	fprintf(out, "held      %s in %" PRIu64 " blocks born since then (estimate)\n",
		text_size(json_get_number(status, "current"), one),
		json_get_number(status, "blocks"));
	memory_print(status, out);
	status_print_cost(status, out);
	status_print_losses(status, out);
	state_print(status, out);
	fputc('\n', out);
	return status_print_growth(status, 10, out);
}

/* What tracing of every allocation can say. */
static void exact_print(struct json_object *status, FILE *out)
{
	uint64_t frees = json_get_number(status, "unknown_frees");
	char size[TEXT_NUMBER_MAX];

	fprintf(out, "current   %s in %" PRIu64 " blocks",
		text_size(json_get_number(status, "current"), size),
		json_get_number(status, "blocks"));
	walk_print(status, out);
	fprintf(out, "peak      %s\n", status_size(status, "peak", size));
	memory_print(status, out);
	before_print(status, out);
	fprintf(out, "events    %" PRIu64 " allocations, %" PRIu64 " frees",
		json_get_number(status, "allocations"), json_get_number(status, "frees"));
	if (!json_has_null(status, "unknown_frees"))
		fprintf(out, ", %" PRIu64 " free%s of blocks from before", frees,
			frees == 1 ? "" : "s");
	fputc('\n', out);
	status_print_losses(status, out);
	state_print(status, out);
}

struct error *status_print(struct json_object *status, FILE *out)
{
	cleanup_free char *command = text_display(json_get_text(status, "command_line"));
	uint64_t nframe = json_get_number(status, "nframe");

	fprintf(out, "process   %" PRIu64 ": %s\n", json_get_number(status, "pid"),
		command ? command : "");
	fprintf(out, "python    %s, %s\n", json_get_text(status, "python"),
		json_get_text(status, "executable"));
	fprintf(out, "traced    %s, %" PRIu64 " frame%s, since %s (%.0f s), %" PRIu64 " probes\n",
		json_get_text(status, "mode"), nframe, nframe == 1 ? "" : "s",
		json_get_text(status, "since"), json_get_real(status, "seconds", 0),
		json_get_number(status, "sites"));
	if (json_has(status, "cost"))
		return estimate_print(status, out);
	exact_print(status, out);
	return NULL;
}

void status_print_line(struct json_object *status, unsigned int depth, FILE *out)
{
	cleanup_free char *command = text_display(json_get_text(status, "command_line"));
	char current[TEXT_NUMBER_MAX], peak[TEXT_NUMBER_MAX], peak_text[TEXT_NUMBER_MAX + 8];
	bool measured = json_has(status, "peak") && !json_has_null(status, "peak");

	snprintf(peak_text, sizeof(peak_text), measured ? "%s peak" : "peak %s",
		 status_size(status, "peak", peak));
	fprintf(out, "%*s%-8" PRIu64 " %-17s %10s now %17s %6.0f s  %.60s\n", 2 * (int)depth, "",
		json_get_number(status, "pid"),
		strcmp(json_get_text(status, "state"), "running") ? "ended"
								  : json_get_text(status, "mode"),
		text_size(json_get_number(status, "current"), current), peak_text,
		json_get_real(status, "seconds", 0), command ? command : "");
}
