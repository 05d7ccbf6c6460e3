// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What makes the numbers of snapshots hard to compare. */
#include "snapshot/cautions.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shares of allocations seen that are further apart than this are not alike. */
#define COVERAGE_APART 0.01
/* Nanoseconds between two beginnings that are the same one: clocks are set. */
#define BEGAN_APART 1000000000

struct finding {
	const char *const *files;
	const struct snapshot *const *snapshots;
	size_t count;
	struct cautions *cautions;
};

__attribute__((format(printf, 3, 4))) static struct error *
caution_add(struct cautions *cautions, const char *name, const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	try(array_reserve(&cautions->items, &cautions->capacity, cautions->count, 1,
			  sizeof(*cautions->items)));
	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a warning");
	cautions->items[cautions->count++] = (struct caution){name, text};
	return NULL;
}

/* What one snapshot says about itself in one respect, maybe in BUFFER; "" if nothing. */
typedef const char *(*aspect_value)(const struct snapshot_info *info, char *buffer, size_t size);

static const char *limit_value(const struct snapshot_info *info, char *buffer, size_t size)
{
	if (info->traceback_limit == 0)
		return "";
	snprintf(buffer, size, "%" PRIu32, info->traceback_limit);
	return buffer;
}

static const char *python_value(const struct snapshot_info *info, char *buffer, size_t size)
{
	snapshot_python_version(info->python_version, buffer, size);
	return buffer;
}

static const char *mode_value(const struct snapshot_info *info, char *buffer, size_t size)
{
	(void)buffer;
	(void)size;
	/* Lazy frees change how it is found out what is held, not what is seen. */
	return strcmp(info->mode, SNAPSHOT_MODE_LAZY) == 0 ? SNAPSHOT_MODE_EXACT : info->mode;
}

static const char *command_value(const struct snapshot_info *info, char *buffer, size_t size)
{
	(void)buffer;
	(void)size;
	return info->command_line;
}

static const struct aspect {
	const char *name;
	aspect_value value;
	const char *what;
	bool shown; /* the values themselves; command lines stand in the head */
	const char *consequence;
} aspects[] = {
	{"traceback_limit", limit_value, "traceback limits", true,
	 ": tracebacks are cut at different places"},
	{"mode", mode_value, "modes", true, ": they do not see the same allocations"},
	{"python_version", python_value, "Python versions", true,
	 ": the same objects have different sizes, and files different lines"},
	{"command_line", command_value, "command lines", false, ""},
};

/* An aspect in which two snapshots differ gets a line with the value of each. */
static struct error *aspect_find(const struct finding *finding, const struct aspect *aspect)
{
	const char *first = "";
	char first_buffer[64], buffer[64];
	cleanup_free char *values = NULL;
	bool differs = false;

	for (size_t i = 0; i < finding->count; i++) {
		const struct snapshot_info *info = &finding->snapshots[i]->info;
		const char *value = aspect->value(info, buffer, sizeof(buffer));
		char *longer;

		if (*value == '\0')
			continue;
		if (*first == '\0')
			first = aspect->value(info, first_buffer, sizeof(first_buffer));
		differs = differs || strcmp(first, value) != 0;
		if (!aspect->shown)
			continue;
		if (asprintf(&longer, "%s%s%s", values ? values : " (", values ? ", " : "", value) <
		    0)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a warning");
		free(values);
		values = longer;
	}
	if (!differs)
		return NULL;
	return caution_add(finding->cautions, aspect->name, "%s differ%s%s%s", aspect->what,
			   values ? values : "", values ? ")" : "", aspect->consequence);
}

static struct error *losses_find(const struct finding *finding)
{
	for (size_t i = 0; i < finding->count; i++) {
		const struct snapshot_info *info = &finding->snapshots[i]->info;

		for (size_t j = 0; j < info->loss_count; j++) {
			const struct loss *loss = &info->losses[j];

			if (loss->count > 0)
				try(caution_add(finding->cautions, "losses",
						"%s lost: %s: %" PRIu64, finding->files[i],
						*loss->text ? loss->text : loss->name,
						loss->count));
		}
	}
	return NULL;
}

static struct error *coverage_find(const struct finding *finding)
{
	double least = 1, most = 0;

	for (size_t i = 0; i < finding->count; i++) {
		double coverage = finding->snapshots[i]->info.coverage;

		if (coverage < 0)
			continue;
		least = coverage < least ? coverage : least;
		most = coverage > most ? coverage : most;
	}
	if (most - least <= COVERAGE_APART)
		return NULL;
	return caution_add(finding->cautions, "coverage",
			   "coverage differs: from %.1f %% to %.1f %% of allocations are seen",
			   100 * least, 100 * most);
}

static struct error *order_find(const struct finding *finding)
{
	for (size_t i = 1; i < finding->count; i++) {
		int64_t before = finding->snapshots[i - 1]->info.time_nanos;
		int64_t after = finding->snapshots[i]->info.time_nanos;

		if (before > 0 && after > 0 && after < before)
			return caution_add(finding->cautions, "order",
					   "%s was taken before %s, though it comes after it",
					   finding->files[i], finding->files[i - 1]);
	}
	return NULL;
}

/*
 * Two snapshots of one process may count from different moments: then what was held by the later
 * moment is in the earlier one alone.
 */
static struct error *began_find(const struct finding *finding)
{
	for (size_t i = 1; i < finding->count; i++) {
		const struct snapshot_info *before = &finding->snapshots[i - 1]->info;
		const struct snapshot_info *after = &finding->snapshots[i]->info;
		int64_t apart = after->time_nanos - after->duration_nanos -
				(before->time_nanos - before->duration_nanos);

		if (before->pid <= 0 || before->pid != after->pid ||
		    before->start_time != after->start_time || !before->duration_nanos ||
		    !after->duration_nanos || strcmp(before->boot_id, after->boot_id) != 0)
			continue;
		if (apart > BEGAN_APART || apart < -BEGAN_APART)
			return caution_add(finding->cautions, "began",
					   "tracing began anew, or was cleared, between %s and %s: "
					   "each has only what was allocated since",
					   finding->files[i - 1], finding->files[i]);
	}
	return NULL;
}

struct error *cautions_find(const char *const *files, const struct snapshot *const *snapshots,
			    size_t count, bool in_order, struct cautions *ret)
{
	const struct finding finding = {files, snapshots, count, ret};

	for (size_t i = 0; i < array_size(aspects); i++)
		try(aspect_find(&finding, &aspects[i]));
	if (in_order) {
		try(order_find(&finding));
		try(began_find(&finding));
	}
	try(coverage_find(&finding));
	return losses_find(&finding);
}

void cautions_deinit(struct cautions *cautions)
{
	for (size_t i = 0; i < cautions->count; i++)
		free(cautions->items[i].text);
	free(cautions->items);
}
