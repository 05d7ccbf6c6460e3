# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# What the bats files share: `load ../helpers` in each.
#
#   setup() { requires root kernel>=6.6; }
#   teardown() { stop_targets; }
#   @test "..." {
#           start_target "$TARGETS/leak.py"         # waits for its READY
#           run -0 tmbpf start -p "$TARGET_PID" --exact
#           tell_target                             # a line on its standard input
#           wait_target DONE                        # a line on its standard output
#   }

bats_require_minimum_version 1.5.0

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for the tests
TARGETS=$TOP/tests/targets
TMBPF=${TMBPF:-$TOP/build/tmbpf}
# How long anything may take that a test waits for, in seconds: a last resort, however busy the
# machine is.
PATIENCE=${PATIENCE:-240}

# The program under test. It must not keep what bats has open: a session that did would keep bats
# from ending.
tmbpf()
{
	"$TMBPF" "$@" 3>&-
}

# The sessions of a test are its own.
if [[ ${BATS_TEST_TMPDIR:-} ]]; then
	export TMBPF_RUN=$BATS_TEST_TMPDIR/run
	[[ -d $TMBPF_RUN ]] || mkdir -m 700 "$TMBPF_RUN"
fi

# in_short SHORT ALL: SHORT in make check, ALL in make check-all and where nothing is said of it
in_short()
{
	[[ ${TMBPF_SHORT:-} ]] && echo "$1" || echo "$2"
}

# go_pprof ARGUMENT...: Go's pprof, which newer Gos build when it is first called
go_pprof()
{
	GOTOOLCHAIN=local GOCACHE=${TMBPF_CACHE:-/var/cache/tmbpf}/go go tool pprof "$@"
}

# version_at_least HAVE WANTED
version_at_least()
{
	[[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# requires WORD...: skips the test where one is not met. A word: root; kernel>=N.M; a command
# (command:NAME); an interpreter (python:PATH); a module of /usr/bin/python3's (module:django); a
# root of scripts/roots (root:python3.14); a CPython of scripts/uv-pythons (uv:3.10).
requires()
{
	local word
	for word in "$@"; do
		case $word in
		root) ((EUID == 0)) || skip "requires root" ;;
		kernel'>='*)
			version_at_least "$(uname -r)" "${word#*>=}" ||
				skip "requires $word, this is $(uname -r)"
			;;
		command:*)
			command -v "${word#*:}" >/dev/null || skip \
				"requires the command ${word#*:}; scripts/deps test installs it"
			;;
		module:*)
			/usr/bin/python3 -c "import ${word#*:}" 2>/dev/null ||
				skip "requires the module ${word#*:}; scripts/deps test installs it"
			;;
		python:*) [[ -x ${word#*:} ]] || skip "requires the interpreter ${word#*:}" ;;
		root:*)
			[[ -n $(python_root "${word#*:}") ]] ||
				skip "requires the root with ${word#*:}; scripts/roots makes it"
			;;
		uv:*)
			[[ -n $(uv_python "${word#*:}") ]] ||
				skip \
				"requires uv's CPython ${word#*:}; scripts/uv-pythons fetches it"
			;;
		*)
			echo "requires: no such requirement: $word" >&2
			return 1
			;;
		esac
	done
}

# python_root python3.14: the root that has it, or nothing
python_root()
{
	"$TOP/scripts/roots" --list | sed -n "s/:$1\$//p" | head -n 1
}

# uv_python 3.10: the program of that name that scripts/uv-pythons has fetched, or nothing
uv_python()
{
	"$TOP/scripts/uv-pythons" --list | sed -n "s/^$1://p"
}

# wait_until COMMAND...: tries until COMMAND succeeds; fails when PATIENCE is over
wait_until()
{
	# SECONDS counts whole ones, which would take up to one from PATIENCE.
	local end=$((${EPOCHREALTIME/[.,]/} + PATIENCE * 1000000))
	until "$@"; do
		if ((${EPOCHREALTIME/[.,]/} >= end)); then
			echo "gave up after $PATIENCE s waiting for: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

TARGET_PIDS=()

# start_target ARGUMENT...: runs ${PYTHON:-/usr/bin/python3} ARGUMENT..., waits for its READY.
# PYTHON may be several words in an array. Sets TARGET_PID, and TARGET_IN and TARGET_OUT, the
# descriptors of its standard input and output; what it writes to standard error is in TARGET_ERR.
start_target()
{
	start_quiet_target "$@"
	wait_target READY
}

# The same for a program that says nothing.
start_quiet_target()
{
	local folder
	[[ -v PYTHON ]] || local PYTHON=(/usr/bin/python3)
	folder=$(mktemp -d "$BATS_TEST_TMPDIR/target.XXXXXX")
	mkfifo "$folder/in" "$folder/out"
	TARGET_ERR=$folder/err
	PYTHONDONTWRITEBYTECODE=1 exec_target "${PYTHON[@]}" "$@" \
		<"$folder/in" >"$folder/out" 2>"$TARGET_ERR" 3>&- &
	TARGET_PID=$!
	TARGET_PIDS+=("$TARGET_PID")
	exec {TARGET_IN}>"$folder/in" {TARGET_OUT}<"$folder/out"
}

# Replaces the background shell, so that its pid is the program's.
exec_target()
{
	exec "$@"
}

# tell_target [LINE]
tell_target()
{
	echo "${1:-}" >&"$TARGET_IN"
}

# wait_target WORD: reads what the target prints until a line is WORD
wait_target()
{
	local line
	while IFS= read -r -t "$PATIENCE" -u "$TARGET_OUT" line; do
		[[ $line != "$1" ]] || return 0
	done
	echo "the target $TARGET_PID did not print $1; its standard error:" >&2
	cat "$TARGET_ERR" >&2
	return 1
}

# Ends what start_target started; for teardown.
stop_targets()
{
	local pid
	for pid in "${TARGET_PIDS[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	TARGET_PIDS=()
}

target_alive()
{
	kill -0 "$TARGET_PID" 2>/dev/null
}

# fails_with STATUS TEXT COMMAND...: no output, and TEXT among the messages
fails_with()
{
	local expected=$1 text=$2
	shift 2
	run --separate-stderr -"$expected" "$@"
	# shellcheck disable=SC2154 # run sets it
	if [[ $stderr != *"$text"* || -n $output ]]; then
		printf '%s\nstandard error: %s\nstandard output: %s\n' "$*" "$stderr" "$output" >&2
		return 1
	fi
}

# mount_small OPTION: a file system of its own at ./small, `size=64k` or `ro`; umount_small in
# teardown
mount_small()
{
	mkdir small && mount -t tmpfs -o "$1" tmbpf-test small
}

umount_small()
{
	if mountpoint -q "$BATS_TEST_TMPDIR/small"; then
		umount "$BATS_TEST_TMPDIR/small"
	fi
}
