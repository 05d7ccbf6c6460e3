#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What tracers may do, users who are not root, and what is left when a tracer is killed.
# shellcheck disable=SC2030,SC2031,SC2154

load ../helpers
load session

USER_ID=54321
OTHER_ID=54322
ALL=cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search

setup()
{
	requires root command:jq command:setpriv command:setcap
	# Where others come in: bats' own folder is root's alone.
	FOLDER=$(mktemp -d)
	chmod 711 "$FOLDER"
	[[ $(findmnt -no OPTIONS -T "$FOLDER") != *nosuid* ]] || skip "$FOLDER is mounted nosuid"
	cp "$TMBPF" "$FOLDER/tmbpf"
	mkdir -m 700 "$FOLDER/home"
	chown "$USER_ID:$USER_ID" "$FOLDER/home"
	cd "$BATS_TEST_TMPDIR" || return
	export TMBPF_RUN=$FOLDER/root
}

teardown()
{
	local pid
	for pid in "${TARGET_PIDS[@]}"; do
		as_user "$FOLDER/tmbpf" stop -p "$pid" >/dev/null 2>&1 || true
	done
	stop_sessions
	[[ ! $FOLDER ]] || rm -rf "$FOLDER"
}

# as_user COMMAND...: without any privilege of root's; sessions are in a folder of the user's own
as_user()
{
	setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups --inh-caps=-all \
		env TMBPF_RUN="$FOLDER/home/run" HOME="$FOLDER/home" "$@" 3>&-
}

