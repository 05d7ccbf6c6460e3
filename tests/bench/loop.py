# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the timed programs share: how they start, wait, and say how fast they went.

    PROGRAM.py [--seconds S | --blocks] [--tracemalloc NFRAME]

Warms up, starts tracemalloc where it is asked for, prints READY, waits for a line (GO), repeats its
iteration for S seconds (3), and prints one line of JSON: iterations, seconds, rate (iterations a
second, wall clock), and rate_cpu (iterations a second of this process's CPU time). Then it waits
for another line, so that whoever measures can look at the process before it ends. Without a
terminal or a pipe on its standard input (end of file) it waits for nothing. With --blocks each line
is a number of seconds, for which it does the same, until an empty one. Runs on every CPython from
3.6 on.
"""
import argparse
import gc
import json
import os
import sys
import time


def wait(word):
    os.write(1, word + b"\n")
    sys.stdin.readline()


def measure(iteration, batch, seconds):
    """Calls iteration(batch) until SECONDS are over; what it returns is dropped."""
    done = 0
    cpu = time.process_time()
    began = now = time.perf_counter()
    end = began + seconds
    while now < end:
        iteration(batch)
        done += batch
        now = time.perf_counter()
    cpu = time.process_time() - cpu
    spent = now - began
    return {"iterations": done, "seconds": spent, "rate": done / spent, "rate_cpu": done / cpu}


def blocks(iteration, batch):
    os.write(1, b"READY\n")
    line = sys.stdin.readline().strip()
    while line:
        os.write(1, json.dumps(measure(iteration, batch, float(line))).encode() + b"\n")
        line = sys.stdin.readline().strip()


def main(iteration, batch, doc):
    """ITERATION(N) does its work N times; BATCH is how often between two looks at the clock."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--blocks", action="store_true")
    parser.add_argument("--tracemalloc", type=int, default=0, metavar="NFRAME")
    args = parser.parse_args()
    iteration(2 * batch)
    gc.collect()
    if args.tracemalloc:
        import tracemalloc

        tracemalloc.start(args.tracemalloc)
    if args.blocks:
        blocks(iteration, batch)
        return
    wait(b"READY")
    result = measure(iteration, batch, args.seconds)
    result["python"] = sys.version.split()[0]
    wait(json.dumps(result).encode())
