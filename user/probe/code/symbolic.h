/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What registers and stack slots hold, said in terms of what they held at an earlier point:
 * straight-line code is stepped through, and whatever cannot be said exactly becomes unknown.
 */
#ifndef TMBPF_PROBE_CODE_SYMBOLIC_H
#define TMBPF_PROBE_CODE_SYMBOLIC_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/site_value.h"
#include "probe/code/x86.h"

#define STATE_STORES_MAX 24

struct value {
	bool known;
	struct site_value is; /* in terms of the registers at the beginning */
};

struct state {
	struct value registers[X86_REGISTERS];
	/*
	 * 8-byte stores since, at a register's value at the beginning (X86_NONE: at an absolute
	 * address) plus a distance.
	 */
	struct {
		uint8_t base;
		int64_t slot;
		struct value value;
	} stores[STATE_STORES_MAX];
	unsigned store_count;
	bool memory_written;  /* also at an unknown place: spill slots apart, loads mean nothing */
	bool stack_forgotten; /* more stores than fit, or one that may have hit a spill slot */
};

/* Each register holds what it holds. */
void state_init(struct state *state);

/*
 * Steps over INSTRUCTION. A direct jump is as good as nothing; for a conditional one the caller
 * chooses the way. Calls are stepped over by the ABI: their callee changes what it may.
 */
void state_step(struct state *state, const struct x86_instruction *instruction);

/* What OPERAND, 64 bits wide, holds before its instruction. */
struct value state_operand(const struct state *state, const struct x86_operand *operand);

/*
 * The other way round: where the 64-bit value that register NUMBER held at the beginning can be
 * found now, a register or a stack slot, in terms of the registers as they are now.
 */
bool state_whereabouts(const struct state *state, uint8_t number, struct site_value *ret);

/* Now minus then, of rsp, bytes; false if that is not known. */
bool state_stack_delta(const struct state *state, int64_t *ret);

bool value_is_register(const struct value *value, uint8_t number);
bool value_is_constant(const struct value *value, int64_t constant);
bool site_value_equal(const struct site_value *left, const struct site_value *right);

#endif
