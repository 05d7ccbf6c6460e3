// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Several snapshots as one. */
#include "snapshot/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/snapshot.h"

/* TEXT if *RET, of those before, is the same; "" is not known. */
static struct error *text_merge(char **ret, const char *text, bool first)
{
	if (first || (*ret && !strcmp(*ret, text)))
		text = strdup(text);
	else
		text = strdup("");
	free(*ret);
	*ret = (char *)text;
	return text ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
}

static struct error *string_pool_merge(struct snapshot_info *info, const struct snapshot_info *from,
				       bool first)
{
	try(text_merge(&info->command_line, from->command_line, first));
	try(text_merge(&info->executable, from->executable, first));
	try(text_merge(&info->host, from->host, first));
	try(text_merge(&info->container, from->container, first));
	try(text_merge(&info->container_name, from->container_name, first));
	try(text_merge(&info->image, from->image, first));
	try(text_merge(&info->cgroup, from->cgroup, first));
	try(text_merge(&info->boot_id, from->boot_id, first));
	return text_merge(&info->mode, from->mode, first);
}

#define number_merge(info, from, first, member)                                                    \
	((info)->member = (first) || (info)->member == (from)->member ? (from)->member : 0)

static void numbers_merge(struct snapshot_info *info, const struct snapshot_info *from, bool first)
{
	number_merge(info, from, first, pid);
	number_merge(info, from, first, start_time);
	number_merge(info, from, first, mount_namespace);
	number_merge(info, from, first, python_version);
	number_merge(info, from, first, traceback_limit);
	number_merge(info, from, first, period);
	if (first || from->time_nanos > info->time_nanos)
		info->time_nanos = from->time_nanos;
	if (first || from->duration_nanos > info->duration_nanos)
		info->duration_nanos = from->duration_nanos;
	if (__builtin_add_overflow(info->current, from->current, &info->current))
		info->current = UINT64_MAX;
	if (__builtin_add_overflow(info->rss, from->rss, &info->rss))
		info->rss = UINT64_MAX;
	info->peak_unmeasured = true;
}

static struct error *info_merge(struct snapshot_info *info, const struct snapshot_info *from,
				bool first)
{
	try(string_pool_merge(info, from, first));
	numbers_merge(info, from, first);
	if (first || (info->coverage >= 0 && from->coverage < info->coverage))
		info->coverage = from->coverage;
	for (size_t i = 0; i < from->loss_count; i++)
		try(snapshot_info_loss(info, from->losses[i].name, from->losses[i].text,
				       from->losses[i].count));
	return NULL;
}

static struct error *traces_merge(struct snapshot_builder *builder, const struct snapshot *from)
{
	for (size_t i = 0; i < from->trace_count; i++)
		try(snapshot_builder_sum(builder, &from->traces[i]));
	return NULL;
}

struct error *snapshot_merge(const struct snapshot *const *snapshots, size_t count,
			     struct snapshot **ret)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;
	struct snapshot_info *info;
	bool told = true;

	try(snapshot_builder_create(snapshots[0]->tables, &builder));
	info = snapshot_builder_info(builder);
	for (size_t i = 0; i < count; i++) {
		if (snapshots[i]->tables != snapshots[0]->tables)
			return error_create(ERROR_FAILED,
					    "snapshots to merge have tables of their own");
		told = told && snapshot_info_tells_losses(&snapshots[i]->info);
		try(info_merge(info, &snapshots[i]->info, !i));
		try(traces_merge(builder, snapshots[i]));
	}
	if (told && asprintf(&info->coverage_basis, "the least of %zu snapshots", count) < 0) {
		info->coverage_basis = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot");
	}
	return snapshot_builder_finish(take(builder), ret);
}
