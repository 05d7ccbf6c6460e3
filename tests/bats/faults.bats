# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What goes wrong: targets that end or change, tracers that are killed, full disks, missing rights.

load ../helpers
load session

teardown()
{
	stop_sessions
	umount_small
}

@test "a target that exits: the last totals are kept" {
	start_target "$TARGETS/replaced.py" true
	tmbpf start -p "$TARGET_PID" --exact
	tell_target
	wait_target HELD
	blocks=$(status_field .blocks)
	(( blocks >= 10000 ))
	kill -KILL "$TARGET_PID"
	wait "$TARGET_PID" 2>/dev/null || true
	wait_until session_ended
	[[ $(status_field .state) == exited ]]
	run -0 tmbpf status -p "$TARGET_PID"
	(( $(status_field .blocks) >= 10000 ))
	run -0 tmbpf snapshot -p "$TARGET_PID" -o last.pb.gz
	(( $(statistic_count last.pb.gz replaced.py) >= 10000 ))
	run -0 tmbpf stop -p "$TARGET_PID"
	run -3 tmbpf status -p "$TARGET_PID"
}

@test "a target that exec()s something else: the session ends with its totals, the target runs on" {
	# shellcheck disable=SC2016 # for the shell that replaces the target
	start_target "$TARGETS/replaced.py" sh -c 'echo CHANGED; read line; echo "$line"'
	tmbpf start -p "$TARGET_PID" --exact
	tell_target
	wait_target HELD
	tell_target
	wait_target CHANGED
	wait_until session_ended
	[[ $(status_field .state) == exec ]]
	(( $(status_field .blocks) >= 10000 ))
	run -0 tmbpf snapshot -p "$TARGET_PID" -o last.pb.gz
	(( $(statistic_count last.pb.gz replaced.py) >= 10000 ))
	run -0 tmbpf stop -p "$TARGET_PID"
	tell_target still-here
	wait_target still-here
}

@test "a target that exec()s another Python: its blocks are not mixed up with the old ones" {
	start_target "$TARGETS/replaced.py" /usr/bin/python3 "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tell_target
	wait_target HELD
	tell_target
	wait_target READY
	wait_until session_ended
	tmbpf stop -p "$TARGET_PID"
	run -0 tmbpf start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	field_at_least .blocks 10000
	tmbpf snapshot -p "$TARGET_PID" -o new.pb.gz
	(( $(statistic_count new.pb.gz replaced.py) == 0 ))
}

@test "a target that exits while tmbpf attaches: a clear error, or a session that ended" {
	for delay in 0 0.002 0.005 0.01 0.02 0.03 0.05 0.08 0.12 0.2; do
		start_target "$TARGETS/busy.py"
		(sleep "$delay" && kill -KILL "$TARGET_PID") 3>&- &
		killer=$!
		run --separate-stderr timeout "$PATIENCE" "$TMBPF" start -p "$TARGET_PID" \
			--exact 3>&-
		case $status in
		0)
			wait_until session_ended
			tmbpf stop -p "$TARGET_PID"
			;;
		1 | 3)
			[[ $stderr == *"$TARGET_PID"* || -n $stderr ]]
			[[ $stderr != *[Aa]ssert* ]]
			run -3 tmbpf status -p "$TARGET_PID"
			;;
		*)
			echo "killed after $delay s, tmbpf start ended with $status: $stderr"
			return 1
			;;
		esac
		wait "$killer"
		stop_targets
	done
}

@test "a tracer killed by SIGKILL: the probes go, the target never notices" {
	start_target "$TARGETS/steady.py" 1500
	tell_target
	cat <&"$TARGET_OUT" >expected
	stop_targets

	start_target "$TARGETS/steady.py" 1500
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	bpf_objects "$tracer" >objects
	grep -q link objects
	grep -q prog objects
	tell_target
	(cat <&"$TARGET_OUT" >seen) 3>&- &
	reader=$!
	wait_until field_at_least .allocations 10000
	kill -KILL "$tracer"
	# The links are the probes. The kernel lets go of the programs when nothing runs them.
	grep link objects >links
	wait_until none_left links
	wait_until none_left objects
	wait "$reader"
	cmp expected seen
	grep -q ENDED seen
	wait "$TARGET_PID"
	run -3 tmbpf status -p "$TARGET_PID"
}

@test "a killed tracer leaves the target free for the next" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	kill -KILL "$tracer"
	wait_until tracer_gone "$tracer"
	run -0 tmbpf start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	field_at_least .blocks 10000
	tell_target end
	wait_target ended
}

