// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where each thread keeps the PyThreadState that it runs: read from the code of CPython's accessor
 * functions, resolved in the process, and checked against its list of thread states.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/python_internal.h"
#include "python/x86.h"

/* glibc's struct pthread (nptl/descr.h), x86-64: its own address first and at 16, the DTV at 8. */
#define TCB_SELF        16
#define TCB_DTV         8
#define DTV_ENTRY       16 /* dtv_t: value, to_free (sysdeps/generic/dl-dtv.h) */
#define DTV_UNALLOCATED UINT64_MAX
#define MODULES_MAX     65536
/* specific_1stblock: 32 of struct pthread_key_data {seq, data}. Verified on the living threads. */
#define SPECIFIC       0x310
#define SPECIFIC_ENTRY 16
#define SPECIFIC_DATA  8
#define SPECIFIC_COUNT 32
/*
 * musl's struct pthread (src/internal/pthread_impl.h), x86-64: its own address first, the DTV at 8,
 * then the ring of threads. The DTV has a block's address for each module. The member `tsd` leads
 * to the values of pthread keys. It lies where the layout is not fixed, so it is looked for.
 */
#define MUSL_PREV      16
#define MUSL_NEXT      24
#define MUSL_DTV_ENTRY 8
#define MUSL_TSD_FIRST 48
#define MUSL_TSD_END   256
#define MUSL_TSD_COUNT 128 /* PTHREAD_KEYS_MAX */
/* The static TLS block lies below the thread pointer; it has never been as large as this. */
#define STATIC_TLS_MAX (16 << 20)

static struct error *not_understood(const struct python *python, const char *what)
{
	return error_create(ERROR_FAILED,
			    "%s: cannot tell where the current thread's state is kept: %s",
			    python->image->path, what);
}

static bool value_same(const struct x86_value *left, const struct x86_value *right)
{
	return left->kind == right->kind && left->loaded == right->loaded &&
	       left->address == right->address && left->displacement == right->displacement;
}

/* What PyThreadState_Get() and its like read; those that are there and understood must agree. */
static struct error *current_decode(const struct python *python, struct x86_value *ret)
{
	static const char *const names[] = {
		"PyThreadState_Get",
		"_PyThreadState_UncheckedGet",
		"PyThreadState_GetUnchecked",
		"_PyThreadState_GetCurrent",
	};
	struct x86_value found = {.kind = X86_UNKNOWN};
	size_t i;

	for (i = 0; i < array_size(names); i++) {
		const struct image_symbol *symbol = image_symbol(python->image, names[i]);
		struct x86_value value;

		if (!symbol || !x86_returned(python->image, symbol->address, &value))
			continue;
		if (found.kind != X86_UNKNOWN && !value_same(&found, &value))
			return not_understood(python, "its accessor functions do not agree");
		found = value;
	}
	if (found.kind == X86_UNKNOWN || !found.loaded)
		return not_understood(python, "PyThreadState_Get is not understood");
	*ret = found;
	return NULL;
}

/*
 * Up to 3.11: a word of _PyRuntime (3.6: _PyThreadState_Current). The code is right where the
 * table, made from another patch release, is not: 3.7.0 to 3.7.3 have it 88 bytes before 3.7.4.
 */
static struct error *global_find(struct python *python, const struct x86_value *value)
{
	struct python_layout *layout = &python->layout;
	uint64_t address = value->address + python->bias;
	uint64_t offset = address - python->runtime;

	if (value->kind != X86_ADDRESS)
		return not_understood(python, "it is no word in memory");
	if (!python->runtime) {
		if (address != python_symbol(python, "_PyThreadState_Current"))
			return not_understood(python, "it is not _PyThreadState_Current");
	} else if (offset != layout->runtime.tstate_current) {
		const struct image_symbol *runtime = image_symbol(python->image, "_PyRuntime");

		if (offset > runtime->size)
			return not_understood(python, "it is not within _PyRuntime");
		/* Both are fields of struct _gilstate_runtime_state. */
		layout->runtime.auto_tss_key += offset - layout->runtime.tstate_current;
		layout->runtime.tstate_current = offset;
	}
	python->thread.source = PYTHON_THREAD_GLOBAL;
	python->thread.address = address;
	python->thread.evidence = "a word in memory, read by PyThreadState_Get";
	return NULL;
}

enum thread_libc { THREAD_NONE, THREAD_GLIBC, THREAD_MUSL };

/*
 * Does the word at ADDRESS say VALUE? Not if it cannot be read: a thread state may outlive its
 * thread, whose stack is unmapped then.
 */
static bool word_is(const struct python *python, uint64_t address, uint64_t value)
{
	uint64_t word;
	struct error *error = memory_read_u64(&python->process->memory, address, &word);

	if (error) {
		error_destroy(error);
		return false;
	}
	return word == value;
}

