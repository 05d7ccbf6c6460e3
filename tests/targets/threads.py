# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A program of which KEPT threads wait and others come and go all the time; these touch memory
anew.

    threads.py KEPT

Prints READY, waits for a line.
"""
import mmap
import os
import sys
import threading

end = threading.Event()
for _ in range(int(sys.argv[1])):
    threading.Thread(target=end.wait, daemon=True).start()


def touch():
    with mmap.mmap(-1, 1 << 20) as memory:
        for at in range(0, 1 << 20, 4096):
            memory[at] = 1


def come_and_go():
    while True:
        threads = [threading.Thread(target=touch) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


threading.Thread(target=come_and_go, daemon=True).start()
os.write(1, b"READY\n")
os.read(0, 1)
