// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a snapshot says about itself, as JSON. */
#include "format/json_info.h"
#include "base/json.h"
#include "snapshot/snapshot.h"

static uint64_t not_negative(int64_t number)
{
	return number > 0 ? (uint64_t)number : 0;
}

/* Tracing may have counted nothing: it says its mode, and then 0 is known. */
static void json_counted(struct json *json, struct json_object *to, const char *key,
			 uint64_t number, const struct snapshot_info *info)
{
	if (*info->mode)
		json_number(json, to, key, number);
	else
		json_number_or_null(json, to, key, number);
}

static void json_losses(struct json *json, struct json_object *to, const struct snapshot_info *info)
{
	struct json_object *losses;

	if (!snapshot_info_tells_losses(info)) {
		json_null(json, to, "losses");
		return;
	}
	losses = json_new_array(json, to, "losses");
	for (size_t i = 0; i < info->loss_count; i++) {
		struct json_object *loss = json_new_object(json, losses, NULL);

		json_text(json, loss, "name", info->losses[i].name);
		json_text(json, loss, "text", info->losses[i].text);
		json_number(json, loss, "count", info->losses[i].count);
	}
}

void json_snapshot_info(struct json *json, struct json_object *to, const struct snapshot_info *info)
{
	char version[32];

	json_number_or_null(json, to, "time_nanos", not_negative(info->time_nanos));
	json_number_or_null(json, to, "duration_nanos", not_negative(info->duration_nanos));
	json_number_or_null(json, to, "pid", not_negative(info->pid));
	json_number_or_null(json, to, "start_time", info->start_time);
	json_text_or_null(json, to, "boot_id", info->boot_id);
	json_number_or_null(json, to, "mount_namespace", info->mount_namespace);
	json_text_or_null(json, to, "command_line", info->command_line);
	json_text_or_null(json, to, "executable", info->executable);
	json_text_or_null(json, to, "host", info->host);
	json_text_or_null(json, to, "container", info->container);
	json_text_or_null(json, to, "container_name", info->container_name);
	json_text_or_null(json, to, "image", info->image);
	json_text_or_null(json, to, "cgroup", info->cgroup);
	snapshot_python_version(info->python_version, version, sizeof(version));
	json_text_or_null(json, to, "python_version", version);
	json_text_or_null(json, to, "mode", info->mode);
	json_number_or_null(json, to, "traceback_limit", info->traceback_limit);
	json_counted(json, to, "current", info->current, info);
	if (info->peak_unmeasured)
		json_null(json, to, "peak");
	else
		json_counted(json, to, "peak", info->peak, info);
	json_number_or_null(json, to, "rss", info->rss);
	if (info->coverage < 0)
		json_null(json, to, "coverage");
	else
		json_real(json, to, "coverage", info->coverage);
	json_text_or_null(json, to, "coverage_basis", info->coverage_basis);
	json_losses(json, to, info);
}
