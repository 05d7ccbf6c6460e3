/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Text and JSON written as it comes, for what is too large to be built as a tree first
 * (base/json.h): a snapshot's traces and a census' items, of which there may be millions. Strings
 * are ASCII, so that the same bytes stand in a file and inside HTML.
 */
#ifndef TMBPF_FORMAT_STREAM_H
#define TMBPF_FORMAT_STREAM_H

#include <stddef.h>

struct error;
struct output;
struct snapshot_info;

/* As printf; for punctuation and numbers: at most 255 bytes, more is cut. */
struct error *stream_format(struct output *output, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* TEXT as it is. */
struct error *stream_text(struct output *output, const char *text);

/*
 * TEXT as a JSON string with its quotes: ASCII and valid Unicode, what is none becomes U+FFFD
 * (base/text.h). There is no '<' in it, so that it begins and ends nothing inside HTML.
 */
struct error *stream_json_string(struct output *output, const char *text);

/* What a snapshot says about itself, an object: the members of json_snapshot_info(). */
struct error *stream_json_info(struct output *output, const struct snapshot_info *info);

#endif
