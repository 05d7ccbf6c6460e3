# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Blocks of malloc's in the main thread and in others, a part of them freed; says PID FORDBLKS
UORDBLKS HBLKHD, its own mallinfo2(), and waits for a line.

    mallinfo.py [THREADS [SEED]]
"""
import ctypes
import os
import random
import sys
import threading


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t) for name in
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def work(keep, seed):
    chance = random.Random(seed)
    blocks = [bytearray(chance.randrange(513, 20000)) for _ in range(2000)]
    blocks += [u"\u00e9" * chance.randrange(600, 3000) for _ in range(500)]
    chance.shuffle(blocks)
    del blocks[800:]
    blocks += [bytearray(chance.randrange(200000, 5000000)) for _ in range(5)]
    keep.append(blocks)


def main():
    threads, seed = (int(word) for word in (sys.argv[1:] + ["4", "1"][len(sys.argv) - 1:]))
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    keep, over, ready = [], threading.Event(), threading.Semaphore(0)

    def run(number):
        work(keep, number)
        ready.release()
        # Its cache lives as long as it does.
        over.wait()

    work(keep, seed)
    for i in range(threads):
        threading.Thread(target=run, args=(seed + 1 + i,), daemon=True).start()
        ready.acquire()
    for turn in range(3):
        # What the first times allocate is there at the last.
        info = mallinfo()
        line = ("%d %d %d %d\n" % (os.getpid(), info.fordblks, info.uordblks, info.hblkhd)).encode()
        if turn == 2:
            os.write(1, line)
    os.read(0, 1)


main()
