# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Functions compiled, run and dropped without end: code objects come and go at the same addresses.

So do the strings that name their files.
"""
EXACT = True
FILE_NAMES = ["<made-%d>" % i for i in range(7)]


class Kept:
    __slots__ = ("x",)


SOURCE = """def f%d():
    keep.append(Kept())
f%d()
"""


def one(i, keep):
    source = "\n" * (i % 50) + SOURCE % (i, i)
    exec(compile(source, "<made-%d>" % (i % 7), "exec"), {"Kept": Kept, "keep": keep})


def setup():
    one(0, [])


def work(state):
    keep = []
    for i in range(3000):
        one(i, keep)
    return [keep, [Kept() for _ in range(5000)]]
