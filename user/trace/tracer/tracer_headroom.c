// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whether the target's memory limits leave room for probes: see target/container/memcg_headroom.h.
 */
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "target/process/process.h"
#include "target/container/memcg_headroom.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

/* The target needs memory itself meanwhile: it is left as much as the probes take. */
#define MEMCG_HEADROOM_FACTOR 2

static struct error *memcg_headroom_look(const struct tracer *tracer, size_t first,
					 uint64_t *ret_need, uint64_t *ret_room)
{
	uint64_t need;
	size_t pages;

	try(sites_pages(tracer->sites, first, &pages));
	need = pages * sysconf(_SC_PAGESIZE);
	try(memcg_headroom_read("", tracer->process->pid, MEMCG_HEADROOM_FACTOR * need, ret_room));
	*ret_need = need;
	return NULL;
}

struct error *tracer_headroom_check(const struct tracer *tracer, size_t first)
{
	char left[TEXT_NUMBER_MAX], wanted[TEXT_NUMBER_MAX];
	uint64_t need, room;

	try(memcg_headroom_look(tracer, first, &need, &room));
	if (room >= MEMCG_HEADROOM_FACTOR * need)
		return NULL;
	return error_advise(
		error_create(ERROR_FAILED,
			     "the memory limit of process %d's control group leaves %s, "
			     "and the probes may take %s",
			     (int)tracer->process->pid, text_size(room, left),
			     text_size(need, wanted)),
		"Pages of code with breakpoints are copies that count for the process. Without "
		"room for them, and as much again, it could be killed. Raise the limit; "
		"`tmbpf heap` takes nothing.");
}

struct error *tracer_room(struct tracer *tracer, bool *ret)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	uint64_t need, room;

	try(memcg_headroom_look(tracer, 0, &need, &room));
	*ret = room >= MEMCG_HEADROOM_FACTOR * need;
	if (!*ret)
		__atomic_fetch_add(&state->losses[TMBPF_LOSS_NO_ROOM], 1, __ATOMIC_SEQ_CST);
	return NULL;
}
