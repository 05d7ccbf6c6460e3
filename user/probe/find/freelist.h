/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Objects that are taken from free lists. No allocator is called then, but tracemalloc gives the
 * object's block its new owner: _Py_NewReference() (Objects/object.c; inlined from Include/object.h
 * in 3.8) tells it so if a word is not zero: _Py_tracemalloc_config.tracing (3.8 to 3.11),
 * _PyRuntime.tracemalloc.config.tracing (3.12), _PyRuntime.ref_tracer.tracer_func (3.13 on).
 *
 * A site stands where an object has just been taken from its list, on the way to that test or to a
 * call of _Py_NewReference(). Nothing else may pass there: compilers often let new objects go
 * through the same test.
 */
#ifndef TMBPF_PROBE_FIND_FREELIST_H
#define TMBPF_PROBE_FIND_FREELIST_H

struct builder;
struct error;

/* Adds the sites. They come last: other kinds have the first choice of instructions. */
struct error *freelist_sites(struct builder *builder);

#endif
