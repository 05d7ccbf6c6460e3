# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The commands that need a snapshot file only. Files and truth come from Python's own tracemalloc,
# by profile.py.

load ../helpers

PROFILE=$TOP/tests/bats/profile.py

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	/usr/bin/python3 "$PROFILE" make good.snap good.pickle
}

setup()
{
	requires command:jq python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
	GOOD=$BATS_FILE_TMPDIR/good.snap
	TRUTH=$BATS_FILE_TMPDIR/good.pickle
}

teardown()
{
	umount_small
}

# pythons: the interpreters of this system that have tracemalloc as tmbpf knows it
pythons()
{
	local python
	echo /usr/bin/python3
	local pyenv
	pyenv=$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")
	for python in "$pyenv"/versions/3.*/bin/python3; do
		[[ ! -x $python ]] || echo "$python"
	done
}

# round FOLDER INSIDE COMMAND...: traces, exports and loads with the interpreter that COMMAND
# starts, and to which FOLDER is INSIDE
round()
{
	local folder=$1 inside=$2
	shift 2
	cp "$PROFILE" "$folder" &&
		"$@" "$inside/profile.py" make "$inside/a.snap" "$inside/truth.pickle" &&
		tmbpf export "$folder/a.snap" --format tracemalloc -o "$folder/seen.pickle" &&
		"$@" "$inside/profile.py" loads "$inside/truth.pickle" "$inside/seen.pickle"
}

@test "export: every Python here loads its own" {
	while IFS= read -r python; do
		echo "$python"
		mkdir work
		round "$PWD/work" "$PWD/work" "$python"
		rm -r work
	done < <(pythons)
}

@test "export: the Pythons in roots load their own" {
	requires root
	local root folder status any=
	while IFS= read -r root; do
		echo "$root"
		any=1
		folder=$(mktemp -d "${root%:*}/tmp/offline.XXXXXX")
		status=0
		round "$folder" "${folder#"${root%:*}"}" chroot "${root%:*}" "${root##*:}" ||
			status=$?
		rm -r "$folder"
		((status == 0))
	done < <("$TOP/scripts/roots" --list)
	[[ $any ]] || skip "requires a root; scripts/roots makes them"
}

@test "export --python: another Python loads it" {
	local python
	python=$(pythons | grep '/3\.8\.' | head -n 1)
	[[ $python ]] || skip "requires a Python 3.8 in pyenv"
	tmbpf export "$GOOD" --format tracemalloc --python 3.8 -o other.pickle
	run -0 "$python" -c '
import tracemalloc
traces = tracemalloc.Snapshot.load("other.pickle").traces
assert len(traces._traces[0]) == 3
print(len(traces), sum(t.size for t in traces))'
	expected=$(tmbpf stats "$GOOD" --format json | jq -r '"\(.count) \(.size)"')
	[[ $output == "$expected" ]]
}

@test "export: to standard output, and to a pipe" {
	tmbpf export "$GOOD" --format tracemalloc -o file.pickle
	tmbpf export "$GOOD" --format tracemalloc >stdout.pickle
	cmp file.pickle stdout.pickle
	tmbpf export "$GOOD" --format tracemalloc -o >(cat >pipe.pickle)
	wait_until cmp -s file.pickle pipe.pickle
}

@test "export --format pprof: what is written is read, and stays the same" {
	tmbpf export "$GOOD" --format pprof -o one.snap
	tmbpf export one.snap --format pprof -o two.snap
	cmp one.snap two.snap
	diff <(tmbpf stats "$GOOD" --format json -n 0 -g traceback) \
		<(tmbpf stats two.snap --format json -n 0 -g traceback)
}

@test "export: not to a terminal" {
	run /usr/bin/python3 -c '
import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))' "$TMBPF" export "$GOOD" --format pprof
	((status == 2))
	[[ $output == *"standard output is a terminal"* ]]
}

@test "stats: says what tracemalloc's statistics() and filter_traces() say" {
	run -0 /usr/bin/python3 "$PROFILE" statistics "$TRUTH" "$TMBPF" "$GOOD"
	[[ $output =~ ^[1-9][0-9]+\ groups\ in\ 125\ queries$ ]]
}

@test "stats: shows totals, coverage and losses unasked" {
	run --separate-stderr -0 tmbpf stats "$GOOD" --limit 3
	[[ -z $stderr ]]
	[[ $output == *"held: 1024 GiB in "*" blocks"* ]]
	[[ $output == *"coverage: 100.0 % of allocations, nothing lost"* ]]
	[[ $output == *" more not shown: "* ]]
	[[ $output == *"profile.py:"* ]]
}

