/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Folded stacks, for flamegraph.pl and its kin (brendangregg/FlameGraph): a line for each
 * traceback, "root;caller;leaf BYTES" of what is held. With an older snapshot two counts a line,
 * "root;caller;leaf OLD NEW", as difffolded.pl writes and flamegraph.pl reads it.
 *
 * A frame is "function (file.py:12)", or "file.py:12" where the function is not known. In it
 * semicolons, control characters and what is no valid Unicode are written as Python's
 * "backslashreplace" does ("\x3b"), so that a line is always one stack.
 */
#ifndef TMBPF_FORMAT_FOLDED_H
#define TMBPF_FORMAT_FOLDED_H

struct error;
struct output;
struct snapshot;

/* BASE, the older one, is on the same tables, or NULL. OUTPUT is not committed. */
struct error *folded_write(const struct snapshot *snapshot, const struct snapshot *base,
			   struct output *output);

#endif
