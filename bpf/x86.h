/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* x86-64: registers at a probe. The only file here that knows the architecture. */
#ifndef TMBPF_X86_H
#define TMBPF_X86_H

#include "state.h"

#define FLAG_ZF 0x40

/* The register NUMBER as the hardware counts them. A switch, because offsets into the context must be constant. */
static __always_inline __u64 register_value(struct pt_regs *regs, __u32 number)
{
	switch (number) {
	case 0:
		return regs->ax;
	case 1:
		return regs->cx;
	case 2:
		return regs->dx;
	case 3:
		return regs->bx;
	case 4:
		return regs->sp;
	case 5:
		return regs->bp;
	case 6:
		return regs->si;
	case 7:
		return regs->di;
	case 8:
		return regs->r8;
	case 9:
		return regs->r9;
	case 10:
		return regs->r10;
	case 11:
		return regs->r11;
	case 12:
		return regs->r12;
	case 13:
		return regs->r13;
	case 14:
		return regs->r14;
	case 15:
		return regs->r15;
	}
	return 0;
}

static __always_inline bool value_read(struct pt_regs *regs, const struct tmbpf_value *value, __u64 *ret)
{
	__u64 result = value->displacement;

	if (value->base != TMBPF_NO_REGISTER)
		result += register_value(regs, value->base) << (value->shift & 3);
	if (value->dereference)
		return read_word(result, ret);
	*ret = result;
	return true;
}

/* The thread pointer: fs base. */
static __always_inline __u64 thread_pointer(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return BPF_CORE_READ(task, thread.fsbase);
}

#endif
