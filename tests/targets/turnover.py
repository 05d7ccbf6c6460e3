# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A program whose heap is there when it is traced: then half of it dies, and more than that comes.

Prints READY, waits for a line, works, prints DONE, waits for a line.
"""
import os
import sys


def main():
    old = [("old-%d" % i, [i + 1000]) for i in range(60000)]
    os.write(1, b"READY\n")
    sys.stdin.buffer.raw.read(1)
    del old[::2]
    kept = []
    for i in range(60000):
        kept.append({"key-%d" % i: i + 1000})
        for size in range(8, 512, 56):
            bytes(size)
        if i % 3 == 0:
            kept[i // 2] = None
    os.write(1, b"DONE\n")
    sys.stdin.buffer.raw.read(1)
    return old, kept


if __name__ == "__main__":
    main()
