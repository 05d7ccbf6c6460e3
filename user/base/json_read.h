/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON as every room reads it, by json-c. What is read may be a file of anybody's, or what another
 * process answered: nothing of it is trusted. Each function takes any OBJECT: NULL, and what is no
 * object, have no member.
 */
#ifndef TMBPF_BASE_JSON_READ_H
#define TMBPF_BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* The object that TEXT is, json_object_put()'s to free; NULL if it is none. */
struct json_object *json_parse(const char *text);

/*
 * Whatever the SIZE bytes of TEXT are, an array, say, at most 64 levels deep; NULL if they are no
 * JSON.
 */
struct json_object *json_parse_any(const char *text, size_t size);

/* For cleanup(). */
void json_cleanup(struct json_object **object);

/*
 * The member KEY of OBJECT. False, and *RET stays as it was, if it is absent, null or of another
 * type. What is returned lives as long as OBJECT.
 */
/* Whole, not negative. (json-c has UINT64_MAX for what is larger.) */
bool json_read_number(struct json_object *object, const char *key, uint64_t *ret);
/* Whole. (json-c has INT64_MAX for what is larger.) */
bool json_read_signed(struct json_object *object, const char *key, int64_t *ret);
/* Any number. */
bool json_read_real(struct json_object *object, const char *key, double *ret);
/* One with a NUL in it ends there. */
bool json_read_text(struct json_object *object, const char *key, const char **ret);

/*
 * The same, with what stands for one that is absent, null or of another type: 0, WITHOUT, "" or
 * false.
 */
uint64_t json_get_number(struct json_object *object, const char *key);
double json_get_real(struct json_object *object, const char *key, double without);
const char *json_get_text(struct json_object *object, const char *key);
bool json_get_flag(struct json_object *object, const char *key);
/* NULL for none, which these functions accept. */
struct json_object *json_get_object(struct json_object *object, const char *key);
struct json_object *json_get_array(struct json_object *object, const char *key);

/* Whether OBJECT has a member KEY, null included; whether it has one, and that is null. */
bool json_has(struct json_object *object, const char *key);
bool json_has_null(struct json_object *object, const char *key);

/* How many elements ARRAY has (0 if it is none), and the one at INDEX (NULL if there is none). */
size_t json_length(struct json_object *array);
struct json_object *json_at(struct json_object *array, size_t index);
/* The text at INDEX; "" if there is none. */
const char *json_text_at(struct json_object *array, size_t index);

/* The sum of the members of OBJECT that json_read_number() takes. */
uint64_t json_sum(struct json_object *object);

#endif
