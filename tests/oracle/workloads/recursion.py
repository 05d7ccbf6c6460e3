# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Recursion 300 deep, past any usual number of frames: kept at the bottom, at each level and on the
way back."""
EXACT = True


class Level:
    __slots__ = ("depth", "inner", "extra")


def down(depth):
    level = Level()
    level.inner = down(depth - 1) if depth else bottom()
    level.extra = Level()
    return level


def bottom():
    return [Level() for _ in range(50)]


def odd(depth):
    return even(depth - 1) if depth else bottom()


def even(depth):
    return odd(depth - 1) if depth else bottom()


def wide(depth):
    """Each level calls twice, from two lines."""
    if not depth:
        return [Level() for _ in range(3)]
    left = wide(depth - 1)
    right = wide(depth - 1)
    return [left, right]


def setup():
    down(300), odd(300), even(299), wide(3)


def work(state):
    kept = [None] * 64
    for i in range(20):
        kept[i] = down(300)
    for i in range(20, 60):
        kept[i] = odd(280 + i)
    kept[60] = wide(9)
    return kept
