# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Four threads allocate at once, each from its own call path."""
import threading

EXACT = True


class Item:
    __slots__ = ("x",)


def fill(into, n):
    for _ in range(n):
        into.append(Item())


def deeper(into, n, depth):
    if depth:
        return deeper(into, n, depth - 1)
    fill(into, n)


def setup():
    into = [None] * 100000
    into.clear()
    deeper(into, 5, 3)
    t = threading.Thread(target=fill, args=([], 3))
    t.start()
    t.join()


def work(state):
    boxes = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=deeper, args=(box, 10000, 2 + i)) for i, box in enumerate(boxes)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return boxes
