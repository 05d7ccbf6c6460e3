# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The census of a process' memory, as users type it.

load ../helpers

setup()
{
	requires root command:jq python:/usr/bin/python3
	cd "$BATS_TEST_TMPDIR" || return
}

teardown()
{
	stop_targets
}

# settled: kinds.py has made what it makes, and waits
settled()
{
	[[ $(cut -d ' ' -f 1 "/proc/$TARGET_PID/syscall") == 34 ]]
}

made()
{
	tell_target
	wait_until settled
}

@test "heap: what a process holds, by type, owner and size" {
	start_target "$TARGETS/kinds.py"
	made
	run -0 tmbpf heap -p "$TARGET_PID" --limit 0
	[[ $output == *"pid $TARGET_PID"* ]]
	[[ $output == *"pymalloc: "*" arenas"* ]]
	# Its size, share, count and average, then what it is.
	grep -E ' %   +3000 +[0-9]+ B +__main__\.Plain$' <<<"$output"
	grep -E ' +3000 +[0-9]+ B +__main__\.Outer\.Inner$' <<<"$output"
	grep -E ' +[0-9]+ +[0-9]+ B +dict: keys$' <<<"$output"
	grep -E ' +[0-9]+ +[0-9]+ B +list: items$' <<<"$output"
	run -0 tmbpf heap -p "$TARGET_PID" --by type --limit 0
	grep -E ' %   +3000 +[0-9]+ B +__main__\.Plain$' <<<"$output"
	grep -E ' +[0-9]+ +[0-9]+ B +\(no object\)$' <<<"$output"
	run ! grep -F ': ' <(sed '1,/ type$/d' <<<"$output")
	run -0 tmbpf heap -p "$TARGET_PID" --by owner --limit 0
	grep -E ' +3000 +[0-9]+ B +__main__\.Slots$' <<<"$output"
	run ! grep -F 'dict: keys' <<<"$output"
	run -0 tmbpf heap -p "$TARGET_PID" --by size --limit 0
	grep -E ' 16 B +16 B$' <<<"$output"
	run -0 tmbpf heap -p "$TARGET_PID" --limit 2
	[[ $output == *"more not shown"* ]]
}

@test "heap --json: the whole of it, the same however it is counted" {
	start_target "$TARGETS/kinds.py"
	made
	tmbpf heap -p "$TARGET_PID" --json >one.json
	tmbpf heap -p "$TARGET_PID" --format json -o two.json
	jq -e '.schema == "tmbpf-census" and .version == 2' one.json
	/usr/bin/python3 "$TOP/tests/bats/snapshots.py" valid "$TOP/docs/census.schema.json" \
		<one.json
	jq -e --argjson pid "$TARGET_PID" '.pid == $pid' one.json
	jq -e '([.items[].count] | add) == ([.sizes[].count] | add)' one.json
	jq -e '([.items[].size] | add) == ([.sizes[].total] | add)' one.json
	diff <(jq 'del(.time_nanos)' one.json) <(jq 'del(.time_nanos)' two.json)
	# By type no owners are looked for: the same blocks, as far as they are objects.
	tmbpf heap -p "$TARGET_PID" --by type --compare one.json >compared.txt
	run ! grep -E '[+-][1-9]' <(sed '1,/ type$/d' compared.txt)
	grep -E '^[0-9]+ unchanged$' compared.txt
	# Only the pools' headers are read for sizes.
	run -0 tmbpf heap -p "$TARGET_PID" --by size
	[[ $output == *" in $(jq '[.sizes[].count] | add' one.json) blocks"* ]]
}

@test "heap --compare: what came since" {
	start_target "$TARGETS/kinds.py"
	tmbpf heap -p "$TARGET_PID" --json -o before.json
	made
	run -0 tmbpf heap -p "$TARGET_PID" --compare before.json --limit 0
	[[ $output == *"before: "* ]]
	grep -E ' +\+3000 +[0-9]+ +bytearray$' <<<"$output"
	# The warm-up's are gone, so their class is known, and had none.
	grep -E ' new +[0-9]+ [KB]i?B? +\+3000 +3000 +__main__\.Slots$' <<<"$output"
	run -0 tmbpf heap -p "$TARGET_PID" --compare - --by owner <before.json
	[[ $output == *"owner"* ]]
	run -1 tmbpf heap -p "$TARGET_PID" --compare missing.json
	[[ $output == *missing.json* ]]
	echo '{}' >bad.json
	run -1 tmbpf heap -p "$TARGET_PID" --compare bad.json
	[[ $output == *"bad.json is no census"* ]]
}

