# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# stats and diff of small snapshots whose answers are known, or are Python's.

load ../helpers

SNAPSHOTS=$TOP/tests/bats/snapshots.py

setup()
{
	requires command:jq python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
	dump old.pickle '
		[(0, 100, [("/srv/a.py", 1), ("/srv/main.py", 9)])] * 3 +
		[(0, 2000, [("/srv/b.py", 2), ("/srv/main.py", 9)])] +
		[(0, 50, [("/srv/lib/c.py", 12)]), (7, 64, [("/srv/a.py", 1)])]'
	dump new.pickle '
		[(0, 100, [("/srv/a.py", 1), ("/srv/main.py", 9)])] * 8 +
		[(0, 50, [("/srv/lib/c.py", 12)]), (7, 64, [("/srv/a.py", 1)])] +
		[(0, 5000, [("/srv/d.py", 4), ("/srv/a.py", 3), ("/srv/main.py", 9)])]'
}

teardown()
{
	stop_targets
	[[ ! ${GROUP:-} ]] || rmdir "$GROUP"
}

# dump FILE TRACES [LIMIT]
dump()
{
	/usr/bin/python3 "$SNAPSHOTS" dump "$(tr -d '\n\t' <<<"$2")" "$1" "${3:-10}"
}

# pprof FILE KEY=VALUE... PLACE=SIZE...
pprof()
{
	/usr/bin/python3 "$SNAPSHOTS" pprof "$@"
}

# as_python EXPRESSION COMMAND...: COMMAND prints what Python says EXPRESSION is
as_python()
{
	local expression=$1 files=(old.pickle)
	shift
	[[ $1 != diff ]] || files+=(new.pickle)
	diff <(/usr/bin/python3 "$SNAPSHOTS" python "${files[@]}" "$expression") \
		<(tmbpf "$@" --format python --limit 0)
}

# filtered EXPRESSION OPTION...: stats, diff and export leave of the traces what Python does
filtered()
{
	local filters=$1
	shift
	as_python "old.filter_traces($filters).statistics('lineno')" stats old.pickle "$@"
	as_python "old.filter_traces($filters).statistics('traceback')" stats old.pickle \
		-g traceback "$@"
	as_python "new.filter_traces($filters).compare_to(old.filter_traces($filters), 'lineno')" \
		diff old.pickle new.pickle "$@"
	tmbpf export old.pickle --format tracemalloc --python 3.11 -o filtered.pickle "$@"
	as_python "old.filter_traces($filters).statistics('lineno')" stats filtered.pickle
}

@test "filters: each option is one of tracemalloc's" {
	filtered '[]'
	filtered '[Filter(True, "/srv/a.py")]' --include /srv/a.py
	filtered '[Filter(False, "/srv/a.py")]' --exclude /srv/a.py
	filtered '[Filter(True, "*/[ab].py"), Filter(False, "*", 2)]' --include '*/[ab].py' \
		--exclude '*:2'
	filtered '[Filter(True, "*/a.pyc", 1)]' --include '*/a.pyc:1'
	filtered '[Filter(True, "*", None, False, 7)]' --include '*@7'
	filtered '[Filter(False, "*", 1, False, 7)]' --exclude '*:1@7'
	filtered '[Filter(True, "*/main.py", None, True)]' --include-all-frames '*/main.py'
	filtered '[Filter(False, "*/main.py", 9, True, 0)]' --exclude-all-frames '*/main.py:9@0'
	filtered '[Filter(False, "*/a.py", 3, True)]' --all-frames --exclude '*/a.py:3'
	filtered '[DomainFilter(True, 7)]' --include-domain 7
	filtered '[DomainFilter(False, 7)]' --exclude-domain 7
	filtered '[DomainFilter(True, 7), Filter(True, "*/b.py")]' --include-domain 7 \
		--include '*/b.py'
	filtered '[Filter(True, "nowhere")]' --include nowhere
}

