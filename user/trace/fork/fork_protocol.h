/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The session of a forked child takes over what the session of its parent knows of the blocks that
 * both have, as tracemalloc's tables go to the child with the rest of its memory.
 *
 * The parent's table is right for the child as it was at the fork, and it is copied a moment later.
 * What the parent did in between (fork_counts.parent_events) bounds the errors that this brings. A
 * block that the parent freed then is not inherited. If the parent took a block at the address of
 * one that it had freed, the child's block gets the new one's traceback.
 *
 * The child runs too until its probes are on. A block that it freed is left out, since its heap
 * says so. If it took another block in the same place, that is noticed by its size or its type; if
 * these are the same it is among `changed`.
 */
#ifndef TMBPF_TRACE_FORK_FORK_PROTOCOL_H
#define TMBPF_TRACE_FORK_FORK_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct fork_protocol;
struct json;
struct json_object;
struct process;
struct symbols;
struct tracer;

/* The request's "command". */
#define FORK_PROTOCOL_COMMAND "inherit"

/* What the protocol needs of the parent's or the child's session; all of it is borrowed. */
struct fork_side {
	struct tracer *tracer;
	struct symbols *symbols;
	struct process *process;
	void (*drain)(void *context); /* takes in what the BPF programs have announced */
	void *context;
};

struct fork_counts_sum {
	uint64_t count, size;
};

struct fork_counts {
	struct fork_counts_sum taken;   /* over, from the parent's session */
	struct fork_counts_sum changed; /* those of them whose contents are not the parent's */
	struct fork_counts_sum gone;    /* the child had freed them */
	/* left out: nothing could be told of them, or there was no room */
	struct fork_counts_sum unread;
	uint64_t parent_events; /* allocations and frees of the parent since the fork */
};

/* The child's side: begins RET, the request to its parent's session. */
void fork_protocol_request(pid_t child, struct json *ret);
/*
 * Takes in what the session of PARENT replied for the process CHILD. PAYLOAD is taken over, also if
 * this fails. Fails with ERROR_NOTHING if CHILD has become another program meanwhile.
 */
struct error *fork_protocol_receive(struct process *child, pid_t parent, struct json_object *reply,
				    void *payload, size_t size, struct fork_protocol **ret);
/* NULL is accepted. */
void fork_protocol_destroy(struct fork_protocol *protocol);
/* Before tracing is on: takes over the blocks that the child still has. */
struct error *fork_protocol_put(struct fork_protocol *protocol, const struct fork_side *child,
				struct fork_counts *ret);
/* Once tracing is on: takes out the blocks that the child freed in between. */
struct error *fork_protocol_settle(struct fork_protocol *protocol, const struct fork_side *child,
				   struct fork_counts *counts);

/* The parent's side: the pid that REQUEST is for. */
struct error *fork_protocol_child(struct json_object *request, pid_t *ret);
/*
 * Fills REPLY and its payload, malloc'd, for the process CHILD. Fails with ERROR_NOTHING unless
 * PARENT forked CHILD while it was traced.
 */
struct error *fork_protocol_answer(const struct fork_side *parent, pid_t child,
				   struct json_object *reply, void **ret_payload, size_t *ret_size);
/* The answer if there is nothing to inherit: an ERROR_NOTHING. */
struct error *fork_protocol_nothing(const struct process *process);

#endif
