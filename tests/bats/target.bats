# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What doctor says of a process: of each interpreter found what it is; of what is none, why not.

# TARGET_PIDS is one test's own.
# shellcheck disable=SC2030,SC2031

load ../helpers

setup()
{
	requires root command:jq
	cd "$BATS_TEST_TMPDIR" || return
}

teardown()
{
	stop_targets
}

# refused STATUS TEXT PID: doctor ends with STATUS and says TEXT, in one line and maybe an advice
refused()
{
	run --separate-stderr tmbpf doctor -p "$3"
	# shellcheck disable=SC2154 # run sets it
	echo "status $status, said: $stderr"
	((status == $1))
	[[ $stderr == "tmbpf: "*"$2"* ]]
	(($(wc -l <<<"$stderr") <= 2))
}

# doctor_field FILTER: of doctor's JSON of the target
doctor_field()
{
	tmbpf doctor -p "$TARGET_PID" --json | jq -r "$1"
}

# found_as_is: doctor sees of the target what the target says of itself; PYTHON is set
found_as_is()
{
	local version
	start_quiet_target "$@"
	IFS= read -r -t "$PATIENCE" -u "$TARGET_OUT" version
	wait_target READY
	tmbpf doctor -p "$TARGET_PID" --json >doctor.json || return
	echo "# ${PYTHON[*]}: $(jq -c '[.python.version, .python.thread_states,
		.allocators]' doctor.json)"
	[[ $(jq .python.hexversion doctor.json) == "$version" ]]
	(($(jq .python.thread_states doctor.json) == 4 + ($# > 1)))
	# Under load one of the threads may be between frames.
	(($(jq .python.thread_states_with_frames doctor.json) >= 4))
	[[ $(jq -c .allocators doctor.json) == \
		'{"raw":"malloc","mem":"pymalloc","obj":"pymalloc"}' ]]
	(($(jq .python.heap.usedpools doctor.json) > 0))
	(($(jq .python.thread.own_offset doctor.json) != 0))
	(($(jq .plan.sites doctor.json) > 10))
	stop_targets
}

@test "the distribution's Python, idle and busy" {
	requires python:/usr/bin/python3
	PYTHON=(/usr/bin/python3)
	found_as_is "$TARGETS/wait.py"
	found_as_is "$TARGETS/wait.py" busy
}

@test "pyenv's Pythons, idle and busy" {
	local found=0 python
	for python in ~/.pyenv/versions/3.*/bin/python3; do
		[[ -x $python ]] || continue
		PYTHON=("$python")
		found_as_is "$TARGETS/wait.py"
		found_as_is "$TARGETS/wait.py" busy
		found=1
	done
	((found)) || skip "no pyenv"
}

@test "uv's Pythons, idle and busy" {
	local found=0 entry
	while IFS=: read -r _ entry; do
		PYTHON=("$entry")
		found_as_is "$TARGETS/wait.py"
		found_as_is "$TARGETS/wait.py" busy
		found=1
	done < <("$TOP/scripts/uv-pythons" --list)
	((found)) || skip "none of uv's Pythons; scripts/uv-pythons fetches them"
}

@test "the Pythons in the roots, idle and busy" {
	local found=0 entry
	while IFS= read -r entry; do
		[[ -n $entry ]] || continue
		cp "$TARGETS/wait.py" "${entry%%:*}/tmp/tmbpf-wait.py"
		PYTHON=(chroot "${entry%%:*}" "${entry#*:}")
		found_as_is /tmp/tmbpf-wait.py
		found_as_is /tmp/tmbpf-wait.py busy
		rm "${entry%%:*}/tmp/tmbpf-wait.py"
		found=1
	done < <("$TOP/scripts/roots" --list)
	((found)) || skip "no roots"
}

@test "a forked child is its own process" {
	requires python:/usr/bin/python3
	start_target -c '
import os, signal
child = os.fork()
if not child:
    signal.pause()
    os._exit(0)
print("READY", flush=True)
print(child, flush=True)
signal.pause()'
	IFS= read -r -t "$PATIENCE" -u "$TARGET_OUT" child
	TARGET_PIDS+=("$child")
	run -0 tmbpf doctor -p "$child" --json
	(($(jq .python.thread_states_with_frames <<<"$output") == 1))
}

@test "allocators by name" {
	requires python:/usr/bin/python3
	PYTHONMALLOC=malloc start_target "$TARGETS/wait.py"
	[[ $(doctor_field '.allocators | .raw, .mem, .obj' | xargs) == "malloc malloc malloc" ]]
	stop_targets
	PYTHONMALLOC=debug start_target "$TARGETS/wait.py"
	[[ $(doctor_field '.allocators | .raw, .obj' | xargs) == \
		"debug over malloc debug over pymalloc" ]]
	stop_targets
	PYTHONMALLOC=debug PYTHONTRACEMALLOC=1 start_target "$TARGETS/wait.py"
	[[ $(doctor_field .allocators.obj) == "tracemalloc over debug over pymalloc" ]]
}

# not_traceable TEXT: doctor says of the target why start refuses it, and is no success; start does
# refuse
not_traceable()
{
	run -1 --separate-stderr tmbpf doctor -p "$TARGET_PID"
	# shellcheck disable=SC2154 # run sets it
	[[ $output == *"allocators "*"sites "* && $stderr == *"$1"* ]]
	run -1 --separate-stderr tmbpf doctor -p "$TARGET_PID" --json
	jq -e --arg text "$1" '.error | contains($text)' <<<"$output"
	run -1 tmbpf start -p "$TARGET_PID"
	[[ $output == *"$1"* ]]
}

@test "a process that cannot be traced is no success: unknown hooks" {
	requires root python:/usr/bin/python3
	start_target "$TARGETS/hooked.py"
	not_traceable "an allocator hook that tmbpf does not know"
}

@test "a process that cannot be traced is no success: mimalloc" {
	requires root
	local found=0 python
	for python in ~/.pyenv/versions/3.*/bin/python3; do
		[[ -x $python ]] || continue
		"$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' || continue
		PYTHON=("$python")
		PYTHONMALLOC=mimalloc start_target "$TARGETS/wait.py"
		not_traceable "allocates its objects by mimalloc"
		[[ $(doctor_field '.allocators | .raw, .mem, .obj' | xargs) == \
			"malloc mimalloc mimalloc" ]]
		stop_targets
		PYTHONMALLOC=mimalloc_debug start_target "$TARGETS/wait.py"
		not_traceable "allocates its objects by mimalloc"
		[[ $(doctor_field .allocators.obj) == "debug over mimalloc" ]]
		stop_targets
		found=1
	done
	((found)) || skip "requires a Python 3.13 or later in pyenv"
}

@test "the report as text" {
	requires python:/usr/bin/python3
	start_target "$TARGETS/wait.py"
	run -0 tmbpf doctor -p "$TARGET_PID"
	[[ $output == *"CPython "*"build-id "*"layout "*"usedpools at 0x"*"obj pymalloc"* ]]
	run -0 tmbpf doctor -p "$TARGET_PID" --sites
	(($(wc -l <<<"$output") > 50))
	run -0 tmbpf doctor
	[[ $output == *BTF*uprobe_multi* ]]
}

@test "an interpreter whose file was deleted" {
	requires python:/usr/bin/python3
	cp /usr/bin/python3 ./python3
	PYTHON=(./python3)
	start_target "$TARGETS/wait.py"
	rm python3
	run -0 tmbpf doctor -p "$TARGET_PID" --json
	[[ $(jq -r .python.version <<<"$output") == 3.* ]]
}

@test "what a process calls itself does not steer the terminal" {
	requires python:/usr/bin/python3
	folder=$PWD/$'esc\e[31m\nnew'
	mkdir "$folder"
	cp /usr/bin/python3 "$folder/python3"
	PYTHON=("$folder/python3")
	start_target "$TARGETS/wait.py" $'\e]0;title\a' $'\xff\xc2\x9b31m'
	run -0 tmbpf doctor -p "$TARGET_PID"
	[[ $output == *"esc"* && $output != *$'\e'* && $output != *$'\a'* && $output != *$'\x9b'* ]]
	run -0 tmbpf doctor -p "$TARGET_PID" --json
	jq -e .process.command <<<"$output"
}

@test "wrong usage" {
	for pid in x 0 -1 12x 99999999999; do
		run -2 tmbpf doctor -p "$pid"
	done
	run -2 tmbpf doctor --sites
	run -2 tmbpf doctor more
}

@test "no process of that id" {
	sleep 0 &
	pid=$!
	wait "$pid"
	refused 3 "no process $pid" "$pid"
	# Beyond what the kernel gives (pid_max is at most 2^22).
	refused 3 "no process 4194305" 4194305
}

@test "not a Python" {
	sleep 100 3>&- &
	TARGET_PIDS+=($!)
	wait_until grep -q sleep "/proc/$!/comm"
	refused 1 "(sleep 100) is not a CPython" "$!"
}

@test "a kernel thread" {
	local pid
	for pid in /proc/[0-9]*; do
		# PF_KTHREAD
		if (($(cut -d' ' -f9 "$pid/stat" 2>/dev/null || echo 0) & 0x200000)); then
			refused 1 "is a kernel thread" "${pid#/proc/}"
			return
		fi
	done
	skip "no kernel thread to be seen"
}

@test "a zombie" {
	# The shell becomes a sleep that does not wait for its child.
	bash -c 'sleep 0.5 & echo $!; exec sleep 100' 3>&- >zombie &
	TARGET_PIDS+=($!)
	wait_until grep -q . zombie
	wait_until grep -q '^State:.Z' "/proc/$(cat zombie)/status"
	refused 1 "is a zombie" "$(cat zombie)"
}

@test "a thread's id" {
	requires python:/usr/bin/python3
	start_target "$TARGETS/wait.py"
	for task in "/proc/$TARGET_PID/task"/*; do
		task=${task##*/}
		((task == TARGET_PID)) ||
			refused 1 "$task is a thread of process $TARGET_PID" "$task"
	done
}

# program_settled PID NAME: whether the shell that is to become the program NAME is it, or has ended
program_settled()
{
	grep -q "$2" "/proc/$1/comm" || ! kill -0 "$1"
}

@test "a 32-bit program" {
	requires command:as command:ld
	# pause(), system call 29
	as --32 -o pause.o - <<-'ASM'
		.globl _start
		_start: mov $29, %eax
		int $0x80
		jmp _start
	ASM
	ld -m elf_i386 -o pause32 pause.o
	./pause32 3>&- &
	TARGET_PIDS+=($!)
	wait_until program_settled "$!" pause32
	kill -0 "$!" || skip "this kernel does not run 32-bit programs"
	refused 1 "is a 32-bit program" "$!"
}

@test "CPython 2.7" {
	local python=(~/.pyenv/versions/2.7.*/bin/python2.7)
	requires "python:${python[0]}"
	PYTHON=("${python[0]}")
	start_target -c '
import sys, time
print("READY")
sys.stdout.flush()
time.sleep(100)'
	refused 1 "CPython 2.7: tmbpf knows 3.6 to 3.15" "$TARGET_PID"
	run -1 --separate-stderr tmbpf run --exact -- "${python[0]}" -c 'print("it ran")'
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *" is a CPython 2: tmbpf knows 3.6 to 3.15" ]]
	[[ $output == "it ran" ]]
}

