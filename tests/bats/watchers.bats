# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Groups where something goes wrong: who watches or starts them is killed, processes end at odd
# moments, control groups go and come.

# shellcheck disable=SC2030,SC2031,SC2154

load ../helpers
load session
load groups

no_session_of()
{
	run tmbpf status -p "$1"
	((status == 3))
}

no_group()
{
	run tmbpf status "${GROUP[@]}"
	((status == 3))
}

@test "a child that has ended and that nobody has asked for is none to trace" {
	cat >careless.py <<-'CODE'
		import os, subprocess, sys
		child = subprocess.Popen(["true"])
		os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
		os.write(1, b"READY\n")
		sys.stdin.readline()
	CODE
	start_target careless.py
	GROUP=(-p "$TARGET_PID" --follow)
	run -0 --separate-stderr tmbpf start "${GROUP[@]}" --exact
	[[ $output == *": 1 process is traced"* && -z $stderr ]]
	group_is '.losses.failed == null and (.processes | length) == 1'
}

@test "a start that is interrupted leaves nothing" {
	local client
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	# One that has a session is tried again for some seconds: so long the start takes.
	tmbpf start -p "${WORKERS[0]}" --exact
	"$TMBPF" start "${GROUP[@]}" --exact 3>&- &
	client=$!
	wait_until tmbpf status -p "$TARGET_PID"
	wait_until tmbpf status -p "${WORKERS[1]}"
	kill -KILL "$client"
	wait "$client" || true
	wait_until no_session_of "$TARGET_PID"
	wait_until no_session_of "${WORKERS[1]}"
	wait_until no_group
	tmbpf stop -p "${WORKERS[0]}"
	nothing_left
	target_alive
}

@test "a process whose first thread has ended starts others still" {
	cat >headless.py <<-'CODE'
		import ctypes, os, subprocess, sys, threading
		def begin():
		    while os.read(0, 16):
		        code = ("import time; kept = [b'%d' % i for i in range(1000)];"
		                " time.sleep(60)")
		        child = subprocess.Popen([sys.executable, "-c", code])
		        os.write(1, b"worker %d\n" % child.pid)
		threading.Thread(target=begin).start()
		os.write(1, b"READY\n")
		ctypes.CDLL(None).syscall(60, 0)
	CODE
	start_target headless.py
	wait_until grep -q '^State:.*Z' "/proc/$TARGET_PID/status"
	tell_target
	read_pid
	TARGET_PIDS+=("$WORKER")
	GROUP=(-p "$TARGET_PID" --follow)
	run -0 --separate-stderr tmbpf start "${GROUP[@]}" --exact
	[[ $output == *": 1 process is traced"* &&
		$stderr == *"the first thread of process $TARGET_PID has ended"* ]]
	# It is looked at every two seconds whether it is still there.
	sleep 5
	tell_target
	read_pid
	TARGET_PIDS+=("$WORKER")
	wait_until process_is "$WORKER" '.state == "traced"'
	process_is "$TARGET_PID" '.state == "failed"'
}

@test "a control group that is made anew, as by a service's restart, is watched on" {
	local base folder
	for base in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[[ -f $base/cgroup.procs && -f $base/cgroup.controllers ]] && break
	done
	[[ -f $base/cgroup.controllers ]] ||
		skip "there is no control group of version 2 to make one in"
	folder=$base/tmbpf-test-$$-anew
	mkdir "$folder"
	CGROUPS+=("$folder")
	start_workers 1
	echo "$TARGET_PID" >"$folder/cgroup.procs"
	# However it is written.
	GROUP=(--cgroup "$base//x/../${folder##*/}/")
	tmbpf start "${GROUP[@]}" --exact
	group_is '.counts.traced == 1'
	# Its last process is still about, as the group is removed and made again.
	echo "$TARGET_PID" >"$base/cgroup.procs"
	rmdir "$folder"
	mkdir "$folder"
	start_workers 1
	echo "$TARGET_PID" >"$folder/cgroup.procs"
	GROUP=(--cgroup "$folder")
	wait_until process_is "$TARGET_PID" '.state == "traced"'
	# So short that only the kernel can tell of them.
	tell_target "short 20"
	wait_target "done"
	wait_until group_is '([.processes[] | select(.state == "ended")] | length) +
		.losses.ended_early == 20'
	tmbpf stop "${GROUP[@]}"
	nothing_left
	CGROUPS=()
	stop_targets
	wait_until cgroup_remove "$folder"
}

@test "a watcher that is killed leaves its sessions, and they can be stopped" {
	local watcher
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	watcher=$(group_status | jq .watcher_pid)
	kill -KILL "$watcher"
	wait_until tracer_gone "$watcher"
	group_is '.state == "unwatched" and (.processes | length) == 3 and .counts.traced == 3 and
		.seconds > 0'
	run -0 tmbpf status "${GROUP[@]}"
	[[ ${lines[0]} == *": 3 traced, "* ]]
	run -0 tmbpf snapshot "${GROUP[@]}" -o all
	run -0 tmbpf stop "${GROUP[@]}"
	run -3 --separate-stderr tmbpf status
}

@test "a container's watcher that is killed: its sessions are found by the container's name" {
	local base folder watcher
	for base in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/pids; do
		[[ -f $base/cgroup.procs &&
			($base != /sys/fs/cgroup || -f $base/cgroup.controllers) ]] && break
	done
	folder=$base/tmbpf-test-$$-orphans
	mkdir "$folder" || skip "there is no control group to make one in"
	CGROUPS+=("$folder")
	start_workers 1
	echo "$TARGET_PID" >"$folder/cgroup.procs"
	GROUP=(--container "${folder##*/}")
	tmbpf start "${GROUP[@]}" --exact
	watcher=$(group_status | jq .watcher_pid)
	kill -KILL "$watcher"
	wait_until tracer_gone "$watcher"
	group_is '.state == "unwatched" and .counts.traced == 1'
	run -0 tmbpf stop "${GROUP[@]}"
	run -3 --separate-stderr tmbpf status
	stop_targets
	CGROUPS=()
	wait_until cgroup_remove "$folder"
}

@test "a tracer that is killed is told of" {
	local tracer
	start_workers 2
	GROUP=(-p "$TARGET_PID" --follow)
	tmbpf start "${GROUP[@]}" --exact
	tracer=$(tmbpf status -p "${WORKERS[0]}" --json | jq .tracer_pid)
	kill -KILL "$tracer"
	wait_until process_is "${WORKERS[0]}" '.state == "failed" and (.reason | test("killed"))'
	group_is '.losses.killed_tracers == 1'
}
