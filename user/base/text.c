// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Decodes, encodes and shows text, and writes numbers for people. */
#include "base/text.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

/* How many continuation bytes follow LEAD, -1 if it is no lead byte; its own bits. */
static int lead_decode(unsigned char lead, uint32_t *ret)
{
	if (lead < 0x80) {
		*ret = lead;
		return 0;
	}
	if (lead >= 0xc0 && lead < 0xe0) {
		*ret = lead & 0x1f;
		return 1;
	}
	if (lead >= 0xe0 && lead < 0xf0) {
		*ret = lead & 0x0f;
		return 2;
	}
	if (lead >= 0xf0 && lead < 0xf8) {
		*ret = lead & 0x07;
		return 3;
	}
	return -1;
}

size_t text_decode(const char *text, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint32_t code = 0;
	int more = lead_decode((unsigned char)*text, &code);

	for (int i = 1; i <= more; i++) {
		unsigned char byte = (unsigned char)text[i];

		if ((byte & 0xc0) != 0x80)
			more = -1; /* also at the end of TEXT, whose NUL is none */
		else
			code = code << 6 | (byte & 0x3f);
	}
	if (more == 1 && code == 0) {
		*ret = 0;
		return 2;
	}
	if (more < 0 || code < least[more] || code > 0x10ffff) {
		*ret = TEXT_INVALID + (unsigned char)*text;
		return 1;
	}
	*ret = code;
	return (size_t)more + 1;
}

size_t text_encode(uint32_t code, char buffer[4])
{
	if (code < 0x80) {
		buffer[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		buffer[0] = (char)(0xc0 | code >> 6);
		buffer[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		buffer[0] = (char)(0xe0 | code >> 12);
		buffer[1] = (char)(0x80 | (code >> 6 & 0x3f));
		buffer[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	buffer[0] = (char)(0xf0 | code >> 18);
	buffer[1] = (char)(0x80 | (code >> 12 & 0x3f));
	buffer[2] = (char)(0x80 | (code >> 6 & 0x3f));
	buffer[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

static bool is_surrogate(uint32_t code)
{
	return code >= 0xd800 && code < 0xe000;
}

/* Marks that reorder what stands beside them: a name could be made to look like another. */
static bool is_directional(uint32_t code)
{
	return (code >= 0x200e && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0x061c;
}

static bool locale_is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static size_t code_display(uint32_t code, bool utf8, char *buffer, size_t size)
{
	int length;

	if (code & TEXT_INVALID)
		length = snprintf(buffer, size, "\\x%02x", code & 0xff);
	else if (code >= 0x20 && code < 0x7f)
		return text_encode(code, buffer);
	else if (utf8 && code >= 0xa0 && !is_surrogate(code) && !is_directional(code) &&
		 iswprint((wint_t)code) && code != 0x2028 && code != 0x2029)
		return text_encode(code, buffer);
	else if (code < 0x100)
		length = snprintf(buffer, size, "\\x%02x", code);
	else if (code < 0x10000)
		length = snprintf(buffer, size, "\\u%04x", code);
	else
		length = snprintf(buffer, size, "\\U%08x", code);
	return (size_t)length;
}

char *text_display(const char *text)
{
	/* At most ten bytes stand for four, six for two, four for one. */
	size_t size = strlen(text) * 4 + 12;
	char *shown = malloc(size);
	bool utf8 = locale_is_utf8();
	size_t used = 0;

	if (!shown)
		return NULL;
	while (*text) {
		uint32_t code;

		text += text_decode(text, &code);
		used += code_display(code, utf8, shown + used, size - used);
	}
	shown[used] = '\0';
	return shown;
}

char *text_strict(const char *text, size_t *ret_size)
{
	/* At most three bytes stand for one. */
	char *strict = malloc(strlen(text) * 3 + 1);
	size_t used = 0;

	if (!strict)
		return NULL;
	while (*text) {
		uint32_t code;

		text += text_decode(text, &code);
		if (code & TEXT_INVALID || is_surrogate(code))
			code = 0xfffd;
		if (code == 0)
			strict[used++] = '\0';
		else
			used += text_encode(code, strict + used);
	}
	strict[used] = '\0';
	*ret_size = used;
	return strict;
}

size_t text_width(const char *shown)
{
	size_t columns = 0;

	while (*shown) {
		uint32_t code;
		int width;

		shown += text_decode(shown, &code);
		width = wcwidth((wchar_t)code);
		columns += width < 0 ? 1 : (size_t)width;
	}
	return columns;
}

/* As tracemalloc._format_size() of CPython's Lib/tracemalloc.py (3.6 to 3.15). */
static char *text_bytes(double value, char buffer[TEXT_NUMBER_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	for (; unit < array_size(units) - 1; unit++, value /= 1024) {
		if ((value < 100 && unit > 0) || value < 10 * 1024)
			break;
	}
	snprintf(buffer, TEXT_NUMBER_MAX, value < 100 && unit > 0 ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return buffer;
}

char *text_size(uint64_t size, char buffer[TEXT_NUMBER_MAX])
{
	return text_bytes((double)size, buffer);
}

char *text_size_diff(int64_t size, char buffer[TEXT_NUMBER_MAX])
{
	char number[TEXT_NUMBER_MAX];

	text_size(size < 0 ? 0 - (uint64_t)size : (uint64_t)size, number);
	snprintf(buffer, TEXT_NUMBER_MAX, "%c%.30s", size < 0 ? '-' : '+', number);
	return buffer;
}

char *text_average(uint64_t size, uint64_t count, char buffer[TEXT_NUMBER_MAX])
{
	/* Python divides integers exactly, and rounds once. */
	return text_bytes(count ? (double)((long double)size / (long double)count) : 0, buffer);
}

char *text_share(uint64_t part, uint64_t whole, char buffer[TEXT_NUMBER_MAX])
{
	if (whole == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "-");
	else
		snprintf(buffer, TEXT_NUMBER_MAX, "%.1f %%", 100.0 * (double)part / (double)whole);
	return buffer;
}

char *text_time(int64_t nanos, char buffer[TEXT_NUMBER_MAX])
{
	time_t seconds = (time_t)(nanos / (int64_t)NSEC_PER_SEC);
	struct tm tm;

	if (nanos <= 0 || !gmtime_r(&seconds, &tm) ||
	    strftime(buffer, TEXT_NUMBER_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		buffer[0] = '\0';
	return buffer;
}

void text_locale_init(void)
{
	const char *chosen = setlocale(LC_CTYPE, "");

	if (!chosen || strcmp(chosen, "C") == 0 || strcmp(chosen, "POSIX") == 0)
		setlocale(LC_CTYPE, "C.UTF-8");
}

const char *text_estimate(const char *number, double error, char *buffer)
{
	char doubt[TEXT_NUMBER_MAX];

	if (error > 0)
		snprintf(buffer, TEXT_ESTIMATE_MAX, "%s \302\261 %s", number,
			 text_size(error < 9e18 ? (uint64_t)error : UINT64_MAX, doubt));
	else
		snprintf(buffer, TEXT_ESTIMATE_MAX, "%s", number);
	return buffer;
}
