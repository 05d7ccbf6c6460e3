# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Go's own pprof reads snapshot files, and finds in them what `tmbpf stats` does.

load ../helpers

PROFILE=$TOP/tests/bats/profile.py

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	/usr/bin/python3 "$PROFILE" make good.snap good.pickle
	# Blocks that a program dumped itself: a library's, its own, in loops and recursion.
	/usr/bin/python3 - <<-'CODE'
		import tracemalloc
		tracemalloc.start(25)
		import json, email.message, argparse
		def recurse(n, kept):
		    kept.append(bytearray(100 * n))
		    if n:
		        recurse(n - 1, kept)
		kept = [json.loads(json.dumps([{"a": [i]} for i in range(500)]))]
		recurse(40, kept)
		tracemalloc.take_snapshot().dump("dumped.pickle")
	CODE
}

setup()
{
	requires command:go command:jq python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
	FILES=$BATS_FILE_TMPDIR
	export HOME=$BATS_TEST_TMPDIR
}

# top INDEX FILE ARGUMENT...: pprof's whole list, nothing left out
top()
{
	local index=$1 file=$2
	shift 2
	go_pprof -top "-sample_index=$index" -nodecount=1000000 -nodefraction=0 -edgefraction=0 \
		"$@" "$file" 2>/dev/null
}

# lines FILE INDEX: pprof's own sum of each line, as "VALUE FILE:LINE", sorted. Names of functions
# have no blanks here; one that is not known is its file's.
lines()
{
	top "$2" "$1" -lines -unit=B |
		sed -nE 's/ ([/<].+) (\1:[0-9]+)$/ \2/
			s/^ *([0-9]+)B? +[0-9.]+% +[0-9.]+% +[0-9]+B? +[0-9.]+% +/\1 /
			s/^([0-9]+) ([^ /<]+ )?([/<].+:[0-9]+)$/\1 \3/p' |
		grep -v '^0 ' | sort
}

# same FILE: pprof's totals and its sum of each line are those of stats
same()
{
	local file=$1 index key
	for index in inuse_space:size inuse_objects:count alloc_space:total_size \
		alloc_objects:total_count; do
		key=${index#*:}
		tmbpf stats "$file" --format json --limit 0 >stats.json
		wanted=$(jq "[.statistics[].$key] | add" stats.json)
		run -0 top "${index%:*}" "$file" -unit=B
		[[ $output =~ \
			Showing\ nodes\ accounting\ for\ ([0-9]+)B?,\ 100%\ of\ ([0-9]+)B?\ total ]]
		echo "$index: stats $wanted, pprof ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]}"
		[[ ${BASH_REMATCH[1]} == "$wanted" && ${BASH_REMATCH[2]} == "$wanted" ]]
		lines "$file" "${index%:*}" >pprof.lines
		jq -r ".statistics[] | select(.$key > 0) |
			\"\\(.$key) \\(.traceback[0] |
				.filename + \":\" + (.lineno | tostring))\"" \
			stats.json | sort >stats.lines
		diff stats.lines pprof.lines
		[[ -s stats.lines ]]
	done
}

@test "go tool pprof: totals and every line as in stats, of a snapshot file" {
	/usr/bin/python3 - "$TOP/tests/bats" named.snap <<-'CODE'
		import gzip, random, sys
		sys.path.insert(0, sys.argv[1])
		import profile
		chance, p = random.Random(1), profile.Profile()
		places = [("/srv/%d.py" % (i % 7), i + 1, "C%d.f" % (i // 3)) for i in range(40)]
		for i in range(300):
		    size = chance.randrange(1, 10**9)
		    p.sample(chance.choices(places, k=chance.randrange(1, 9)),
		             (i + 9, size + 5, i + 1, size), {})
		gzip.open(sys.argv[2], "wb").write(p.encode())
	CODE
	same named.snap
}

@test "go tool pprof: the same of what a program dumped itself" {
	tmbpf export "$FILES/dumped.pickle" --format pprof -o dumped.snap
	same dumped.snap
	# Without -lines it groups by functions, and these are not known: by files then.
	run -0 top inuse_space dumped.snap -unit=B
	[[ $output != *"<unknown>"* ]]
	tmbpf stats dumped.snap --format json --limit 0 -g filename |
		jq -r '.statistics[] | "\(.size) \(.traceback[0].filename)"' | sort >files
	sed -nE 's/^ *([0-9]+)B? +[0-9.]+% +[0-9.]+% +[0-9]+B? +[0-9.]+% +(.*)$/\1 \2/p' \
		<<<"$output" |
		grep -v '^0 ' | sort | diff files -
}

@test "go tool pprof: totals of odd names, and of domains" {
	tmbpf export "$FILES/good.snap" --format pprof -o good.snap
	wanted=$(tmbpf stats good.snap --format json | jq .size)
	run -0 top inuse_space good.snap -unit=B
	[[ $output == *"accounting for ${wanted}B, 100% of ${wanted}B total"* ]]
}

@test "go tool pprof: held bytes are what it shows unasked, the largest line first" {
	tmbpf export "$FILES/dumped.pickle" --format pprof -o dumped.snap
	run -0 go_pprof -top -lines -nodecount=1 dumped.snap
	[[ $output == *"Type: inuse_space"* ]]
	first=$(tmbpf stats dumped.snap --format json --limit 1 |
		jq -r '.statistics[0].traceback[0] | .filename + ":" + (.lineno | tostring)')
	[[ ${lines[-1]} == *" $first" ]]
}
