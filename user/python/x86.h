/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a small accessor function returns, read from its x86-64 code: PyThreadState_Get() gives
 * the place of the current thread's state, PyInterpreterState_Head() that of the list of
 * interpreters, Py_GetVersion() its buffer. All that user/python knows of x86 is here.
 */
#ifndef TMBPF_PYTHON_X86_H
#define TMBPF_PYTHON_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/elf/image.h"

enum x86_kind {
	X86_UNKNOWN,
	X86_ADDRESS,  /* the image address ADDRESS itself */
	X86_TLS,      /* the thread pointer + DISPLACEMENT */
	X86_TLS_SLOT, /* the thread pointer + the word at image address ADDRESS + DISPLACEMENT */
	/*
	 * DISPLACEMENT bytes behind the start of what __tls_get_addr() returns for the two words
	 * at image address ADDRESS: module id, offset.
	 */
	X86_TLS_MODULE,
	X86_TLS_DESCRIPTOR, /* the same for a TLS descriptor at image address ADDRESS */
	X86_OFFSET_SLOT,    /* the word at ADDRESS, to be added to the thread pointer */
	X86_OFFSET_DESCRIPTOR,
};

struct x86_value {
	enum x86_kind kind;
	bool loaded; /* not that address, but the 8 bytes there */
	uint64_t address;
	int64_t displacement;
};

/*
 * Follows FUNCTION (an image address) along its straight line, the call of a slow path included.
 * False if what it returns is not one of the above.
 */
bool x86_returned(const struct image *image, uint64_t function, struct x86_value *ret);

/*
 * The image addresses of the 64-bit words in the file's own data that FUNCTION loads up to its
 * first return, in their order, MOST at most. Returns how many.
 */
size_t x86_words_loaded(const struct image *image, uint64_t function, uint64_t *ret, size_t most);

#endif
