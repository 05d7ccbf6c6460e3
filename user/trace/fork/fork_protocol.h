/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session of a forked child takes over what the session of its parent knows of the blocks that
 * both have, as tracemalloc's tables go to the child with the rest of its memory.
 *
 * The parent's table is right for the child as it was at the fork, and it is copied a moment later.
 * What the parent did between (fork_counts.parent_events) is the bound of what is wrong by that:
 * a block that it freed is not inherited, one that it took at the address of a block it had freed
 * brings its own traceback to a block of the child's. The child runs as well until its probes are
 * on. What it freed is left out, by what its heap says; a block that it took where one was freed is
 * found out if its size or its type differ, and is else among `changed`.
 */
#ifndef TMBPF_TRACE_FORK_FORK_PROTOCOL_H
#define TMBPF_TRACE_FORK_FORK_PROTOCOL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct fork_protocol;
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
	struct fork_counts_sum taken; /* over, from the parent's session */
	struct fork_counts_sum
		changed;             /* of them, those that hold something else than the parent's */
	struct fork_counts_sum gone; /* the child did not have them any more */
	struct fork_counts_sum
		unread;         /* left out: nothing could be told of them, or there was no room */
	uint64_t parent_events; /* allocations and frees of the parent since the fork */
};

/* The child's side: what to ask the session of its parent for. To be put. */
json_object *fork_protocol_request(pid_t child);
/*
 * Takes what the session of PARENT replied, for the process CHILD. PAYLOAD is taken over, also if
 * this fails. ERROR_NOTHING if CHILD has become another program meanwhile.
 */
struct error *fork_protocol_receive(struct process *child, pid_t parent, json_object *reply,
				    void *payload, size_t size, struct fork_protocol **ret);
/* NULL is accepted. */
void fork_protocol_destroy(struct fork_protocol *protocol);
/* Before tracing begins: takes over what the child still has. */
struct error *fork_protocol_put(struct fork_protocol *protocol, const struct fork_side *child,
				struct fork_counts *ret);
/* When tracing has begun: takes out what the child has freed in between. */
struct error *fork_protocol_settle(struct fork_protocol *protocol, const struct fork_side *child,
				   struct fork_counts *counts);

/* The parent's side: whom a request is for. */
struct error *fork_protocol_child(json_object *request, pid_t *ret);
/*
 * Fills REPLY and its payload, malloc'd, for the process CHILD. ERROR_NOTHING unless PARENT forked
 * it while it was traced.
 */
struct error *fork_protocol_answer(const struct fork_side *parent, pid_t child, json_object *reply,
				   void **ret_payload, size_t *ret_size);
/* The answer where there is nothing: an ERROR_NOTHING. */
struct error *fork_protocol_nothing(const struct process *process);

#endif