# start_target_of USER ARGUMENT...
start_target_of()
{
	local PYTHON=(setpriv "--reuid=$1" "--regid=$1" --clear-groups /usr/bin/python3)
	shift
	mkdir -p "$FOLDER/targets"
	cp "$TARGETS"/*.py "$FOLDER/targets"
	chmod -R a+rX "$FOLDER/targets"
	start_target "$FOLDER/targets/$1" "${@:2}"
}

# capabilities PID KIND: of CapEff, CapBnd, ... as a number
capabilities()
{
	echo $((16#$(awk -v kind="$2:" '$1 == kind { print $2 }' "/proc/$1/status")))
}

# confined PID: what a tracer may do with the probes on
confined()
{
	local effective read_search=2 ptrace=19 nice=23 perfmon=38 bpf=39 restore=40
	effective=$(capabilities "$1" CapEff)
	# No more than this; of these all that are needed.
	((effective & ~(1 << read_search | 1 << ptrace | 1 << nice | 1 << perfmon | 1 << bpf |
		1 << restore))) && return 1
	((effective >> read_search & effective >> ptrace & effective >> perfmon &
		effective >> bpf & 1)) || return
	(($(capabilities "$1" CapPrm) == effective && $(capabilities "$1" CapInh) == 0)) || return
	(($(capabilities "$1" CapAmb) == 0)) || return
	grep -q '^Seccomp:.*2$' "/proc/$1/status" && grep -q '^NoNewPrivs:.*1$' "/proc/$1/status"
}

# nothing_refused: the filter let through all that the session on TARGET_PID did
nothing_refused()
{
	[[ $(status_field '.losses.refused_system_calls // 0') == 0 ]]
}

# traces_as_user OPTION...: a session of the user's on TARGET_PID that has a snapshot
traces_as_user()
{
	local run=$FOLDER/home/run status=$BATS_TEST_TMPDIR/status.json
	as_user "$FOLDER/tmbpf" start -p "$TARGET_PID" "$@"
	confined "$(as_user "$FOLDER/tmbpf" status -p "$TARGET_PID" --json | jq -e .tracer_pid)"
	[[ $(stat -c %u:%a "$run") == "$USER_ID:700" ]] || return
	[[ $(stat -c %u:%a "$run/$TARGET_PID.sock") == "$USER_ID:600" ]] || return
	as_user "$FOLDER/tmbpf" snapshot -p "$TARGET_PID" -o "$FOLDER/home/one.snap"
	[[ $(stat -c %u "$FOLDER/home/one.snap") == "$USER_ID" ]] || return
	as_user "$FOLDER/tmbpf" status -p "$TARGET_PID" --json >"$status"
	jq -c '.losses, .privileges, .samples, .warning' "$status"
	jq -e '.losses.refused_system_calls == null and .samples.failed == null' "$status"
	as_user "$FOLDER/tmbpf" stop -p "$TARGET_PID"
	[[ ! -e $run/$TARGET_PID.sock ]] || return
	rm "$FOLDER/home/one.snap"
}

@test "a tracer keeps what it needs, and can be made to do nothing else" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tracer=$(tracer_pid)
	confined "$tracer"
	(($(capabilities "$tracer" CapBnd) == 0))
	(($(capabilities "$tracer" CapEff) >> 23 & 1)) && return 1
	tmbpf snapshot -p "$TARGET_PID" -o one.snap
	tmbpf clear -p "$TARGET_PID"
	nothing_refused
	tmbpf stop -p "$TARGET_PID"
	tmbpf start -p "$TARGET_PID"
	confined "$(tracer_pid)"
	wait_until field_at_least .windows 1
	tmbpf snapshot -p "$TARGET_PID" -o two.snap
	nothing_refused
	tmbpf stop -p "$TARGET_PID"
	tmbpf start -p "$TARGET_PID" --follow --exact
	watcher=$(tmbpf status -p "$TARGET_PID" --follow --json | jq -e .watcher_pid)
	grep -q '^Seccomp:.*2$' "/proc/$watcher/status"
	(($(capabilities "$watcher" CapEff) >> 21 & 1)) && return 1
	confined "$(tracer_pid)"
	nothing_refused
	tmbpf status -p "$TARGET_PID" --follow --json | jq -e '.losses == {}'
	tmbpf stop -p "$TARGET_PID" --follow
	target_alive
}

@test "run leaves its command as it was started, and confines itself" {
	cat >command.py <<-'CODE'
		import json, os, sys, time
		lines = open("/proc/self/status").read().split("\n")
		status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
		keys = "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"
		json.dump({key: status[key] for key in keys}, open(sys.argv[1], "w"))
		while not os.path.exists("go"):
		    time.sleep(0.01)
	CODE
	touch go
	/usr/bin/python3 command.py plain.json
	rm go
	tmbpf run --exact -o command.snap -- /usr/bin/python3 command.py traced.json &
	wait_until test -s traced.json
	TARGET_PID=$(tmbpf status --json | jq -e '.[0].pid')
	wait_until tracer_confined
	touch go
	wait "$!"
	cmp plain.json traced.json
	[[ -s command.snap ]]
}

# tracer_confined: whether TARGET_PID's tracer is, but that it may write where root can
tracer_confined()
{
	local tracer
	tracer=$(tracer_pid) && grep -q '^Seccomp:.*2$' "/proc/$tracer/status" &&
		(((1 << 21 & $(capabilities "$tracer" CapEff)) == 0))
}

@test "four capabilities trace everybody's processes, and open no files that the user names" {
	setcap "$ALL+ep" "$FOLDER/tmbpf"
	start_target_of "$OTHER_ID" busy.py
	traces_as_user --exact
	traces_as_user
	as_user "$FOLDER/tmbpf" heap -p "$TARGET_PID" >/dev/null
	# The user's sessions are the user's; root has others.
	as_user "$FOLDER/tmbpf" start -p "$TARGET_PID" --exact
	run -3 --separate-stderr tmbpf status -p "$TARGET_PID"
	run -1 setpriv --reuid="$OTHER_ID" --clear-groups --inh-caps=-all env \
		TMBPF_RUN="$FOLDER/home/run" \
		"$FOLDER/tmbpf" status -p "$TARGET_PID" 3>&-
	# Nobody but root looks into the tracer.
	tracer=$(as_user "$FOLDER/tmbpf" status -p "$TARGET_PID" --json | jq -e .tracer_pid)
	[[ $(stat -c %u "/proc/$tracer/status") == 0 ]]
	fails=$(as_user cat "/proc/$tracer/maps" 2>&1 >/dev/null || true)
	[[ $fails == *denied* ]]
	as_user "$FOLDER/tmbpf" snapshot -p "$TARGET_PID" -o "$FOLDER/home/one.snap"
	as_user "$FOLDER/tmbpf" stop -p "$TARGET_PID"
	# What the program can read, it must not read or write for whom it traces.
	mkdir -m 700 "$FOLDER/secret"
	mkdir -m 777 "$FOLDER/secret/open"
	cp "$FOLDER/home/one.snap" "$FOLDER/secret/one.snap"
	run -1 --separate-stderr as_user "$FOLDER/tmbpf" stats "$FOLDER/secret/one.snap"
	[[ $stderr == *"ermission denied"* ]]
	run -1 --separate-stderr as_user "$FOLDER/tmbpf" snapshot -p "$TARGET_PID" --for 1s \
		--exact -o "$FOLDER/secret/open/two.snap"
	[[ $stderr == *"ermission denied"* && ! -e $FOLDER/secret/open/two.snap ]]
	run -1 --separate-stderr as_user "$FOLDER/tmbpf" heap -p "$TARGET_PID" --format json \
		-o "$FOLDER/secret/open/census.json"
	[[ $stderr == *"ermission denied"* && ! -e $FOLDER/secret/open/census.json ]]
	as_user "$FOLDER/tmbpf" run --exact -o "$FOLDER/home/run.snap" -- /usr/bin/python3 \
		-c 'print(len([[] for i in range(9)]))'
	[[ -s $FOLDER/home/run.snap ]]
	target_alive
}

# held_count FILE: how many of busy.py's 10000 Held the snapshot FILE has
held_count()
{
	local line
	line=$(grep -n 'Held() for _' "$FOLDER/targets/busy.py" | cut -d : -f 1)
	tmbpf export "$1" --format tracemalloc -o "$BATS_TEST_TMPDIR/held.pickle"
	/usr/bin/python3 - "$BATS_TEST_TMPDIR/held.pickle" "$line" <<-'CODE'
		import os, sys, tracemalloc
		traces = tracemalloc.Snapshot.load(sys.argv[1]).traces
		frames = [trace.traceback[-1] for trace in traces]
		lines = [(os.path.basename(frame.filename), frame.lineno) for frame in frames]
		print(lines.count(("busy.py", int(sys.argv[2]))))
	CODE
}

# traced_right COMMAND...: COMMAND, tmbpf and who runs it, traces TARGET_PID, and what it sees is
# what there is; the target goes on
traced_right()
{
	"$@" start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	"$@" snapshot -p "$TARGET_PID" -o "$FOLDER/home/kept.snap"
	"$@" stop -p "$TARGET_PID"
	# A list holds them, made by the same line.
	held=$(held_count "$FOLDER/home/kept.snap")
	echo "held: $held"
	((held >= 10000 && held < 10020))
	rm "$FOLDER/home/kept.snap"
	tell_target drop
	wait_target dropped
	target_alive
}

@test "a plan that somebody forged puts no probe into anybody's process" {
	start_target_of "$OTHER_ID" busy.py
	TMBPF_CACHE=$FOLDER/kept "$FOLDER/tmbpf" doctor -p "$TARGET_PID" >/dev/null
	mapfile -t plans < <(find "$FOLDER/kept/plans" -name '*-*')
	((${#plans[@]} == 1))
	run -0 /usr/bin/python3 "$TOP/tests/bats/forged_plan.py" \
		"$(readlink "/proc/$TARGET_PID/exe")" "${plans[0]}"
	echo "# $output sites moved" >&3
	cp -a "$FOLDER/kept" "$FOLDER/home/cache"
	chown -R "$USER_ID:$USER_ID" "$FOLDER/home/cache"
	chmod 755 "$FOLDER/kept"
	chmod -R go-w "$FOLDER/kept" "$FOLDER/home/cache"
	user_plan=$(cksum <"$FOLDER/home/cache/plans/${plans[0]##*/}")
	roots_plan=$(cksum <"${plans[0]}")
	# Without capabilities he traces nobody.
	run -1 --separate-stderr as_user env TMBPF_CACHE="$FOLDER/home/cache" "$FOLDER/tmbpf" \
		start -p "$TARGET_PID" --exact
	[[ $stderr == *"sudo setcap"* ]]
	target_alive
	# With them neither his own plan is used, nor root's where he may not look.
	setcap "$ALL+ep" "$FOLDER/tmbpf"
	traced_right as_user env TMBPF_CACHE="$FOLDER/home/cache" "$FOLDER/tmbpf"
	traced_right as_user env TMBPF_CACHE="$FOLDER/kept" "$FOLDER/tmbpf"
	mkdir -m 700 "$FOLDER/home/new"
	chown "$USER_ID:$USER_ID" "$FOLDER/home/new"
	traced_right as_user env TMBPF_CACHE="$FOLDER/home/new" "$FOLDER/tmbpf"
	[[ ! $(ls -A "$FOLDER/home/new") ]]
	# Root uses no plan of a user's; and one of root's that does not fit the file is made anew.
	traced_right env TMBPF_CACHE="$FOLDER/home/cache" "$FOLDER/tmbpf"
	[[ $(cksum <"$FOLDER/home/cache/plans/${plans[0]##*/}") == "$user_plan" ]]
	[[ $(cksum <"${plans[0]}") == "$roots_plan" ]]
	traced_right env TMBPF_CACHE="$FOLDER/kept" "$FOLDER/tmbpf"
	[[ $(cksum <"${plans[0]}") != "$roots_plan" ]]
	tell_target end
	wait_target ended
}

