# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A session from start to stop, and what the commands say of it.

load ../helpers
load session

@test "start, status, stop" {
	start_target "$TARGETS/busy.py"
	run -0 --separate-stderr tmbpf start -p "$TARGET_PID" --exact
	[[ $output == *"$TARGET_PID"* ]]
	wait_until field_at_least .allocations 1000
	run -0 tmbpf status -p "$TARGET_PID"
	[[ $output == *"$TARGET_PID"* ]]
	[[ $output == *coverage* ]]
	run -0 tmbpf stop -p "$TARGET_PID"
	run -3 --separate-stderr tmbpf status -p "$TARGET_PID"
	[[ $stderr == *"not traced"*"begins a session"* ]]
	run -3 --separate-stderr tmbpf stop -p "$TARGET_PID"
	target_alive
	stop_targets
	# Where there is no process, no session can begin.
	run -3 --separate-stderr tmbpf status -p "$TARGET_PID"
	[[ $stderr == "tmbpf: no process $TARGET_PID" ]]
}

@test "uv's CPythons: each block is seen, at its line" {
	local found=0 name python
	while IFS=: read -r name python; do
		# shellcheck disable=SC2034 # for start_target
		PYTHON=("$python")
		start_target "$TARGETS/replaced.py" true
		run -0 --separate-stderr tmbpf start -p "$TARGET_PID" --exact
		tell_target
		wait_target HELD
		tmbpf snapshot -p "$TARGET_PID" -o one.snap
		held=$(statistic_count one.snap replaced.py)
		echo "# $name: $held blocks at lines of replaced.py" >&3
		((held >= 10000 && held < 10020))
		stop_sessions
		found=1
	done < <("$TOP/scripts/uv-pythons" --list)
	((found)) || skip "none of uv's CPythons; scripts/uv-pythons fetches them"
}

@test "status --json has what programs need" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact --nframe 7
	tell_target keep
	wait_target kept
	tmbpf status -p "$TARGET_PID" --json >status.json
	jq -e ".pid == $TARGET_PID and .nframe == 7 and .mode == \"exact\"" status.json
	jq -e '[.current, .peak, .blocks, .rss, .allocations, .frees, .tracebacks] |
		all(type == "number" and . > 0)' status.json
	jq -e '.peak >= .current and .allocations >= .blocks' status.json
	jq -e '.since and (.coverage_basis | type == "string") and
		(.coverage | type == "number")' status.json
	jq -e '.growth_coverage >= 0.99 and .growth_coverage <= 1.01 and
		.growth_census.size >= 65536' status.json
	run -0 tmbpf status -p "$TARGET_PID"
	[[ $output == *" that the heap grew by since the start (census"* ]]
	jq -e '(.losses | type == "object") and ([.losses[]] | add // 0) == 0' status.json
	jq -e '[.events[]] | add >= 10000' status.json
	jq -e '.memory.tracer_rss > 0 and .memory.maps > 0' status.json
	tmbpf status --json | jq -e "type == \"array\" and any(.pid == $TARGET_PID)"
}

@test "clear forgets what was traced, clear --peak the peak alone" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	field_at_least .blocks 10000
	field_at_least .growth_census.size 65536
	tell_target drop
	wait_target dropped
	field_at_least .peak 900000
	run -0 tmbpf clear -p "$TARGET_PID" --peak
	(( $(status_field .peak) < 900000 ))
	tell_target keep
	wait_target kept
	field_at_least .blocks 10000
	run -0 tmbpf clear -p "$TARGET_PID"
	(( $(status_field .blocks) < 10000 ))
	(( $(status_field .growth_census.count) < 10000 ))
	# What is freed now was forgotten: it must not be subtracted.
	tell_target drop
	wait_target dropped
	tmbpf status -p "$TARGET_PID" --json |
		jq -e '.current >= 0 and .blocks >= 0 and .blocks < 100000'
}

@test "-o -: a snapshot on standard output, which run leaves to its command" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	tmbpf snapshot -p "$TARGET_PID" -o - >kept.snap
	(($(statistic_count kept.snap busy.py) >= 10000)) || return
	[[ ! -e - ]]
	run -2 --separate-stderr tmbpf run --exact -o - -- /usr/bin/python3 -c 'print("it ran")'
	[[ $stderr == *"-o -"* && -z $output && ! -e - ]]
	run -1 --separate-stderr tmbpf run -- ./missing
	[[ $stderr == "tmbpf: cannot execute ./missing: No such file or directory" ]]
	run -2 script -qec "'$TMBPF' snapshot -p $TARGET_PID -o -" /dev/null 3>&-
	[[ $output == *"standard output is a terminal"* ]]
}

