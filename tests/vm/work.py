# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The targets of checks.py: a short piece of work whose blocks tracemalloc counts, and one whose
output is known.

    work.py truth OUT NFRAME    does the work under tracemalloc, and dumps its snapshot to OUT
    work.py traced              READY, a line, the work, DONE, a line, the work once more, AGAIN, a
                                line
    work.py sums ROUNDS         READY, a line, a sum of ROUNDS rounds' results, a line

The work is called from the same line in all of them, so that tracebacks compare frame for frame.
"""
import gc
import json
import os
import sys
import threading
import tracemalloc
import zlib


class Item:
    __slots__ = ("number", "text")

    def __init__(self, number):
        self.number = number
        self.text = "item %d" % number


def deeper(into, count, depth):
    if depth:
        return deeper(into, count, depth - 1)
    for number in range(1000, 1000 + count):
        into.append(Item(number))


def build():
    kept = [bytes(700 + number) for number in range(200)]
    kept.append({"key %d" % number: [number + 1000] * 3 for number in range(500)})
    kept.append(
        json.loads(json.dumps([{"a": str(number), "b": number / 7.0} for number in range(200)])))
    grown = bytearray()
    for number in range(300):
        grown += b"%d " % number
    kept.append(grown)
    for number in range(2000):
        Item(number)
    return kept


def work():
    boxes = [[] for _ in range(3)]
    threads = [
        threading.Thread(target=deeper, args=(box, 1500, 2 + i)) for i, box in enumerate(boxes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deeper(boxes[0], 500, 90)
    return boxes, build()


def said(word):
    os.write(1, word)
    os.read(0, 1)  # WAITS, and holds what it reads into


def round_sum(number):
    kept = build()
    del kept[number % 100]
    return zlib.crc32(json.dumps([repr(each) for each in kept]).encode())


def sums(rounds):
    said(b"READY\n")
    total = 0
    for number in range(rounds):
        total = (total * 31 + round_sum(number)) % (1 << 61)
    said(b"%d\n" % total)


def main():
    how = sys.argv[1]
    if how == "sums":
        return sums(int(sys.argv[2]))
    work()
    gc.collect()
    if how == "truth":
        tracemalloc.start(int(sys.argv[3]))
    else:
        said(b"READY\n")
    kept = work()
    gc.collect()
    if how == "truth":
        tracemalloc.take_snapshot().dump(sys.argv[2])
        return kept
    said(b"DONE\n")
    kept = work()
    said(b"AGAIN\n")
    return kept


if __name__ == "__main__":
    main()
