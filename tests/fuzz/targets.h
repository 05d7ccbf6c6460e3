/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is fuzzed: a function for each reader, and for pieces of them. Each takes any bytes, must
 * neither crash nor hang nor leak, and traps where what it read is not the same after being
 * written and read again.
 */
#ifndef TMBPF_TESTS_FUZZ_TARGETS_H
#define TMBPF_TESTS_FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

/* A snapshot file, gzipped. */
void fuzz_gzip(const uint8_t *data, size_t size);
/* The profile within. */
void fuzz_pprof(const uint8_t *data, size_t size);
/* One comment of it. */
void fuzz_pprof_info(const uint8_t *data, size_t size);
/* The fields of an encoded message, and each as packed numbers. */
void fuzz_wire(const uint8_t *data, size_t size);
/* What Python's tracemalloc dumped. */
void fuzz_tracemalloc(const uint8_t *data, size_t size);

#endif
