# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs a workload: under tracemalloc for the truth, or plain while tmbpf looks on from outside.

    target.py truth|traced WORKLOAD.py OUT NFRAME

A workload is a module with setup(), whose result is given to work(), which returns what it keeps.
The traced run says READY before its work and DONE after it, and waits for a line at each: there the
tracer attaches, and there it takes its snapshot. Both runs call work() from the same line, so that
tracebacks compare frame for frame. The truth's run leaves its snapshot in OUT, and what
get_traced_memory() said in OUT.memory. It runs on every CPython from 3.6 on.

tracemalloc keeps the first string that it meets of each file name. If the work makes that string
and drops it, as a program does that compiles code under names of its own, the truth would hold a
block that the program does not. So a workload lists such names in FILE_NAMES: tracemalloc is shown
strings of ours first. A truth that holds a name that the workload made ends the run.
"""
import gc
import importlib.util
import os
import sys


def load(path):
    spec = importlib.util.spec_from_file_location("workload", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait(word):
    os.write(1, word)
    os.read(0, 1)


def show_names(names):
    for name in names:
        exec(compile("bytearray(600)", name, "exec"), {})


def assert_no_name_held(tracemalloc, snapshot, path):
    """That no file name in SNAPSHOT is a string that the file PATH allocated."""
    tracebacks = {id(trace[2]): trace[2] for trace in snapshot.traces._traces}
    names = {id(frame[0]): frame[0] for frames in tracebacks.values() for frame in frames}
    for name in names.values():
        made = tracemalloc.get_object_traceback(name)
        # From 3.7 on the last frame is the most recent one, before that the first.
        if made and made[-1 if sys.version_info >= (3, 7) else 0].filename == path:
            raise SystemExit("tracemalloc holds the file name %r, which the workload made: "
                             "list it in FILE_NAMES" % name)


class Truth:
    def __init__(self, workload, path, out, nframe):
        self.names, self.path = getattr(workload, "FILE_NAMES", ()), path
        self.out, self.nframe = out, nframe

    def begin(self):
        import tracemalloc
        tracemalloc.start(self.nframe)
        show_names(self.names)

    def end(self):
        import json
        import tracemalloc
        snapshot = tracemalloc.take_snapshot()
        current, peak = tracemalloc.get_traced_memory()
        assert_no_name_held(tracemalloc, snapshot, self.path)
        tracemalloc.stop()
        snapshot.dump(self.out)
        with open(self.out + ".memory", "w") as f:
            json.dump({"current": current, "peak": peak}, f)


class Traced:
    def __init__(self, *_):
        pass

    def begin(self):
        wait(b"READY\n")

    def end(self):
        wait(b"DONE\n")


def main():
    mode, path, out, nframe = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    workload = load(path)
    run = {"truth": Truth, "traced": Traced}[mode](workload, path, out, nframe)
    state = workload.setup()
    gc.collect()
    run.begin()
    kept = workload.work(state)
    gc.collect()
    run.end()
    return kept


if __name__ == "__main__":
    main()
