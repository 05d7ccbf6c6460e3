/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A page that shows a snapshot by itself: flame graph and table. It asks for nothing from outside,
 * and lets a browser run no script but its own (a Content-Security-Policy with hashes): names come
 * from a hostile target, and are data all the way.
 *
 * The page is made when tmbpf is built, by user/format/html/build. A build without it cannot write
 * this format, and says so.
 */
#ifndef TMBPF_FORMAT_HTML_H
#define TMBPF_FORMAT_HTML_H

struct error;
struct output;
struct snapshot;

/* Rows of each table; the others are summed. */
#define HTML_ROW_MAX 1000

/* BASE, the older one, is on the same tables, or NULL. OUTPUT is not committed. */
struct error *html_write(const struct snapshot *snapshot, const struct snapshot *base,
			 struct output *output);

#endif
