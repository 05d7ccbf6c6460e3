// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Walks the interpreters' lists of thread states. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/python_internal.h"
#include "python/x86.h"

#define STATES_MAX       65536u
#define INTERPRETERS_MAX 4096u

static struct error *head_address(const struct python *python, uint64_t *ret)
{
	const struct image_symbol *function;
	struct x86_value value;

	if (python->runtime) {
		*ret = python->runtime + python->layout.runtime.interpreters_head;
		return NULL;
	}
	/* 3.6: interp_head is static in Python/pystate.c; PyInterpreterState_Head() returns it. */
	function = image_symbol(python->image, "PyInterpreterState_Head");
	if (!function || !x86_returned(python->image, function->address, &value) ||
	    value.kind != X86_ADDRESS || !value.loaded)
		return error_create(ERROR_FAILED,
				    "%s: PyInterpreterState_Head is not there or not understood",
				    python->image->path);
	*ret = value.address + python->bias;
	return NULL;
}

struct error *python_starting(const struct python *python)
{
	return error_create_errno(ERROR_FAILED, EAGAIN, "%s: the interpreter is not initialised",
				  python->image->path);
}

static struct error *list_broken(const struct python *python, const char *what, uint64_t address)
{
	return error_create(ERROR_FAILED,
			    "%s: its list of %s does not hold together at 0x%" PRIx64
			    " (the layout of %s does not fit)",
			    python->image->path, what, address, python->layout_source);
}

/* Appends to a growing array of SIZE-byte elements; NULL without memory. */
static void *list_grow(void *list, size_t count, size_t size)
{
	/* At powers of two. */
	if (count & (count - 1))
		return list;
	return reallocarray(list, count ? count * 2 : 1, size);
}

static struct error *frame_read(const struct python *python, uint64_t address, uint64_t *ret)
{
	struct memory *memory = &python->process->memory;
	uint64_t frame;

	try(memory_read_u64(memory, address + python->layout.tstate.frame, &frame));
	if (python->layout.frames == PYTHON_FRAMES_CFRAME && frame)
		try(memory_read_u64(memory, frame + python->layout.tstate.cframe_current, &frame));
	*ret = frame;
	return NULL;
}

static struct error *state_read(const struct python *python, uint64_t address,
				struct python_state *ret, uint64_t *ret_next)
{
	const struct python_layout *layout = &python->layout;
	struct memory *memory = &python->process->memory;
	struct python_state state = {.address = address};
	uint64_t next;

	try(memory_read_u64(memory, address + layout->tstate.interp, &state.interpreter));
	try(memory_read_u64(memory, address + layout->tstate.next, &next));
	try(memory_read_u64(memory, address + layout->tstate.thread_id, &state.thread_id));
	if (layout->tstate.native_thread_id != PYTHON_NO_OFFSET)
		try(memory_read_u64(memory, address + layout->tstate.native_thread_id,
				    &state.native_id));
	try(frame_read(python, address, &state.frame));
	*ret = state;
	*ret_next = next;
	return NULL;
}

static struct error *interpreter_states_read(const struct python *python, uint64_t interpreter,
					     struct python_thread_states *states)
{
	uint64_t address;

	try(memory_read_u64(&python->process->memory,
			    interpreter + python->layout.interp.tstate_head, &address));
	while (address) {
		struct python_state *list, state;
		uint64_t next;

		if (address & 7 || states->count == STATES_MAX)
			return list_broken(python, "thread states", address);
		try(state_read(python, address, &state, &next));
		if (state.interpreter != interpreter)
			return list_broken(python, "thread states", address);
		list = list_grow(states->list, states->count, sizeof(*list));
		if (!list)
			return error_create_errno(ERROR_FAILED, ENOMEM, "thread states");
		states->list = list;
		states->list[states->count++] = state;
		address = next;
	}
	return NULL;
}

static struct error *states_read(const struct python *python, struct python_thread_states *states)
{
	struct memory *memory = &python->process->memory;
	uint64_t address;

	try(head_address(python, &address));
	try(memory_read_u64(memory, address, &address));
	if (!address)
		return python_starting(python);
	while (address) {
		uint64_t *list;

		if (address & 7 || states->interpreter_count == INTERPRETERS_MAX)
			return list_broken(python, "interpreters", address);
		list = list_grow(states->interpreters, states->interpreter_count, sizeof(*list));
		if (!list)
			return error_create_errno(ERROR_FAILED, ENOMEM, "interpreters");
		states->interpreters = list;
		states->interpreters[states->interpreter_count++] = address;
		try(interpreter_states_read(python, address, states));
		try(memory_read_u64(memory, address + python->layout.interp.next, &address));
	}
	return NULL;
}

struct error *python_thread_states_read(const struct python *python,
					struct python_thread_states *ret)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};

	try(states_read(python, &states));
	*ret = states;
	states = (struct python_thread_states){0};
	return NULL;
}

void python_thread_states_deinit(struct python_thread_states *states)
{
	free(states->list);
	free(states->interpreters);
	*states = (struct python_thread_states){0};
}
