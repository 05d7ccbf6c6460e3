/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Waiting that Ctrl-C, SIGTERM or a terminal that goes away ends in order. */
#ifndef TMBPF_BASE_INTERRUPT_H
#define TMBPF_BASE_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * These signals end nothing from now on; the descriptor that is returned tells of them. To be
 * called after a session was started: its process keeps the signals as it has them. Negative: there
 * are no descriptors left; then waiting is not interrupted.
 */
int interrupts_catch(void);

/*
 * Waits so many seconds. True if it was interrupted, or if OTHER (a descriptor, or -1) could be
 * read before.
 */
bool interrupts_wait(int interrupts, int other, uint64_t seconds);

#endif