@test "heap --format html: one page, with what a target is called made harmless" {
	cat >odd.py <<-'CODE'
		import os
		kept = [type("<b>&odd", (), {})() for _ in range(3)]
		os.write(1, b"READY\n")
		os.read(0, 1)
	CODE
	start_target odd.py
	tmbpf heap -p "$TARGET_PID" --json -o before.json
	tmbpf heap -p "$TARGET_PID" --format html -o page.html
	/usr/bin/python3 - <<-'CODE'
		import html.parser
		class Page(html.parser.HTMLParser):
		    texts, tags = [], set()
		    def handle_starttag(self, tag, attributes):
		        assert not {name for name, _ in attributes} & {"src", "href"}, attributes
		        self.tags.add(tag)
		    def handle_data(self, data):
		        self.texts.append(data)
		page = Page()
		page.feed(open("page.html").read())
		assert "__main__.<b>&odd" in page.texts
		assert "b" not in page.tags, page.tags
	CODE
	run ! grep -F '<b>' page.html
	tmbpf heap -p "$TARGET_PID" --format html --compare before.json >compared.html
	grep -F 'count_diff' compared.html
}

@test "heap: what a process of Django, pandas and SQLite has in memory is explained, and owned" {
	requires module:django module:pandas
	start_target "$TARGETS/web_data.py"
	tmbpf heap -p "$TARGET_PID" --json >web.json
	jq '.memory, .rss_anonymous' web.json
	# What has a name, of what the kernel says; of the blocks, objects and what has an owner.
	jq -e '([.memory[] | select(.name != "everything else") | .size] | add) / .rss_anonymous |
		. >= 0.95 and . <= 1.01' web.json
	jq -e '.memory[-1].name == "everything else" and
		.memory[-1].size <= 0.05 * .rss_anonymous' web.json
	jq '[.items[] | {kind, size}] | group_by(.kind) | map({(.[0].kind): map(.size) | add}) |
		add' web.json
	jq -e '([.items[] | select(.kind == "unowned" or .kind == "native") | .size] | add // 0) <=
		0.1 * ([.items[].size] | add)' web.json
	# Each of them is there.
	jq -e 'any(.items[]; .type == "django.contrib.auth.models.User" and .kind == "object" and
		.count == 20000)' web.json
	jq -e 'any(.items[]; .type == "numpy.ndarray" and .part == "data" and
		.size > 500000 * 24)' web.json
	jq -e '[.items[] | select(.type | startswith("sqlite3.")) | .size] | add > 1000000' web.json
}

@test "heap: without pymalloc there is none" {
	PYTHONMALLOC=malloc start_target "$TARGETS/kinds.py"
	run -0 tmbpf heap -p "$TARGET_PID"
	[[ $output == *"pymalloc: not used"* ]]
}

@test "heap: another allocator's bins in the interpreter's data are not taken for pymalloc's" {
	requires uv:3.14
	PYTHON=("$(uv_python 3.14)")
	# Its libffi, whose bins look like usedpools once they are there, is linked in.
	start_target -c "
import ctypes
class Held: pass
held = [Held() for _ in range(1000)]
print('READY', flush=True)
input()"
	run -0 tmbpf heap -p "$TARGET_PID" --json
	jq -e '.heaps == 1 and
		any(.items[]; .type == "__main__.Held" and .count == 1000)' <<<"$output"
	run -0 tmbpf start -p "$TARGET_PID"
	run -0 tmbpf stop -p "$TARGET_PID"
}

@test "heap: a process that changes all the time is counted, and what could not be is told" {
	start_target "$TARGETS/busy.py"
	for _ in {1..20}; do
		tmbpf heap -p "$TARGET_PID" --json >hot.json
		jq -e '.unstable_pools <= 5 and ([.items[].count] | add) > 10000' hot.json
		jq -e '[.items[] | select(.kind == "unowned") | .count] | add // 0 < 2000' hot.json
	done
	target_alive
}

# soon ARGUMENT...: tmbpf, which has to come to an end
soon()
{
	timeout --kill-after=5 $((4 * PATIENCE)) "$TMBPF" "$@" 3>&-
}

