// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a snapshot says about itself, as comments of a profile. */
#include "format/pprof_info.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/version.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define PREFIX "tmbpf."

/* More causes than any tmbpf has; a file with more is not one of its own. */
#define LOSS_MAX 256

enum value_kind {
	VALUE_TEXT,   /* char * */
	VALUE_INT32,  /* int32_t, not negative */
	VALUE_UINT32, /* uint32_t */
	VALUE_HEX,    /* uint32_t, written as 0x... */
	VALUE_UINT64, /* uint64_t */
	VALUE_SHARE,  /* double: 0 to 1, negative not known */
	VALUE_FLAG,   /* bool, written as 1 */
};

struct info_field {
	const char *key;
	enum value_kind kind;
	size_t offset;
};

#define FIELD(member, kind)                                                                        \
	{                                                                                          \
#member, kind, offsetof(struct snapshot_info, member)                              \
	}

static const struct info_field info_fields[] = {
	FIELD(pid, VALUE_INT32),
	FIELD(command_line, VALUE_TEXT),
	FIELD(executable, VALUE_TEXT),
	FIELD(host, VALUE_TEXT),
	FIELD(container, VALUE_TEXT),
	FIELD(container_name, VALUE_TEXT),
	FIELD(image, VALUE_TEXT),
	FIELD(cgroup, VALUE_TEXT),
	FIELD(start_time, VALUE_UINT64),
	FIELD(boot_id, VALUE_TEXT),
	FIELD(mount_namespace, VALUE_UINT64),
	FIELD(python_version, VALUE_HEX),
	FIELD(mode, VALUE_TEXT),
	FIELD(traceback_limit, VALUE_UINT32),
	FIELD(period, VALUE_UINT64),
	FIELD(current, VALUE_UINT64),
	FIELD(peak, VALUE_UINT64),
	FIELD(peak_unmeasured, VALUE_FLAG),
	FIELD(rss, VALUE_UINT64),
	FIELD(coverage, VALUE_SHARE),
	FIELD(coverage_basis, VALUE_TEXT),
};

/* NULL: nothing to say. Without memory *ret_failed is set. */
static char *value_format(const struct snapshot_info *info, const struct info_field *field,
			  bool *ret_failed)
{
	const void *value = (const char *)info + field->offset;
	char *text = NULL;
	int length = 0;

	switch (field->kind) {
	case VALUE_TEXT: {
		const char *string = *(char *const *)value;

		if (string && *string)
			length = asprintf(&text, PREFIX "%s=%s", field->key, string);
		break;
	}
	case VALUE_INT32:
		if (*(const int32_t *)value)
			length = asprintf(&text, PREFIX "%s=%" PRId32, field->key,
					  *(const int32_t *)value);
		break;
	case VALUE_UINT32:
		if (*(const uint32_t *)value)
			length = asprintf(&text, PREFIX "%s=%" PRIu32, field->key,
					  *(const uint32_t *)value);
		break;
	case VALUE_HEX:
		if (*(const uint32_t *)value)
			length = asprintf(&text, PREFIX "%s=0x%08" PRIx32, field->key,
					  *(const uint32_t *)value);
		break;
	case VALUE_UINT64:
		if (*(const uint64_t *)value)
			length = asprintf(&text, PREFIX "%s=%" PRIu64, field->key,
					  *(const uint64_t *)value);
		break;
	case VALUE_SHARE:
		/* Seventeen digits bring the very number back. */
		if (*(const double *)value >= 0)
			length = asprintf(&text, PREFIX "%s=%.17g", field->key,
					  *(const double *)value);
		break;
	case VALUE_FLAG:
		if (*(const bool *)value)
			length = asprintf(&text, PREFIX "%s=1", field->key);
		break;
	}
	if (length < 0)
		*ret_failed = true;
	return length > 0 ? text : NULL;
}

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a comment of a snapshot");
}

static bool identifier_valid(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_");

	return length > 0 && name[length] == '\0';
}

struct error *pprof_info_write(const struct snapshot_info *info,
			       struct error *(*emit)(void *context, const char *comment),
			       void *context)
{
	try(emit(context, PREFIX "version=" TMBPF_VERSION));
	for (size_t i = 0; i < array_size(info_fields); i++) {
		bool failed = false;
		cleanup_free char *text = value_format(info, &info_fields[i], &failed);

		if (failed)
			return no_memory();
		if (text)
			try(emit(context, text));
	}
	for (size_t i = 0; i < info->loss_count; i++) {
		const struct loss *loss = &info->losses[i];
		cleanup_free char *text = NULL;

		if (!identifier_valid(loss->name))
			return error_create(ERROR_FAILED, "a loss is named \"%s\": no identifier",
					    loss->name);
		if (asprintf(&text, PREFIX "loss.%s=%" PRIu64 " %s", loss->name, loss->count,
			     loss->text) < 0) {
			text = NULL;
			return no_memory();
		}
		try(emit(context, text));
	}
	return NULL;
}

