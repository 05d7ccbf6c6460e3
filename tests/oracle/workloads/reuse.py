# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Blocks freed and taken again: the address is the same, the line another; cycles; every order of
freeing."""
import random

EXACT = True


class Small:
    __slots__ = ("a",)


class Pair:
    __slots__ = ("left", "right", "extra", "more")


def first(n):
    return [Small() for _ in range(n)]


def second(n):
    return [Small() for _ in range(n)]


def pairs(n):
    return [Pair() for _ in range(n)]


def texts(n, size):
    return ["x" * (size + i % 40) + str(i) for i in range(n)]


def blobs(n, size):
    return [bytes(size + i % 4000) for i in range(n)]


def cycles(n):
    for _ in range(n):
        a, b = Loop(), Loop()
        a.other, b.other = b, a


class Loop:
    __slots__ = ("other",)


def thin(kept, order):
    """Drops half of KEPT in an order of its own."""
    for i in order:
        kept[i] = None
    return kept


def setup():
    first(2), second(2), pairs(2), texts(2, 100), blobs(2, 600), cycles(2)
    orders = random.Random(7)
    mixed = list(range(0, 8000, 2))
    orders.shuffle(mixed)
    return mixed


def work(mixed):
    kept = []
    for _ in range(10):
        first(2000)
        pairs(1000)
    kept.append(second(4000))
    kept.append(thin(first(8000), mixed))
    kept.append(second(3000))
    kept.append(thin(texts(8000, 60), mixed))
    kept.append(texts(3000, 60))
    kept.append(thin(pairs(8000), range(7999, 4000, -1)))
    kept.append(pairs(2000))
    for size in (600, 5000, 130000):
        blobs(40, size)
        kept.append(blobs(40, size + 100))
    cycles(3000)
    return kept
