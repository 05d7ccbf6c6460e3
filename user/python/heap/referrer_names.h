/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the search for referrers calls what it finds: types, modules, code, keys of dicts. */
#ifndef TMBPF_PYTHON_HEAP_REFERRER_NAMES_H
#define TMBPF_PYTHON_HEAP_REFERRER_NAMES_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct python;
struct python_referrer;
struct python_type;
struct python_types;

/* A place that cannot be read has no name: such an ERROR ends here, any other is the caller's. */
struct error *python_unreadable(struct error *error);

/* Is TYPE called NAME, or with LAST so behind its last dot? */
bool python_type_called(const struct python_type *type, const char *name, bool last);

/* "name (file:line)" of the code object at ADDRESS, to be freed; NULL if it cannot be read. */
struct error *python_code_name(const struct python *python, uint64_t address, char **ret);

/* REFERRER's name, where the object at its address has one: a module's, a class'. */
struct error *python_referrer_name(const struct python *python, struct python_types *types,
				   struct python_referrer *referrer);

/*
 * REFERRER's key: that of the entry of a dict's table whose value is the word at ADDRESS. Entries
 * are (hash, key, value) or (key, value), so the key is the word before the value.
 */
struct error *python_referrer_key(const struct python *python, uint64_t address,
				  struct python_referrer *referrer);

#endif