@test "two capabilities trace one's own processes, and nobody else's" {
	setcap cap_bpf,cap_perfmon+ep "$FOLDER/tmbpf"
	(($(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0) == 0)) ||
		skip "kernel.yama.ptrace_scope allows reading one's own children alone"
	start_target_of "$USER_ID" busy.py
	as_user "$FOLDER/tmbpf" start -p "$TARGET_PID" --exact
	as_user "$FOLDER/tmbpf" status -p "$TARGET_PID" --json |
		jq -e '.losses == {} and .blocks >= 0'
	as_user "$FOLDER/tmbpf" stop -p "$TARGET_PID"
	as_user "$FOLDER/tmbpf" start -p "$TARGET_PID"
	as_user "$FOLDER/tmbpf" stop -p "$TARGET_PID"
	start_target_of "$OTHER_ID" busy.py
	run -1 --separate-stderr as_user "$FOLDER/tmbpf" start -p "$TARGET_PID" --exact
	[[ ${stderr_lines[1]} == \
		*"sudo $FOLDER/tmbpf start -p $TARGET_PID --exact"*"$ALL+ep $FOLDER/tmbpf" ]]
	target_alive
}

@test "without privileges one line says what to run" {
	start_target "$TARGETS/wait.py"
	for command in start stop clear status where "snapshot -o x" ""; do
		# shellcheck disable=SC2086 # a command and its options
		run -1 --separate-stderr as_user "$FOLDER/tmbpf" $command -p "$TARGET_PID"
		((${#stderr_lines[@]} == 1)) && [[ ! $output ]] || return
		[[ $stderr == *"sudo $FOLDER/tmbpf ${command:+$command }-p $TARGET_PID; or "* &&
			$stderr == *"sudo setcap cap_bpf,cap_perfmon+ep $FOLDER/tmbpf" ]] || return
	done
	run -1 --separate-stderr as_user "$FOLDER/tmbpf" run -- python3 -c 'print("it'\''s")'
	[[ $stderr == *"sudo $FOLDER/tmbpf run -- python3 -c 'print(\"it'\\''s\")'; or "* ]]
	run -1 --separate-stderr as_user "$FOLDER/tmbpf" heap -p "$TARGET_PID"
	[[ $stderr == *"sudo $FOLDER/tmbpf heap -p $TARGET_PID"* ]]
	run -0 as_user "$FOLDER/tmbpf" start --help
}

@test "a folder for sockets that is somebody else's is not used" {
	setcap "$ALL+ep" "$FOLDER/tmbpf"
	start_target "$TARGETS/wait.py"
	run=$FOLDER/home/run
	for trap in "mkdir -m 777 $run" "ln -s $FOLDER/targets $run" \
		"install -d -m 700 -o $OTHER_ID $run"; do
		rm -rf "$run"
		$trap
		run -1 --separate-stderr as_user "$FOLDER/tmbpf" start -p "$TARGET_PID" --exact
		[[ $stderr == *"only this user can write to"* ]] || return
		run -1 --separate-stderr as_user "$FOLDER/tmbpf" status -p "$TARGET_PID"
		[[ $stderr == *"only this user can write to"* ]] || return
	done
}

# left_behind: what is in the folder of sockets, and events of processes that are no more
left_behind()
{
	local events=/sys/kernel/tracing/uprobe_events owner
	ls -A "$TMBPF_RUN"
	[[ -e $events ]] || return 0
	grep -o '^p:tmbpf_[0-9]*' "$events" | sort -u | while read -r owner; do
		[[ -d /proc/${owner#p:tmbpf_} ]] || echo "$owner"
	done
}

# own_killed: nothing that runs FOLDER's program, commands, tracers and guards, is there any more;
# who was just forking had a child
own_killed()
{
	! pkill -KILL -f "^$FOLDER/tmbpf "
}

# swept: a command leaves nothing of the killed; they hold their locks until the kernel has let go
# of their probes
swept()
{
	tmbpf status >/dev/null 2>&1 || true
	[[ ! $(left_behind) ]]
}

# killed_at SECONDS [OPTION...]: starts a session, and kills all of it, tracer and guard, so much
# later; the next command leaves nothing of them
killed_at()
{
	local seconds=$1
	shift
	"$FOLDER/tmbpf" start -p "$TARGET_PID" "$@" >/dev/null 2>&1 3>&- &
	sleep "$seconds"
	wait_until own_killed
	wait "$!" || true
	wait_until swept || { echo "after $seconds s $*:" && left_behind; return 1; }
}

@test "a tracer that is killed at any moment leaves nothing that stays" {
	start_target "$TARGETS/busy.py"
	for moment in 0.02 0.15 0.4 1; do
		killed_at "$moment" --exact
		killed_at "$moment"
		TMBPF_ATTACH=events killed_at "$moment" --exact
	done
	target_alive
	# The next one begins as if nothing had been.
	tmbpf start -p "$TARGET_PID" --exact
	nothing_refused
	tmbpf stop -p "$TARGET_PID"
	tell_target end
	wait_target ended
}

@test "a tracer that is killed while it writes what an ended process held" {
	for moment in 0.005 0.03; do
		start_target "$TARGETS/busy.py"
		tmbpf start -p "$TARGET_PID" --exact
		tracer=$(tracer_pid)
		kill -KILL "$TARGET_PID"
		sleep "$moment"
		kill -KILL "$tracer" 2>/dev/null || true
		wait_until tracer_gone "$tracer"
		run tmbpf status -p "$TARGET_PID"
		((status == 0 || status == 3))
		# All of it is there, or nothing is.
		[[ -e $TMBPF_RUN/$TARGET_PID.status ]] || ! compgen -G "$TMBPF_RUN/*.sock"
		tmbpf stop -p "$TARGET_PID" || true
		[[ ! -e $TMBPF_RUN/$TARGET_PID.sock && ! -e $TMBPF_RUN/$TARGET_PID.lock ]]
	done
}

@test "the systemd unit, and a session with what it allows" {
	unit=$FOLDER/tmbpf@web.service
	sed "s|@BINDIR@|$FOLDER|" "$TOP/systemd/tmbpf@.service.in" >"$unit"
	if command -v systemd-analyze >/dev/null; then
		run systemd-analyze verify "$unit"
		# It reads this system's other units as well, and tells of those too.
		run ! grep -F "${unit##*/}" <<<"$output"
	fi
	capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr '[:upper:]' '[:lower:]' |
		sed 's/cap_/+/g; s/ /,/g')
	[[ $capabilities == +bpf,* ]]
	start_target_of "$OTHER_ID" busy.py
	setpriv --bounding-set="-all,$capabilities" --inh-caps=-all --no-new-privs \
		"$FOLDER/tmbpf" start -p "$TARGET_PID" --follow 3>&-
	confined "$(tracer_pid)"
	wait_until field_at_least .windows 1
	nothing_refused
	tmbpf stop -p "$TARGET_PID" --follow
}
