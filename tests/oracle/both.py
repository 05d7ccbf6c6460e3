# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs a workload with its own tracemalloc on while tmbpf looks on from outside: one run, two
witnesses.

    both.py WORKLOAD.py OUT.pickle NFRAME [STOP]

Needs parity's target.py beside it. tracemalloc is on before READY, so that the tracer attaches to a
program whose allocator tables hold tracemalloc's functions. With STOP, tracemalloc is switched off
(and its snapshot dumped) before the work, which makes the tables change under the tracer.
"""
import gc
import json
import sys
import tracemalloc

import target


def main():
    path, out, nframe = sys.argv[1], sys.argv[2], int(sys.argv[3])
    stop = len(sys.argv) > 4
    workload = target.load(path)
    state = workload.setup()
    gc.collect()
    tracemalloc.start(nframe)
    target.wait(b"READY\n")
    if stop:
        tracemalloc.stop()
    kept = workload.work(state)
    gc.collect()
    target.wait(b"DONE\n")
    if not stop:
        snapshot = tracemalloc.take_snapshot()
        memory = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        snapshot.dump(out)
        with open(out + ".memory", "w") as f:
            json.dump({"current": memory[0], "peak": memory[1]}, f)
    return kept


if __name__ == "__main__":
    main()
