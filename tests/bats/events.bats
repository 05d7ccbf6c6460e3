#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Probes by an event of tracefs, as on kernels before 6.6: the same sessions, and no definition left behind.

load ../helpers
load session

setup()
{
	requires root command:jq command:bpftool
	[[ -e /sys/kernel/tracing/uprobe_events ]] || mount -t tracefs tracefs /sys/kernel/tracing ||
		skip "there is no tracefs"
	export TMBPF_ATTACH=events
	cd "$BATS_TEST_TMPDIR" || return
}

teardown()
{
	stop_targets
}

# events_of PID: probes that the process PID has defined
events_of()
{
	grep -c "^p:tmbpf_$1/" /sys/kernel/tracing/uprobe_events || true
}

no_events_of()
{
	(($(events_of "$1") == 0))
}

@test "events: each block is seen, in all threads" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	(($(events_of "$tracer") > 0))
	tell_target keep
	wait_target kept
	wait_until field_at_least .events.obj_malloc 20000
	tmbpf snapshot -p "$TARGET_PID" -o held.pb.gz
	tmbpf stats held.pb.gz --format json --include '*busy.py' >held.json
	jq -e '[.statistics[].count] | add >= 10100' held.json
	# Without return probes, what jumps to malloc may return to a place that nobody knows.
	[[ $(status_field '.losses | del(.result_unknown) | [.[]] | add // 0') == 0 ]]
	tmbpf stop -p "$TARGET_PID"
	wait_until no_events_of "$tracer"
	tell_target end
	wait_target ended
}

@test "events: a tracer that is killed leaves none" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	(($(events_of "$tracer") > 0))
	kill -KILL "$tracer"
	wait_until no_events_of "$tracer"
	target_alive
	tell_target end
	wait_target ended
}

@test "events: what a killed tracer and its guard left is removed by the next" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	kill -KILL "$(pgrep -x tmbpf-guard -n)" "$tracer"
	wait_until tracer_gone "$tracer"
	(($(events_of "$tracer") > 0))
	tmbpf doctor
	wait_until no_events_of "$tracer"
	target_alive
}
