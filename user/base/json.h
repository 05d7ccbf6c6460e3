/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON as every room builds and prints it, by json-c: a tree is made, then printed.
 * base/json_read.h reads trees; format/stream.h writes what is too large for one.
 *
 * Building needs no checks: struct json remembers that memory ran out, and json_built() or what
 * prints the tree tells it. A text may hold anything (base/text.h), and stays in the tree as it is.
 * What is printed is strict: what is no Unicode becomes U+FFFD there.
 */
#ifndef TMBPF_BASE_JSON_H
#define TMBPF_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct json_object;

struct json {
	struct json_object *root;
	bool failed;
};

/* Begins a tree, an object; json_deinit() frees it. */
void json_init(struct json *json);
void json_deinit(struct json *json);

/* To add to OBJECT, which stays its owner's: without json_deinit(). */
struct json json_of(struct json_object *object);

/* NULL, or an error that says that there was no memory for the tree. */
struct error *json_built(const struct json *json);

/*
 * Members of the object TO, or elements of it if it is an array (KEY is NULL then). NULL is
 * accepted as TO, and counts as memory that ran out.
 */
/* NULL becomes null. */
void json_text(struct json *json, struct json_object *to, const char *key, const char *text);
void json_number(struct json *json, struct json_object *to, const char *key, uint64_t number);
void json_signed(struct json *json, struct json_object *to, const char *key, int64_t number);
/* What is not finite becomes null. */
void json_real(struct json *json, struct json_object *to, const char *key, double number);
void json_flag(struct json *json, struct json_object *to, const char *key, bool value);
void json_null(struct json *json, struct json_object *to, const char *key);
/* "" and 0, where they mean that it is not known, become null. */
void json_text_or_null(struct json *json, struct json_object *to, const char *key,
		       const char *text);
void json_number_or_null(struct json *json, struct json_object *to, const char *key,
			 uint64_t number);
/* VALUE itself, of which TO gets a reference of its own. */
void json_share(struct json *json, struct json_object *to, const char *key,
		struct json_object *value);

/* A new object, or array, in TO, which owns it. NULL without memory. */
struct json_object *json_new_object(struct json *json, struct json_object *to, const char *key);
struct json_object *json_new_array(struct json *json, struct json_object *to, const char *key);

/* The tree in one line, malloc'd. */
struct error *json_line(const struct json *json, char **ret);

/*
 * OBJECT in one line, for json_parse() (base/json_read.h) alone: its texts are as they are. Good as
 * long as OBJECT; NULL without memory.
 */
const char *json_pack(struct json_object *object);

/* Prints the tree, indented, and a newline. */
struct error *json_print(const struct json *json, FILE *file);

/*
 * For an array too large for a tree: the root, which has members, is printed with a last member KEY
 * left open; then each element, a tree of its own; then the end. A line each.
 */
struct error *json_print_open(const struct json *json, const char *key, FILE *file);
struct error *json_print_element(const struct json *json, bool first, FILE *file);
struct error *json_print_close(FILE *file);

#endif
