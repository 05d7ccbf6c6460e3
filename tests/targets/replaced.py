# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Becomes another program in the same process.

    replaced.py COMMAND...

Keeps ten thousand objects from hold(), prints READY, waits for a line, prints HELD, waits for
another, and then exec()s COMMAND.
"""
import os
import sys


class Held:
    __slots__ = ("x",)


def hold(n):
    return [Held() for _ in range(n)]


def main():
    hold(10)
    os.write(1, b"READY\n")
    sys.stdin.readline()
    held = hold(10000)
    os.write(1, b"HELD\n")
    sys.stdin.readline()
    os.execvp(sys.argv[1], sys.argv[1:])
    return held


if __name__ == "__main__":
    main()
