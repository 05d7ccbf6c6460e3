// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "view/status_text.h"
#include "trace/estimate/estimate.h"
#include "view/table.h"

uint64_t status_number(json_object *status, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(status, key, &value) ? json_object_get_uint64(value) : 0;
}

const char *status_text(json_object *status, const char *key)
{
	json_object *value;
	const char *text = NULL;

	if (json_object_object_get_ex(status, key, &value) && value)
		text = json_object_get_string(value);
	return text ? text : "";
}

const char *status_size(json_object *status, const char *key, char *buffer)
{
	json_object *value;

	if (json_object_object_get_ex(status, key, &value) && !value)
		return "not measured";
	return text_size(status_number(status, key), buffer);
}

double status_real(json_object *status, const char *key, double without)
{
	json_object *value;

	return json_object_object_get_ex(status, key, &value) && value
		       ? json_object_get_double(value)
		       : without;
}

/* What of the heap's growth is traced; of sessions that trace everything. */
static void growth_coverage_print(json_object *status, FILE *out)
{
	double share = status_real(status, "growth_coverage", -1);

	if (!*status_text(status, "growth_coverage_basis"))
		return;
	if (share >= 0)
		fprintf(out, "coverage  %.2f %% of %s\n", share * 100,
			status_text(status, "growth_coverage_basis"));
	else
		fprintf(out, "coverage  of growth is not told: %s\n",
			status_text(status, "growth_coverage_basis"));
}

void status_print_losses(json_object *status, FILE *out)
{
	double coverage = status_real(status, "coverage", -1);
	json_object *losses;

	if (coverage >= 0)
		fprintf(out, "coverage  %.2f %%: %s\n", coverage * 100,
			status_text(status, "coverage_basis"));
	else
		fprintf(out, "coverage  %s\n", status_text(status, "coverage_basis"));
	growth_coverage_print(status, out);
	if (!json_object_object_get_ex(status, "losses", &losses) ||
	    !json_object_object_length(losses)) {
		fprintf(out, "losses    none\n");
		return;
	}
	json_object_object_foreach(losses, name, count)
		fprintf(out, "loss      %s: %llu\n", name,
			(unsigned long long)json_object_get_uint64(count));
}

static bool status_flag(json_object *object, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(object, key, &value) && json_object_get_boolean(value);
}

/* What is sampled beside windows, where it is not. */
static void samples_print(json_object *status, FILE *out)
{
	json_object *samples;

	if (!json_object_object_get_ex(status, "samples", &samples))
		return;
	if (*status_text(samples, "failed")) {
		fprintf(out, "samples   none of page faults: %s\n", status_text(samples, "failed"));
		return;
	}
	if (!status_flag(samples, "faults_sampled"))
		fprintf(out, "samples   none of page faults now: they cost too much\n");
	if (*status_text(samples, "malloc_other"))
		fprintf(out,
			"samples   none of malloc's blocks: %s's cannot be followed; page faults tell of them\n",
			status_text(samples, "malloc_other"));
	else if (!status_flag(samples, "large_seen"))
		fprintf(out,
			"samples   none of large blocks now: allocations are too many for their probes\n");
}

void status_print_cost(json_object *status, FILE *out)
{
	json_object *cost, *stopped = NULL;
	uint64_t windows = status_number(status, "windows");
	double spent, tracer, share;

	if (!json_object_object_get_ex(status, "cost", &cost))
		return;
	spent = status_real(cost, "traps", 0) + status_real(cost, "programs", 0) +
		status_real(cost, "attach", 0);
	tracer = status_real(cost, "tracer", 0);
	share = 100 * status_real(cost, "share", 0);
	fprintf(out,
		"cost      %.2f %% of the time, budget %.0f %%: %.2f %% in the process, %.2f %% the tracer's (%s confidence: %llu window%s, %llu hits)\n",
		share, 100 * status_real(cost, "budget", 0),
		spent > 0 ? share * spent / (spent + tracer) : 0,
		tracer > 0 ? share * tracer / (spent + tracer) : 0, status_text(cost, "confidence"),
		(unsigned long long)windows, windows == 1 ? "" : "s",
		(unsigned long long)status_number(cost, "hits"));
	if (status_real(status, "slowdown", 1) > 1)
		fprintf(out,
			"slowdown  %.1f times while a window is open: the process has no time to spare, so windows stand for that much more\n",
			status_real(status, "slowdown", 1));
	json_object_object_get_ex(cost, "stopped", &stopped);
	if (json_object_get_boolean(stopped))
		fprintf(out,
			"stopped   even the rarest windows cost more than the budget; --overhead raises it\n");
	samples_print(status, out);
}

