# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Files made to do harm, and damaged ones: what is made and held of each is in hostile.py.

load ../helpers

setup()
{
	requires python:/usr/bin/python3
}

# hostile PART: prints what hostile.py says
hostile()
{
	run /usr/bin/python3 "$TOP/tests/bats/hostile.py" "$1" "$TMBPF" "$BATS_TEST_TMPDIR"
	echo "$output" | tail -n 20
	((status == 0))
	echo "# $output" >&3
}

@test "hostile: cut off at each byte" {
	hostile truncated
}

@test "hostile: bits of each byte flipped; what is taken is what Python reads" {
	hostile flipped
}

@test "hostile: a pickle's opcodes in another order; what is taken is what Python reads" {
	hostile spliced
}

@test "hostile: what a pickle would run or import is refused with its offset, and not done" {
	hostile payloads
}

@test "hostile: claims of sizes, and ten million frames, take little memory" {
	hostile claims
}

@test "hostile: gzip bombs take bounded memory" {
	hostile bombs
}
