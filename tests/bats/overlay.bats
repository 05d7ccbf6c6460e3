# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# An interpreter on an overlay mount, whose file is copied up while it runs: then the path, and all
# that /proc has, lead to another file than the one that is mapped.

load ../helpers
load session

setup()
{
	requires root command:jq python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p lower/bin upper work merged
	cp "$(readlink -f /usr/bin/python3)" lower/bin/python3
	mount -t overlay overlay -o "lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work" \
		merged 2>/dev/null ||
		skip "requires an overlay mount"
	PYTHON=("$PWD/merged/bin/python3")
}

teardown()
{
	stop_sessions
	if mountpoint -q merged; then
		# The kernel may hold the file of a process that has just ended for a moment longer.
		wait_until umount merged
	fi
}

# growth_covered: whether the heap's growth is what was traced, by a look at the heap that came
# since the target worked: status uses one again for as long as it cost, and one from before knows
# no growth
growth_covered()
{
	status_field '(.growth_coverage // 0) >= 0.99 and .warning == null'
}

# sees_allocations: whether a session sees what the target does
sees_allocations()
{
	tmbpf start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	field_at_least .blocks 10000
	wait_until growth_covered
}

@test "not copied up" {
	start_target "$TARGETS/busy.py"
	sees_allocations
}

@test "copied up by a chmod: the lower file is probed, which is the one that is mapped" {
	start_target "$TARGETS/busy.py"
	chmod 700 merged/bin/python3
	[[ -f upper/bin/python3 ]]
	sees_allocations
	# One that is started now maps the copy.
	start_target "$TARGETS/busy.py"
	sees_allocations
}

@test "the same where only estimates are wanted" {
	start_target "$TARGETS/busy.py"
	chmod 700 merged/bin/python3
	tmbpf start -p "$TARGET_PID"
	tell_target keep
	wait_target kept
	wait_until field_at_least .cost.hits 1
}

@test "copied up, and hooks come later: what a confined tracer may not do was done before" {
	cat >hooked.py <<-'CODE'
		import sys, tracemalloc
		kept = []
		print("READY", flush=True)
		for line in sys.stdin:
		    if line == "hooks\n":
		        tracemalloc.start()
		    kept.append([bytes(100) for _ in range(10000)])
		    print("kept", flush=True)
	CODE
	start_target hooked.py
	chmod 700 merged/bin/python3
	tmbpf start -p "$TARGET_PID" --exact
	tell_target
	wait_target kept
	wait_until field_at_least .blocks 10000
	tell_target hooks
	wait_target kept
	tell_target
	wait_target kept
	wait_until field_at_least .blocks 20000
	tmbpf status -p "$TARGET_PID" --json >status.json
	jq -e '.losses.refused_system_calls == null and
		.privileges.refused_system_call == null' status.json
	jq -e '(.warning // "") | test("BPF program") | not' status.json
}

@test "a copy with other contents is refused" {
	start_target "$TARGETS/busy.py"
	chmod 700 merged/bin/python3
	printf 'more' >>upper/bin/python3
	run -1 --separate-stderr tmbpf start -p "$TARGET_PID" --exact
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"maps another file than"* ]]
	target_alive
}

@test "where the lower folder cannot be seen, it is refused, not attached in vain" {
	start_target "$TARGETS/busy.py"
	chmod 700 merged/bin/python3
	# shellcheck disable=SC2016 # for the inner shell
	run -1 --separate-stderr unshare -m sh \
		-c 'mount -t tmpfs none "$1" && exec "$2" start -p "$3" --exact' \
		sh "$PWD/lower" "$TMBPF" "$TARGET_PID" 3>&-
	[[ $stderr == *"maps another file than"*"lower folders"* ]]
	run -3 tmbpf status -p "$TARGET_PID"
	target_alive
}
