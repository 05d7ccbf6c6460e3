# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Threads that allocate raw memory at once, most of it where the GIL is released, beside object
allocations."""
import threading
import zlib

BIG = b"".join(b"%d;" % (i * i) for i in range(60000))
PACKED = zlib.compress(BIG)


class Item:
    __slots__ = ("x",)


def inflaters(box, n):
    """Each keeps a window of 32 KiB that inflate allocated with the GIL released."""
    for i in range(n):
        d = zlib.decompressobj()
        box.append(d)
        box.append(len(d.decompress(PACKED[:20000])))


def deflaters(box, n):
    for i in range(n):
        c = zlib.compressobj(1)
        box.append(c)
        box.append(len(c.compress(BIG[:50000])))


def locks(box, n):
    for i in range(n):
        lock = threading.Lock()
        lock.acquire()
        box.append(lock)


def items(box, n):
    for i in range(n):
        box.append(Item())


def temporary(n):
    for i in range(n):
        zlib.decompress(zlib.compress(BIG[:100000], 1))


def run(jobs):
    threads = [threading.Thread(target=f, args=args) for f, args in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def setup():
    box = [None] * 20000
    box.clear()
    run([(inflaters, (box, 2)), (deflaters, (box, 2)), (locks, (box, 2)), (items, (box, 2)),
         (temporary, (1,))])


def work(state):
    boxes = [[] for _ in range(6)]
    run([
        (inflaters, (boxes[0], 60)), (inflaters, (boxes[1], 60)), (deflaters, (boxes[2], 40)),
        (locks, (boxes[3], 2000)), (items, (boxes[4], 10000)), (temporary, (20,)),
    ])
    for n in range(5):
        run([(items, (boxes[5], 500)), (locks, (boxes[5], 100))])
    # The peak is here, where one thread is left, so that it is the same in each run.
    return boxes, bytes(3000000)
