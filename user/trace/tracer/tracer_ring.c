// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The ring buffer, in which the BPF programs announce code objects, stacks and samples. */
#include <bpf/libbpf.h>
#include <errno.h>

#include "base/error.h"
#include "trace/tracer/tracer_internal.h"

static int ring_handle(void *context, void *data, size_t size)
{
	struct tracer *tracer = context;
	const struct tmbpf_record *record = data;

	if (size >= sizeof(*record) && record->size <= size && tracer->handle)
		tracer->handle(tracer->handle_context, record, size);
	return 0;
}

struct error *tracer_ring_create(struct tracer *tracer)
{
	tracer->ring = ring_buffer__new(bpf_map__fd(tracer->skeleton->maps.ring), ring_handle,
					tracer, NULL);
	if (!tracer->ring)
		return error_create_errno(ERROR_FAILED, errno, "cannot read the ring buffer");
	return NULL;
}

int tracer_ring_fd(const struct tracer *tracer)
{
	return ring_buffer__epoll_fd(tracer->ring);
}

void tracer_ring_consume(struct tracer *tracer, tracer_handler handle, void *context)
{
	tracer->handle = handle;
	tracer->handle_context = context;
	ring_buffer__consume(tracer->ring);
}
