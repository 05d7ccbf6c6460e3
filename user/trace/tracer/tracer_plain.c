// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs for kernels before 5.17 (bpf/plain.bpf.c) behind the same skeleton: maps, programs
 * and variables have the same names and layouts.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "trace/tracer/tracer_internal.h"

#include "plain.skel.h"

_Static_assert(sizeof(((struct plain_bpf *)0)->bss->state) ==
		       sizeof(((struct tmbpf_bpf *)0)->bss->state),
	       "state");
_Static_assert(sizeof(*((struct plain_bpf *)0)->bss) == sizeof(*((struct tmbpf_bpf *)0)->bss),
	       "variables");
_Static_assert(sizeof(*((struct plain_bpf *)0)->rodata) == sizeof(*((struct tmbpf_bpf *)0)->rodata),
	       "configuration");

struct tmbpf_bpf *tracer_plain_open(void)
{
	struct tmbpf_bpf *skeleton = calloc(1, sizeof(*skeleton));

	if (!skeleton || tmbpf_bpf__create_skeleton(skeleton)) {
		free(skeleton);
		errno = ENOMEM;
		return NULL;
	}
	skeleton->skeleton->data = (void *)plain_bpf__elf_bytes(&skeleton->skeleton->data_sz);
	if (bpf_object__open_skeleton(skeleton->skeleton, NULL)) {
		tmbpf_bpf__destroy(skeleton);
		return NULL;
	}
	return skeleton;
}

struct error *tracer_plain_attach(struct tracer *tracer)
{
	struct bpf_program *program =
		bpf_object__find_program_by_name(tracer->skeleton->obj, "thread_exit");

	if (!program)
		return NULL;
	tracer->thread_link = bpf_program__attach(program);
	if (!tracer->thread_link)
		return error_create_errno(ERROR_FAILED, errno, "cannot watch for threads that end");
	return NULL;
}