# poke FILE OFFSET BYTE...: writes bytes, in hexadecimal
poke()
{
	local file=$1 offset=$2
	shift 2
	printf '%b' "$(printf '\\x%s' "$@")" |
		dd of="$file" bs=1 seek="$((offset))" conv=notrunc status=none
}

@test "an interpreter without section headers" {
	requires python:/usr/bin/python3
	cp /usr/bin/python3 ./python3
	# e_shoff, e_shnum, e_shstrndx of Elf64_Ehdr
	poke python3 40 00 00 00 00 00 00 00 00
	poke python3 60 00 00 00 00
	PYTHON=(./python3)
	start_target "$TARGETS/wait.py"
	refused 1 "has no symbols at all" "$TARGET_PID"
}

@test "an interpreter whose dynamic symbols are not to be found" {
	requires python:/usr/bin/python3 command:readelf
	cp /usr/bin/python3 ./python3
	local number headers
	number=$(readelf -SW python3 | sed -n 's/^ *\[ *\([0-9]*\)\] \.dynsym .*/\1/p')
	headers=$(readelf -hW python3 | sed -n 's/.*Start of section headers: *\([0-9]*\).*/\1/p')
	# sh_type of its Elf64_Shdr: SHT_PROGBITS
	poke python3 "headers + 64 * number + 4" 01 00 00 00
	PYTHON=(./python3)
	start_target "$TARGETS/wait.py"
	refused 1 "no symbol _PyRuntime" "$TARGET_PID"
}

