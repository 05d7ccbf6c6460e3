# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Python's tracemalloc at the work that tests/bench/snapshots gives to tmbpf.

    snapshots_python.py make OLD NEW COUNT         dumps two snapshots of COUNT traces, each with a
                                                   traceback of its own
    snapshots_python.py measure OLD NEW PATTERN    does all of it, prints the seconds of each step
                                                   as JSON
"""
import json
import random
import resource
import sys
import time
import tracemalloc

FILES = 400
LINES = 50
DEPTHS = range(10, 21)


def stack(chance, places):
    # Python's _get_traces() makes a new tuple for each frame of a traceback, and so dumps each in
    # full.
    return tuple([(filename, lineno)
                  for filename, lineno in chance.choices(places, k=chance.choice(DEPTHS))])


def make(old, new, count):
    chance = random.Random(1)
    places = [("/srv/app/package%d/module%d.py" % (i % 20, i), 7 * j + 1) for i in range(FILES)
              for j in range(LINES)]
    traces = []
    for _ in range(int(count)):
        frames = stack(chance, places)
        traces.append((0, chance.randrange(16, 4096), frames, len(frames)))
    tracemalloc.Snapshot(traces, DEPTHS[-1]).dump(old)
    # A tenth has gone, and as many others have come.
    for i in range(0, len(traces), 10):
        frames = stack(chance, places)
        traces[i] = (0, chance.randrange(16, 4096), frames, len(frames))
    tracemalloc.Snapshot(traces, DEPTHS[-1]).dump(new)


class Watch:
    def __init__(self):
        self.seconds, self.clock = {}, {}

    def time(self, name, function, *arguments):
        began, clock = time.process_time(), time.monotonic()
        result = function(*arguments)
        self.seconds[name], self.clock[name] = time.process_time() - began, time.monotonic() - clock
        return result


def measure(old, new, pattern):
    watch = Watch()
    snapshot = watch.time("load", tracemalloc.Snapshot.load, new)
    found = {}
    for key in ("lineno", "filename", "traceback"):
        found[key] = len(watch.time(key, snapshot.statistics, key))
    found["cumulative"] = len(watch.time("cumulative", snapshot.statistics, "lineno", True))
    left = watch.time("filter", snapshot.filter_traces, [tracemalloc.Filter(True, pattern)])
    found["filter_lineno"] = len(watch.time("filter_lineno", left.statistics, "lineno"))
    one = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    older = watch.time("load_old", tracemalloc.Snapshot.load, old)
    for key in ("lineno", "traceback"):
        found["diff_" + key] = len(watch.time("diff_" + key, snapshot.compare_to, older, key))
    two = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": watch.seconds, "clock": watch.clock, "groups": found,
                      "rss": one * 1024, "rss_diff": two * 1024}))


if __name__ == "__main__":
    {"make": make, "measure": measure}[sys.argv[1]](*sys.argv[2:])
