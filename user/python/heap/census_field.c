// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The names of fields that lead to blocks. */
#include <string.h>

#include "base/cleanup.h"
#include "python/heap/census.h"
#include "python/python.h"

/* How a type's fields are called in Objects/; numpy's in ndarraytypes.h. */
const char *python_census_field(const struct python *python, const struct python_type *type,
				int32_t field)
{
	const struct python_layout *layout = &python->layout;
	const struct {
		uint64_t flag;    /* of the type's: Py_TPFLAGS_..._SUBCLASS (Include/object.h) */
		const char *type; /* or its name */
		uint32_t field;
		const char *name;
	} names[] = {
		{1u << 29, NULL, layout->dict.keys, "keys"},
		{1u << 29, NULL, layout->dict.values, "values"},
		{1u << 25, NULL, layout->containers.list_items, "items"},
		{1u << 31, NULL, layout->type.cached_keys, "cached keys"},
		{0, "set", layout->containers.set_table, "table"},
		{0, "frozenset", layout->containers.set_table, "table"},
		{0, "bytearray", layout->containers.bytearray_bytes, "buffer"},
		{0, "numpy.ndarray", 16, "data"},
	};

	for (size_t i = 0; i < array_size(names); i++)
		if (names[i].field == (uint32_t)field &&
		    (names[i].type ? strcmp(names[i].type, type->name) == 0
				   : (type->flags & names[i].flag) != 0))
			return names[i].name;
	if (field < 0)
		return "instance values";
	return (uint32_t)field >= type->basicsize ? "slots" : NULL;
}