@test "a snapshot is a gzipped profile, and stats and export read it" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tell_target keep
	wait_target kept
	run -0 tmbpf snapshot -p "$TARGET_PID" -o out.pb.gz
	gzip -t out.pb.gz
	run -0 tmbpf stats out.pb.gz --limit 5
	[[ $output == *busy.py:* ]]
	tmbpf stats out.pb.gz --format json | jq -e .
	(( $(statistic_count out.pb.gz busy.py) >= 10103 ))
}

@test "where names the traceback of a block" {
	start_target "$TARGETS/address.py"
	tmbpf start -p "$TARGET_PID" --exact
	tell_target
	read -r -t "$PATIENCE" -u "$TARGET_OUT" address
	run -0 tmbpf where -p "$TARGET_PID" "$address"
	[[ $output == *'address.py", line 12'* ]]
	[[ $output == *'address.py", line 16'* ]]
	# Oldest first, and the source line under each frame, as traceback.format() has it.
	(( $(grep -n 'line 16' <<<"$output" | cut -d: -f1) <
		$(grep -n 'line 12' <<<"$output" | cut -d: -f1) ))
	run -3 --separate-stderr tmbpf where -p "$TARGET_PID" 0x10
	[[ -n $stderr ]]
	run -2 tmbpf where -p "$TARGET_PID" nonsense
}

@test "run traces from the first allocation on" {
	cat >program.py <<-'CODE'
		import os, sys
		kept = [bytes(2000) for _ in range(500)]
		os.write(1, b"line of the program's own\n")
		# Without the interpreter's end, which would free it all.
		os._exit(7)
	CODE
	run -7 --separate-stderr tmbpf run --exact -o run.pb.gz -- /usr/bin/python3 program.py
	[[ $output == *"line of the program's own"* ]]
	tmbpf stats run.pb.gz --limit 100 >run.txt
	grep 'program.py:2' run.txt
	# What the interpreter itself allocated before the first line of Python.
	grep '<unknown>:0' run.txt
}

@test "run waits for its reference process, however long that takes to start" {
	# The preloaded library makes the exec of the reference process late.
	cat >late.c <<-'CODE'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <unistd.h>
		int execv(const char *path, char *const argv[])
		{
			usleep(300000);
			int (*next)(const char *, char *const[]) = dlsym(RTLD_NEXT, "execv");
			return next(path, argv);
		}
	CODE
	cc -shared -fPIC -o late.so late.c
	echo 'import os; os._exit(7)' >program.py
	LD_PRELOAD=$PWD/late.so run -7 --separate-stderr tmbpf run --exact -- /usr/bin/python3 \
		program.py
	[[ $stderr == *"at its peak"* ]]
}

@test "without a command and a terminal, the live view prints lines" {
	start_target "$TARGETS/busy.py"
	tell_target keep
	wait_target kept
	"$TMBPF" -p "$TARGET_PID" --exact >live.txt 2>live.err 3>&- &
	live=$!
	wait_until grep -q 'busy.py:' live.txt
	kill -INT "$live"
	wait "$live"
	grep -qi peak live.txt
	grep -qi coverage live.txt
	run ! grep -q $'\033' live.txt
	run -3 tmbpf status -p "$TARGET_PID"
	target_alive
}