/* "12.3 MiB ± 1.2" */
static char *estimate_text(json_object *row, const char *value, const char *error)
{
	char size[TEXT_NUMBER_MAX], doubt[TEXT_NUMBER_MAX], *text = NULL;

	text_size((uint64_t)status_real(row, value, 0), size);
	text_size((uint64_t)status_real(row, error, 0), doubt);
	return asprintf(&text, "%s \302\261 %s", size, doubt) < 0 ? NULL : text;
}

bool status_grows(json_object *row)
{
	return status_flag(row, "grows");
}

struct error *status_growth_row(json_object *row, const char *pid, struct table *table)
{
	cleanup_free char *growth = estimate_text(row, "size", "size_error");
	cleanup_free char *held = estimate_text(row, "held", "held_error");
	cleanup_free char *name = text_display(status_text(row, "filename"));
	cleanup_free char *function = text_display(status_text(row, "function"));
	cleanup_free char *place = NULL;
	const char *cells[5];
	size_t count = 0;
	char windows[24];

	snprintf(windows, sizeof(windows), "%llu",
		 (unsigned long long)status_number(row, "windows"));
	if (asprintf(&place, "%s:%llu %s", name ? name : "",
		     (unsigned long long)status_number(row, "lineno"),
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

struct error *status_print_growth(json_object *status, size_t limit, FILE *out)
{
	static const struct table_column columns[] = {
		{"growth", true}, {"held", true}, {"windows", true}, {"line", false}};
	cleanup(table_cleanup) struct table *table = NULL;
	json_object *rows;
	size_t count = 0;

	if (!json_object_object_get_ex(status, "growth", &rows))
		return NULL;
	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		json_object *row = json_object_array_get_idx(rows, i);

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
			status_number(status, "windows") < ESTIMATE_WINDOWS_LEAST
				? " yet: too few windows"
				: "");
	return NULL;
}

struct error *status_site_row(json_object *site, uint64_t current, uint64_t before, const char *pid,
			      struct table *table)
{
	cleanup_free char *shown = text_display(status_text(site, "place"));
	char held[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX], change[TEXT_NUMBER_MAX], blocks[24];
	uint64_t size = status_number(site, "size");
	const char *cells[6];
	size_t count = 0;

	snprintf(blocks, sizeof(blocks), "%llu", (unsigned long long)status_number(site, "count"));
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

static void state_print(json_object *status, FILE *out)
{
	const char *state = status_text(status, "state");

	if (!strcmp(state, "exited"))
		fprintf(out,
			"the process has exited; these are its last totals (`tmbpf stop` forgets them)\n");
	if (!strcmp(state, "exec"))
		fprintf(out,
			"the process became another program by exec; these are the totals until then (`tmbpf stop` forgets them)\n");
	if (*status_text(status, "warning"))
		fprintf(out, "warning   %s\n", status_text(status, "warning"));
}

/* Where frees are not probed: when the pools told what is held. */
static void walk_print(json_object *status, FILE *out)
{
	json_object *walk;

	if (!json_object_object_get_ex(status, "walk", &walk)) {
		fputc('\n', out);
		return;
	}
	if (!walk) {
		fputs(" (its pools were never read)\n", out);
		return;
	}
	fprintf(out, " (its pools were read in %.3f s, %.1f s %s", status_real(walk, "seconds", 0),
		status_real(walk, "age", 0),
		strcmp(status_text(status, "state"), "running") ? "before the end" : "ago");
	if (status_number(walk, "unstable_pools"))
		fprintf(out, "; %llu of them changed too fast, and their blocks count as held",
			(unsigned long long)status_number(walk, "unstable_pools"));
	fputs(")\n", out);
}

static void memory_print(json_object *status, FILE *out)
{
	char one[TEXT_NUMBER_MAX], two[TEXT_NUMBER_MAX];
	json_object *memory = NULL;

	json_object_object_get_ex(status, "memory", &memory);
	fprintf(out, "rss       %s, %s when the session began\n",
		text_size(status_number(status, "rss"), one),
		text_size(status_number(status, "rss_at_start"), two));
	fprintf(out, "memory    %s tracer, %s maps\n",
		text_size(status_number(memory, "tracer_rss"), one),
		text_size(status_number(memory, "maps"), two));
}

/* What a forked process took over from its parent's session. */
static bool inherited_print(json_object *status, FILE *out)
{
	json_object *inherited, *changed;
	char size[TEXT_NUMBER_MAX];
	uint64_t events;

	if (!json_object_object_get_ex(status, "inherited", &inherited) || !inherited)
		return false;
	events = status_number(inherited, "parent_events");
	fprintf(out,
		"inherited %s in %llu blocks, with their tracebacks, from process %llu by fork",
		text_size(status_number(inherited, "size"), size),
		(unsigned long long)status_number(inherited, "count"),
		(unsigned long long)status_number(inherited, "parent"));
	if (json_object_object_get_ex(inherited, "changed", &changed) &&
	    status_number(changed, "count"))
		fprintf(out, "; %llu hold something else than there",
			(unsigned long long)status_number(changed, "count"));
	if (events)
		fprintf(out, "; that one allocated or freed %llu times until it was asked",
			(unsigned long long)events);
	fputc('\n', out);
	return true;
}

/* What is held and was there before; it has no traceback. */
static void before_print(json_object *status, FILE *out)
{
	bool heir = inherited_print(status, out);
	json_object *before;
	char size[TEXT_NUMBER_MAX];

	if (!json_object_object_get_ex(status, "before", &before) || !before)
		return;
	fprintf(out,
		"before    %s in %llu %sblocks of up to 512 bytes were there at the start, or the last clear",
		text_size(status_number(before, "size"), size),
		(unsigned long long)status_number(before, "count"), heir ? "more " : "");
	if (status_flag(before, "inherited"))
		fprintf(out, ": %s process %llu%s, and not in these totals",
			heir ? "from before that of" : "inherited from",
			(unsigned long long)status_number(status, "parent"),
			heir ? "" : " by fork");
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
static struct error *estimate_print(json_object *status, FILE *out)
{
	char one[TEXT_NUMBER_MAX + 1], two[TEXT_NUMBER_MAX];

	fprintf(out, "grown     %s since then (census); %s of it in blocks that no window saw\n",
		change_text(status_real(status, "census_growth", 0), one),
		text_size((uint64_t)status_real(status, "growth_missing", 0), two));
	fprintf(out, "held      %s in %llu blocks born since then (estimate)\n",
		text_size(status_number(status, "current"), one),
		(unsigned long long)status_number(status, "blocks"));
	memory_print(status, out);
	status_print_cost(status, out);
	status_print_losses(status, out);
	state_print(status, out);
	fputc('\n', out);
	return status_print_growth(status, 10, out);
}

struct error *status_print(json_object *status, FILE *out)
{
	cleanup_free char *command = text_display(status_text(status, "command_line"));
	uint64_t frees = status_number(status, "unknown_frees");
	uint64_t nframe = status_number(status, "nframe");
	json_object *unknown = NULL;
	char one[TEXT_NUMBER_MAX];

	fprintf(out, "process   %llu: %s\n", (unsigned long long)status_number(status, "pid"),
		command ? command : "");
	fprintf(out, "python    %s, %s\n", status_text(status, "python"),
		status_text(status, "executable"));
	fprintf(out, "traced    %s, %llu frame%s, since %s (%.0f s), %llu probes\n",
		status_text(status, "mode"), (unsigned long long)nframe, nframe == 1 ? "" : "s",
		status_text(status, "since"), status_real(status, "seconds", 0),
		(unsigned long long)status_number(status, "sites"));
	if (json_object_object_get_ex(status, "cost", NULL))
		return estimate_print(status, out);
	fprintf(out, "current   %s in %llu blocks",
		text_size(status_number(status, "current"), one),
		(unsigned long long)status_number(status, "blocks"));
	walk_print(status, out);
	fprintf(out, "peak      %s\n", status_size(status, "peak", one));
	memory_print(status, out);
	before_print(status, out);
	fprintf(out, "events    %llu allocations, %llu frees",
		(unsigned long long)status_number(status, "allocations"),
		(unsigned long long)status_number(status, "frees"));
	if (!json_object_object_get_ex(status, "unknown_frees", &unknown) || unknown)
		fprintf(out, ", %llu free%s of blocks from before", (unsigned long long)frees,
			frees == 1 ? "" : "s");
	fputc('\n', out);
	status_print_losses(status, out);
	state_print(status, out);
	return NULL;
}

void status_print_line(json_object *status, unsigned depth, FILE *out)
{
	cleanup_free char *command = text_display(status_text(status, "command_line"));
	char current[TEXT_NUMBER_MAX], peak[TEXT_NUMBER_MAX], peak_text[TEXT_NUMBER_MAX + 8];
	json_object *measured = NULL;

	json_object_object_get_ex(status, "peak", &measured);
	snprintf(peak_text, sizeof(peak_text), measured ? "%s peak" : "peak %s",
		 status_size(status, "peak", peak));
	fprintf(out, "%*s%-8llu %-17s %10s now %17s %6.0f s  %.60s\n", 2 * (int)depth, "",
		(unsigned long long)status_number(status, "pid"),
		strcmp(status_text(status, "state"), "running") ? "ended"
								: status_text(status, "mode"),
		text_size(status_number(status, "current"), current), peak_text,
		status_real(status, "seconds", 0), command ? command : "");
}