@test "a full disk while a snapshot is written: the old file survives" {
	mount_small size=256k
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	run -0 tmbpf snapshot -p "$TARGET_PID" -o small/out.pb.gz
	cp small/out.pb.gz before.pb.gz
	dd if=/dev/zero of=small/filler bs=4k 2>/dev/null || true
	tell_target keep
	wait_target kept
	run -1 --separate-stderr tmbpf snapshot -p "$TARGET_PID" -o small/out.pb.gz
	[[ $stderr == *small/out.pb.gz* ]]
	[[ $stderr == *"No space left"* ]]
	cmp small/out.pb.gz before.pb.gz
	[[ $(find small -type f | sort | tr '\n' ' ') == 'small/filler small/out.pb.gz ' ]]
	rm small/filler
	run -0 tmbpf snapshot -p "$TARGET_PID" -o small/out.pb.gz
	run ! cmp -s small/out.pb.gz before.pb.gz
}

@test "a snapshot into a folder that is missing, or over a folder, is refused" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	run -1 --separate-stderr tmbpf snapshot -p "$TARGET_PID" -o missing/out.pb.gz
	[[ $stderr == *missing* ]]
	mkdir folder
	run -1 --separate-stderr tmbpf snapshot -p "$TARGET_PID" -o folder
	[[ $stderr == *folder* ]]
}

@test "a truncated snapshot is refused, at any length" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	wait_until field_at_least .allocations 1000
	tmbpf snapshot -p "$TARGET_PID" -o out.pb.gz
	size=$(stat -c %s out.pb.gz)
	for length in 0 1 10 $((size / 2)) $((size - 5)) $((size - 1)); do
		head -c "$length" out.pb.gz >cut.pb.gz
		run -1 --separate-stderr tmbpf stats cut.pb.gz
		[[ -z $output ]]
		[[ $stderr == *cut.pb.gz* ]]
		run -1 --separate-stderr tmbpf export cut.pb.gz --format tracemalloc -o cut.pickle
		[[ ! -e cut.pickle ]]
	done
}

@test "without privileges: a clear error" {
	start_target "$TARGETS/busy.py"
	cp "$TMBPF" tmbpf
	chmod 755 . tmbpf
	for command in start clear stop "snapshot -o /tmp/never.pb.gz"; do
		# shellcheck disable=SC2086 # a command and its options
		run -1 --separate-stderr setpriv --reuid=65534 --regid=65534 --clear-groups \
			"$BATS_TEST_TMPDIR/tmbpf" $command -p "$TARGET_PID" 3>&-
		[[ $stderr == *root* || $stderr == *CAP_* || $stderr == *rivilege* ||
			$stderr == *ermission* ]]
	done
	target_alive
}

@test "what is not a Python is refused" {
	sleep 60 3>&- &
	TARGET_PIDS+=($!)
	run -1 --separate-stderr tmbpf start -p $! --exact
	[[ $stderr == *ython* ]]
}

# cpu_ticks PID: CPU time of the process PID
cpu_ticks()
{
	awk '{ print $14 + $15 }' "/proc/$1/stat"
}

@test "a target whose first thread ends and whose others run on: it is said, and costs nothing" {
	local tracer before
	cat >headless.py <<-'CODE'
		import ctypes, os, threading, time
		threading.Thread(target=time.sleep, args=(60,)).start()
		os.write(1, b"READY\n")
		os.read(0, 1)
		ctypes.CDLL(None).syscall(60, 0)
	CODE
	start_target headless.py
	tmbpf start -p "$TARGET_PID"
	tracer=$(tracer_pid)
	tell_target
	wait_until status_field '.warning | test("first thread")'
	# By now the next window would have been due.
	sleep 3
	before=$(cpu_ticks "$tracer")
	sleep 2
	(( $(cpu_ticks "$tracer") - before < $(getconf CLK_TCK) / 2 ))
	tmbpf stop -p "$TARGET_PID"
}

@test "a forked child keeps none of its parent's probes" {
	local mode child
	for mode in --exact --lazy-free --overhead=50; do
		start_target "$TARGETS/forking.py"
		tmbpf start -p "$TARGET_PID" "$mode"
		(($(breakpoints "$TARGET_PID") > 0))
		tell_target
		read -r -t "$PATIENCE" -u "$TARGET_OUT" child
		wait_until no_breakpoints "$child"
		(($(breakpoints "$TARGET_PID") > 0))
		# Also of one that comes later.
		tell_target
		read -r -t "$PATIENCE" -u "$TARGET_OUT" child
		wait_until no_breakpoints "$child"
		tmbpf stop -p "$TARGET_PID"
		no_breakpoints "$TARGET_PID"
	done
}