@test "stats --limit: shows as many, and says how many are left" {
	for limit in 1 2 5; do
		run -0 tmbpf stats "$GOOD" --limit "$limit" --format json
		jq -e ".statistics | length == $limit" <<<"$output"
		jq -e ".groups_left_out == .groups - $limit" <<<"$output"
	done
	run -0 tmbpf stats "$GOOD" --limit 0
	[[ $output != *"not shown"* ]]
}

@test "stats: names from the target cannot steer the terminal" {
	/usr/bin/python3 - "$TOP/tests/bats" odd.snap <<-'CODE'
		import gzip, sys
		sys.path.insert(0, sys.argv[1])
		import profile
		p = profile.Profile()
		p.sample([("/srv/\x1b[2J\u202e\r\n\udcff.py", 1)], (1, 1, 1, 1), {})
		p.comment("tmbpf.command_line=\x1b]0;owned\x07")
		gzip.open(sys.argv[2], "wb").write(p.encode())
	CODE
	run -0 tmbpf stats odd.snap
	[[ $output == *'/srv/\x1b[2J\u202e\x0d\x0a\udcff.py:1'* ]]
	[[ $output == *'\x1b]0;owned\x07'* ]]
	run -0 tmbpf stats odd.snap --format json
	jq -e '.statistics[0].traceback[0].filename | length > 10' <<<"$output"
}

@test "stats: colour on a terminal only, and not with NO_COLOR" {
	spawn='
import pty, sys
pty.spawn(sys.argv[1:])'
	run -0 env -u NO_COLOR TERM=xterm /usr/bin/python3 -c "$spawn" "$TMBPF" stats "$GOOD" -n 1
	[[ $output == *$'\033['* ]]
	run -0 env NO_COLOR=1 TERM=xterm /usr/bin/python3 -c "$spawn" "$TMBPF" stats "$GOOD" -n 1
	[[ $output != *$'\033'* ]]
	run -0 env -u NO_COLOR TERM=xterm "$TMBPF" stats "$GOOD" -n 1
	[[ $output != *$'\033'* ]]
}

@test "a file cut off anywhere is refused" {
	size=$(stat -c %s "$GOOD")
	for ((cut = 1; cut < size; cut += size / 40)); do
		head -c "$cut" "$GOOD" >cut.snap
		fails_with 1 "cut.snap ends too early: it is truncated" tmbpf stats cut.snap
	done
	: >empty.snap
	fails_with 1 "empty.snap is empty" tmbpf stats empty.snap
	fails_with 1 "empty.snap is empty" tmbpf export empty.snap --format tracemalloc
}

@test "a flipped bit is refused, but where what is packed stays the same" {
	local size at content expected
	cp "$GOOD" flipped.snap
	expected=$(tmbpf stats flipped.snap)
	size=$(stat -c %s "$GOOD")
	# Of the byte before the check sum gzip uses as many bits as there are, and there are other
	# ways to pack the same.
	for at in $(seq 10 $((size / 40)) $((size - 1))) $((size - 9)); do
		content=$(
			/usr/bin/python3 - "$GOOD" flipped.snap "$at" <<-'CODE'
				import sys, zlib
				name, flipped, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
				data = bytearray(open(name, "rb").read())
				content = zlib.decompress(data, 31)
				data[at] ^= 1 << (7 if at == len(data) - 9 else at % 8)
				open(flipped, "wb").write(data)
				try:
				    same = zlib.decompress(data, 31) == content
				    print("same" if same else "other")
				except zlib.error:
				    print("other")
			CODE
		)
		if [[ $content == same ]]; then
			run -0 tmbpf stats flipped.snap
			[[ $output == "$expected" ]]
		else
			fails_with 1 "flipped.snap" tmbpf stats flipped.snap
		fi
	done
}

@test "a file that unpacks to too much is refused, in bounded memory" {
	head -c 700M /dev/zero | gzip -1 >bomb.snap
	# Of the address space that it may have, the limit of 512 MiB is the larger part.
	# shellcheck disable=SC2016 # for the other shell
	fails_with 1 "bomb.snap unpacks to more than 512 MiB: refused" \
		timeout "$PATIENCE" bash -c 'ulimit -v 1600000; exec "$@"' - "$TMBPF" \
			stats bomb.snap
}

