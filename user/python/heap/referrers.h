/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who refers to an object, or to all objects of a type, and who refers to these in turn: what
 * gc.get_referrers() would say, and about as much as it could of what the collector does not know.
 *
 * All of the process' heap is looked through for words that lead to them, once or twice for each
 * level. What is found that is no object (the table of a dict) stands for the object whose it is.
 * A word that only looks like a reference counts as one: the search is conservative.
 */
#ifndef TMBPF_PYTHON_HEAP_REFERRERS_H
#define TMBPF_PYTHON_HEAP_REFERRERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/heap/pools.h"

struct error;
struct python;
struct python_types;

#define PYTHON_REFERRERS_LEVELS 8

enum python_referrer_kind {
	PYTHON_REFERRER_OBJECT, /* an object on the heap */
	PYTHON_REFERRER_FRAME,  /* a local variable, or a value at hand, of a function that runs */
	PYTHON_REFERRER_STATIC, /* a variable of the interpreter, or of a library */
};

/* Referrers of one kind, type and field that refer to one group. */
struct python_referrer {
	enum python_referrer_kind kind;
	uint32_t level;   /* 0: the objects that were asked for */
	uint32_t of;      /* the group that they refer to */
	uint32_t type;    /* OBJECT */
	int32_t field;    /* OBJECT: bytes from the object's start */
	uint64_t count;   /* of them; each counts once, in the first group that it refers to */
	uint64_t address; /* one of them */
	/* The key of the value by which the one at ADDRESS refers, if that is a dict; or NULL. */
	char *key;
	/* The name of the one at ADDRESS: a module's, a class', a function's, a file's; or NULL. */
	char *name;
};

struct python_referrers {
	struct python_types *types;
	struct python_referrer *groups; /* [0] is what was asked for */
	size_t count, capacity;
	/* Of the groups, those whose own referrers were looked for only for the first so many. */
	uint64_t unfollowed;
	struct python_pools_unread unread; /* of all walks together */
	/* Of malloc's heaps, the most of any walk: bytes, as struct glibc_totals has them. */
	uint64_t malloc_unknown, malloc_vanished;
	char *malloc_absent; /* why nothing of malloc's was looked at; NULL it was */
};

/*
 * LEVELS (1 to 8) up from the objects of the type called TYPE ("module.qualname", or what is
 * behind its last dot, if only one type is called so), or from the one object in whose block
 * ADDRESS lies where TYPE is NULL. ERROR_NOTHING if there are none.
 */
struct error *python_referrers_create(const struct python *python, const char *type,
				      uint64_t address, unsigned int levels,
				      struct python_referrers **ret);
/* NULL is accepted. */
void python_referrers_destroy(struct python_referrers *referrers);

#endif
