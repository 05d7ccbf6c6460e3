# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A program that keeps everything it allocates, and counts it by sys.getallocatedblocks().

Prints READY, waits for a line, allocates, prints DONE, waits for a line, prints the growth of the
count as one number. Between the two counts nothing older is freed, no garbage is collected, and
nothing asks PyMem_RawMalloc itself (which the count leaves out): so the growth is the number of
blocks that were allocated since, and are live. It counts just before it waits, after it has said
so:
what a free list keeps, or gives up, of a call between the two would be counted on one side only
(3.14's write gives up one block, in one of eight runs). So who asks for it waits until it waits.
"""
import array
import gc
import os
import sys


class Slots:
    __slots__ = ("a", "b")


class Plain:
    def __init__(self, number):
        self.number = number


def deep(depth, into, n):
    if depth:
        deep(depth - 1, into, n)
    for _ in range(n):
        into.append(Slots())


def fill(n):
    into = [[Slots() for _ in range(4 * n)]]
    into.append(["text-%d" % i for i in range(n)])
    into.append([(i + 1000, "x" * (i % 700)) for i in range(n)])
    into.append({"key-%d" % i: [i + 1000] for i in range(n)})
    into.append([Plain(i) for i in range(n)])
    into.append([bytes(i) for i in range(2, 1500)])
    into.append([bytearray(b"y") * (i % 3000) for i in range(1500)])
    into.append({i * 1.5 for i in range(n)})
    into.append([lambda i=i: i for i in range(n)])
    deep(40, into, 20)
    return into


def grow(n):
    """Reallocs: pymalloc's own, over its border, and malloc's."""
    out = []
    for i in range(n):
        b = bytearray(1)
        for _ in range(i % 30):
            b += b"0123456789abcdef0123456789abcdef"
        out.append(b)
    return out


def main():
    counts = array.array("q", [0, 0])
    box = bytearray(1)
    read = sys.stdin.buffer.raw.readinto
    ready, done = b"READY\n", b"DONE\n"
    gc.disable()
    for _ in range(2):
        fill(20), grow(20)
    gc.collect()
    os.write(1, ready)
    counts[0] = sys.getallocatedblocks()
    counts[0] = sys.getallocatedblocks()
    read(box)
    kept = fill(20000), grow(3000)
    os.write(1, done)
    counts[1] = sys.getallocatedblocks()
    counts[1] = sys.getallocatedblocks()
    read(box)
    os.write(1, b"%d\n" % (counts[1] - counts[0]))
    return kept


if __name__ == "__main__":
    main()