/* Are THREAD's neighbours in the ring threads that have it as theirs? */
static bool in_ring(const struct python *python, uint64_t thread)
{
	uint64_t ring[2];
	struct error *error =
		memory_read(&python->process->memory, thread + MUSL_PREV, ring, sizeof(ring));

	if (error) {
		error_destroy(error);
		return false;
	}
	return word_is(python, ring[0], ring[0]) && word_is(python, ring[1], ring[1]) &&
	       word_is(python, ring[0] + MUSL_NEXT, thread) &&
	       word_is(python, ring[1] + MUSL_PREV, thread);
}

/*
 * Is THREAD_ID a thread pointer, as pthread_self() is with glibc and musl? A musl thread that is
 * alone is its own neighbour. In glibc the same words have another meaning (multiple_threads,
 * gscope_flag), and never that value.
 */
static enum thread_libc is_thread(const struct python *python, uint64_t thread_id)
{
	if (!thread_id || thread_id & 7 || !word_is(python, thread_id, thread_id))
		return THREAD_NONE;
	if (in_ring(python, thread_id))
		return THREAD_MUSL;
	return word_is(python, thread_id + TCB_SELF, thread_id) ? THREAD_GLIBC : THREAD_NONE;
}

/* What one of the threads shows. */
static enum thread_libc libc_of(const struct python *python,
				const struct python_thread_states *states)
{
	for (size_t i = 0; i < states->count; i++) {
		enum thread_libc libc = is_thread(python, states->list[i].thread_id);

		if (libc != THREAD_NONE)
			return libc;
	}
	return THREAD_NONE;
}

/*
 * Is ADDRESS a thread state? With THREAD_ID, one of that thread: mostly so, but 3.12 runs a
 * subinterpreter's first state, made by one thread, in any other.
 */
static bool is_state(const struct python_thread_states *states, uint64_t address,
		     uint64_t thread_id)
{
	size_t i;

	for (i = 0; i < states->count; i++)
		if (states->list[i].address == address &&
		    (!thread_id || states->list[i].thread_id == thread_id))
			return true;
	return false;
}

/*
 * Where a thread-local word lies that is a field of the module's block: by the thread pointer if
 * the block is in the static area of each thread (to_free NULL: glibc's elf/dl-tls.c), else by the
 * DTV.
 */
static struct error *module_offset(const struct python *python,
				   const struct python_thread_states *states, uint64_t module,
				   uint64_t offset, bool *ret_static, int64_t *ret_offset)
{
	struct memory *memory = &python->process->memory;
	bool known = false;
	int64_t block = 0;
	size_t i;

	*ret_static = false;
	/* musl does not say which is where; its DTV always leads there. */
	if (libc_of(python, states) == THREAD_MUSL)
		return NULL;

	for (i = 0; i < states->count; i++) {
		uint64_t thread = states->list[i].thread_id, dtv, entry[2];

		if (!is_thread(python, thread))
			continue;
		try(memory_read_u64(memory, thread + TCB_DTV, &dtv));
		try(memory_read(memory, dtv + module * DTV_ENTRY, entry, sizeof(entry)));
		if (entry[0] == DTV_UNALLOCATED)
			continue;
		if (entry[1] || entry[0] >= thread || thread - entry[0] > STATIC_TLS_MAX ||
		    (known && (int64_t)(entry[0] - thread) != block)) {
			*ret_static = false;
			return NULL;
		}
		block = (int64_t)(entry[0] - thread);
		known = true;
	}
	*ret_static = known;
	*ret_offset = block + (int64_t)offset;
	return NULL;
}

