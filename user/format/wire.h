/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks the top-level fields of an encoded protobuf message, so that each element of a large one
 * can be unpacked alone. The encoding is that of protobuf.dev, "Encoding".
 */
#ifndef TMBPF_FORMAT_WIRE_H
#define TMBPF_FORMAT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct wire {
	const uint8_t *data;
	size_t size, offset;
};

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

struct wire_field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;      /* of WIRE_VARINT */
	const uint8_t *data; /* of WIRE_BYTES: within the message */
	size_t size;
};

/* The next field; false at the end. What is not well-formed is an error. */
struct error *wire_next(struct wire *wire, struct wire_field *field, bool *ret);

/* As wire_next_varint(), for a number of any length. */
struct error *wire_next_long_varint(struct wire *packed, uint64_t *value, bool *ret);

/* A packed repeated varint field's next element; false at the end of PACKED. */
static inline struct error *wire_next_varint(struct wire *packed, uint64_t *value, bool *ret)
{
	const uint8_t *data = packed->data + packed->offset;
	size_t left = packed->size - packed->offset;

	*ret = true;
	if (left > 0 && data[0] < 0x80) {
		*value = data[0];
		packed->offset++;
		return NULL;
	}
	if (left > 1 && data[1] < 0x80) {
		*value = (uint64_t)data[1] << 7 | (data[0] & 0x7f);
		packed->offset += 2;
		return NULL;
	}
	return wire_next_long_varint(packed, value, ret);
}

#endif
