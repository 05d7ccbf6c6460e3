/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pickles of a tracemalloc.Snapshot in pieces, as `pickletools.dis` shows them, for the tests of
 * what reads them.
 */
#ifndef TMBPF_TESTS_PICKLE_BYTES_H
#define TMBPF_TESTS_PICKLE_BYTES_H

#include "support.h"
#include "format/tracemalloc.h"

/* A pickle: START TRACES rows END. */
#define SNAPSHOT "\x8c\x0btracemalloc\x8c\x08Snapshot\x93)\x81}"
#define LIST     "\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81}\x8c\x07_traces]"
#define LIMIT    "\x8c\x0ftraceback_limitK\x19"
#define START    "\x80\x04" SNAPSHOT "(" LIST
#define END      "sb" LIMIT "ub."
/* ("a.py", 7) and a traceback of it; memo 0 to 2. */
#define FRAME                                                                                      \
	"\x8c\x04"                                                                                 \
	"a.py\x94K\x07\x86\x94"
#define TRACEBACK FRAME "\x85\x94"
/* (0, 5, TRACEBACK) and with its total_nframe. */
#define OLD "K\x00K\x05" TRACEBACK "\x87"
#define NEW "(K\x00K\x05" TRACEBACK "K\x01t"

/* Reads the SIZE bytes of DATA, put into the test's own place. */
static inline struct error *read_bytes(const struct support_place *place, const void *data,
				       size_t size, struct snapshot **ret)
{
	support_write(place->path, data, size);
	return tracemalloc_read(place->path, NULL, ret);
}

#define in_place(test)                                                                             \
	cmocka_unit_test_setup_teardown(test, support_place_make, support_place_remove)

#endif
