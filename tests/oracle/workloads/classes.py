# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Only types without a free list are kept: what is seen from outside must agree."""
EXACT = True


class Slot:
    __slots__ = ("a", "b", "c")


def build(n):
    return [Slot() for _ in range(n)]


def text(n):
    return ["item-%07d-%s" % (i, "x" * (i % 300)) for i in range(1000, 1000 + n)]


def blobs(n):
    return [bytes(i % 2000 + 600) for i in range(n)]


def nested(depth, n):
    if depth:
        return nested(depth - 1, n)
    return [Slot() for _ in range(n)]


def churn(n):
    for _ in range(n):
        Slot()


def setup():
    build(10), text(10), blobs(10), nested(3, 3), churn(3)


def work(state):
    kept = [build(20000), text(20000), blobs(3000), nested(12, 5000)]
    churn(20000)
    del kept[1][::2]
    return kept
