// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Probes that nobody comes to. */
#include "daemon/silence.h"

#include "base/json_read.h"
#include "trace/tracer/heap_check.h"

/*
 * Windows of a few milliseconds may all have met a moment of rest, but hardly so many of a heap
 * that grows.
 */
#define WINDOWS_LEAST 5

const char *silence_warning(struct json_object *status)
{
	struct json_object *events = json_get_object(status, "events");
	struct json_object *census = json_get_object(status, "growth_census");
	struct json_object *cost = json_get_object(status, "cost");
	double growth = 0;

	if (!events || json_sum(events))
		return NULL;
	/* What a fork has from its parent's session is traced without a hit. */
	if (census)
		growth = json_get_real(census, "size", 0) - json_get_real(census, "traced_size", 0);
	if (cost) {
		if (json_get_number(cost, "hits") ||
		    json_get_number(status, "windows") < WINDOWS_LEAST)
			return NULL;
		growth = json_get_real(status, "census_growth", 0);
	}
	if (growth < HEAP_CHECK_LEAST)
		return NULL;
	return "no probe was hit though the heap grew: they are in a file that the process does "
	       "not run";
}