@test "heap: classes whose dicts say what cannot be are counted, by the names that they have" {
	local found=0 python
	for python in /usr/bin/python3 ~/.pyenv/versions/3.*/bin/python3; do
		[[ -x $python ]] || continue
		PYTHON=("$python")
		start_target "$TARGETS/keys_forged.py"
		run -0 soon heap -p "$TARGET_PID" --by type --limit 0
		grep -E ' +10 +[0-9]+ B +__main__\.Whole$' <<<"$output"
		# What is not to be read is left out of the name; each is there.
		(($(grep -cE '  Forged[0-9]+$' <<<"$output") >= 35))
		run -0 soon heap -p "$TARGET_PID" --referrers Whole --levels 2
		stop_targets
		found=$((found + 1))
	done
	((found))
}

@test "heap: classes that are made and dropped meanwhile" {
	local python
	for python in /usr/bin/python3 ~/.pyenv/versions/3.13*/bin/python3; do
		[[ -x $python ]] || continue
		# shellcheck disable=SC2034 # for start_target
		PYTHON=("$python")
		start_target "$TARGETS/classes_churn.py"
		for _ in {1..10}; do
			run -0 soon heap -p "$TARGET_PID" --by type --limit 1000000
			grep -E ' +[0-9]+ +[0-9]+ B +type$' <<<"$output"
		done
		stop_targets
	done
}

@test "heap: wrong usage, no process, no Python" {
	run -2 tmbpf heap
	run -2 tmbpf heap -p 0
	start_target "$TARGETS/wait.py"
	run -2 tmbpf heap -p "$TARGET_PID" --by nothing
	run -2 tmbpf heap -p "$TARGET_PID" --format xml
	run -2 tmbpf heap -p "$TARGET_PID" --json --by size
	run -2 tmbpf heap -p "$TARGET_PID" -o x.json
	run -2 tmbpf heap -p "$TARGET_PID" --json --format html
	run -2 tmbpf heap -p "$TARGET_PID" --referrers str --format html
	run -2 tmbpf heap -p "$TARGET_PID" --limit -1
	gone=$TARGET_PID
	stop_targets
	run -3 tmbpf heap -p "$gone"
	[[ $output == *"$gone"* ]]
	sleep 60 3>&- &
	run -1 tmbpf heap -p $!
	[[ $output == *"not a CPython"* ]]
	kill $!
	run -0 tmbpf heap --help
	[[ $output == *"tmbpf heap -p 1234"* ]]
	[[ $output == *"xit status"* ]]
}

@test "heap --referrers: who holds the objects of a type, up to a frame or a module" {
	cat >holds.py <<-'CODE'
		import os, sys, types
		class Session:
		    def __init__(self, number):
		        self.number = number
		def hold():
		    kept = [Session(i) for i in range(500)]
		    os.write(1, b"READY\n")
		    os.read(0, 1)
		cache = types.ModuleType("cache")
		cache.by_name = {"one": Session(1000)}
		sys.modules["cache"] = cache
		hold()
	CODE
	start_target holds.py
	run -0 tmbpf heap -p "$TARGET_PID" --referrers __main__.Session --levels 3
	[[ ${lines[0]} =~ ^\ +501\ \ __main__\.Session$ ]]
	grep -E ' 1  list: items  0x[0-9a-f]+$' <<<"$output"
	grep -F 'frame of hold (' <<<"$output"
	grep -F ' 1  dict: keys, e.g. ["one"]' <<<"$output"
	# What is behind the last dot will do.
	run -0 tmbpf heap -p "$TARGET_PID" --referrers Session --json
	/usr/bin/python3 "$TOP/tests/bats/snapshots.py" valid "$TOP/docs/referrers.schema.json" \
		<<<"$output"
	jq -e '.groups[0].count == 501 and .groups[0].level == 0' <<<"$output"
	jq -e 'any(.groups[]; .kind == "frame" and (.name | startswith("hold (")))' <<<"$output"
	address=$(jq -r '[.groups[] | select(.level == 1 and .type == "list")][0].address' \
		<<<"$output")
	run -0 tmbpf heap -p "$TARGET_PID" --referrers "$(printf '0x%x' "$address")" --levels 1
	grep -F 'frame of hold (' <<<"$output"
	run -3 tmbpf heap -p "$TARGET_PID" --referrers NoSuchType
	[[ $output == *NoSuchType* ]]
	run -3 tmbpf heap -p "$TARGET_PID" --referrers 0x10
	run -2 tmbpf heap -p "$TARGET_PID" --referrers 0xnonsense
	run -2 tmbpf heap -p "$TARGET_PID" --referrers Session --levels 9
	run -2 tmbpf heap -p "$TARGET_PID" --levels 2
	run -2 tmbpf heap -p "$TARGET_PID" --referrers Session --by size
}

