# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# malloc's heaps: what is found from outside against mallinfo2() of each C library found.

load ../helpers

setup()
{
	LIVE_TEST=$TOP/build/tests/unit/test_glibc_live
	[[ -x $LIVE_TEST ]] || make -s -C "$TOP" build/tests/unit/test_glibc_live
}

# malloc_agrees THREADS SEED COMMAND...: a Python
malloc_agrees()
{
	local threads=$1 seed=$2 pid inside rest status=0
	shift 2
	echo "# $*, $threads threads, seed $seed"
	coproc TARGET { exec "$@" -c "$(cat "$TOP/tests/targets/mallinfo.py")" "$threads" "$seed"; }
	# Its pid as we see it is the coprocess's.
	pid=$TARGET_PID
	read -r -t 60 inside rest <&"${TARGET[0]}"
	[[ -n $inside ]]
	TMBPF_MALLINFO="$pid $rest" "$LIVE_TEST" || status=$?
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	return "$status"
}

@test "malloc's heaps of the distribution's Python" {
	requires root python:/usr/bin/python3
	malloc_agrees 0 1 /usr/bin/python3
	malloc_agrees 4 1 /usr/bin/python3
	malloc_agrees 4 2 /usr/bin/python3
}

@test "malloc's heaps in the roots" {
	requires root
	local found=0 each
	while IFS= read -r each; do
		malloc_agrees 4 3 chroot "${each%:*}" "${each##*:}"
		found=1
	done < <("$TOP/scripts/roots" --list)
	((found)) || skip "scripts/roots made none"
}