/* Resolves VALUE, a thread-local word, in the process. */
static struct error *tls_find(const struct python *python,
			      const struct python_thread_states *states,
			      const struct x86_value *value, struct python_thread *ret)
{
	struct memory *memory = &python->process->memory;
	uint64_t address = value->address + python->bias, words[2];
	struct python_thread thread = {.source = PYTHON_THREAD_STATIC_TLS};
	bool is_static;

	switch (value->kind) {
	case X86_TLS:
		thread.tls_offset = value->displacement;
		thread.evidence = "an offset in PyThreadState_Get";
		break;
	case X86_TLS_SLOT: /* R_X86_64_TPOFF64 */
		try(memory_read_u64(memory, address, &words[0]));
		thread.tls_offset = (int64_t)words[0] + value->displacement;
		thread.evidence = "an offset that the dynamic linker stored";
		break;
	case X86_TLS_DESCRIPTOR: /* resolver, its argument: the offset, where it is static */
		try(memory_read_u64(memory, address + 8, &words[0]));
		thread.tls_offset = (int64_t)words[0] + value->displacement;
		thread.evidence = "a TLS descriptor";
		break;
	case X86_TLS_MODULE:
		try(memory_read(memory, address, words, sizeof(words)));
		words[1] += value->displacement;
		if (!words[0] || words[0] > MODULES_MAX ||
		    words[1] >= python->image->tls.memory_size)
			return not_understood(python, "its TLS module id or offset cannot be");
		try(module_offset(python, states, words[0], words[1], &is_static,
				  &thread.tls_offset));
		thread.evidence = "the threads' DTVs: static for this module";
		if (is_static)
			break;
		thread.source = PYTHON_THREAD_DTV;
		thread.dtv_entry = libc_of(python, states) == THREAD_MUSL ? MUSL_DTV_ENTRY
									  : DTV_ENTRY;
		thread.tls_module = words[0];
		thread.tls_offset = (int64_t)words[1];
		thread.evidence = "module and offset for the DTV";
		*ret = thread;
		return NULL;
	default:
		return not_understood(python, "it is not thread-local");
	}
	if (thread.tls_offset >= 0 || thread.tls_offset < -STATIC_TLS_MAX || thread.tls_offset & 7)
		return not_understood(python, "its TLS offset cannot be");
	*ret = thread;
	return NULL;
}

/* The thread-local word of THREAD, or 0 where the thread has none yet. */
static struct error *tls_read(const struct python *python, const struct python_thread *where,
			      uint64_t thread, uint64_t *ret)
{
	struct memory *memory = &python->process->memory;
	uint64_t dtv, block;

	if (where->source == PYTHON_THREAD_STATIC_TLS)
		return memory_read_u64(memory, thread + where->tls_offset, ret);
	try(memory_read_u64(memory, thread + TCB_DTV, &dtv));
	try(memory_read_u64(memory, dtv + where->tls_module * where->dtv_entry, &block));
	if (block == DTV_UNALLOCATED) {
		*ret = 0;
		return NULL;
	}
	return memory_read_u64(memory, block + where->tls_offset, ret);
}

/* Each thread's word is 0 (it does not hold the GIL) or a thread state. */
static struct error *tls_check(const struct python *python,
			       const struct python_thread_states *states,
			       const struct python_thread *where, unsigned *ret_hits)
{
	unsigned hits = 0;
	size_t i;

	for (i = 0; i < states->count; i++) {
		uint64_t thread = states->list[i].thread_id, word;

		if (!is_thread(python, thread))
			continue;
		try(tls_read(python, where, thread, &word));
		if (word && !is_state(states, word, 0))
			return not_understood(python, "a thread's word names no thread state");
		hits += word != 0;
	}
	*ret_hits = hits;
	return NULL;
}

/*
 * The key's slot in struct pthread: by the key where it is known, else (3.6: static int autoTLSkey)
 * the one slot in which all threads have their own state.
 */
static struct error *key_read(const struct python *python, uint32_t *ret_first, uint32_t *ret_count)
{
	uint32_t key[2], offset = python->layout.runtime.auto_tss_key;

	*ret_first = 0;
	*ret_count = SPECIFIC_COUNT;
	if (offset == PYTHON_NO_OFFSET)
		return NULL;
	/* Py_tss_t: int _is_initialized; pthread_key_t _key. */
	try(memory_read(&python->process->memory, python->runtime + offset, key, sizeof(key)));
	*ret_first = key[1];
	*ret_count = key[0] == 1 && key[1] < SPECIFIC_COUNT ? 1 : 0;
	return NULL;
}

/* The slots in which THREAD has one of its own states, and those that hold no state at all. */
static struct error *slots_read(const struct python *python,
				const struct python_thread_states *states, uint64_t thread,
				bool *right, bool *wrong)
{
	uint64_t slots[SPECIFIC_COUNT][2];
	size_t i;

	try(memory_read(&python->process->memory, thread + SPECIFIC, slots, sizeof(slots)));
	for (i = 0; i < SPECIFIC_COUNT; i++) {
		if (!slots[i][1])
			continue;
		if (is_state(states, slots[i][1], thread))
			right[i] = true;
		else if (!is_state(states, slots[i][1], 0))
			wrong[i] = true;
	}
	return NULL;
}

/*
 * Does the word at OFFSET of each thread lead to an array of slots, in which slot KEY has the
 * thread's own state?
 */
