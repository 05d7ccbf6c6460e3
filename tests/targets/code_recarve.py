# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Code objects whose memory becomes something else before it is a code object's again.

    code_recarve.py [ROUNDS]

Needs Python 3.8. As code_churn.py, but a round (of 200) keeps 600 functions at a time, drops them
all, and fills the memory that their code objects gave back with blocks of another size, which it
drops as well. So where a code object was, something else's middle is for a while.
"""
import os
import sys

from code_churn import Kept, one, report

BATCH = 600


def fill(size):
    return [bytes(size) for _ in range(200000 // size)]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    keep, expected = Kept(), {}
    one(0, Kept(), {})
    os.write(1, b"READY\n")
    sys.stdin.readline()
    for number in range(rounds):
        functions = [one(number * BATCH + i, keep, expected) for i in range(BATCH)]
        del functions[:]
        # Over pymalloc's own size, it would be malloc's.
        fill(40 + 48 * number % 400)
    report(expected)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
