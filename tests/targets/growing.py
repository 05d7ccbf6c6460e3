# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs whose growth is known: what a tracer that only samples has to find.

    growing.py SCENARIO [SECONDS]

shares    two lines leak instances of one class, 80 : 20; a third makes ten times as many that go
slow      100 KB/s stay of 100 MB/s (as fast as it gets, where that is slower)
cache     a cache fills, is cleared, and fills again
brief     a line leaks instances of a class of which another one holds the last fifty: their places
          become those of the leak
thread    a worker thread leaks
large     a list of bytearrays of 256 KiB grows
huge      a bytearray of 8 MiB stays every 2 s, among others of 8 MiB that go
native    a library takes 2 MB/s by malloc that stay, and smaller pieces that go: nothing of it is
          Python's
zlib      compressors are kept, about 260 KB each
steady    a queue of constant length: nothing grows

Prints READY and runs for SECONDS (60). On SIGUSR1, and at the end, it says on one line what it
holds: PLACE BLOCKS ...
"""
import collections
import signal
import sys
import threading
import time


class Item:
    __slots__ = ("number", "text")

    def __init__(self, number):
        self.number = number
        self.text = "item %d" % number


kept = {}


def keep(name, thing):
    kept.setdefault(name, []).append(thing)


def tell(*_):
    print(*[word for name, things in kept.items() for word in (name, len(things))], flush=True)


def paced(rate, seconds):
    """Numbers, RATE a second, for SECONDS."""
    begin = time.monotonic()
    number = 0
    while True:
        now = time.monotonic() - begin
        if now >= seconds:
            return
        while number < now * rate:
            yield number
            number += 1
        time.sleep(0.002)


def shares(seconds):
    for number in paced(1000, seconds):
        if number % 5:
            keep("most", Item(number))  # MOST
        else:
            keep("some", Item(number))  # SOME
        for churn in range(10):
            Item(churn)  # CHURN


def slow(seconds):
    for number in paced(1000, seconds):
        keep("slow", b"x" * 67 + b"%d" % (1000000 + number))  # SLOW
        for _ in range(200):
            bytes(450)  # CHURN


def cache(seconds):
    filled = kept["cache"] = {}
    for number in paced(2000, seconds):
        filled[number] = Item(number)  # CACHE
        if number == 1000 * int(seconds):
            filled.clear()


def brief(seconds):
    recent = collections.deque(maxlen=50)
    for number in paced(1000, seconds):
        keep("brief", Item(number))  # KEPT
        recent.append(Item(-number))  # BRIEF


def thread(seconds):
    def work():
        for number in paced(1000, seconds):
            keep("worker", Item(number))  # WORKER

    worker = threading.Thread(target=work)
    worker.start()
    for number in paced(5000, seconds):
        Item(number)  # CHURN
    worker.join()


def large(seconds):
    for number in paced(20, seconds):
        keep("large", bytearray(262144))  # LARGE
        for _ in range(20):
            bytearray(4096)  # CHURN


def huge(seconds):
    size = 8 << 20
    for number in paced(10, seconds):
        bytearray(size)  # CHURN
        if number % 20 == 0:
            keep("huge", bytearray(size))  # HUGE


def native(seconds):
    import ctypes  # not every Python has it
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    for number in paced(20, seconds):
        libc.free(libc.memset(libc.malloc(65536), 1, 65536))  # CHURN
        if number % 10 == 0:
            keep("native", libc.memset(libc.malloc(1 << 20), 1, 1 << 20))  # NATIVE


def zlib_(seconds):
    import zlib  # nor this
    for number in paced(20, seconds):
        zlib.compressobj()  # CHURN
        if number % 4 == 0:
            keep("zlib", zlib.compressobj())  # ZLIB


def steady(seconds):
    queue = collections.deque(maxlen=20000)
    for number in paced(5000, seconds):
        queue.append(Item(number))  # QUEUE
        Item(number)  # CHURN


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    print("READY", flush=True)
    scenario = globals()[{"zlib": "zlib_"}.get(sys.argv[1], sys.argv[1])]
    scenario(float(sys.argv[2]) if len(sys.argv) > 2 else 60)
    tell()
