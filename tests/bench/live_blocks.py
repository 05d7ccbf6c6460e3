# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Keeps many small objects, from a few hundred call paths, so that a snapshot of them can be timed.

    live_blocks.py [--count N] [--tracemalloc NFRAME]

Prints READY, waits for a line, makes N (5 million) objects of 32 to 64 bytes, and prints a line of
JSON: blocks, seconds, and under tracemalloc what get_tracemalloc_memory() and take_snapshot() cost.
Then it waits for another line.
"""
import argparse
import gc
import json
import time

import loop


class Two:
    __slots__ = ("a", "b")


class Four:
    __slots__ = ("a", "b", "c", "d")


class Six:
    __slots__ = ("a", "b", "c", "d", "e", "f")


def make(kind, n):
    return [kind() for _ in range(n)]


def left(depth, path, kind, n):
    return turn(depth - 1, path >> 1, kind, n) if depth else make(kind, n)


def right(depth, path, kind, n):
    return turn(depth - 1, path >> 1, kind, n) if depth else make(kind, n)


def turn(depth, path, kind, n):
    return left(depth, path, kind, n) if path & 1 else right(depth, path, kind, n)


def fill(count):
    out = []
    for path in range(100):
        out.append(turn(7, path, (Two, Four, Six)[path % 3], count // 100))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000000)
    parser.add_argument("--tracemalloc", type=int, default=0, metavar="NFRAME")
    args = parser.parse_args()
    fill(200)
    # The collector would go through all of them again and again, in every mode alike.
    gc.disable()
    if args.tracemalloc:
        import tracemalloc

        tracemalloc.start(args.tracemalloc)
    loop.wait(b"READY")
    began = time.perf_counter()
    kept = fill(args.count)
    found = {"blocks": sum(len(part) for part in kept), "seconds": time.perf_counter() - began}
    if args.tracemalloc:
        found["memory"] = tracemalloc.get_tracemalloc_memory()
        began = time.perf_counter()
        snapshot = tracemalloc.take_snapshot()
        found["snapshot"] = time.perf_counter() - began
        found["traces"] = len(snapshot.traces)
    loop.wait(json.dumps(found).encode())


if __name__ == "__main__":
    main()
