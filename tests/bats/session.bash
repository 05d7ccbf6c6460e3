# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of sessions share, setup() and teardown() too; loaded after helpers.bash.

setup()
{
	requires root command:jq command:bpftool
	cd "$BATS_TEST_TMPDIR" || return
}

teardown()
{
	stop_sessions
}

# Ends the sessions on what start_target started, and then that.
stop_sessions()
{
	local pid
	for pid in "${TARGET_PIDS[@]}"; do
		tmbpf stop -p "$pid" >/dev/null 2>&1 || true
	done
	stop_targets
}

# status_field FIELD: a field of the session on TARGET_PID, as jq writes it raw
status_field()
{
	tmbpf status -p "$TARGET_PID" --json | jq -er "$1"
}

# field_at_least FIELD NUMBER
field_at_least()
{
	local value
	value=$(status_field "$1") && ((value >= $2))
}

# statistic_count FILE NAME: blocks that the snapshot FILE has at lines of files called NAME
statistic_count()
{
	tmbpf export "$1" --format tracemalloc -o "$1.pickle" &&
		/usr/bin/python3 - "$1.pickle" "$2" <<-'CODE'
			import os, sys, tracemalloc
			traces = tracemalloc.Snapshot.load(sys.argv[1]).traces
			names = [os.path.basename(t.traceback[-1].filename) for t in traces]
			print(names.count(sys.argv[2]))
		CODE
}

# tracer_pid: the process that traces TARGET_PID
tracer_pid()
{
	status_field .tracer_pid
}

# session_ended: whether the session on TARGET_PID has ended by itself
session_ended()
{
	local state
	state=$(status_field .state) && [[ $state != running ]]
}

# tracer_gone PID: the kernel has let go of all that the process PID held
tracer_gone()
{
	[[ ! -d /proc/$1 ]]
}

# bpf_objects PID: ids of the links and programs that the process PID holds, `link N` and `prog N`
bpf_objects()
{
	local descriptor
	for descriptor in /proc/"$1"/fdinfo/*; do
		awk '$1 == "link_id:" { print "link", $2 } $1 == "prog_id:" { print "prog", $2 }' \
			"$descriptor" 2>/dev/null || true
	done | sort -u
}

# none_left FILE: whether none of the links and programs that FILE lists is in the kernel any more
none_left()
{
	local kind id
	while read -r kind id; do
		if bpftool "$kind" show id "$id" >/dev/null 2>&1; then
			return 1
		fi
	done <"$1"
}

# breakpoints PID: how many bytes of its code are not its files'
breakpoints()
{
	/usr/bin/python3 "$TARGETS/breakpoints.py" "$1"
}

no_breakpoints()
{
	(($(breakpoints "$1") == 0))
}

# code_churn_told_apart PROGRAM COUNT [OPTION...]: runs PROGRAM, which makes and drops code objects,
# traced from its start; each block that it keeps has to have its own traceback, and the tracer must
# not grow
code_churn_told_apart()
{
	local program=$1 count=$2 before expected
	shift 2
	start_target "$TARGETS/$program" "$count"
	tmbpf start -p "$TARGET_PID" --exact "$@"
	before=$(status_field .memory.tracer_rss)
	tell_target
	read -r -t 240 -u "$TARGET_OUT" expected
	tmbpf status -p "$TARGET_PID" --json >status.json
	# Tracebacks that hold nothing any more may be summed up; nothing else may be lost.
	jq -c '.losses, .walk' status.json
	jq -e '([.losses | del(.dropped_tracebacks)[]] | add // 0) == 0' status.json
	(($(jq .memory.tracer_rss status.json) < before + 64 * 1024 * 1024)) || return
	tmbpf snapshot -p "$TARGET_PID" -o churn.pb.gz
	tmbpf export churn.pb.gz --format tracemalloc -o churn.pickle
	/usr/bin/python3 - churn.pickle "$expected" <<-'CODE'
		import collections, json, sys, tracemalloc
		expected = {(f, line): n for f, line, n in json.loads(sys.argv[2])["expected"]}
		found, others = collections.Counter(), collections.Counter()
		for trace in tracemalloc.Snapshot.load(sys.argv[1]).traces:
		    frames = list(trace.traceback)[::-1]
		    if len(frames) > 1 and frames[1].filename.startswith("<churned-"):
		        found[frames[1].filename, frames[1].lineno] += 1
		    else:
		        places = tuple((f.filename.rpartition("/")[2], f.lineno) for f in frames)
		        others[trace.size, places] += 1
		wrong = [(at, expected.get(at), found.get(at)) for at in set(expected) | set(found)
		         if expected.get(at) != found.get(at)]
		print(len(expected), "places,", sum(expected.values()), "blocks;",
		      len(wrong), "wrong:", wrong[:5])
		print("elsewhere:", others)
		sys.exit(1 if wrong or not expected else 0)
	CODE
}
