// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The layout held against the living: its threads, their frames, the code that these run. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/code.h"
#include "python/python_internal.h"

/* Enough to tell a layout that fits from one that does not; deep stacks are not walked down. */
#define FRAMES_MAX  16
#define THREADS_MAX 256

struct error *python_frame_read(const struct python *python, uint64_t frame, uint64_t *ret_code,
				uint64_t *ret_back)
{
	const struct python_layout *layout = &python->layout;
	struct memory *memory = &python->process->memory;
	uint64_t code, back;
	uint8_t owner = 0;

	try(memory_read_u64(memory, frame + layout->frame.code, &code));
	try(memory_read_u64(memory, frame + layout->frame.back, &back));
	if (layout->frame.owner != PYTHON_NO_OFFSET)
		try(memory_read_u8(memory, frame + layout->frame.owner, &owner));
	if (layout->frame.code_tagged)
		code &= ~1ULL;
	*ret_code = owner > layout->frame.owner_max ? 0 : code;
	*ret_back = back;
	return NULL;
}

static struct error *code_check(const struct python *python, uint64_t address)
{
	const struct python_layout *layout = &python->layout;
	struct python_code code;
	uint64_t type;

	try(memory_read_u64(&python->process->memory, address + layout->code.type, &type));
	if (type != python_symbol(python, "PyCode_Type"))
		return error_create(
			ERROR_FAILED,
			"%s: the frames of its threads lead to no code objects (0x%" PRIx64
			"; the layout of %s does not fit)",
			python->image->path, address, python->layout_source);
	try(python_code_read(&python->process->memory, layout, address, &code));
	python_code_deinit(&code);
	return NULL;
}

/*
 * The first frames of a thread: those of the interpreter's own apart, the most recent ones lead to
 * code objects. One that does is much to ask of a layout that does not fit, so that what follows
 * may have changed while it was read.
 */
static struct error *thread_check(const struct python *python, const struct python_state *state,
				  bool *ret_checked)
{
	struct error *error = NULL;
	uint64_t frame = state->frame, code;
	unsigned i, good = 0;

	for (i = 0; i < FRAMES_MAX && frame && !error; i++) {
		error = python_frame_read(python, frame, &code, &frame);
		if (error || !code)
			continue;
		error = code_check(python, code);
		if (!error)
			good++;
	}
	if (error && !good)
		return error;
	error_destroy(error);
	*ret_checked = good > 0;
	return NULL;
}

/* At least one of the thread states must belong to a thread that lives. */
static struct error *natives_check(const struct python *python,
				   const struct python_thread_states *states)
{
	cleanup_free pid_t *threads = NULL;
	bool known = false;
	size_t count, i, j;

	if (python->layout.tstate.native_thread_id == PYTHON_NO_OFFSET)
		return NULL;
	try(process_threads(python->process, &threads, &count));
	for (i = 0; i < states->count; i++) {
		if (!states->list[i].native_id)
			continue;
		known = true;
		for (j = 0; j < count; j++)
			if ((uint64_t)threads[j] == states->list[i].native_id)
				return NULL;
	}
	if (!known)
		return NULL;
	return error_create(ERROR_FAILED,
			    "%s: no thread state is that of a living thread (the layout of %s does "
			    "not fit)",
			    python->image->path, python->layout_source);
}

static struct error *check_once(struct python *python)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};
	unsigned checked = 0;
	size_t i;

	try(python_thread_states_read(python, &states));
	if (!states.count)
		return python_starting(python);
	try(natives_check(python, &states));
	for (i = 0; i < states.count && i < THREADS_MAX; i++) {
		bool has_frames;

		try(thread_check(python, &states.list[i], &has_frames));
		checked += has_frames;
	}
	/* New interpreters go to the head of the list, so that the main one is its last. */
	python->interpreter = states.interpreters[states.interpreter_count - 1];
	python->thread_states = states.count;
	python->frames_checked = checked;
	return NULL;
}

struct error *python_check(struct python *python)
{
	struct error *error = NULL;
	unsigned tries = 0;

	do {
		error_destroy(error);
		error = check_once(python);
	} while (error && python_worth_trying(error) && python_try_again(&tries));
	return error;
}
