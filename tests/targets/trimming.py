# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""malloc's heap grows by blocks that it holds for a moment, and gives all of them back to the
kernel at once, without end.

    trimming.py COUNT

COUNT blocks of 600 bytes. A thread that never calls malloc waits beside: who looks for the threads'
caches has to look at all chunks. Prints READY when it has 1000 objects of a class Known and has
grown and shrunk once; then it goes on until it is killed.
"""
import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


class Known:
    pass


def main():
    libc = ctypes.CDLL(None)
    # Nothing goes back before it is told to, and then all does.
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    libc.mallopt(M_TOP_PAD, 0)
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 17)
    thread = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
    known = [Known() for _ in range(1000)]
    count, rounds = int(sys.argv[1]), 0
    while known:
        blocks = dict((i, bytes(567)) for i in range(count))
        # The lowest first: some of these wait in the thread's cache, and those at the end are free.
        blocks.clear()
        libc.malloc_trim(ctypes.c_size_t(0))
        if not rounds:
            os.write(1, b"READY\n")
        rounds += 1


if __name__ == "__main__":
    main()
