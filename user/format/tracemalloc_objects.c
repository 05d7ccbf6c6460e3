// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The objects of a pickled Snapshot: an instance of Snapshot and one of _Traces, with the
 * attributes that they have. Each is made once, and nothing else is.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "format/tracemalloc_internal.h"

/* The attributes that an instance has: bits of 1 << word. */
static const unsigned int class_attributes[CLASS_COUNT] = {
	[CLASS_SNAPSHOT] = 1u << WORD_TRACES | 1u << WORD_TRACEBACK_LIMIT,
	[CLASS_TRACES] = 1u << WORD_TRACES_LIST,
};

struct error *op_class(struct reader *reader)
{
	const struct value *values;

	try(machine_pop(&reader->machine, 2, &values));
	if (values[0].kind == VALUE_WORD && values[0].index == WORD_TRACEMALLOC &&
	    values[1].kind == VALUE_WORD) {
		if (values[1].index == WORD_SNAPSHOT)
			return push(reader, VALUE_CLASS, CLASS_SNAPSHOT);
		if (values[1].index == WORD_TRACES_CLASS)
			return push(reader, VALUE_CLASS, CLASS_TRACES);
	}
	return machine_refuse(&reader->machine,
			      "something else than tracemalloc's Snapshot and _Traces is asked "
			      "for");
}

struct error *op_object(struct reader *reader)
{
	const struct value *values;
	uint32_t class_name;

	try(machine_pop(&reader->machine, 2, &values));
	if (values[0].kind != VALUE_CLASS || values[1].kind != VALUE_NOTHING)
		return machine_refuse(&reader->machine,
				      "an object of no class, or made with arguments");
	class_name = values[0].index;
	if (reader->has_object[class_name])
		return machine_refuse(&reader->machine, "a second object of the same class");
	reader->has_object[class_name] = true;
	return push(reader, VALUE_OBJECT, class_name);
}

struct error *op_dict(struct reader *reader)
{
	if (reader->dict_count == CLASS_COUNT)
		return machine_refuse(&reader->machine, "a third dict");
	return push(reader, VALUE_DICT, reader->dict_count++);
}

/* Whether VALUE is what the attribute WORD holds. */
static bool attribute_fits(const struct reader *reader, uint32_t word, const struct value *value)
{
	switch (word) {
	case WORD_TRACES:
		return value->kind == VALUE_OBJECT && value->index == CLASS_TRACES &&
		       reader->built[CLASS_TRACES];
	case WORD_TRACES_LIST:
		return value->kind == VALUE_LIST;
	case WORD_TRACEBACK_LIMIT:
		return value->kind == VALUE_NUMBER && value->number <= UINT32_MAX;
	default:
		return false;
	}
}

/* Sets attributes of the dict that is the last value: COUNT names and values by turns. */
static struct error *set_attributes(struct reader *reader, const struct value *values, size_t count)
{
	const struct value *dict;

	try(machine_top(&reader->machine, VALUE_DICT, "a dict", &dict));
	if (count % 2 != 0)
		return machine_refuse(&reader->machine, "an attribute without a value");
	for (size_t i = 0; i < count; i += 2) {
		if (values[i].kind != VALUE_WORD ||
		    !attribute_fits(reader, values[i].index, &values[i + 1]))
			return machine_refuse(&reader->machine,
					      "an attribute that no Snapshot has");
		if (reader->attributes[dict->index] & 1u << values[i].index)
			return machine_refuse(&reader->machine, "an attribute is there twice");
		reader->attributes[dict->index] |= 1u << values[i].index;
		if (values[i].index == WORD_TRACEBACK_LIMIT)
			reader->traceback_limit = values[i + 1].number;
	}
	return NULL;
}

struct error *op_item(struct reader *reader)
{
	const struct value *values;

	try(machine_pop(&reader->machine, 2, &values));
	return set_attributes(reader, values, 2);
}

struct error *op_items(struct reader *reader)
{
	const struct value *values;
	size_t count;

	try(machine_pop_mark(&reader->machine, &values, &count));
	return set_attributes(reader, values, count);
}

struct error *op_build(struct reader *reader)
{
	const struct value *dict, *object;

	try(machine_pop(&reader->machine, 1, &dict));
	try(machine_top(&reader->machine, VALUE_OBJECT, "an object", &object));
	if (dict->kind != VALUE_DICT ||
	    reader->attributes[dict->index] != class_attributes[object->index])
		return machine_refuse(&reader->machine,
				      "an object with other attributes than its class has");
	reader->built[object->index] = true;
	return NULL;
}

struct error *op_stop(struct reader *reader)
{
	const struct machine *machine = &reader->machine;

	if (machine->mark_count != 0 || machine->stack_count != 1 ||
	    machine->stack[0].kind != VALUE_OBJECT || machine->stack[0].index != CLASS_SNAPSHOT ||
	    !reader->built[CLASS_SNAPSHOT])
		return machine_refuse(&reader->machine,
				      "it ends with something else than a Snapshot");
	reader->stopped = true;
	return NULL;
}
