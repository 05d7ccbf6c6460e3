# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Fills tables, forks, and works on with what was inherited: the child of a child as well.

    forked.py GENERATIONS [TRUTH NFRAME]

Says READY and waits for a line, fills, and says `filled`. Then for each generation, a line each:
forks, whereupon the child says `child PID`; frees half, changes and adds in the child, which says
`done`. A last line ends all. With TRUTH tracemalloc is on from READY on, and the last child leaves
its snapshot there, and its current and peak in TRUTH.memory.
"""
import gc
import json
import os
import sys
import tracemalloc

KEPT = {}


class Entry:
    def __init__(self, number):
        self.number = number
        self.name = "entry %d" % number


def fill():
    KEPT["lists"] = [[str(i), float(i), bytes(i % 1500)] for i in range(20000)]
    KEPT["entries"] = [Entry(i) for i in range(5000)]
    KEPT["table"] = {i: (i, str(i)) for i in range(5000)}
    KEPT["buffers"] = [bytearray(700 + i) for i in range(500)]
    KEPT["large"] = [bytes(300000 + i) for i in range(20)]


def work(generation):
    del KEPT["lists"][::2]
    del KEPT["large"][::3]
    for i in range(0, 5000, 2):
        KEPT["table"].pop(i, None)
    for entry in KEPT["entries"][::5]:
        entry.name = "changed %d" % generation
    for buffer in KEPT["buffers"][::3]:
        buffer.extend(bytes(2000))
    KEPT[generation] = [{"number": i, "text": "new %d" % i} for i in range(3000)]
    KEPT["lists"].extend([str(-i)] for i in range(4000))


def wait():
    while os.read(0, 1) not in (b"\n", b""):
        pass


def say(text):
    os.write(1, text.encode() + b"\n")


def descend(generation, last):
    """Returns in the last child alone."""
    wait()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)
    gc.collect()  # nor what was done at the fork, before the child is traced
    say("child %d" % os.getpid())
    wait()
    work(generation)
    gc.collect()  # nor is what taking a snapshot would take from them
    say("done")
    if generation < last:
        descend(generation + 1, last)


def main():
    truth = sys.argv[2:]
    # Before that collection: int() leaves one on 3.15's free list, which tracemalloc would not know
    # when it comes back.
    nframe = int(truth[1]) if truth else 1
    # What waits on free lists is from before tracing, and would not be the same in both runs.
    gc.collect()
    say("READY")
    wait()
    if truth:
        tracemalloc.start(nframe)
    fill()
    say("filled")
    if int(sys.argv[1]):
        descend(1, int(sys.argv[1]))
    wait()
    if truth:
        memory = tracemalloc.get_traced_memory()
        tracemalloc.take_snapshot().dump(truth[0])
        with open(truth[0] + ".memory", "w") as f:
            json.dump(memory, f)


if __name__ == "__main__":
    main()
