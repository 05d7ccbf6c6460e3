// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/string_pool.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct text {
	UT_hash_handle hh;
	size_t holders, length;
	char data[];
};

struct texts {
	struct text *all;
	struct text *empty;
};

static struct text *text_create(struct texts *texts, const char *string, size_t length)
{
	struct text *text = calloc(1, sizeof(*text) + length + 1);

	if (!text)
		return NULL;
	text->length = length;
	memcpy(text->data, string, length);
	HASH_ADD_KEYPTR(hh, texts->all, text->data, text->length, text);
	return text;
}

struct texts *texts_create(void)
{
	struct texts *texts = calloc(1, sizeof(*texts));

	if (!texts)
		return NULL;
	texts->empty = text_create(texts, "", 0);
	if (!texts->empty) {
		free(texts);
		return NULL;
	}
	texts->empty->holders = 1;
	return texts;
}

void texts_destroy(struct texts *texts)
{
	struct text *text, *next;

	if (!texts)
		return;
	HASH_ITER (hh, texts->all, text, next) {
		HASH_DEL(texts->all, text);
		free(text);
	}
	free(texts);
}

struct text *texts_take(struct texts *texts, const char *string)
{
	size_t length = strlen(string);
	struct text *text;

	HASH_FIND(hh, texts->all, string, length, text);
	if (!text)
		text = text_create(texts, string, length);
	if (!text)
		text = texts->empty;
	text->holders++;
	return text;
}

void texts_hold(struct text *text)
{
	text->holders++;
}

void texts_release(struct texts *texts, struct text *text)
{
	if (!text || --text->holders)
		return;
	HASH_DEL(texts->all, text);
	free(text);
}

const char *text_data(const struct text *text)
{
	return text->data;
}

size_t text_length(const struct text *text)
{
	return text->length;
}
