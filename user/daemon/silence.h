/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Probes that are there and that nobody comes to. */
#ifndef TMBPF_DAEMON_SILENCE_H
#define TMBPF_DAEMON_SILENCE_H

struct json_object;

/*
 * A warning, if STATUS (reports_status()) says that no probe was ever hit though the heap grew:
 * then the probes are in a file that the process does not run. NULL: there is nothing to warn of.
 */
const char *silence_warning(struct json_object *status);

#endif