/* The decimal number at TEXT, at most LIMIT; what follows it is at *ret_end. */
static bool number_parse(const char *text, uint64_t limit, uint64_t *ret, const char **ret_end)
{
	unsigned long long number;
	char *end;

	/* strtoull() itself would take blanks and signs. */
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || number > limit)
		return false;
	*ret = number;
	*ret_end = end;
	return true;
}

/* "0x" and one to eight digits. */
static bool hex_parse(const char *text, uint64_t *ret)
{
	size_t digits = strncmp(text, "0x", 2) == 0 ? strspn(text + 2, "0123456789abcdefABCDEF")
						    : 0;

	if (digits == 0 || digits > 8 || text[2 + digits] != '\0')
		return false;
	*ret = strtoull(text + 2, NULL, 16);
	return true;
}

static bool share_parse(const char *text, double *ret)
{
	char *end;
	double share;

	if (*text < '0' || *text > '9')
		return false;
	share = strtod(text, &end);
	if (*end || !isfinite(share) || share < 0 || share > 1)
		return false;
	*ret = share;
	return true;
}

/* False: the value cannot be. Without memory *ret_failed is set. */
static bool value_parse(void *value, enum value_kind kind, const char *text, bool *ret_failed)
{
	uint64_t number = 0;
	const char *end;
	char *copy;

	switch (kind) {
	case VALUE_TEXT:
		copy = strdup(text);
		*ret_failed = !copy;
		if (copy) {
			free(*(char **)value);
			*(char **)value = copy;
		}
		return true;
	case VALUE_SHARE:
		return share_parse(text, value);
	case VALUE_INT32:
		if (!number_parse(text, INT32_MAX, &number, &end) || *end)
			return false;
		*(int32_t *)value = (int32_t)number;
		return true;
	case VALUE_UINT32:
		if (!number_parse(text, UINT32_MAX, &number, &end) || *end)
			return false;
		*(uint32_t *)value = (uint32_t)number;
		return true;
	case VALUE_HEX:
		if (!hex_parse(text, &number))
			return false;
		*(uint32_t *)value = (uint32_t)number;
		return true;
	case VALUE_UINT64:
		if (!number_parse(text, UINT64_MAX, &number, &end) || *end)
			return false;
		*(uint64_t *)value = number;
		return true;
	case VALUE_FLAG:
		if (!number_parse(text, 1, &number, &end) || *end)
			return false;
		*(bool *)value = number;
		return true;
	}
	return false;
}

static struct error *value_refuse(const char *key, const char *value)
{
	return error_create(ERROR_FAILED, "comment " PREFIX "%s has no valid value: \"%.100s\"",
			    key, value);
}

static struct error *loss_read(struct snapshot_info *info, const char *key, const char *value)
{
	const char *name = key + strlen("loss.");
	uint64_t count;
	const char *text;

	if (!identifier_valid(name) || !number_parse(value, UINT64_MAX, &count, &text) ||
	    *text != ' ')
		return value_refuse(key, value);
	if (info->loss_count >= LOSS_MAX)
		return error_create(ERROR_FAILED, "more than %d kinds of losses", LOSS_MAX);
	return snapshot_info_loss(info, name, text + 1, count);
}

struct error *pprof_info_read(struct snapshot_info *info, const char *comment, size_t size)
{
	cleanup_free char *copy = NULL;
	char *key, *value;

	if (size < strlen(PREFIX) || memcmp(comment, PREFIX, strlen(PREFIX)) != 0 ||
	    memchr(comment, '\0', size))
		return NULL;
	copy = strndup(comment, size);
	if (!copy)
		return no_memory();
	key = copy + strlen(PREFIX);
	value = strchr(key, '=');
	if (!value)
		return NULL;
	*value++ = '\0';
	if (strncmp(key, "loss.", strlen("loss.")) == 0)
		return loss_read(info, key, value);
	for (size_t i = 0; i < array_size(info_fields); i++) {
		bool failed = false;

		if (strcmp(info_fields[i].key, key) != 0)
			continue;
		if (!value_parse((char *)info + info_fields[i].offset, info_fields[i].kind, value,
				 &failed))
			return value_refuse(key, value);
		return failed ? no_memory() : NULL;
	}
	return NULL;
}
