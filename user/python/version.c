// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which CPython a file holds: by its symbols and strings, or by what sys.version was made from. */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/python_internal.h"
#include "python/x86.h"

#define VERSION_OLDEST 0x03060000u
#define VERSION_BEYOND 0x03100000u

void python_version_text(uint32_t version, char *ret)
{
	static const char *const levels[16] = {[0xa] = "a", [0xb] = "b", [0xc] = "rc"};
	const char *level = levels[version >> 4 & 0xf];
	int length =
		sprintf(ret, "%u.%u.%u", version >> 24, version >> 16 & 0xff, version >> 8 & 0xff);

	if (level)
		sprintf(ret + length, "%s%u", level, version & 0xf);
}

static bool number_parse(const char **text, unsigned limit, unsigned *ret)
{
	unsigned value = 0;
	const char *at = *text;

	if (*at < '0' || *at > '9')
		return false;
	while (*at >= '0' && *at <= '9' && value <= limit)
		value = value * 10 + (*at++ - '0');
	if (value > limit)
		return false;
	*text = at;
	*ret = value;
	return true;
}

bool python_version_parse(const char *text, uint32_t *ret)
{
	unsigned major, minor, micro, level = 0xf, serial = 0;

	if (!number_parse(&text, 255, &major) || *text++ != '.' ||
	    !number_parse(&text, 255, &minor) || *text++ != '.' ||
	    !number_parse(&text, 255, &micro))
		return false;
	if (*text == 'a' || *text == 'b')
		level = *text++ == 'a' ? 0xa : 0xb;
	else if (*text == 'c')
		level = 0xc, text++;
	else if (!strncmp(text, "rc", 2))
		level = 0xc, text += 2;
	if (level != 0xf && !number_parse(&text, 15, &serial))
		return false;
	/* A trailing "+": built from a repository after that release. */
	if (*text == '+')
		text++;
	if (*text)
		return false;
	*ret = major << 24 | minor << 16 | micro << 8 | level << 4 | serial;
	return true;
}

/* Does the file hold TEXT as a string of its own among its constants? */
static bool constants_hold(const struct image *image, const char *text)
{
	size_t length = strlen(text) + 1, i;

	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (!section->data || !(section->flags & SHF_ALLOC) || (section->flags & SHF_WRITE))
			continue;
		if (memmem(section->data, section->size, text, length))
			return true;
	}
	return false;
}

/*
 * Py_GetVersion() returns a static buffer that sys.version was made from: "3.8.18 (default, ...".
 * PY_VERSION stands in the file as a string of its own (snprintf's argument).
 */
static struct error *version_from_buffer(const struct python *python, uint32_t *ret)
{
	const struct image_symbol *function = image_symbol(python->image, "Py_GetVersion");
	struct x86_value value;
	char text[32], *end;

	if (!function || !x86_returned(python->image, function->address, &value) ||
	    value.kind != X86_ADDRESS || value.loaded)
		return error_create(ERROR_FAILED,
				    "%s: cannot tell its version: Py_GetVersion is "
				    "not there or not understood",
				    python->image->path);
	try(memory_read(&python->process->memory, value.address + python->bias, text,
			sizeof(text)));
	text[sizeof(text) - 1] = 0;
	if (!text[0])
		return python_starting(python);
	end = strchr(text, ' ');
	if (end)
		*end = 0;
	if (!end || !python_version_parse(text, ret))
		return error_create(ERROR_FAILED,
				    "%s: cannot tell its version: sys.version does "
				    "not begin with one",
				    python->image->path);
	if (!constants_hold(python->image, text))
		return error_create(ERROR_FAILED, "%s: sys.version says %s, the file does not",
				    python->image->path, text);
	return NULL;
}

static struct error *version_read(const struct python *python, uint32_t *ret)
{
	const struct image_symbol *symbol = image_symbol(python->image, "Py_Version");
	uint64_t version;
	const uint8_t *word;

	/* From 3.11: const unsigned long Py_Version = PY_VERSION_HEX (Python/getversion.c). */
	if (!symbol)
		return version_from_buffer(python, ret);
	word = image_bytes(python->image, symbol->address, sizeof(version));
	if (!word)
		return error_create(ERROR_FAILED, "%s: Py_Version lies outside of the file",
				    python->image->path);
	memcpy(&version, word, sizeof(version));
	if (version > UINT32_MAX || version < 0x030b0000)
		return error_create(ERROR_FAILED,
				    "%s: Py_Version is 0x%" PRIx64 ", which is no version",
				    python->image->path, version);
	*ret = version;
	return NULL;
}

/*
 * Py_DEBUG implies Py_REF_DEBUG (longer code paths, other structures); Py_TRACE_REFS puts two
 * words before each object up to 3.12. Each exports functions that no other build has.
 */
static const char *debug_symbol(const struct image *image)
{
	static const char *const names[] = {
		"_Py_NegativeRefcount",
		"_Py_RefTotal",
		"_Py_AddToAllObjects",
		"_Py_GetObjects",
	};
	size_t i;

	for (i = 0; i < array_size(names); i++)
		if (image_symbol(image, names[i]))
			return names[i];
	return NULL;
}

struct error *python_refuse_2(const struct image *image)
{
	/* Include/modsupport.h of 2.x; 3.0 has PyModule_Create2() instead. */
	if (!image_symbol(image, "Py_InitModule4_64"))
		return NULL;
	return error_create(ERROR_FAILED, "%s is a CPython 2: tmbpf knows 3.6 to 3.15",
			    image->path);
}

struct error *python_identify(struct python *python)
{
	char text[24];
	const char *name;
	uint32_t version = 0;

	try(version_read(python, &version));
	python_version_text(version, text);
	if (version >> 24 == 2)
		return error_create(ERROR_FAILED, "CPython %u.%u: tmbpf knows 3.6 to 3.15",
				    version >> 24, version >> 16 & 0xff);
	if (version < VERSION_OLDEST || version >= VERSION_BEYOND)
		return error_create(ERROR_FAILED, "CPython %s: tmbpf knows 3.6 to 3.15", text);
	name = debug_symbol(python->image);
	if (name)
		return error_create(ERROR_FAILED,
				    "%s is a debug build of CPython %s (it defines %s): its "
				    "structures are not those that tmbpf knows",
				    python->image->path, text, name);
	python->version = version;
	return NULL;
}
