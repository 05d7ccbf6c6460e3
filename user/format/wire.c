// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The fields of an encoded protobuf message. */
#include "format/wire.h"
#include "base/cleanup.h"
#include "base/error.h"

static struct error *wire_damaged(const struct wire *wire, const char *what)
{
	return error_create(ERROR_FAILED, "at byte %zu of %zu unpacked: %s", wire->offset,
			    wire->size, what);
}

static struct error *varint_read(struct wire *wire, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (wire->offset >= wire->size)
			return wire_damaged(wire, "a number is cut off");
		byte = wire->data[wire->offset++];
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return NULL;
		}
	}
	return wire_damaged(wire, "a number has more than 64 bits");
}

struct error *wire_next_long_varint(struct wire *packed, uint64_t *value, bool *ret)
{
	if (packed->offset >= packed->size) {
		*ret = false;
		return NULL;
	}
	try(varint_read(packed, value));
	*ret = true;
	return NULL;
}

/* Steps over SIZE bytes. */
static struct error *wire_skip(struct wire *wire, uint64_t size)
{
	if (size > wire->size - wire->offset)
		return wire_damaged(wire, "a field is longer than what is left");
	wire->offset += size;
	return NULL;
}

struct error *wire_next(struct wire *wire, struct wire_field *field, bool *ret)
{
	uint64_t key, size;

	if (wire->offset >= wire->size) {
		*ret = false;
		return NULL;
	}
	try(varint_read(wire, &key));
	/* Field numbers have at most 29 bits. */
	if (key >> 3 == 0 || key >> 32 != 0)
		return wire_damaged(wire, "a field has an impossible number");
	*field = (struct wire_field){.number = (uint32_t)(key >> 3), .type = key & 7};
	switch (field->type) {
	case WIRE_VARINT:
		try(varint_read(wire, &field->value));
		break;
	case WIRE_FIXED64:
		try(wire_skip(wire, 8));
		break;
	case WIRE_BYTES:
		try(varint_read(wire, &size));
		field->data = wire->data + wire->offset;
		field->size = size;
		try(wire_skip(wire, size));
		break;
	case WIRE_FIXED32:
		try(wire_skip(wire, 4));
		break;
	default:
		return wire_damaged(wire, "a field has an unknown type");
	}
	*ret = true;
	return NULL;
}
