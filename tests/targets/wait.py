# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Threads that wait, some of them deep down. Says its version as a number, then READY; ends when
its standard input does. `busy` as an argument adds a thread that computes all the time."""
import sys
import threading

done = threading.Event()


def deep(depth):
    if depth:
        return deep(depth - 1)
    return done.wait()


def busy():
    while not done.is_set():
        [number for number in range(100)]


threads = [threading.Thread(target=deep, args=(5 * i,)) for i in range(3)]
if "busy" in sys.argv:
    threads.append(threading.Thread(target=busy))
for thread in threads:
    thread.start()
print(sys.hexversion)
print("READY")
sys.stdout.flush()
sys.stdin.read()
done.set()
