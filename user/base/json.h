/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON for programs, by json-c: a tree is built, then printed. Running out of memory is remembered
 * and told by json_print(), so that building needs no checks; text may hold anything (base/text.h),
 * and what is no Unicode in it becomes U+FFFD.
 */
#ifndef TMBPF_FORMAT_JSON_H
#define TMBPF_FORMAT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct json_object;
struct snapshot_info;

struct json {
	struct json_object *root; /* an object */
	bool failed;
};

void json_init(struct json *json);
void json_deinit(struct json *json);

/* Members of the object TO, or elements of it if it is an array (KEY is NULL then). */
void json_text(struct json *json, struct json_object *to, const char *key, const char *text);
void json_number(struct json *json, struct json_object *to, const char *key, uint64_t number);
void json_signed(struct json *json, struct json_object *to, const char *key, int64_t number);
/* Not finite becomes null. */
void json_real(struct json *json, struct json_object *to, const char *key, double number);
void json_flag(struct json *json, struct json_object *to, const char *key, bool value);
void json_null(struct json *json, struct json_object *to, const char *key);
/* "" and 0, where they mean that it is not known, become null. */
void json_text_or_null(struct json *json, struct json_object *to, const char *key,
		       const char *text);
void json_number_or_null(struct json *json, struct json_object *to, const char *key,
			 uint64_t number);

/* A new object, or array, in TO, which owns it. NULL without memory, which is accepted as TO. */
struct json_object *json_new_object(struct json *json, struct json_object *to, const char *key);
struct json_object *json_new_array(struct json *json, struct json_object *to, const char *key);

/* Prints the tree and a newline. */
struct error *json_print(struct json *json, FILE *file);

/*
 * For an array too large for a tree: the root, which has members, is printed with a last member KEY
 * left open; then each element, a tree of its own; then the end. A line each.
 */
struct error *json_print_open(struct json *json, const char *key, FILE *file);
struct error *json_print_element(struct json *json, bool first, FILE *file);
struct error *json_print_close(FILE *file);

/* What a snapshot says about itself, as members of TO. */
void json_snapshot_info(struct json *json, struct json_object *to,
			const struct snapshot_info *info);

#endif
