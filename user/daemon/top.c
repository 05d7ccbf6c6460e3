// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon/top.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "view/place.h"

struct error *top_fill(const struct snapshot *snapshot, uint64_t limit, json_object *reply)
{
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;
	const struct statistics_options options = {.group_by = GROUP_BY_LINENO};
	json_object *lines = json_object_new_array();

	json_object_object_add(reply, "lines", lines);
	try(statistics_create(snapshot, &options, &statistics));
	for (size_t i = 0; i < statistics->count && i < limit; i++) {
		const struct statistic *item = &statistics->items[i];
		struct place where = place_of_statistic(snapshot->tables, statistics, item);
		cleanup_free char *place = place_text(&where);
		json_object *line = json_object_new_object();

		json_object_object_add(line, "place", json_object_new_string(place ? place : ""));
		json_object_object_add(line, "size", json_object_new_uint64(item->size));
		json_object_object_add(line, "count", json_object_new_uint64(item->count));
		json_object_object_add(line, "allocations",
				       json_object_new_uint64(item->total_count));
		json_object_array_add(lines, line);
	}
	json_object_object_add(reply, "line_count", json_object_new_uint64(statistics->count));
	return NULL;
}
