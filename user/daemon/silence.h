/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Probes that are there and that nobody comes to. */
#ifndef TMBPF_DAEMON_SILENCE_H
#define TMBPF_DAEMON_SILENCE_H

#include <json-c/json.h>

/*
 * A warning, if by STATUS (record_status()) no probe was ever hit though the heap grew: then they
 * are in a file that the process does not run. NULL: there is nothing to warn of.
 */
const char *silence_warning(json_object *status);

#endif
