// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon/silence.h"

#include <stdbool.h>

#include "view/status_text.h"
#include "trace/tracer/heap_check.h"

/*
 * Windows of a few milliseconds may all have met a moment of rest, but hardly so many of a heap
 * that grows.
 */
#define WINDOWS_LEAST 5

static bool events_none(json_object *status)
{
	json_object *events;

	if (!json_object_object_get_ex(status, "events", &events))
		return false;
	json_object_object_foreach(events, name, count)
	{
		(void)name;
		if (json_object_get_uint64(count))
			return false;
	}
	return true;
}

const char *silence_warning(json_object *status)
{
	json_object *census, *cost;
	double growth = 0;

	if (!events_none(status))
		return NULL;
	/* What is traced without a hit a fork has from its parent's session. */
	if (json_object_object_get_ex(status, "growth_census", &census) && census)
		growth = status_real(census, "size", 0) - status_real(census, "traced_size", 0);
	if (json_object_object_get_ex(status, "cost", &cost)) {
		if (status_number(cost, "hits") || status_number(status, "windows") < WINDOWS_LEAST)
			return NULL;
		growth = status_real(status, "census_growth", 0);
	}
	if (growth < GROWTH_LEAST)
		return NULL;
	return "no probe was hit though the heap grew: they are in a file that the process does not run";
}
