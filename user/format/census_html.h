/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A census as one page that needs nothing else: sortable tables by type, owner and size. */
#ifndef TMBPF_FORMAT_CENSUS_HTML_H
#define TMBPF_FORMAT_CENSUS_HTML_H

struct census;
struct error;
struct output;

/* BEFORE, which CENSUS is compared with, may be NULL. */
struct error *census_html_write(const struct census *census, const struct census *before,
				struct output *output);

#endif
