# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a program dumped itself, by Snapshot.dump(), where a snapshot file may stand. That it says
# the same is in tests/oracle/roundtrip and snapshots.

load ../helpers

setup()
{
	requires python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
	/usr/bin/python3 - <<-'EOF'
		import tracemalloc
		traces = [(0, 10, (("app.py", 7), ("main.py", 1)), 2)] * 3
		traces += [(1, 5, (("traces", 9),), 4)]
		tracemalloc.Snapshot(traces, 25).dump("app.dump")
	EOF
	tmbpf export app.dump --format pprof -o app.snap
}

# lines FILE: what is held, as Python writes it
lines()
{
	tmbpf stats "$1" --format python
}

@test "dumps: read by their content, whatever their name" {
	diff - <(lines app.dump) <<-'EOF'
		app.py:7: size=30 B, count=3, average=10 B
		traces:9: size=5 B, count=1, average=5 B
	EOF
	mv app.dump other.snap && mv app.snap app.dump
	diff <(lines other.snap) <(lines app.dump)
}

@test "dumps: through a pipe, as snapshot files" {
	lines app.dump >expected
	diff expected <(lines <(cat app.dump))
	diff expected <(lines <(cat app.snap))
	# shellcheck disable=SC2002 # a pipe is what is tested
	cat app.dump | lines /dev/stdin | diff expected -
	# shellcheck disable=SC2002
	cat app.snap | lines - | diff expected -
	lines - <app.dump | diff expected -
	run -0 tmbpf diff - app.snap <app.dump
	[[ $output == *"no difference"* ]]
	tmbpf export app.dump --format folded -o folded
	tmbpf export - --format folded -o - <app.dump | diff folded -
	[[ ! -e - ]]
	# One that has a name can be opened once only: it is taken for a snapshot file.
	mkfifo fifo
	cat app.snap >fifo &
	diff expected <(lines fifo)
	wait $!
}

@test "dumps: exported for a Python that is named" {
	run --separate-stderr -1 tmbpf export app.dump --format tracemalloc -o out
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"does not say which Python"*"--python 3."* ]]
	[[ ! -e out ]]
	tmbpf export app.dump --format tracemalloc --python 3.8 -o out
	tmbpf export app.dump --format tracemalloc --python 3.11 -o out2
	/usr/bin/python3 - <<-'EOF'
		import tracemalloc
		names = "app.dump", "out", "out2"
		was, old, new = (tracemalloc.Snapshot.load(name) for name in names)
		assert new.traces._traces == was.traces._traces
		assert old.traces._traces == [trace[:3] for trace in was.traces._traces]
		assert {old.traceback_limit, new.traceback_limit} == {25}
	EOF
}

@test "dumps: what is neither a dump nor a profile is refused, and so is one that goes on" {
	local text
	for text in '\x80\x03.' '\x80\x04cos\nsystem\n.' '\x80' 'PK\x03\x04' ' ' '{}'; do
		# shellcheck disable=SC2059 # the text is a format
		printf "$text" >bad
		run --separate-stderr -1 tmbpf stats bad
		[[ $stderr == "tmbpf: bad "* && -z $output ]]
	done
	run --separate-stderr -1 tmbpf stats <(cat app.dump; echo)
	[[ $stderr == *"something follows its end"* ]]
	gzip -k app.dump
	run --separate-stderr -1 tmbpf stats app.dump.gz
	[[ $stderr == \
		*"app.dump.gz is not a snapshot or is damaged"*"a gzipped pickle: unpack it"* ]]
	gunzip <app.dump.gz | lines - | diff <(lines app.dump) -
}
