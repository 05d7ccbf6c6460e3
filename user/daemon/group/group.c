// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a group's watcher has open and remembers. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "daemon/group/group_internal.h"

void group_warn(struct group *group, struct error *error)
{
	if (!error)
		return;
	free(group->warning);
	group->warning = strdup(error_message(error));
	error_destroy(error);
}

void group_release(void *context)
{
	struct group *group = context;

	follow_destroy(group->follow);
	group->follow = NULL;
	members_deinit(&group->members);
	for (size_t i = 0; i < group->folder_count; i++)
		free(group->folders[i]);
	free(group->folders);
	group->folders = NULL;
	group->folder_count = 0;
	free(group->warning);
	group->warning = NULL;
}
