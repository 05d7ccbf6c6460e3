# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# --lazy-free: frees of small blocks are not probed, and the pools say what is held.

load ../helpers
load session

# few_blocks NUMBER: whether the session on TARGET_PID has less
few_blocks()
{
	! field_at_least .blocks "$1"
}

@test "what is held comes and goes, and the peak is not measured" {
	start_target "$TARGETS/busy.py"
	run -0 tmbpf start -p "$TARGET_PID" --exact --lazy-free
	[[ $output != *PYTHONMALLOC* ]]
	tell_target keep
	wait_target kept
	wait_until field_at_least .blocks 10000
	tmbpf snapshot -p "$TARGET_PID" -o kept.snap
	(($(statistic_count kept.snap busy.py) >= 10000)) || return
	tell_target drop
	wait_target dropped
	wait_until few_blocks 10000
	tmbpf status -p "$TARGET_PID" --json >status.json
	jq -e '.mode == "exact, lazy frees" and .peak == null and
		.unknown_frees == null' status.json
	jq -e '.blocks < 10000 and .current > 0 and .frees > 0 and
		.frees < .allocations' status.json
	jq -e '.walk.age >= 0 and .walk.seconds > 0 and .walk.unstable_pools >= 0' status.json
	jq -e '.events.obj_free == 0 and .events.obj_malloc > 0' status.json
	jq -e '([.losses[]] | add // 0) == 0' status.json
	run -0 tmbpf status -p "$TARGET_PID"
	[[ $output == *"peak      not measured"* ]]
	run -0 tmbpf -p "$TARGET_PID" --count 1
	[[ $output == *"peak not measured"* ]]
	run -0 tmbpf stats kept.snap
	[[ $output == *"peak not measured"* ]]
	tmbpf export kept.snap --format json -o kept.json
	jq -e '[.. | objects | select(has("peak")) | .peak] == [null]' kept.json
	run -1 --separate-stderr tmbpf clear --peak -p "$TARGET_PID"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"no peak"* ]]
	tmbpf clear -p "$TARGET_PID"
}

@test "where tells a block that is held from one that is free" {
	local address
	start_target "$TARGETS/address.py"
	tmbpf start -p "$TARGET_PID" --exact --lazy-free
	tell_target
	read -r -t "$PATIENCE" -u "$TARGET_OUT" address
	run -0 tmbpf where -p "$TARGET_PID" "$address"
	[[ $output == *inner* ]]
	tell_target
	wait_until session_ended
}

@test "a process that ends leaves what its pools said last, and when that was" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact --lazy-free
	tell_target keep
	wait_target kept
	wait_until field_at_least .blocks 10000
	# By itself it would give up what it holds first.
	kill -KILL "$TARGET_PID"
	wait_until session_ended
	field_at_least .blocks 10000
	tmbpf status -p "$TARGET_PID" --json | jq -e '.walk.age > 0 and .state == "exited"'
	run -0 tmbpf status -p "$TARGET_PID"
	[[ $output == *"before the end"* ]]
	tmbpf snapshot -p "$TARGET_PID" -o last.snap
	(($(statistic_count last.snap busy.py) >= 10000)) || return
}

@test "without pools every free is probed, and that is said" {
	PYTHONMALLOC=malloc start_target "$TARGETS/busy.py"
	run -0 tmbpf start -p "$TARGET_PID" --exact --lazy-free
	[[ $output == *PYTHONMALLOC* ]]
	tell_target keep
	wait_target kept
	tmbpf status -p "$TARGET_PID" --json |
		jq -e '.mode == "exact" and .peak >= .current and .blocks >= 10000'
}

# run_walked SINCE: whether the session that `run` began has looked at the pools since then
run_walked()
{
	local seconds
	TARGET_PID=$(tmbpf status --json | jq -e '.[0].pid') || return
	seconds=$(jq -n "${EPOCHREALTIME/,/.} - ${1/,/.}")
	status_field ".walk.age < $seconds"
}

@test "run --lazy-free" {
	cat >program.py <<-'CODE'
		import os, time
		held = [[i] for i in range(50000)]
		open("held", "w").close()
		while not os.path.exists("go"):
		    time.sleep(0.01)
	CODE
	tmbpf run --exact --lazy-free -o held.snap -- /usr/bin/python3 program.py 2>said &
	run=$!
	wait_until test -e held
	begin=$EPOCHREALTIME
	wait_until run_walked "$begin"
	touch go
	wait "$run"
	grep "before its end" said
	run -0 tmbpf stats held.snap --format json
	jq -e '[.statistics[].count] | add >= 50000' <<<"$output"
	# Nothing can be said of one that ends at once.
	run -0 --separate-stderr tmbpf run --exact --lazy-free -- /usr/bin/python3 -c pass
	[[ $stderr == *"end"* ]]
}

@test "code objects that come and go are told apart" {
	code_churn_told_apart code_churn.py "$(in_short 60000 300000)" --lazy-free
}

@test "code objects whose memory was something else's meanwhile are told apart" {
	code_churn_told_apart code_recarve.py "$(in_short 50 200)" --lazy-free
}

@test "code objects in memory that was something else's meanwhile are told apart, with hooks too" {
	PYTHONMALLOC=debug code_churn_told_apart code_recarve.py "$(in_short 50 100)" --lazy-free
}