@test "an interpreter whose image is damaged" {
	requires python:/usr/bin/python3
	cp /usr/bin/python3 ./python3
	# The section headers lie beyond the end of the file.
	poke python3 40 ff ff ff ff ff ff ff 7f
	PYTHON=(./python3)
	start_target "$TARGETS/wait.py"
	run -1 tmbpf doctor -p "$TARGET_PID"
}

@test "no privileges" {
	requires python:/usr/bin/python3 command:setpriv
	start_target "$TARGETS/wait.py"
	# Where nobody may run it.
	folder=$(mktemp -d)
	chmod 755 "$folder"
	cp "$TMBPF" "$folder/tmbpf"
	TMBPF=$folder/tmbpf run --separate-stderr setpriv --reuid=65534 --clear-groups \
		"$folder/tmbpf" doctor -p "$TARGET_PID"
	((status == 1))
	# shellcheck disable=SC2154 # run sets them
	[[ ${stderr_lines[0]} == *"process $TARGET_PID: cannot "*": Permission denied"* ||
		${stderr_lines[0]} == \
			*"process $TARGET_PID: cannot "*": Operation not permitted"* ]]
	[[ ${stderr_lines[1]} == *"root"* ]]
	# What cannot be tried is not missing.
	TMBPF=$folder/tmbpf run --separate-stderr setpriv --reuid=65534 --clear-groups \
		"$folder/tmbpf" doctor
	rm -r "$folder"
	((status == 1))
	[[ $output == *"BPF             ?  "* && $output != *"uprobe_multi    no"* ]]
	[[ $stderr == *"without privileges"* && $stderr == *"root"* ]]
}
