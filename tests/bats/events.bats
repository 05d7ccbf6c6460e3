#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What older kernels get, tried on this one: probes by an event of tracefs, as before 6.6, leave no
# definition behind; programs that take turns, as before 5.17, see the same.

# What a test exports is its own.
# shellcheck disable=SC2030,SC2031,SC2154

load ../helpers
load session

setup()
{
	requires root command:jq command:bpftool
	[[ -e /sys/kernel/tracing/uprobe_events ]] ||
		mount -t tracefs tracefs /sys/kernel/tracing ||
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

# blocks_seen: starts a session on a target and holds what it says of a known piece of work
blocks_seen()
{
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	tell_target keep
	wait_target kept
	wait_until field_at_least .events.obj_malloc 20000
	tmbpf snapshot -p "$TARGET_PID" -o held.pb.gz
	tmbpf stats held.pb.gz --format json --include '*busy.py' >held.json
	jq -e '[.statistics[].count] | add >= 10100' held.json
	# Without return probes, what jumps to malloc may return to a place that nobody knows.
	[[ $(status_field '.losses | del(.result_unknown) | [.[]] | add // 0') == 0 ]]
}

@test "events: each block is seen, in all threads" {
	blocks_seen
	(($(events_of "$tracer") > 0))
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

# guard_of TRACER: the guard that waits for the end of the pipe that the process TRACER holds
guard_of()
{
	local guard pipe
	for guard in $(pgrep -x tmbpf-guard); do
		pipe=$(readlink "/proc/$guard/fd/0") || continue
		[[ $(readlink "/proc/$1/fd"/*) != *"$pipe"* ]] || echo "$guard"
	done
}

@test "events: what a killed tracer and its guard left is removed by the next" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	kill -KILL "$(guard_of "$tracer")" "$tracer"
	wait_until tracer_gone "$tracer"
	# They are there still, unless somebody else's command has removed them already.
	events_of "$tracer"
	tmbpf doctor
	wait_until no_events_of "$tracer"
	target_alive
}

@test "programs that take turns: each block is seen, in all threads" {
	unset TMBPF_ATTACH
	export TMBPF_PROGRAMS=plain
	blocks_seen
	tmbpf stop -p "$TARGET_PID"
	run -1 --separate-stderr tmbpf start -p "$TARGET_PID" --exact --lazy-free
	[[ $stderr == *"needs Linux 5.17"* ]]
	[[ $(tmbpf doctor --json | jq .kernel.bpf_loop) == false ]]
}

@test "programs that take turns: the default mode finds what grows" {
	export TMBPF_PROGRAMS=plain
	start_target "$TARGETS/growing.py" thread 600
	tmbpf start -p "$TARGET_PID"
	line=$(grep -n '# WORKER$' "$TARGETS/growing.py" | cut -d: -f1)
	wait_until status_field "[.growth[] | select(.grows and .lineno == $line)] | length == 1"
	[[ $(status_field '.losses | [.[]] | add // 0') == 0 ]]
}
