/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a snapshot says about itself, as JSON. */
#ifndef TMBPF_FORMAT_JSON_INFO_H
#define TMBPF_FORMAT_JSON_INFO_H

struct json;
struct json_object;
struct snapshot_info;

/* As members of TO. What is not known is null. */
void json_snapshot_info(struct json *json, struct json_object *to,
			const struct snapshot_info *info);

#endif
