// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the search for referrers calls what it finds. */
#include "python/heap/referrer_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/code.h"
#include "python/heap/referrers.h"
#include "python/heap/types.h"
#include "python/python_internal.h"

#define MODULE_DICT 16 /* PyModuleObject.md_dict (Objects/moduleobject.c), behind the head */

struct error *python_unreadable(struct error *error)
{
	if (!error || error_number(error) == ENOMEM)
		return error;
	error_destroy(error);
	return NULL;
}

bool python_type_called(const struct python_type *type, const char *name, bool last)
{
	const char *dot = last ? strrchr(type->name, '.') : NULL;

	return strcmp(dot ? dot + 1 : type->name, name) == 0;
}

struct error *python_code_name(const struct python *python, uint64_t address, char **ret)
{
	struct python_code code = {0};
	const char *name;
	int length;

	*ret = NULL;
	try(python_unreadable(
		python_code_read(&python->process->memory, &python->layout, address, &code)));
	if (!code.name)
		return NULL;
	name = code.qualname ? code.qualname : code.name;
	length = asprintf(ret, "%s (%s:%d)", name, code.filename, code.firstlineno);
	python_code_deinit(&code);
	if (length < 0) {
		*ret = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "the name of a frame");
	}
	return NULL;
}

struct error *python_referrer_name(const struct python *python, struct python_types *types,
				   struct python_referrer *referrer)
{
	const struct python_type *type = python_types_get(types, referrer->type);
	struct memory *memory = &python->process->memory;
	uint64_t word;

	if (strcmp(type->name, "module") == 0) {
		struct error *error =
			memory_read_u64(memory, referrer->address + MODULE_DICT, &word);

		if (error)
			return python_unreadable(error);
		return python_unreadable(
			python_dict_string(types, word, "__name__", &referrer->name));
	}
	if (strcmp(type->name, "code") == 0)
		return python_code_name(python, referrer->address, &referrer->name);
	if (strcmp(type->name, "frame") == 0 && python->layout.frames == PYTHON_FRAMES_OBJECT) {
		struct error *error = memory_read_u64(
			memory, referrer->address + python->layout.frame.code, &word);

		if (error)
			return python_unreadable(error);
		return python_code_name(python, word, &referrer->name);
	}
	return NULL;
}

struct error *python_referrer_key(const struct python *python, uint64_t address,
				  struct python_referrer *referrer)
{
	struct memory *memory = &python->process->memory;
	uint64_t key, type;
	struct error *error;

	error = memory_read_u64(memory, address - 8, &key);
	if (!error && (key < 65536 || key % 8))
		return NULL;
	if (!error)
		error = memory_read_u64(memory, key + 8, &type);
	if (!error && type != python_symbol(python, "PyUnicode_Type"))
		return NULL;
	if (!error)
		error = python_string_read(memory, &python->layout, key, &referrer->key);
	return python_unreadable(error);
}
