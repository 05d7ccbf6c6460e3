/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* user/trace/tracer/config.c as part of a test, which sets what the sites answer it. */
#ifndef TMBPF_TESTS_SITES_FAKE_H
#define TMBPF_TESTS_SITES_FAKE_H

#include "trace/attach/sites.h"

static enum sites_hooks fake_hooks;
static bool fake_pymalloc, fake_lazy_free;
static uint64_t fake_raw_table, fake_raw_malloc;

static enum sites_hooks fake_sites_hooks(const struct sites *sites)
{
	(void)sites;
	return fake_hooks;
}

static bool fake_sites_pymalloc(const struct sites *sites)
{
	(void)sites;
	return fake_pymalloc;
}

static bool fake_sites_lazy_free(const struct sites *sites)
{
	(void)sites;
	return fake_lazy_free;
}

static void fake_sites_raw_table(const struct sites *sites, __u64 *ret_word, __u64 *ret_malloc)
{
	(void)sites;
	*ret_word = fake_raw_table;
	*ret_malloc = fake_raw_malloc;
}

#define config_fill                          fake_config_fill
#define sites_hooks(sites)                   fake_sites_hooks(sites)
#define sites_pymalloc(sites)                fake_sites_pymalloc(sites)
#define sites_lazy_free(sites)               fake_sites_lazy_free(sites)
#define sites_raw_table(sites, word, malloc) fake_sites_raw_table(sites, word, malloc)
#include "trace/tracer/config.c" /* NOLINT(bugprone-suspicious-include) */

#endif
