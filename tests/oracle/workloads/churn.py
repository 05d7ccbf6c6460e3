# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Code made and dropped without end: functions, classes, lambdas; what they allocated stays.

No list or tuple is kept: one that the compiler gave back to a free list would be taken again.
"""
CLASS_NAMES = ["<class-%d>" % i for i in range(5)]
EVAL_NAMES = ["made-\xe9-%d" % i for i in range(9)]
FILE_NAMES = CLASS_NAMES + EVAL_NAMES


class Kept:
    __slots__ = ("x",)


SOURCE = """
class Made%d:
    def method(self, keep):
        keep.append(Kept())
        keep.append(Kept())
Made%d().method(keep)
"""


def class_round(i, keep):
    exec(compile(SOURCE % (i % 10, i % 10), "<class-%d>" % (i % 5), "exec"),
         {"Kept": Kept, "keep": keep})


def adopt(keep):
    keep.append(Kept())


def eval_round(i, keep):
    """The code allocates through a function of this file: the dropped frame is the caller's."""
    eval(compile("\n" * (i % 30) + "(lambda adopt, keep: adopt(keep))(adopt, keep)",
                 "made-\xe9-%d" % (i % 9), "eval"), {"adopt": adopt, "keep": keep})


def nested_round(i, keep):
    space = {}
    exec(compile("def outer():\n%s def inner(adopt, keep):\n  adopt(keep)\n return inner\n" %
                 ("\n" * (i % 20)), "<nested>", "exec"), space)
    space["outer"]()(adopt, keep)


def setup():
    for i in range(3):
        class_round(i, []), eval_round(i, []), nested_round(i, [])


def work(state):
    keep = []
    for i in range(400):
        class_round(i, keep)
    for i in range(3000):
        eval_round(i, keep)
    for i in range(1500):
        nested_round(i, keep)
    return keep
