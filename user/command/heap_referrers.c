// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf heap --referrers`: who refers to an object, and who to these. */
#include "command/heap_referrers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "command/heap_unread.h"
#include "command/options/options.h"
#include "python/heap/census.h"
#include "python/heap/referrers.h"
#include "python/python.h"
#include "sandbox/privileges.h"
#include "target/process/process.h"

/* What is looked at, and the order in which it is shown. */
struct printing {
	struct process *process;
	struct python *python;
	struct python_referrers *found;
	struct heap_unread unread;
	uint32_t *order; /* groups by level, what they refer to, and count */
	uint64_t limit;
};

static void printing_deinit(struct printing *printing)
{
	free(printing->order);
	python_referrers_destroy(printing->found);
	python_destroy(printing->python);
	process_destroy(printing->process);
}

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
}

static int compare_groups(const void *left, const void *right, void *context)
{
	const struct python_referrers *found = context;
	const struct python_referrer *a = &found->groups[*(const uint32_t *)left];
	const struct python_referrer *b = &found->groups[*(const uint32_t *)right];

	if (a->level != b->level)
		return (a->level > b->level) - (a->level < b->level);
	if (a->of != b->of)
		return (a->of > b->of) - (a->of < b->of);
	if (a->count != b->count)
		return (a->count < b->count) - (a->count > b->count);
	return (a->address > b->address) - (a->address < b->address);
}

static const char *field_name(const struct printing *printing, const struct python_referrer *group,
			      char buffer[32])
{
	const struct python_type *type = python_types_get(printing->found->types, group->type);
	const char *name = python_census_field(printing->python, type, group->field);

	if (name)
		return name;
	snprintf(buffer, 32, "+%" PRId32, group->field);
	return buffer;
}

/* What GROUP is, in words. */
static char *group_text(const struct printing *printing, const struct python_referrer *group)
{
	const char *type, *key = group->key, *name = group->name;
	/* The key is that of one entry. */
	bool one_of_many = group->count > 1 ||
			   printing->found->groups[group->of].count > group->count;
	char buffer[32], *text;
	int length;

	if (group->kind == PYTHON_REFERRER_FRAME)
		length = asprintf(&text, "frame of %s", name ? name : "the interpreter's own");
	else if (group->kind == PYTHON_REFERRER_STATIC)
		length = asprintf(&text, "variable of %s at 0x%" PRIx64, name ? name : "?",
				  group->address);
	else if (group->level == 0)
		length = asprintf(&text, "%s",
				  python_types_get(printing->found->types, group->type)->name);
	else {
		type = python_types_get(printing->found->types, group->type)->name;
		length = asprintf(&text, "%s%s%s: %s%s%s%s", type, name ? " " : "",
				  name && group->count == 1 ? name : "",
				  field_name(printing, group, buffer),
				  !key          ? ""
				  : one_of_many ? ", e.g. [\""
						: " [\"",
				  key ? key : "", key ? "\"]" : "");
	}
	return length < 0 ? NULL : text;
}

static struct error *group_print(const struct printing *printing, uint32_t number, FILE *file);

/* Those that refer to the group NUMBER, the most frequent first. */
static struct error *referrers_print(const struct printing *printing, uint32_t number, FILE *file)
{
	const struct python_referrers *found = printing->found;
	uint32_t level = found->groups[number].level + 1;
	uint64_t shown = 0, more = 0;

	for (size_t i = 0; i < found->count; i++) {
		const struct python_referrer *group = &found->groups[printing->order[i]];

		if (group->level != level || group->of != number)
			continue;
		if (shown++ < printing->limit)
			try(group_print(printing, printing->order[i], file));
		else
			more++;
	}
	if (more)
		fprintf(file, "%*s%10" PRIu64 " more kinds; --limit 0 shows all\n",
			(int)(2 * level), "", more);
	return NULL;
}

static struct error *group_print(const struct printing *printing, uint32_t number, FILE *file)
{
	const struct python_referrer *group = &printing->found->groups[number];
	cleanup_free char *text = group_text(printing, group);
	cleanup_free char *shown = text ? text_display(text) : NULL;

	if (!shown)
		return no_memory();
	fprintf(file, "%*s%10" PRIu64 "  %s", (int)(2 * group->level), "", group->count, shown);
	if (group->kind == PYTHON_REFERRER_OBJECT && group->count == 1)
		fprintf(file, "  0x%" PRIx64, group->address);
	fputc('\n', file);
	return referrers_print(printing, number, file);
}

/* BEFORE and TEXT, as it may be shown, after an empty line. */
static struct error *line_print(const char *before, const char *text, FILE *file)
{
	cleanup_free char *shown = text_display(text);

	if (!shown)
		return no_memory();
	fprintf(file, "\n%s%s\n", before, shown);
	return NULL;
}

/* What was left out, so that a referrer may be missing. */
static struct error *unread_print(const struct printing *printing, FILE *file)
{
	const struct python_referrers *found = printing->found;
	const struct heap_unread *unread = &printing->unread;
	char size[TEXT_NUMBER_MAX];