@test "the live view of a command whose interpreter has not begun yet" {
	# The preloaded library holds the program before its interpreter begins, at most a minute.
	cat >held.c <<-'CODE'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <string.h>
		#include <unistd.h>
		typedef int (*run)(int, char **, char **);
		typedef void (*hook)(void);
		int __libc_start_main(run program, int argc, char **argv, hook init, hook fini,
				      hook unload, void *stack)
		{
			int (*next)(run, int, char **, hook, hook, hook, void *) =
				dlsym(RTLD_NEXT, "__libc_start_main");
			for (int i = 0; i < 6000 && argc > 1 && !strcmp(argv[1], "held.py") &&
					access("go", F_OK);
			     i++)
				usleep(10000);
			return next(program, argc, argv, init, fini, unload, stack);
		}
	CODE
	cc -shared -fPIC -o held.so held.c
	echo 'import os; os._exit(7)' >held.py
	# shellcheck disable=SC2030 # of this test alone
	export TMBPF_RUN=$PWD/run
	LD_PRELOAD=$PWD/held.so "$TMBPF" run -- /usr/bin/python3 held.py >run.out 2>&1 3>&- &
	command=$!
	wait_until compgen -G 'run/*.sock'
	pid=$(basename run/*.sock .sock)
	run -0 tmbpf -p "$pid" --count 1
	[[ $output == *"estimate"*"in 0 blocks"* ]]
	touch go
	status=0
	wait "$command" || status=$?
	((status == 7))
}

# ask_raw PID LINE...: writes each LINE to the session's socket, and prints what it answers
ask_raw()
{
	# shellcheck disable=SC2031 # each test's own
	/usr/bin/python3 - "${TMBPF_RUN:-/run/tmbpf}/$1.sock" "${@:2}" <<-'CODE'
		import socket, sys
		for line in sys.argv[2:]:
		    with socket.socket(socket.AF_UNIX) as s:
		        s.settimeout(60)
		        s.connect(sys.argv[1])
		        s.sendall(line.encode() + b"\n")
		        print(s.makefile().readline().strip())
	CODE
}

@test "requests of any shape get an answer, and the session goes on" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	run -0 ask_raw "$TARGET_PID" '{"command": null}' '{"command": 1}' '{"command": {}}' \
		'{"command": ["status"]}' '{}' '[]' 'null' '{"command": "inherit", "child": null}' \
		'{"command": "inherit", "child": "x"}' '{"command": "where", "address": []}' \
		'{"command": "clear", "peak": null, "command": null}'
	((${#lines[@]} == 11))
	for line in "${lines[@]}"; do
		jq -e 'has("error")' <<<"$line"
	done
	run -0 ask_raw "$TARGET_PID" '{"command": "status", "growth": {}}' \
		'{"command": "top", "limit": "many"}'
	jq -e '.sites > 0' <<<"${lines[0]}"
	jq -e '.sites > 0 and .lines == []' <<<"${lines[1]}"
	status_field .state | grep -x running
	target_alive
}

@test "several sessions on different targets at once" {
	start_target "$TARGETS/busy.py"
	first=$TARGET_PID
	start_target "$TARGETS/busy.py"
	second=$TARGET_PID
	tmbpf start -p "$first" --exact
	tmbpf start -p "$second" --exact --nframe 3
	tell_target keep
	wait_target kept
	tmbpf status --json | jq -e "any(.pid == $first and .nframe == 25) and
		any(.pid == $second and .nframe == 3)"
	tmbpf status | grep "$first"
	tmbpf status | grep "$second"
	field_at_least .blocks 10000
	tmbpf stop -p "$first"
	run -3 tmbpf status -p "$first"
	run -0 tmbpf status -p "$second"
}

@test "a process that ends takes no session with it: stop, status and its last totals" {
	for _ in {1..5}; do
		start_target "$TARGETS/wait.py"
		tmbpf start -p "$TARGET_PID" --exact
		kill -KILL "$TARGET_PID"
		# While the session sees that, or before, or after.
		run -0 tmbpf stop -p "$TARGET_PID"
	done
	start_target "$TARGETS/wait.py"
	tmbpf start -p "$TARGET_PID" --exact
	ended=$TARGET_PID
	stop_targets
	wait_until eval "tmbpf status -p $ended | grep -q 'has exited'"
	tmbpf status | grep -E "^$ended +ended "
	tmbpf status --json | jq -e "any(.pid == $ended and .state == \"exited\")"
	tmbpf stop -p "$ended"
	run ! grep -E "^$ended " <(tmbpf status || true)
}

@test "a block that a realloc moves is not a free of one from before" {
	cat >moves.py <<-'CODE'
		import os, sys
		os.write(1, b"READY\n")
		os.read(0, 100)
		kept = (["x%d" % i for i in range(1000)] +
		        [bytearray(b"y" * i) + b"z" for i in range(400)])
		os.write(1, b"DONE\n")
		os.read(0, 100)
	CODE
	start_target moves.py
	tmbpf start -p "$TARGET_PID" --exact
	tell_target
	wait_target DONE
	(( $(status_field .unknown_frees) < 50 ))
}

@test "a second session on the same target is refused" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	run -1 --separate-stderr tmbpf start -p "$TARGET_PID" --exact
	[[ -z $output ]]
	[[ $stderr == *"$TARGET_PID"* ]]
	run -0 tmbpf status -p "$TARGET_PID"
}

@test "each command's help has an example and the exit statuses" {
	for command in start status clear snapshot stop where run; do
		run -0 tmbpf "$command" --help
		[[ $output == *"tmbpf $command"* ]]
		[[ $output == *"xit status"* ]]
	done
}

@test "wrong usage is status 2, no such process or session is 3" {
	for command in start clear snapshot stop where; do
		run -2 tmbpf "$command"
		run -2 tmbpf "$command" --no-such-option
		run -2 tmbpf "$command" -p abc
	done
	start_target "$TARGETS/busy.py"
	run -2 tmbpf start -p "$TARGET_PID" --exact --nframe 0
	run -2 tmbpf start -p "$TARGET_PID" --exact --nframe 65536
	for command in status clear stop "snapshot -o x.pb.gz"; do
		# shellcheck disable=SC2086 # a command and its options
		run -3 tmbpf $command -p "$TARGET_PID"
	done
	gone=$TARGET_PID
	stop_targets
	run -3 --separate-stderr tmbpf start -p "$gone" --exact
	[[ $stderr == *"$gone"* ]]
	[[ ! -e x.pb.gz ]]
}

@test "a million code objects, in short a tenth: each block by its own traceback, memory bounded" {
	code_churn_told_apart code_churn.py "$(in_short 100000 1000000)"
}

@test "a session that is there is not taken for another one" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact --nframe 1
	run -0 tmbpf status -p "$TARGET_PID"
	[[ $output == *"exact, 1 frame, since"* ]]
	for given in "--nframe 25" "--overhead 3" --lazy-free "--max-stacks 70"; do
		# shellcheck disable=SC2086
		run -2 --separate-stderr tmbpf -p "$TARGET_PID" --count 1 -i 1 $given
		[[ $stderr == *"is traced already (exact, 1 frame), and ${given%% *} "* &&
			$stderr == *" and ${given%% *} would need another session"* ]]
		[[ $stderr == *"tmbpf stop -p $TARGET_PID"* ]]
	done
	run -2 --separate-stderr tmbpf -p "$TARGET_PID" --count 1 -i 1 --exact --max-large 70
	[[ $stderr == *"and --max-large would need another session"* ]]
	run -0 tmbpf -p "$TARGET_PID" --count 1 -i 1 --exact --nframe 1 --max-stacks 262144 \
		--max-large 1048576
	[[ $output == *"exact, 1 frame, "* ]]
	# Without --for no session is begun that options could be about.
	run -2 --separate-stderr tmbpf snapshot -p "$TARGET_PID" --exact -o one.pb.gz
	[[ $stderr == *"add --for"* ]]
	[ ! -e one.pb.gz ]
}

@test "snapshot --for that is interrupted writes what was traced, and ends the session" {
	start_target "$TARGETS/busy.py"
	"$TMBPF" snapshot -p "$TARGET_PID" --exact --for 1h -o one.pb.gz 3>&- &
	local taker=$!
	wait_until grep -q '^SigBlk:.*4003$' "/proc/$taker/status" # HUP, INT, TERM: it waits
	wait_until field_at_least .allocations 1000
	kill -TERM "$taker"
	wait "$taker"
	run -0 tmbpf stats one.pb.gz --limit 1
	[[ $output == *exact* ]]
	run -3 --separate-stderr tmbpf status -p "$TARGET_PID"
	target_alive
}

@test "what has ended is said to have ended" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	stop_targets
	wait_until session_ended
	for asked in "clear -p $TARGET_PID" "where -p $TARGET_PID 0x1000"; do
		# shellcheck disable=SC2086
		run -3 --separate-stderr tmbpf $asked
		[[ $stderr == *"process $TARGET_PID has ended, and its session with it"* &&
			$stderr == *"tmbpf snapshot -p $TARGET_PID"* ]]
	done
}

@test "snapshot --for: what cannot be written is refused before anything is traced" {
	start_target "$TARGETS/busy.py"
	fails_with 1 "cannot write missing/one.snap" timeout "$PATIENCE" "$TMBPF" snapshot \
		-p "$TARGET_PID" --for 600s -o missing/one.snap
	fails_with 1 "some.txt" timeout "$PATIENCE" "$TMBPF" snapshot -p "$TARGET_PID" \
		--follow --for 600s -o some.txt/folder
	run -3 tmbpf status -p "$TARGET_PID"
	fails_with 2 'such as 30s, 5m or 1h, not "0s"' tmbpf snapshot -p "$TARGET_PID" --for 0s \
		-o one.snap
	fails_with 1 "cannot write missing/one.snap" tmbpf run -o missing/one.snap -- touch ran
	[[ ! -e ran ]]
}

@test "snapshot --for: a process that ends before has held something last" {
	start_target "$TARGETS/busy.py"
	(
		wait_until field_at_least .allocations 1
		kill -KILL "$TARGET_PID"
	) 3>&- &
	run --separate-stderr -0 timeout "$PATIENCE" "$TMBPF" snapshot -p "$TARGET_PID" \
		--exact --for 600s -o one.snap
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == "process $TARGET_PID ended after "* ]]
	tmbpf stats one.snap
}

@test "diff: two sessions on one process do not go on from each other" {
	start_target "$TARGETS/busy.py"
	tmbpf start -p "$TARGET_PID" --exact
	tmbpf snapshot -p "$TARGET_PID" -o one.snap
	sleep 2
	tmbpf snapshot -p "$TARGET_PID" -o two.snap
	run --separate-stderr -0 tmbpf diff one.snap two.snap
	[[ $stderr != *"began anew"* && $output != *"began anew"* ]]
	tmbpf clear -p "$TARGET_PID"
	tmbpf snapshot -p "$TARGET_PID" -o three.snap
	run -0 tmbpf diff one.snap two.snap three.snap
	[[ $output == *"tracing began anew, or was cleared, between two.snap and three.snap"* ]]
}