@test "filters: --domain comes before the others" {
	as_python 'old.filter_traces([DomainFilter(True, 7)]).
		filter_traces([Filter(True, "*b.py")]).statistics("lineno")' \
		stats old.pickle --include '*b.py' --domain 7
	run -0 tmbpf stats old.pickle --domain 7 --include '*a.py' --format json
	jq -e '.size == 64 and .groups == 1' <<<"$output"
}

@test "filters: what a pattern ends with can be meant itself" {
	dump odd.pickle '[(0, 1, [("a:12", 3)]), (0, 2, [("a", 12)]), (0, 4, [("a@1", 3)]),
		(1, 8, [("a", 3)])]'
	size()
	{
		tmbpf stats odd.pickle --format json "$@" | jq .size
	}
	[[ $(size --include 'a[:]12') == 1 ]]
	[[ $(size --include 'a:12') == 2 ]]
	[[ $(size --include 'a[@]1') == 4 ]]
	[[ $(size --include 'a@1') == 8 ]]
	[[ $(size --include 'a:12:3') == 1 ]]
	[[ $(size --include 'a:3@1') == 8 ]]
	[[ $(size --include 'a:') == 0 ]]
	[[ $(size --include '*:x') == 0 ]]
	[[ $(size --include ':12') == 0 ]]
}

