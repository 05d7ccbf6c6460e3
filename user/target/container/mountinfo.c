// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Takes lines of mountinfo apart. */
#include "target/container/mountinfo.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"

void mountinfo_unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
		    text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = 0;
}

bool mountinfo_parse(char *line, struct mountinfo *ret)
{
	char *fields[5], *tail = strstr(line, " - "), *save = NULL, *type, *options;
	unsigned int major_number, minor_number;

	if (!tail)
		return false;
	*tail = 0;
	for (size_t i = 0; i < array_size(fields); i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return false;
	}
	save = NULL;
	type = strtok_r(tail + 3, " \n", &save);
	strtok_r(NULL, " \n", &save);
	options = strtok_r(NULL, " \n", &save);
	if (!type || sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
		return false;
	mountinfo_unescape(fields[3]);
	mountinfo_unescape(fields[4]);
	*ret = (struct mountinfo){
		.device = makedev(major_number, minor_number),
		.directory = fields[3],
		.point = fields[4],
		.type = type,
		.options = options ? options : "",
	};
	return true;
}
