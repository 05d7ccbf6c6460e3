// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which of a process' allocators `heap` does not read. */
#include "command/heap_unread.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "probe/domains.h"
#include "python/python.h"

/* What objects are said to come from where the interpreter's own state is not found. */
#define PYMALLOC_LOST "a pymalloc whose state was not found"

static void name_add(char *list, size_t size, const char *before, const char *name)
{
	size_t length = strlen(list);

	snprintf(list + length, size - length, "%s%s%s", length ? ", " : "", before, name);
}

/* "mem, obj: libhook.so" */
static void unknown_add(struct heap_unread *unread, const struct domain_allocator *allocators)
{
	static const char *const names[DOMAINS] = {"raw: ", "mem: ", "obj: "};

	for (unsigned int i = 0; i < DOMAINS; i++)
		if (allocators[i].kind == PYTHON_ALLOCATOR_OTHER)
			name_add(unread->unknown, sizeof(unread->unknown), names[i],
				 allocators[i].source);
}

void heap_unread_look(const struct python *python, struct heap_unread *ret)
{
	struct domain_allocator allocators[DOMAINS];
	const struct python_malloc *other = &python->malloc;
	struct heap_unread unread = {0};
	struct error *error = domains_read(python, allocators);

	if (other->other)
		name_add(unread.names, sizeof(unread.names), "", other->name);
	if (error) {
		snprintf(unread.unknown, sizeof(unread.unknown), "%s", error_message(error));
		error_destroy(error);
		*ret = unread;
		return;
	}
	unknown_add(&unread, allocators);
	for (unsigned int i = 0; i < DOMAINS; i++) {
		if (allocators[i].kind != PYTHON_ALLOCATOR_MIMALLOC)
			continue;
		name_add(unread.names, sizeof(unread.names), "",
			 python_allocator_name(PYTHON_ALLOCATOR_MIMALLOC));
		break;
	}
	if (allocators[DOMAIN_OBJ].kind == PYTHON_ALLOCATOR_PYMALLOC && !python->heap.usedpools) {
		name_add(unread.names, sizeof(unread.names), "", PYMALLOC_LOST);
		snprintf(unread.objects, sizeof(unread.objects), "%s", PYMALLOC_LOST);
	} else if (allocators[DOMAIN_OBJ].kind == PYTHON_ALLOCATOR_MIMALLOC) {
		snprintf(unread.objects, sizeof(unread.objects), "%s",
			 python_allocator_name(PYTHON_ALLOCATOR_MIMALLOC));
	} else if (allocators[DOMAIN_OBJ].kind == PYTHON_ALLOCATOR_MALLOC && other->other) {
		snprintf(unread.objects, sizeof(unread.objects), "%s", other->name);
	}
	*ret = unread;
}

struct error *heap_unread_error(pid_t pid, const char *objects)
{
	struct error *error;

	if (!*objects)
		return NULL;
	error = error_create(ERROR_FAILED,
			     "process %d allocates its objects by %s, whose heap tmbpf does not "
			     "read: none of them is counted or found",
			     (int)pid, objects);
	if (!strcmp(objects, PYMALLOC_LOST))
		return error_advise(error, "`tmbpf doctor -p %d` says what was found.", (int)pid);
	return error_advise(error, "With pymalloc, as where neither PYTHONMALLOC nor LD_PRELOAD "
				   "ask for another allocator, they are.");
}
