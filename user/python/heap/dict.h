/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The entries of a dict of a target (PyDictObject; struct _dictkeysobject of Objects/dictobject.c
 * and Include/internal/pycore_dict.h). A target forges them, or frees them between two reads. So
 * their head is copied at once and has to hold together; what does not is no dict. Nothing of it
 * goes out that was not checked.
 */
#ifndef TMBPF_PYTHON_HEAP_DICT_H
#define TMBPF_PYTHON_HEAP_DICT_H

#include <stdint.h>

struct error;
struct python;
struct python_space;

#define PYTHON_DICT_MAX 4096 /* entries of one dict that are looked at */

struct python_dict_entry {
	uint64_t key, value; /* addresses of objects, not checked; 0: none */
};

struct python_dict {
	struct python_dict_entry *entries; /* owned */
	uint32_t count;
};

/*
 * The first entries, PYTHON_DICT_MAX at most, of the dict at ADDRESS, whose type is at TYPE. SPACE
 * (borrowed) knows pymalloc's arenas. None, and no error, where what lies there is no dict that
 * holds together, or cannot be read.
 */
struct error *python_dict_read(const struct python *python, const struct python_space *space,
			       uint64_t type, uint64_t address, struct python_dict *ret);
void python_dict_deinit(struct python_dict *dict);

#endif
