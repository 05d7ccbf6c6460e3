# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Takes memory as it is told. Prints READY, then obeys lines on its standard input, each answered
by `done`:

    fill BYTES   takes so many, and writes to each page
    keep COUNT   keeps so many objects, in keep()
    end          ends
"""
import os
import sys

HELD = []


class Kept:
    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


def fill(size):
    HELD.append(b"\1" * size)


def keep(count):
    HELD.append([Kept(number) for number in range(count)])


def main():
    keep(1000)
    os.write(1, b"READY\n")
    for line in sys.stdin:
        command, _, number = line.strip().partition(" ")
        if command == "end":
            break
        {"fill": fill, "keep": keep}[command](int(number))
        os.write(1, b"done\n")


if __name__ == "__main__":
    main()