@test "heap --referrers: what numbers, bytes and patterns hold refers to nothing, theirs does" {
	cat >digits.py <<-'CODE'
		import os, re, struct
		class Victim: pass
		class Number(int): pass
		class Bytes(bytes): pass
		victim = Victim()
		here = id(victim)
		false_bytes = Bytes(struct.pack("Q", here) * 4)
		false_number = Number((here >> 32 << 30) | (here & 0x3fffffff))
		# Sets of characters are bit maps in a pattern's code.
		def bits(shift):
		    found = [i for i in range(160) if here << 32 * shift >> i & 1]
		    return re.compile("[%s]" % "".join("\\x%02x" % i for i in found))
		false_patterns = [bits(0), bits(1)]
		number, some_bytes = Number(1 << 100), Bytes(b"a few bytes more than a word")
		number.has = some_bytes.has = victim
		os.write(1, b"READY\n")
		os.read(0, 1)
	CODE
	start_target digits.py
	run -0 tmbpf heap -p "$TARGET_PID" --referrers __main__.Victim --levels 2 --json
	jq -e 'any(.groups[]; .level == 1 and .type == "dict")' <<<"$output"
	jq -e 'all(.groups[]; .level != 1 or
		(.type | IN("__main__.Bytes", "__main__.Number", "re.Pattern") | not))' \
		<<<"$output"
	jq -e 'any(.groups[]; .level == 2 and .type == "__main__.Bytes")' <<<"$output"
	jq -e 'any(.groups[]; .level == 2 and .type == "__main__.Number")' <<<"$output"
}

@test "heap --referrers: a large file that is mapped is not brought into the process" {
	cat >mapped.py <<-'CODE'
		import mmap, os
		class Victim: pass
		victim = Victim()
		file = os.open("sparse", os.O_RDWR | os.O_CREAT)
		os.ftruncate(file, 1 << 30)
		memory = mmap.mmap(file, 1 << 30, access=mmap.ACCESS_COPY)
		os.write(1, b"READY\n")
		os.read(0, 1)
	CODE
	start_target mapped.py
	run -0 tmbpf heap -p "$TARGET_PID" --referrers __main__.Victim --levels 1
	[[ $output == *'dict: keys ["victim"]'* ]]
	(( $(awk '/^RssFile/ { print $2 }' "/proc/$TARGET_PID/status") < 100000 ))
}

@test "heap: of a process that gives its heap back meanwhile, it says how much" {
	local said=0
	start_target "$TARGETS/trimming.py" 20000
	for _ in {1..25}; do
		tmbpf heap -p "$TARGET_PID" --json >trimmed.json
		# No more than there ever was of it: the blocks of one round, and what the
		# interpreter has.
		jq -e '.malloc_unknown < 50e6 and .malloc_vanished < 50e6' trimmed.json
		jq -e '[.sizes[] | select(.allocator == "malloc") | .total] |
			add < 50e6' trimmed.json
		jq -e '.malloc_vanished == 0' trimmed.json || said=$((said + 1))
	done
	/usr/bin/python3 "$TOP/tests/bats/snapshots.py" valid "$TOP/docs/census.schema.json" \
		<trimmed.json
	# It gives back some hundred times a second.
	((said > 0))
	target_alive
}

@test "heap --referrers: of a process that gives its heap back meanwhile, it finds what is there" {
	start_target "$TARGETS/trimming.py" 20000
	for _ in {1..25}; do
		tmbpf heap -p "$TARGET_PID" --referrers __main__.Known --levels 3 \
			--json >trimmed.json
		jq -e '.groups[0].count == 1000 and .malloc_unknown < 50e6 and
			.malloc_vanished < 50e6' trimmed.json
	done
	/usr/bin/python3 "$TOP/tests/bats/snapshots.py" valid "$TOP/docs/referrers.schema.json" \
		<trimmed.json
	target_alive
}

# heap_unread ARGUMENT...: heap of TARGET_PID ends with 1 and says that objects come from mimalloc;
# what it shows is in ./told
heap_unread()
{
	local status=0
	tmbpf heap -p "$TARGET_PID" "$@" >told 2>told.errors || status=$?
	((status == 1)) || return
	grep -F "process $TARGET_PID allocates its objects by mimalloc, whose heap tmbpf does not" \
		told.errors | grep -F 'does not read'
}

