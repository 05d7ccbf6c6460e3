# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Line tables: ours against PyCode_Addr2Line of each interpreter found, on functions made by chance.

load ../helpers

setup()
{
	LINES_TEST=$TOP/build/tests/unit/test_lines
	[[ -x $LINES_TEST ]] || make -s -C "$TOP" build/tests/unit/test_lines
}

# lines_agree COMMAND...: a Python
lines_agree()
{
	local file=$BATS_TEST_TMPDIR/lines
	echo "# $*"
	PYTHONDONTWRITEBYTECODE=1 "$@" -c "$(cat "$TOP/tests/unit/lines.py")" "${SEED:-1}" >"$file"
	TMBPF_LINES=$file "$LINES_TEST"
}

@test "lines of the distribution's Python" {
	requires python:/usr/bin/python3
	lines_agree /usr/bin/python3
}

@test "lines of pyenv's Pythons" {
	local found=0 python
	for python in ~/.pyenv/versions/3.*/bin/python3; do
		[[ -x $python ]] || continue
		lines_agree "$python"
		found=1
	done
	((found)) || skip "no pyenv"
}

@test "lines of the Pythons in the roots" {
	requires root
	local found=0 entry
	while IFS= read -r entry; do
		[[ -n $entry ]] || continue
		lines_agree chroot "${entry%%:*}" "${entry#*:}"
		found=1
	done < <("$TOP/scripts/roots" --list)
	((found)) || skip "no roots"
}
