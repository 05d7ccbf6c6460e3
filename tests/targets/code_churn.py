# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Makes, runs and drops a million code objects; a few of the blocks that they allocated are kept.

    code_churn.py [COUNT]

Needs Python 3.8. Prints READY, waits for a line, and runs COUNT (1000000) functions, each with a
code object, a file name and a line of its own choice, that is gone before the next one is made. One
in 500 keeps a Kept. Then it prints a line of JSON, what is expected of the tracer: how many Kept
each (file name, line) of the dropped functions holds, and waits for another line.
"""
import json
import os
import sys
import types


class Kept:
    __slots__ = ("x",)

    def __init__(self):
        self.x = None


def adopt(keep):
    """Chained, so that nothing but a Kept is allocated for it."""
    made = Kept()
    made.x = keep.x
    keep.x = made


def brush(keep):
    Kept()


def keeper(adopt, keep):
    adopt(keep)


def dropper(brush, keep):
    brush(keep)


def one(number, keep, expected):
    keeps = number % 500 == 0
    file = "<churned-%d>" % (number // 500 % 37)
    line = 1 + number * 7 % 3001
    template = keeper if keeps else dropper
    code = template.__code__.replace(co_filename=file, co_firstlineno=line,
                                     co_name="f%d" % (number % 1000))
    function = types.FunctionType(code, {})
    function(adopt if keeps else brush, keep)
    if keeps:
        # The call stands in the line after the def.
        at = (file, line + 1)
        expected[at] = expected.get(at, 0) + 1
    return function


def report(expected):
    """What the tracer is to find, as a line of JSON."""
    found = [[file, line, n] for (file, line), n in sorted(expected.items())]
    os.write(1, json.dumps({"kept": sum(expected.values()), "expected": found}).encode() + b"\n")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    keep, expected = Kept(), {}
    for number in range(1000):
        one(number, Kept(), {})
    os.write(1, b"READY\n")
    sys.stdin.readline()
    for number in range(count):
        one(number, keep, expected)
    report(expected)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