@test "what is no snapshot is refused" {
	echo "import this" >text.py
	fails_with 1 "text.py is not a snapshot: it is not gzipped" tmbpf stats text.py
	gzip -k text.py
	fails_with 1 "text.py.gz is not a snapshot or is damaged" tmbpf stats text.py.gz
	fails_with 1 "missing.snap: No such file or directory" tmbpf stats missing.snap
	fails_with 1 "Is a directory" tmbpf stats .
	fails_with 1 "not gzipped" tmbpf stats /dev/zero
	fails_with 1 "is empty" tmbpf stats /dev/null ||
		fails_with 1 "truncated" tmbpf stats /dev/null
}

@test "wrong usage ends with 2" {
	fails_with 2 "FILE is missing" tmbpf stats
	fails_with 2 "unrecognized option '--no-such'" tmbpf stats "$GOOD" --no-such
	fails_with 2 'not "line"' tmbpf stats "$GOOD" --group-by line
	fails_with 2 'not "-1"' tmbpf stats "$GOOD" --limit=-1
	fails_with 2 'not "1x"' tmbpf stats "$GOOD" --limit 1x
	fails_with 2 'not "xml"' tmbpf stats "$GOOD" --format xml
	fails_with 2 'not "4294967296"' tmbpf stats "$GOOD" --domain 4294967296
	fails_with 2 "LINE" tmbpf stats "$GOOD" --include 'a.py:99999999999'
	fails_with 2 "does not go with" tmbpf stats "$GOOD" --cumulative -g traceback
	fails_with 2 "--format is missing" tmbpf export "$GOOD"
	fails_with 2 'not "xml"' tmbpf export "$GOOD" --format xml
	fails_with 2 "--python" tmbpf export "$GOOD" --format tracemalloc --python 2.7
	fails_with 2 "no such command" tmbpf no-such
	fails_with 2 "a command is missing" tmbpf
}

@test "help and version" {
	run --separate-stderr -0 tmbpf --help
	[[ $output == *stats* && $output == *export* && -z $stderr ]]
	run -0 tmbpf --version
	[[ $output =~ ^tmbpf\ [0-9.]+$ ]]
	for command in stats diff export; do
		run --separate-stderr -0 tmbpf "$command" --help
		[[ $output == *"Example"*"Exit status: 0 done, 1 failed"* && -z $stderr ]]
	done
}

@test "a file of an unknown Python needs --python" {
	/usr/bin/python3 - "$TOP/tests/bats" foreign.snap <<-'CODE'
		import gzip, sys
		sys.path.insert(0, sys.argv[1])
		import profile
		p = profile.Profile()
		p.sample([("/srv/a.go", 1)], (1, 1, 1, 1), {})
		gzip.open(sys.argv[2], "wb").write(p.encode())
	CODE
	fails_with 1 "does not say which Python" tmbpf export foreign.snap --format tracemalloc
	tmbpf export foreign.snap --format tracemalloc --python 3.11 >loaded.pickle
}

@test "a full disk: the old file survives, nothing is left over" {
	requires root
	mount_small size=64k
	echo "the old one" >small/out
	cp small/out before
	head -c 50k /dev/urandom >small/filler
	fails_with 1 "No space left on device" tmbpf export "$GOOD" --format tracemalloc \
		-o small/out
	cmp small/out before
	fails_with 1 "No space left on device" tmbpf export "$GOOD" --format tracemalloc \
		-o small/new
	[[ $(ls -A small) == $'filler\nout' ]]
	rm small/filler
	tmbpf export "$GOOD" --format tracemalloc -o small/out
	/usr/bin/python3 "$PROFILE" loads "$TRUTH" small/out
	fails_with 1 "cannot write standard output: No space left on device" \
		bash -c '"$@" >/dev/full' - "$TMBPF" stats "$GOOD"
	fails_with 1 "No space left on device" \
		bash -c '"$@" >/dev/full' - "$TMBPF" stats "$GOOD" --format json
	fails_with 1 "No space left on device" \
		bash -c '"$@" >/dev/full' - "$TMBPF" export "$GOOD" --format pprof
}

@test "a folder that cannot be written" {
	fails_with 1 "No such file or directory" tmbpf export "$GOOD" --format pprof -o gone/out
	requires root
	mount_small ro
	fails_with 1 "Read-only file system" tmbpf export "$GOOD" --format pprof -o small/out
}