# mimalloc_told: it does so in each of its forms
mimalloc_told()
{
	heap_unread
	grep -F 'not counted: blocks of mimalloc, whose heaps are not read: all objects are' told |
		grep -F 'not read: all objects are among them'
	grep -E '^not accounted for: [0-9.]+ [KM]iB of anonymous memory$' told
	grep -F 'mimalloc, not walked, and other mappings' told
	heap_unread --by size
	grep -F 'not counted: blocks of mimalloc' told
	heap_unread --json -o unread.json
	/usr/bin/python3 "$TOP/tests/bats/snapshots.py" valid "$TOP/docs/census.schema.json" \
		<unread.json
	jq -e '.allocators_unread == "mimalloc" and .objects_unread == "mimalloc" and
		.allocators_unknown == ""' unread.json
	# It cannot be more than all that the process has, and here it is most of that.
	jq -e '.unaccounted > 0.8 * .rss_anonymous and .unaccounted <= .rss_anonymous' unread.json
	heap_unread --format html -o unread.html
	grep -F 'no object is counted: they come from mimalloc' unread.html
	heap_unread --referrers dict
	[[ ! -s told ]]
}

# Objects enough that a short answer shows.
MANY='kept = [{"number": i} for i in range(100000)]
print("READY", flush=True)
input()'

@test "heap: of a process whose objects come from mimalloc, it says that they are not counted" {
	local found=0 python entry
	for python in ~/.pyenv/versions/3.*/bin/python3; do
		[[ -x $python ]] || continue
		"$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' || continue
		PYTHON=("$python")
		PYTHONMALLOC=mimalloc start_target -c "$MANY"
		mimalloc_told
		stop_targets
		PYTHONMALLOC=mimalloc_debug start_target -c "$MANY"
		mimalloc_told
		stop_targets
		found=1
	done
	while IFS= read -r entry; do
		[[ -n $entry ]] || continue
		PYTHON=(chroot "${entry%%:*}" "${entry#*:}")
		PYTHONMALLOC=mimalloc start_target -c "$MANY"
		mimalloc_told
		stop_targets
		found=1
	done < <("$TOP/scripts/roots" --list)
	((found)) || skip "requires a Python 3.13 or later; scripts/roots makes roots with them"
}

@test "heap: it says what is not accounted for of another malloc, and fails where objects are its" {
	local library
	library=$(find /usr/lib -name 'libjemalloc.so.*' | head -n 1)
	[[ $library ]] || skip "requires libjemalloc; scripts/deps test installs it"
	LD_PRELOAD=$library start_target -c "$MANY"
	run -0 tmbpf heap -p "$TARGET_PID"
	[[ $output == *"not counted: blocks of libjemalloc"*"not accounted for: "* &&
		${output#*"not accounted for: "} == *"malloc: libjemalloc"* ]]
	tmbpf heap -p "$TARGET_PID" --json >other.json
	jq -e '(.allocators_unread | startswith("libjemalloc")) and
		.objects_unread == ""' other.json
	jq -e '[.items[] | select(.type == "dict" and .kind == "object") | .count] |
		add >= 100000' other.json
	run -0 tmbpf heap -p "$TARGET_PID" --referrers dict --levels 1
	[[ $output == *"not looked at"*libjemalloc* ]]
	stop_targets
	LD_PRELOAD=$library PYTHONMALLOC=malloc start_target -c "$MANY"
	run -1 --separate-stderr tmbpf heap -p "$TARGET_PID" --json
	jq -e '(.objects_unread | startswith("libjemalloc")) and
		.unaccounted > 0.8 * .rss_anonymous' <<<"$output"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"allocates its objects by libjemalloc"* ]]
}

@test "heap: functions that somebody put before the interpreter's are said to be unknown" {
	start_target "$TARGETS/hooked.py"
	tmbpf heap -p "$TARGET_PID" --json >hooked.json
	jq -e '.allocators_unread == "" and .objects_unread == "" and
		(.allocators_unknown | endswith("obj: code of no file"))' hooked.json
	jq -e '[.items[] | select(.type == "dict" and .kind == "object") | .count] |
		add >= 3000' hooked.json
	run -0 tmbpf heap -p "$TARGET_PID"
	[[ $output == *"perhaps not counted: "*"obj: code of no file"* ]]
	run -0 tmbpf heap -p "$TARGET_PID" --referrers dict --levels 1
	[[ $output == *"perhaps not looked at: "*"obj: code of no file"* ]]
	stop_targets
	start_target "$TARGETS/kinds.py"
	tmbpf heap -p "$TARGET_PID" --json |
		jq -e '.allocators_unread == "" and .allocators_unknown == ""'
}