	if (found->unread.unstable || found->unread.arenas)
		fprintf(file,
			"\nnot looked at: %" PRIu64
			" pools that changed each time they were read, %" PRIu64
			" arenas that were given back meanwhile, in all walks together\n",
			found->unread.unstable, found->unread.arenas);
	if (found->malloc_unknown)
		fprintf(file,
			"\nnot looked at: %s of malloc's in which no blocks could be made out\n",
			text_size(found->malloc_unknown, size));
	if (found->malloc_vanished)
		fprintf(file,
			"\n%s of malloc's were given back meanwhile: what was there may be "
			"missing, or be no more\n",
			text_size(found->malloc_vanished, size));
	if (found->malloc_absent)
		try(line_print("not looked at: malloc's blocks: ", found->malloc_absent, file));
	if (unread->names[0])
		try(line_print("not looked at, for their heaps are not read: blocks of ",
			       unread->names, file));
	if (unread->unknown[0])
		try(line_print("perhaps not looked at: blocks of allocators not known: ",
			       unread->unknown, file));
	return NULL;
}

static struct error *text_print(const struct printing *printing, FILE *file)
{
	const struct python_referrers *found = printing->found;

	for (size_t i = 0; i < found->count; i++)
		if (found->groups[printing->order[i]].level == 0)
			try(group_print(printing, printing->order[i], file));
	if (found->unfollowed)
		fprintf(file,
			"\n%" PRIu64
			" objects were too many: who refers to them was not looked for\n",
			found->unfollowed);
	return unread_print(printing, file);
}

static struct error *json_report(const struct printing *printing, FILE *file)
{
	static const char *const kinds[] = {"object", "frame", "static"};
	const struct python_referrers *found = printing->found;
	cleanup(json_deinit) struct json json;
	struct json_object *list;

	json_init(&json);
	json_text(&json, json.root, "schema", "tmbpf-referrers");
	json_number(&json, json.root, "version", 2);
	json_number(&json, json.root, "pid", (uint64_t)printing->process->pid);
	json_number(&json, json.root, "unfollowed", found->unfollowed);
	json_number(&json, json.root, "unstable_pools", found->unread.unstable);
	json_number(&json, json.root, "lost_arenas", found->unread.arenas);
	json_number(&json, json.root, "malloc_unknown", found->malloc_unknown);
	json_number(&json, json.root, "malloc_vanished", found->malloc_vanished);
	json_text(&json, json.root, "malloc_absent",
		  found->malloc_absent ? found->malloc_absent : "");
	json_text(&json, json.root, "allocators_unread", printing->unread.names);
	json_text(&json, json.root, "allocators_unknown", printing->unread.unknown);
	list = json_new_array(&json, json.root, "groups");
	for (uint32_t i = 0; i < found->count; i++) {
		const struct python_referrer *group = &found->groups[i];
		struct json_object *object = json_new_object(&json, list, NULL);
		char buffer[32];

		json_number(&json, object, "level", group->level);
		if (group->level)
			json_number(&json, object, "refers_to", group->of);
		json_text(&json, object, "kind", kinds[group->kind]);
		json_number(&json, object, "count", group->count);
		json_number(&json, object, "address", group->address);
		if (group->kind == PYTHON_REFERRER_OBJECT) {
			json_text(&json, object, "type",
				  python_types_get(found->types, group->type)->name);
			json_text(&json, object, "field", field_name(printing, group, buffer));
		}
		if (group->key)
			json_text(&json, object, "key", group->key);
		if (group->name)
			json_text(&json, object, "name", group->name);
	}
	return json_print(&json, file);
}

static struct error *find(const struct heap_referrers *asked, struct printing *printing)
{
	const char *type = asked->of;
	struct error *error;
	uint64_t address = 0;

	if (!strncmp(asked->of, "0x", 2) || !strncmp(asked->of, "0X", 2)) {
		try(option_address("--referrers", asked->of, &address));
		type = NULL;
	}
	try(privileges_keep(PRIVILEGES_READ, true));
	try(process_create(asked->pid, &printing->process));
	try(python_create(printing->process, &printing->python));
	heap_unread_look(printing->python, &printing->unread);
	/* Without objects nothing is found, which would say that there is nothing. */
	try(heap_unread_error(asked->pid, printing->unread.objects));
	error = python_referrers_create(printing->python, type, address,
					(unsigned int)asked->levels, &printing->found);
	if (error && error_kind(error) == ERROR_NOTHING && printing->unread.unknown[0])
		error = error_advise(error, "What comes from %s is perhaps not counted.",
				     printing->unread.unknown);
	try(error);
	return process_check(printing->process);
}

struct error *heap_referrers_print(const struct heap_referrers *asked)
{
	cleanup(printing_deinit) struct printing printing = {.limit = asked->limit};

	try(find(asked, &printing));
	printing.order = reallocarray(NULL, printing.found->count + 1, sizeof(*printing.order));
	if (!printing.order)
		return no_memory();
	for (uint32_t i = 0; i < printing.found->count; i++)
		printing.order[i] = i;
	qsort_r(printing.order, printing.found->count, sizeof(*printing.order), compare_groups,
		printing.found);
	return asked->json ? json_report(&printing, stdout) : text_print(&printing, stdout);
}
