# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What `tmbpf export` writes for other programs, held against Python's own tracemalloc by
# formats.py. The page of --format html has a driver of its own: tests/oracle/html.

load ../helpers

FORMATS=$TOP/tests/bats/formats.py

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return
	/usr/bin/python3 "$TOP/tests/bats/profile.py" make good.snap good.pickle
	# Two that a program dumped itself, the second with other blocks.
	/usr/bin/python3 - <<-'CODE'
		import tracemalloc
		tracemalloc.start(5)
		kept = [[bytearray(100) for i in range(200)] for j in range(3)]
		tracemalloc.take_snapshot().dump("old.pickle")
		kept[1] = None
		code = compile("def g(n):\n return bytearray(n)\n",
		               "a;b\nc \u2028\udcff.py", "exec")
		exec(code)
		kept += [g(5000) for i in range(9)]
		tracemalloc.take_snapshot().dump("new.pickle")
	CODE
}

setup()
{
	requires command:jq python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
	FILES=$BATS_FILE_TMPDIR
}

# agrees FORMAT FILE TRUTH [MORE...]: FILE in FORMAT says what TRUTH does
agrees()
{
	local format=$1 file=$2 truth=$3
	shift 3
	tmbpf export "$file" --format "$format" -o out
	/usr/bin/python3 "$FORMATS" "$format" "$truth" out "$@"
}

@test "folded: each stack with its bytes, the root first" {
	agrees folded "$FILES/good.snap" "$FILES/good.pickle"
	agrees folded "$FILES/good.pickle" "$FILES/good.pickle"
	agrees folded "$FILES/new.pickle" "$FILES/new.pickle"
}

@test "folded: names of functions" {
	/usr/bin/python3 - "$TOP/tests/bats" named.snap <<-'CODE'
		import gzip, sys
		sys.path.insert(0, sys.argv[1])
		import profile
		p = profile.Profile()
		p.sample([("/srv/a.py", 12, "leaf;"), ("/srv/b.py", 3, "Class.<lambda>"),
		          ("/srv/c.py", 1, "")], (1, 17, 1, 17), {})
		gzip.open(sys.argv[2], "wb").write(p.encode())
	CODE
	run -0 tmbpf export named.snap --format folded
	[[ $output == '/srv/c.py:1;Class.<lambda> (/srv/b.py:3);leaf\x3b (/srv/a.py:12) 17' ]]
}

@test "folded --diff-base: the old and the new bytes of each stack" {
	tmbpf export "$FILES/new.pickle" --diff-base "$FILES/old.pickle" --format folded -o out
	/usr/bin/python3 "$FORMATS" folded "$FILES/new.pickle" out "$FILES/old.pickle"
	# The sums are those of the two files by themselves.
	# shellcheck disable=SC2016 # awk's
	run -0 awk '{ old += $(NF - 1); new += $NF } END { printf "%d %d\n", old, new }' out
	old=$(tmbpf stats "$FILES/old.pickle" --format json | jq .size)
	new=$(tmbpf stats "$FILES/new.pickle" --format json | jq .size)
	[[ $output == "$old $new" ]]
}

@test "filters leave out the same as in stats" {
	local filter=(--include '*json*' --include '*.py:5' --domain 0)
	size=$(tmbpf stats "$FILES/good.snap" "${filter[@]}" --format json | jq .size)
	whole=$(tmbpf stats "$FILES/good.snap" --format json | jq .size)
	((size < whole))
	tmbpf export "$FILES/good.snap" "${filter[@]}" --format folded -o out
	[[ $(awk '{ sum += $NF } END { printf "%d\n", sum }' out) == "$size" ]]
	tmbpf export "$FILES/good.snap" "${filter[@]}" --format json -o out
	jq -e ".size == $size and ([.traces[].size] | add // 0) == $size" out
	tmbpf export "$FILES/good.snap" "${filter[@]}" --format speedscope -o out
	jq -e ".profiles[0].endValue == $size" out
}

@test "speedscope: its schema accepts it, and it says what tracemalloc does" {
	requires command:npm
	schema=$("$TOP/tests/speedscope")/file-format-schema.json ||
		skip "requires the package speedscope of npm"
	agrees speedscope "$FILES/good.snap" "$FILES/good.pickle" "$schema"
	agrees speedscope "$FILES/new.pickle" "$FILES/new.pickle" "$schema"
	# An empty one as well.
	tmbpf export "$FILES/good.snap" --include /no/such --format speedscope -o out
	jq -e '.profiles | length == 2' out
}

@test "json: every trace, as its schema says" {
	agrees json "$FILES/good.snap" "$FILES/good.pickle" "$TOP/docs/snapshot.schema.json"
	agrees json "$FILES/new.pickle" "$FILES/new.pickle" "$TOP/docs/snapshot.schema.json"
}

@test "html: a build without node leaves it out, says so, and works" {
	mkdir bin
	for command in sh dirname mkdir cmp cp rm mv; do
		ln -s "$(type -P "$command")" bin
	done
	PATH=$PWD/bin run -0 "$TOP/user/format/html/build" "$PWD/page"
	[[ $output == *"HTML"*"left out of this build: there is no node and npm"* ]]
	[[ -f page/head.html && ! -s page/head.html && -f page/tail.html && ! -s page/tail.html ]]
	# What npm cannot get is no failure either.
	ln -s "$(type -P true)" bin/node
	ln -s "$(type -P false)" bin/npm
	PATH=$PWD/bin run -0 "$TOP/user/format/html/build" "$PWD/page"
	[[ $output == *"left out of this build: npm cannot get the packages"* ]]
	[[ -f page/head.html && ! -s page/head.html ]]
}
