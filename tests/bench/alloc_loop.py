# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""An allocation loop: small objects are made and freed, and little else is done.

An iteration makes and frees eight blocks, none of a type that has a free list: four instances with
slots, two bytes objects and two strings, eight frames deep. See loop.py for the arguments.
"""
import loop


class Point:
    __slots__ = ("x", "y", "next")


def make(payload):
    a, b, c, d = Point(), Point(), Point(), Point()
    a.next, b.next, c.next = b, c, d
    a.x = payload + b"tail"
    b.x = payload * 3
    c.x = TEXT + "suffix"
    d.x = TEXT * 2
    return a


TEXT = "a short text"


def step(payload, n):
    for _ in range(n):
        make(payload)


def outer(n):
    return middle(n)


def middle(n):
    return inner(n)


def inner(n):
    return step(b"0123456789abcdef0123456789abcdef", n)


if __name__ == "__main__":
    loop.main(outer, 500, __doc__)
