# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A workload for parity's target.py: blocks of other domains than Python's own, told of to
tracemalloc as extensions do.

By ctypes, for every Python; where numpy is there and TMBPF_NUMPY is set, by numpy. Addresses are
made up: nobody looks there.
"""
import ctypes
import os
import sys
import threading

SHAPES, FEW, MANY = 389047, 7, 4294967295


def functions(library):
    """Track and untrack; 3.6 has them under older names."""
    before = "_" if sys.version_info < (3, 7) else ""
    track = getattr(library, before + "PyTraceMalloc_Track")
    untrack = getattr(library, before + "PyTraceMalloc_Untrack")
    track.argtypes = [ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t]
    untrack.argtypes = [ctypes.c_uint, ctypes.c_size_t]
    return track, untrack


class Blocks:
    def __init__(self):
        self.track, self.untrack = functions(ctypes.pythonapi)
        # The same without the GIL.
        self.track_free, self.untrack_free = functions(ctypes.CDLL(None))

    def kept(self):
        for i in range(200):
            self.track(SHAPES, 0x100000000 + 4096 * i, 100 + i)
        for i in range(0, 200, 3):
            self.untrack(SHAPES, 0x100000000 + 4096 * i)

    def replaced(self):
        for size in (10, 3000000000, 30):
            self.track(SHAPES, 0x200000000, size)

    def equal_addresses(self):
        for domain in (SHAPES, FEW, MANY):
            self.track(domain, 0x300000000, 64)
        self.untrack(FEW, 0x300000000)
        # None of these is there.
        self.untrack(FEW, 0x300000010)
        self.untrack(12345, 0x300000000)

    def nothing(self):
        self.track(FEW, 0x400000000, 0)

    def deep(self, depth):
        if depth:
            self.deep(depth - 1)
        else:
            self.track(MANY, 0x500000000, 1 << 40)

    def threads(self):
        def run(first):
            for i in range(100):
                self.track_free(FEW, first + 64 * i, 64)
            for i in range(50):
                self.untrack_free(FEW, first + 64 * i)

        threads = [threading.Thread(target=run, args=(0x600000000 + (n << 24),)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def numpy_arrays(numpy):
    kept = [numpy.zeros(n, dtype="u1") for n in (1, 100, 1023, 1024, 5000, 100000, 5000000)]
    kept += [numpy.arange(n) for n in range(1, 300, 7)]
    # Small ones that come and go are numpy's own to cache.
    for n in range(1, 200):
        numpy.ones(n % 40)
    table = numpy.ones((50, 60))
    kept.append(table.T @ table)
    kept.append(numpy.concatenate(kept[:5]))
    grown = numpy.arange(10)
    grown.resize(100000, refcheck=False)
    kept.append(grown)
    kept.append(numpy.array(["a", "bcd"] * 100))
    kept.append([numpy.random.RandomState(1).rand(n) for n in (3, 3000)])
    return kept


def setup():
    numpy = None
    if os.environ.get("TMBPF_NUMPY"):
        import numpy
        # What it makes once and keeps.
        numpy_arrays(numpy)
    blocks = Blocks()
    # Once before: what these calls make once is there then.
    blocks.track(FEW, 0x10, 1)
    blocks.untrack(FEW, 0x10)
    return numpy, blocks


def work(state):
    numpy, blocks = state
    blocks.kept()
    blocks.replaced()
    blocks.equal_addresses()
    blocks.nothing()
    blocks.deep(40)
    blocks.threads()
    return numpy_arrays(numpy) if numpy else None