@test "stats --format python: Python's own text" {
	for key in lineno filename traceback; do
		as_python "old.statistics('$key')" stats old.pickle --group-by $key
	done
	for key in lineno filename; do
		as_python "old.statistics('$key', True)" stats old.pickle -g $key --cumulative
	done
	dump old.pickle '
		[(0, 1 << i, [("/srv/\u51fd\udcff\x1b%d.py" % i, i)]) for i in range(50)] +
		[(0, 10239, [("", 0)]), (0, 10241, [("x", 1)]), (0, 0, [("y", 1)]),
			(0, 1023, [("z", 1)])] * 3'
	as_python "old.statistics('lineno')" stats old.pickle
	run -0 tmbpf stats old.pickle --format python --limit 2
	((${#lines[@]} == 2))
}

@test "diff --format python: Python's own text" {
	for key in lineno filename traceback; do
		as_python "new.compare_to(old, '$key')" diff old.pickle new.pickle --group-by $key
	done
	as_python "new.compare_to(old, 'lineno', True)" diff old.pickle new.pickle --cumulative
	as_python "[d for d in new.compare_to(old, 'lineno') if d.size_diff > 0]" \
		diff old.pickle new.pickle --growth
	as_python "old.compare_to(new, 'lineno')" diff new.pickle old.pickle
}

@test "diff: what came, went, grew and stayed" {
	run --separate-stderr -0 tmbpf diff old.pickle new.pickle
	[[ -z $stderr ]]
	[[ $output == "\
     file        frames  held
old  old.pickle      10  2414 B in 6 blocks
new  new.pickle      10  5914 B in 11 blocks
held: 2414 B -> 5914 B (+3500 B, +145.0 %) in 6 -> 11 blocks (+5)

size_diff    change    size  count_diff  count  place
  +5000 B       new  5000 B          +1      1  /srv/d.py:4
  -2000 B      gone     0 B          -1      0  /srv/b.py:2
   +500 B  +137.4 %   864 B          +5      9  /srv/a.py:1

1 unchanged" ]]
	run -0 tmbpf diff old.pickle new.pickle --growth --limit 1
	[[ $output == *"+5000 B"*"1 more not shown: +500 B in +5 blocks; --limit 0 shows all"* ]]
	[[ $output != *gone* ]]
	run -0 tmbpf diff new.pickle old.pickle --growth --include '*a.py'
	[[ $output == *$'\nnothing grew' ]]
	run -0 tmbpf diff old.pickle old.pickle
	[[ $output == *"no difference"*"3 unchanged"* ]]
}

@test "diff --group-by traceback: as tracemalloc formats them" {
	run -0 tmbpf diff old.pickle new.pickle -g traceback --include '*d.py'
	[[ $output == *'
selected: 0 B -> 5000 B (+5000 B) in 0 -> 1 blocks (+1)

+5000 B (new): 0 B -> 5000 B; count 1 (+1)
  File "/srv/main.py", line 9
  File "/srv/a.py", line 3
  File "/srv/d.py", line 4' ]]
}

@test "diff of more than two: a column each, and what grows in each step" {
	for i in 1 2 3; do
		dump "$i.pickle" "[(0, 1000 * $i, [('leak.py', 1)]),
			(0, 5000 - $i, [('shrinks.py', 2)]),
			(0, 9000 if $i == 2 else 1, [('comes and goes.py', 3)]),
			(0, 7, [('same.py', 4)])]"
	done
	run -0 tmbpf diff 1.pickle 2.pickle 3.pickle
	[[ $output == *"
size 1  size 2  size 3  size_diff  count_diff  grows      place
1000 B  2000 B  3000 B    +2000 B          +0  each step  leak.py:1
4999 B  4998 B  4997 B       -2 B          +0             shrinks.py:2
   1 B  9000 B     1 B       +0 B          +0             comes and goes.py:3

1 unchanged" ]]
	run -0 tmbpf diff 1.pickle 2.pickle 3.pickle --format json
	jq -e '[.differences[] | select(.grows).traceback[0].filename] == ["leak.py"]' <<<"$output"
	jq -e '.differences[0].values == [{size: 1000, count: 1}, {size: 2000, count: 1},
		{size: 3000, count: 1}]' <<<"$output"
	run -0 tmbpf diff 1.pickle 2.pickle 3.pickle -g traceback --growth
	[[ $output == *"+2000 B (+200.0 %): 1000 B -> 2000 B -> 3000 B, "* &&
		$output == *" -> 3000 B, grows in each step; count 1 (+0)"* ]]
	fails_with 2 "takes two snapshots" tmbpf diff 1.pickle 2.pickle 3.pickle --format python
}

@test "diff: snapshot files and what Python dumped, against each other" {
	tmbpf export old.pickle --format pprof -o old.snap
	tmbpf export new.pickle --format pprof -o new.snap
	expected=$(tmbpf diff old.pickle new.pickle --format python)
	[[ -n $expected ]]
	[[ $(tmbpf diff old.snap new.snap --format python) == "$expected" ]]
	[[ $(tmbpf diff old.snap new.pickle --format python) == "$expected" ]]
	[[ $(tmbpf diff old.pickle new.snap --format python) == "$expected" ]]
}

@test "diff: says what is compared, and what makes it hard" {
	pprof one.snap pid=41 host=left command_line='python a.py' python_version=0x030b02f0 \
		mode=exact traceback_limit=25 coverage=0.5 'loss.full=3 stacks not kept' \
		/srv/a.py:1=100
	pprof two.snap pid=42 host=right container=f00d command_line='python b.py' \
		python_version=0x030c01f0 mode=other traceback_limit=10 coverage=1 /srv/a.py:1=300
	run --separate-stderr -0 tmbpf diff one.snap two.snap
	[[ -z $stderr ]]
	[[ $output == *"old  one.snap   41  left   -          3.11.2  exact      25    50.0 %  "* &&
		$output == *"      25    50.0 %  100 B in 1 block"* ]]
	[[ $output == *"42  right  f00d       3.12.1  other      10"* ]]
	[[ $output == *$'\ncommand (old): python a.py\ncommand (new): python b.py\n'* ]]
	[[ $output == *"warning: traceback limits differ (25, 10): "* ]]
	[[ $output == *"warning: modes differ (exact, other): "* ]]
	[[ $output == *"warning: Python versions differ (3.11.2, 3.12.1): "* ]]
	[[ $output == *"warning: command lines differ"* ]]
	[[ $output == *"warning: coverage differs: from 50.0 % to 100.0 % of allocations are"* ]]
	[[ $output == *"warning: one.snap lost: stacks not kept: 3"* ]]
	run --separate-stderr -0 tmbpf diff one.snap two.snap --format python
	[[ $output == "/srv/a.py:1: size=300 B (+200 B), count=1 (+0), average=300 B" ]]
	[[ $stderr == *"tmbpf: warning: modes differ"* ]]
	run -0 tmbpf diff one.snap two.snap --format json
	jq -e '[.warnings[].name] == ["traceback_limit", "mode", "python_version", "command_line",
		"coverage", "losses"]' <<<"$output"
	run -0 tmbpf diff one.snap one.snap
	[[ $output == *$'\ncommand: python a.py\n'* && $output != *"s differ"* ]]
}

@test "diff: what a file chose cannot steer the terminal" {
	pprof $'odd\033.snap' pid=41 host=$'\033[2J' container=$'\033]0;x\a' command_line=$'\033c' \
		mode=$'\033d' 'loss.full=3 '$'\033e' $'/srv/\033[31m.py:1=100'
	run -0 tmbpf diff old.pickle $'odd\033.snap'
	[[ $output != *$'\033'* && $output == *'\x1b[2J'* && $output == *'lost: \x1be: 3'* ]]
	run -0 tmbpf diff $'odd\033.snap' old.pickle -g traceback
	[[ $output != *$'\033'* && $output == *'File "/srv/\x1b[31m.py"'* ]]
	run -0 /usr/bin/python3 -c 'import pty, sys; pty.spawn(sys.argv[1:])' "$TMBPF" stats \
		$'odd\033.snap' --format python
	[[ $output != *$'\033'* && $output == *'/srv/\x1b[31m.py:1: size=100 B'* ]]
}

@test "diff: colour on a terminal only, and not with NO_COLOR" {
	spawn='import pty, sys; pty.spawn(sys.argv[1:])'
	coloured()
	{
		env "$1" TERM=xterm /usr/bin/python3 -c "$spawn" "$TMBPF" diff old.pickle \
			new.pickle "${@:2}"
	}
	run -0 coloured -uNO_COLOR
	[[ $output == *$'\033[31m+5000 B\033[0m'* && $output == *$'\033[32m-2000 B\033[0m'* ]]
	run -0 coloured -uNO_COLOR -g traceback
	[[ $output == *$'\033[1;31m+5000 B'* ]]
	run -0 coloured NO_COLOR=1
	[[ $output == *"+5000 B"* && $output != *$'\033'* ]]
	run -0 env -u NO_COLOR TERM=xterm "$TMBPF" diff old.pickle new.pickle
	[[ $output != *$'\033'* ]]
}

@test "diff --fail-over: a budget" {
	run --separate-stderr -1 tmbpf diff old.pickle new.pickle --fail-over 3499
	[[ $output == *"+5000 B"* ]]
	[[ $stderr == "\
what grew most:
  +5000 B /srv/d.py:4
  +500 B /srv/a.py:1
tmbpf: what is held grew by 3500 B, the budget is 3499 B" ]]
	run --separate-stderr -0 tmbpf diff old.pickle new.pickle --fail-over 3500
	[[ -z $stderr ]]
	tmbpf diff old.pickle new.pickle --fail-over 4K
	tmbpf diff old.pickle new.pickle --fail-over 4KiB
	tmbpf diff old.pickle new.pickle --fail-over 1M
	tmbpf diff old.pickle new.pickle --fail-over 1GiB
	run -1 tmbpf diff old.pickle new.pickle --fail-over 3KiB --growth --format json
	run -1 tmbpf diff old.pickle new.pickle --fail-over 0 --format python
	# What shrinks breaks no budget; filters choose what counts.
	tmbpf diff new.pickle old.pickle --fail-over 0
	tmbpf diff old.pickle new.pickle --fail-over 0 --include '*b.py'
	run -1 tmbpf diff old.pickle new.pickle --fail-over 499 --include '*a.py'
	for size in '' x -1 1T 1kib '1 K' 99999999999999999999 9000000000G; do
		fails_with 2 \
			"--fail-over takes bytes, or a number with KiB, MiB or GiB, not \"$size\"" \
			tmbpf diff old.pickle new.pickle --fail-over="$size"
	done
}

@test "JSON is what its schema says" {
	/usr/bin/python3 -c 'import jsonschema' 2>/dev/null ||
		skip "requires the package python3-jsonschema"
	valid()
	{
		/usr/bin/python3 "$SNAPSHOTS" valid "$TOP/docs/$1.schema.json"
	}
	pprof odd.snap pid=1 'loss.full=3 x' coverage=0.5 $'\xff\033\xed\xa0\x80.py:1=5' b.py:2=6 ||
		return
	for key in lineno filename function traceback; do
		for file in old.pickle odd.snap; do
			tmbpf stats $file --format json -g $key | valid statistics
			tmbpf diff old.pickle $file --format json -g $key | valid differences
		done
	done
	# What a file does not say is null, and what was counted as 0 is not.
	tmbpf stats old.pickle --format json | jq -e '.snapshot |
		.traceback_limit == 10 and (del(.traceback_limit) | all(.[]; . == null))'
	tmbpf stats old.pickle --format json | jq -e 'all(.statistics[].traceback[];
		.function == null and .firstlineno == null and .lineno > 0)'
	pprof idle.snap pid=1 mode=exact current=0 coverage=1 || return
	tmbpf stats idle.snap --format json | tee >(valid statistics >&2) | jq -e '.snapshot |
		.current == 0 and .peak == 0 and .rss == null and .losses == [] and .host == null'
	tmbpf stats old.pickle --format json --cumulative --limit 1 | valid statistics
	tmbpf stats old.pickle --format json --include nowhere | valid statistics
	tmbpf diff old.pickle new.pickle odd.snap --format json --growth --limit 2 |
		valid differences
	tmbpf diff old.pickle new.pickle --format json --include nowhere | valid differences
	# A schema that lets all pass would be none.
	tmbpf stats old.pickle --format json | jq '.size = -1' >wrong.json
	run ! valid statistics <wrong.json
	tmbpf diff old.pickle new.pickle --format json | jq '.differences[0].more = 1' >wrong.json
	run ! valid differences <wrong.json
}

@test "stats --group-by function: of a file that tells no functions" {
	run -0 tmbpf stats old.pickle -g function
	[[ $output == *"<unknown> (/srv/b.py)"* && $output != *":0"* ]]
}

@test "stats --group-by traceback: as tracemalloc formats them, with what was left out" {
	dump deep.pickle '[(0, 1024, [("/srv/a.py", 1), ("/srv/b.py", 2)])] * 2 +
		[(0, 5, [("/srv/c.py", 3)])]'
	run -0 tmbpf stats deep.pickle -g traceback -n 1
	[[ $output == *'
2048 B (99.8 %) in 2 blocks, 1024 B on average
  File "/srv/b.py", line 2
  File "/srv/a.py", line 1

1 more not shown: 5 B in 1 block; --limit 0 shows all' ]]
}

# source_shown FILE [OPTION...]: whether stats shows the line "secret = 1"
source_shown()
{
	[[ $(tmbpf stats "$@") == *"secret = 1"* ]]
}

@test "source lines: of what Python dumped, as linecache finds them, if they are older" {
	mkdir lib
	printf 'import os\n\n\t  secret = 1  \r\n' >lib/a.py
	cp lib/a.py b.py
	printf '#!/usr/bin/env python3\nsecret = 1\n' >script
	printf 'no\nsecret = 1\n' >notes.txt
	ln -s lib/a.py link.py
	mkfifo pipe.py
	printf 'secret = 1' >"$(printf '\303\251').py"
	for place in "lib/a.py:3" "b.py:3" "script:2" "link.py:3" "$PWD/b.py:3" \
		"$(printf '\303\251').py:1"; do
		dump one.pickle "[(0, 5, [('${place%:*}', ${place##*:})])]"
		source_shown one.pickle
		[[ $(tmbpf stats one.pickle -g traceback) == *$'\n    secret = 1'* ]]
		run ! source_shown one.pickle --format python
	done
	for place in "lib/a.py:2" "b.py:4" "b.py:0" "notes.txt:2" "pipe.py:1" "lib:1" "gone.py:1" \
		"<string>:1" "/dev/null:1" "b.py/:3"; do
		dump one.pickle "[(0, 5, [('${place%:*}', ${place##*:})])]"
		run ! source_shown one.pickle
	done
	dump one.pickle '[(0, 5, [("b.py", 3)])]'
	source_shown one.pickle
	run -0 tmbpf diff old.pickle one.pickle
	[[ $output == *"secret = 1"* ]]
	wait_until touched one.pickle
	run ! source_shown one.pickle
}

# touched FILE: makes b.py newer than FILE, by the file system's clock
touched()
{
	touch b.py
	[[ b.py -nt $1 ]]
}

@test "source lines: encodings, long lines, and what a terminal must not see" {
	printf '# -*- coding: latin-1 -*-\nx = "\xe9"\n' >latin.py
	printf '\xef\xbb\xbfx = "\xc3\xa9"\n' >bom.py
	printf 'x = "\033[2J\xff"\n' >odd.py
	printf 'x = "%s"\n' "$(printf 'y%.0s' {1..500})" >long.py
	dump one.pickle '[(0, 5, [("latin.py", 2)]), (0, 5, [("bom.py", 1)]),
		(0, 5, [("odd.py", 1)]), (0, 5, [("long.py", 1)])]'
	run -0 tmbpf stats one.pickle
	[[ $output == *'latin.py:2'*'x = "é"'* && $output == *$'  x = "é"\n'* ]]
	[[ $output == *'x = "\x1b[2J\xff"'* ]]
	[[ $output == *'x = "yyy'*yyy...* && ${#output} -lt 1000 ]]
}

# stat_of PID: its start time
start_of()
{
	sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20
}

# identity PID: what a snapshot says of the process PID
identity()
{
	echo "pid=$1" "start_time=$(start_of "$1")" "boot_id=$(</proc/sys/kernel/random/boot_id)" \
		"mount_namespace=$(stat -Lc %i "/proc/$1/ns/mnt")"
}

@test "source lines: of a living process through its root, of an ended one only here" {
	requires root
	local who
	printf 'secret = 1\n' >a.py
	mkdir inside
	# shellcheck disable=SC2016 # for the other shell
	PYTHON=(unshare --mount --propagation private sh -c '
		mount -t tmpfs none "$1" && cd "$1" && sleep 0.1 && printf "theirs = 1\n" >a.py &&
		mkdir app && printf "theirs = 2\n" >app/b.py && ln -s /etc/passwd.py link.py &&
		ln -s "$1/a.py" good.py && ln -s ../../../../../../../../../../"$2" up.py &&
		cd app && echo READY && exec sleep 1000' -)
	start_target "$PWD/inside" "$PWD/a.py"
	wait_until grep -q sleep "/proc/$TARGET_PID/cmdline"
	read -ra who <<<"$(identity "$TARGET_PID")"
	shows()
	{
		pprof live.snap "${who[@]}" "$1:1=5"
		[[ $(tmbpf stats live.snap) == *"$2 = "* ]]
	}
	# What they wrote after they began is not what ran.
	run ! shows "$PWD/inside/a.py" theirs
	# Ours, older, and the same file there.
	shows "$PWD/a.py" secret
	shows "$PWD/inside/up.py" secret
	run ! shows "$PWD/inside/link.py" secret
	# Another process has the pid by now; or it is another boot.
	who[1]=start_time=1
	run ! shows "$PWD/a.py" secret
	read -ra who <<<"$(identity "$TARGET_PID")"
	who[2]=boot_id=$(printf '0%.0s' {1..8})-0000-0000-0000-000000000000
	run ! shows "$PWD/a.py" secret
	# It has ended: its paths are gone with its namespace. Ours are not.
	read -ra who <<<"$(identity "$TARGET_PID")"
	stop_targets
	run ! shows "$PWD/a.py" secret
	PYTHON=(sleep)
	start_quiet_target 1000
	read -ra who <<<"$(identity "$TARGET_PID")"
	stop_targets
	shows "$PWD/a.py" secret
	run ! shows a.py secret
}

@test "source lines: no link leads out of a process's root" {
	requires root
	local who
	mkdir jail
	printf 'secret = 1\n' | tee a.py >jail/in.py
	ln -s "../../../../../../../../../..$PWD/a.py" jail/out.py
	ln -s /in.py jail/absolute.py
	ln -s /proc/self/root/in.py jail/magic.py
	start_target -c '
import os, time
os.chroot("jail")
print("READY", flush=True)
time.sleep(1000)'
	read -ra who <<<"$(identity "$TARGET_PID")"
	for name in in absolute; do
		pprof live.snap "${who[@]}" /$name.py:1=5
		source_shown live.snap
	done
	for name in out magic; do
		pprof live.snap "${who[@]}" /$name.py:1=5
		run ! source_shown live.snap
	done
	pprof live.snap "${who[@]}" "$PWD/a.py:1=5"
	run ! source_shown live.snap
}

@test "source lines: relative names are a living process's own" {
	requires root
	local who
	mkdir app
	printf 'secret = 1\n' >app/a.py
	cd app
	PYTHON=(sleep)
	start_quiet_target 1000
	cd "$BATS_TEST_TMPDIR" || return
	read -ra who <<<"$(identity "$TARGET_PID")"
	pprof live.snap "${who[@]}" a.py:1=5 ../app/a.py:1=6
	run -0 tmbpf stats live.snap --include a.py
	[[ $output == *"secret = 1"* ]]
	run -0 tmbpf stats live.snap --include '../app/a.py'
	[[ $output == *"secret = 1"* ]]
}

# control_group ID: a new control group with a container's name; nothing if there can be none
control_group()
{
	local folder
	for folder in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/pids; do
		[[ -w $folder/cgroup.procs ]] || continue
		mkdir "$folder/docker-$1.scope" 2>/dev/null || continue
		echo "$folder/docker-$1.scope"
		return
	done
}

@test "a snapshot says which process it is of, and in which container" {
	requires root 'kernel>=6.6'
	local id
	id=$(head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n')
	GROUP=$(control_group "$id")
	start_target "$TARGETS/wait.py"
	[[ ! $GROUP ]] || echo "$TARGET_PID" >"$GROUP/cgroup.procs"
	tmbpf snapshot -p "$TARGET_PID" --for 1s -o live.snap
	run -0 tmbpf stats live.snap --format json
	read -ra who <<<"$(identity "$TARGET_PID")"
	[[ "$(jq -r '.snapshot | "pid=\(.pid) start_time=\(.start_time) boot_id=\(.boot_id) " +
		"mount_namespace=\(.mount_namespace)"' <<<"$output")" == "${who[*]}" ]]
	[[ $GROUP ]] || skip "requires a control group file system that can be written"
	[[ $(jq -r .snapshot.container <<<"$output") == "$id" ]]
	run -0 tmbpf stats live.snap
	[[ $output == *", container ${id:0:12}, on "* ]]
}

@test "wrong usage ends with 2" {
	fails_with 2 "OLD and NEW are missing" tmbpf diff
	fails_with 2 "NEW is missing" tmbpf diff old.pickle
	fails_with 2 "only one of the files" tmbpf diff - old.pickle -
	fails_with 2 "only one of the files" tmbpf export - --format html --diff-base -
	fails_with 2 'not "line"' tmbpf diff old.pickle new.pickle -g line
	fails_with 2 'not "xml"' tmbpf diff old.pickle new.pickle --format xml
	fails_with 2 "does not go with" tmbpf diff old.pickle new.pickle --cumulative -g traceback
	for command in "stats old.pickle" "diff old.pickle new.pickle"; do
		# shellcheck disable=SC2086 # two words
		fails_with 2 "tracemalloc does not know functions" tmbpf $command -g function \
			--format python
	done
	for command in "stats old.pickle" "diff old.pickle new.pickle" \
		"export old.pickle --format json"; do
		# shellcheck disable=SC2086 # several words
		fails_with 2 \
			"--include's LINE takes a number from 0 to 4294967295, not \"4294967296\"" \
			tmbpf $command --include 'a.py:4294967296'
		# shellcheck disable=SC2086
		fails_with 2 "--exclude-all-frames's DOMAIN" tmbpf $command \
			--exclude-all-frames 'a.py@99999999999'
		# shellcheck disable=SC2086
		fails_with 2 "--exclude-domain takes" tmbpf $command --exclude-domain x
		# shellcheck disable=SC2086
		fails_with 2 "--domain takes" tmbpf $command --domain -1
	done
	fails_with 2 "--diff-base goes with --format folded or html, not with pprof" \
		tmbpf export old.pickle --format pprof --diff-base new.pickle
	fails_with 2 "--python goes with --format tracemalloc, not with json" \
		tmbpf export old.pickle --format json --python 3.11
}

@test "diff: files that cannot be read" {
	fails_with 1 "missing.snap: No such file or directory" tmbpf diff missing.snap new.pickle
	fails_with 1 "missing.snap: No such file" tmbpf diff old.pickle new.pickle missing.snap
	fails_with 1 "No such file" tmbpf export old.pickle --format folded --diff-base missing.snap
	head -c 100 new.pickle >cut.pickle
	fails_with 1 "cut.pickle" tmbpf diff old.pickle cut.pickle
	fails_with 1 "No space left on device" \
		bash -c '"$@" >/dev/full' - "$TMBPF" diff old.pickle new.pickle --format json
}

@test "export: filters and --diff-base" {
	tmbpf export new.pickle --format folded --include '*d.py' >one.folded
	[[ $(<one.folded) == *" 5000" && $(wc -l <one.folded) == 1 ]]
	tmbpf export new.pickle --format folded --diff-base old.pickle --include '*[bd].py' \
		>two.folded
	grep -q ' 2000 0$' two.folded
	grep -q ' 0 5000$' two.folded
	[[ $(wc -l <two.folded) == 2 ]]
}

@test "help: every option, and an example" {
	for command in stats diff export; do
		run --separate-stderr -0 tmbpf "$command" --help
		[[ $output == *"Example"*"Exit status: 0 done, 1 failed"* && -z $stderr ]]
		for option in include exclude include-all-frames exclude-all-frames include-domain \
			exclude-domain all-frames domain; do
			[[ $output == *" --$option"* ]]
		done
	done
	run -0 tmbpf export --help
	for format in html folded speedscope tracemalloc json pprof; do
		[[ $output == *" $format "* ]]
	done
	for format in html folded speedscope tracemalloc json pprof; do
		fails_with 2 "$format" tmbpf export old.pickle --format nothing
	done
	run -0 tmbpf diff --help
	[[ $output == *--growth* && $output == *--fail-over=SIZE* &&
		$output == *"OLD NEW [NEWER...]"* ]]
	run -0 tmbpf --help
	[[ $output == *"diff       what changed between snapshot files"* ]]
}
