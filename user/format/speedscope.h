/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * speedscope's own file format (jlfwong/speedscope, its schema in file-format-schema.json): two
 * sampled profiles on one list of frames, of bytes and of blocks held. Only what is used is
 * in the list.
 */
#ifndef TMBPF_FORMAT_SPEEDSCOPE_H
#define TMBPF_FORMAT_SPEEDSCOPE_H

struct error;
struct output;
struct snapshot;

/* OUTPUT is not committed. */
struct error *speedscope_write(const struct snapshot *snapshot, struct output *output);

#endif
