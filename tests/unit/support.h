/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What several unit tests share. Each function fails the running test where it cannot work. */
#ifndef TMBPF_TESTS_SUPPORT_H
#define TMBPF_TESTS_SUPPORT_H

/* cmocka needs these before it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "snapshot/snapshot.h"

/* Fails the test with the error's message. Destroys ERROR. */
void support_ok(struct error *error);
/* ERROR has to be one of KIND whose message has TEXT in it. Destroys ERROR. */
void support_fails(struct error *error, enum error_kind kind, const char *text);

/* A new folder, removed with all that is in it by support_folder_remove(). */
char *support_folder(void);
void support_folder_remove(char *folder);
/* FOLDER/NAME, to be freed. */
char *support_path(const char *folder, const char *name);
/* How many entries FOLDER has. */
int support_entries(const char *folder);

/*
 * What a test writes to: PATH in a folder of its own. Made and removed by cmocka, as the setup and
 * teardown of a test.
 */
struct support_place {
	char *folder, *path;
};

int support_place_make(void **state);
int support_place_remove(void **state);

/* The file's bytes, to be freed. */
uint8_t *support_read(const char *path, size_t *ret_size);
void support_write(const char *path, const void *data, size_t size);
/* TEXT to PATH below FOLDER, with the folders that lead there. */
void support_put(const char *folder, const char *path, const char *text);

/* A string of a builder, by its text. */
uint32_t support_string(struct snapshot_builder *builder, const char *text);

/*
 * A snapshot with all that there is: several domains, tracebacks cut off, none at all, odd names,
 * losses. The same each time.
 */
struct snapshot *support_snapshot(void);
/* COUNT traces made by chance from SEED. */
struct snapshot *support_snapshot_random(unsigned int seed, size_t count);

/* The two have to be equal but for the order and number of their strings and tracebacks. */
void support_same(const struct snapshot *left, const struct snapshot *right);

#endif
