// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The lines that hold most, as the live view asks for them. */
#include "daemon/top.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "view/place.h"

struct error *top_fill(const struct snapshot *snapshot, uint64_t limit, struct json_object *reply)
{
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;
	const struct statistics_options options = {.group_by = GROUP_BY_LINENO};
	struct json json = json_of(reply);
	struct json_object *lines = json_new_array(&json, reply, "lines");

	try(statistics_create(snapshot, &options, &statistics));
	for (size_t i = 0; i < statistics->count && i < limit; i++) {
		const struct statistic *item = &statistics->items[i];
		struct place where = place_of_statistic(snapshot->tables, statistics, item);
		cleanup_free char *place = place_text(&where);
		struct json_object *line = json_new_object(&json, lines, NULL);

		json_text(&json, line, "place", place ? place : "");
		json_number(&json, line, "size", item->size);
		json_number(&json, line, "count", item->count);
		json_number(&json, line, "allocations", item->total_count);
	}
	json_number(&json, reply, "line_count", statistics->count);
	return json_built(&json);
}