static bool tsd_fits(const struct python *python, const struct python_thread_states *states,
		     uint32_t offset, uint32_t key)
{
	size_t fitting = 0;

	for (size_t i = 0; i < states->count; i++) {
		uint64_t thread = states->list[i].thread_id, slots, state = 0;
		struct error *error;

		if (is_thread(python, thread) != THREAD_MUSL)
			continue;
		error = memory_read_u64(&python->process->memory, thread + offset, &slots);
		if (!error && slots)
			error = memory_read_u64(&python->process->memory,
						slots + key * sizeof(slots), &state);
		if (error) {
			error_destroy(error);
			return false;
		}
		/* A thread that was just started, or that runs another one's state, has none. */
		if (!state)
			continue;
		if (!is_state(states, state, 0))
			return false;
		fitting += is_state(states, state, thread);
	}
	return fitting > 0;
}

/* specific_find() with musl. */
static struct error *tsd_find(struct python *python, const struct python_thread_states *states)
{
	uint32_t key[2], offset = python->layout.runtime.auto_tss_key, found = 0;

	if (offset == PYTHON_NO_OFFSET)
		return NULL;
	try(memory_read(&python->process->memory, python->runtime + offset, key, sizeof(key)));
	if (key[0] != 1 || key[1] >= MUSL_TSD_COUNT)
		return NULL;
	for (uint32_t at = MUSL_TSD_FIRST; at < MUSL_TSD_END; at += 8) {
		if (!tsd_fits(python, states, at, key[1]))
			continue;
		if (found)
			return NULL;
		found = at;
	}
	if (!found)
		return NULL;
	python->thread.own_block = found;
	python->thread.own_offset = (int64_t)(key[1] * sizeof(uint64_t));
	return NULL;
}

static struct error *specific_find(struct python *python, const struct python_thread_states *states)
{
	bool right[SPECIFIC_COUNT] = {0}, wrong[SPECIFIC_COUNT] = {0};
	uint32_t first, count, i, found = SPECIFIC_COUNT;

	if (libc_of(python, states) == THREAD_MUSL)
		return tsd_find(python, states);
	try(key_read(python, &first, &count));
	for (i = 0; i < states->count; i++)
		if (is_thread(python, states->list[i].thread_id))
			try(slots_read(python, states, states->list[i].thread_id, right, wrong));
	for (i = first; i < first + count; i++) {
		if (!right[i] || wrong[i])
			continue;
		if (found != SPECIFIC_COUNT)
			return NULL;
		found = i;
	}
	if (found == SPECIFIC_COUNT)
		return NULL;
	python->thread.specific_offset = SPECIFIC + found * SPECIFIC_ENTRY + SPECIFIC_DATA;
	python->thread.own_offset = python->thread.specific_offset;
	return NULL;
}

/* 3.15: PyGILState_GetThisThreadState() returns a thread-local word. */
static struct error *gilstate_find(struct python *python, const struct python_thread_states *states)
{
	const struct image_symbol *symbol =
		image_symbol(python->image, "PyGILState_GetThisThreadState");
	struct python_thread where;
	struct x86_value value;
	struct error *error;
	unsigned hits = 0;

	if (!symbol || !x86_returned(python->image, symbol->address, &value) || !value.loaded)
		return NULL;
	error = tls_find(python, states, &value, &where);
	if (!error)
		error = tls_check(python, states, &where, &hits);
	if (!error && hits && where.source == PYTHON_THREAD_STATIC_TLS)
		python->thread.own_offset = where.tls_offset;
	/* One way to find a thread's state less; the other remains. */
	error_destroy(error);
	return NULL;
}

static struct error *find_once(struct python *python)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};
	struct x86_value value;
	unsigned hits;

	python->thread = (struct python_thread){0};
	try(current_decode(python, &value));
	try(python_thread_states_read(python, &states));
	if ((python->version >> 16 & 0xff) <= 11) {
		try(global_find(python, &value));
	} else {
		try(tls_find(python, &states, &value, &python->thread));
		try(tls_check(python, &states, &python->thread, &hits));
	}
	if ((python->version >> 16 & 0xff) >= 15)
		return gilstate_find(python, &states);
	return specific_find(python, &states);
}

/* The word up to 3.11 names nobody or one of the thread states. */
static struct error *global_check(const struct python *python)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};
	uint64_t current;
	size_t i;

	try(memory_read_u64(&python->process->memory, python->thread.address, &current));
	if (!current)
		return NULL;
	try(python_thread_states_read(python, &states));
	for (i = 0; i < states.count; i++)
		if (states.list[i].address == current)
			return NULL;
	return not_understood(python, "the current one is not in the list of thread states");
}

struct error *python_thread_find(struct python *python)
{
	struct error *error = NULL;
	unsigned tries = 0;

	do {
		error_destroy(error);
		error = find_once(python);
		if (!error && python->thread.source == PYTHON_THREAD_GLOBAL)
			error = global_check(python);
	} while (error && python_worth_trying(error) && python_try_again(&tries));
	return error;
}
