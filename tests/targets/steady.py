# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Prints the same lines in each run, as fast as it can compute them, for a test of what it prints.

    steady.py LINES

Prints READY, waits for a line, prints LINES lines, each a checksum over all that was done so far,
then ENDED.
"""
import os
import sys
import zlib


def step(number, sum_so_far):
    table = {"key-%d" % i: [i * number, "x" * (i % 300)] for i in range(100)}
    return zlib.crc32(repr(sorted(table.items())).encode(), sum_so_far)


def main():
    lines = int(sys.argv[1])
    os.write(1, b"READY\n")
    sys.stdin.readline()
    total = 0
    for number in range(lines):
        total = step(number, total)
        os.write(1, b"%d %08x\n" % (number, total))
    os.write(1, b"ENDED\n")


if __name__ == "__main__":
    main()
