/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Gzip (RFC 1952) by zlib: one member, whole, with a bound on what it may unpack to. */
#ifndef TMBPF_FORMAT_GZIP_H
#define TMBPF_FORMAT_GZIP_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct output;
struct gzip_writer;

/* What is written to it goes compressed to OUTPUT, which has to outlive it. */
struct error *gzip_writer_create(struct output *output, struct gzip_writer **ret);
struct error *gzip_writer_write(struct gzip_writer *writer, const void *data, size_t size);
/* Ends the member; OUTPUT is not committed. */
struct error *gzip_writer_finish(struct gzip_writer *writer);
/* NULL is accepted. */
void gzip_writer_destroy(struct gzip_writer *writer);

static inline void gzip_writer_cleanup(struct gzip_writer **writer)
{
	gzip_writer_destroy(*writer);
}

/*
 * The file at PATH unpacked, the caller's to free. Refused: what is not gzip, a truncated or
 * damaged file, one followed by something else, and one that unpacks to more than LIMIT bytes.
 */
struct error *gzip_read(const char *path, size_t limit, uint8_t **ret_data, size_t *ret_size);

#endif
