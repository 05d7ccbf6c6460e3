/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Registers at a probe, of x86-64. The only file here that knows the architecture. */
#ifndef TMBPF_X86_H
#define TMBPF_X86_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "read.h"
#include "shared/site.h"

#define FLAG_ZF 0x40

/*
 * One case, in which the load must stay. The compiler would otherwise choose an offset first and
 * load once, but the verifier wants a constant offset into the context.
 */
#define REGISTER_CASE(number, name)                                                                \
	case number:                                                                               \
		value = regs->name;                                                                \
		asm volatile("" : "+r"(value) : "i"(number));                                      \
		break

/* The register NUMBER as the hardware counts them. */
static __always_inline __u64 register_value(struct pt_regs *regs, __u32 number)
{
	__u64 value = 0;

	switch (number) {
		REGISTER_CASE(0, ax);
		REGISTER_CASE(1, cx);
		REGISTER_CASE(2, dx);
		REGISTER_CASE(3, bx);
		REGISTER_CASE(4, sp);
		REGISTER_CASE(5, bp);
		REGISTER_CASE(6, si);
		REGISTER_CASE(7, di);
		REGISTER_CASE(8, r8);
		REGISTER_CASE(9, r9);
		REGISTER_CASE(10, r10);
		REGISTER_CASE(11, r11);
		REGISTER_CASE(12, r12);
		REGISTER_CASE(13, r13);
		REGISTER_CASE(14, r14);
		REGISTER_CASE(15, r15);
	}
	return value;
}

static __always_inline bool value_read(struct pt_regs *regs, const struct tmbpf_value *value,
				       __u64 *ret)
{
	__u64 result = value->displacement;

	if (value->base != TMBPF_NO_REGISTER)
		result += register_value(regs, value->base) << (value->shift & 3);
	if (value->dereference)
		return read_word(result, ret);
	*ret = result;
	return true;
}

static __always_inline bool flag_zero(struct pt_regs *regs)
{
	return regs->flags & FLAG_ZF;
}

static __always_inline __u64 stack_pointer(struct pt_regs *regs)
{
	return regs->sp;
}

static __always_inline __u64 instruction_pointer(struct pt_regs *regs)
{
	return regs->ip;
}

/* At a function's return: what it returns. */
static __always_inline __u64 return_value(struct pt_regs *regs)
{
	return regs->ax;
}

/* The thread pointer: fs base. */
static __always_inline __u64 thread_pointer(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread.fsbase);
}

#endif
