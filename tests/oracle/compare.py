# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Compares two tracemalloc files, the truth and what was seen, by line and by traceback.

    compare.py TRUTH SEEN WORKLOAD.py

Run by the interpreter that ran the target. Blocks count whose most recent frame is in the
workload's file: what the waiting itself allocates does not. Prints a JSON object, and exits 0 where
each group agrees.

tracemalloc gives an object that comes back from a free list to whoever takes it, and no allocator
is called then. So a group may be off by ALLOW blocks and 0.1 % of its count. A workload that says
EXACT = True keeps no object whose type has a free list: a group of it may be off by SLACK blocks
(threads, and the frames that CPython allocates up to 3.10, differ as much between two truths).
"""
import json
import os
import sys
import tracemalloc

import target

ALLOW = 200
SLACK = 4
SIZE = 600  # what a block that a group is off by may have, where the group's own are smaller


def groups(path, name, key):
    """{place: (bytes, blocks)} of the file NAME."""
    found = {}
    for trace in tracemalloc.Snapshot.load(path).traces:
        frames = [(os.path.basename(frame.filename), frame.lineno) for frame in trace.traceback]
        # From 3.7 on the oldest is the first, before that the most recent one.
        newest = frames[-1] if sys.version_info >= (3, 7) else frames[0]
        if newest[0] == name:
            place = newest[1] if key == "lineno" else tuple(frames)
            size, count = found.get(place, (0, 0))
            found[place] = (size + trace.size, count + 1)
    return found


def total(found):
    return {"bytes": sum(size for size, _ in found.values()),
            "blocks": sum(count for _, count in found.values()), "groups": len(found)}


def compare(truth, seen, exact):
    """What two groupings come to, and whether they agree."""
    agrees, worst, worst_at = bool(truth), 0, None
    for place in set(truth) | set(seen):
        wanted_size, wanted = truth.get(place, (0, 0))
        found_size, found = seen.get(place, (0, 0))
        allowed = SLACK if exact else ALLOW + wanted // 1000
        mean = max([size // count for size, count in ((wanted_size, wanted), (found_size, found))
                    if count] + [SIZE])
        off = abs(wanted - found)
        if off > allowed or abs(wanted_size - found_size) > allowed * mean:
            agrees = False
        if off > worst:
            worst, worst_at = off, str(place)
    return {"truth": total(truth), "seen": total(seen), "worst": worst,
            "worst_at": worst_at}, agrees


def main():
    truth, seen, path = sys.argv[1:4]
    name, exact = os.path.basename(path), getattr(target.load(path), "EXACT", False)
    report = {"agrees": True}
    for key in ("lineno", "traceback"):
        report[key], agrees = compare(groups(truth, name, key), groups(seen, name, key), exact)
        report["agrees"] = report["agrees"] and agrees
    print(json.dumps(report))
    sys.exit(0 if report["agrees"] else 1)


if __name__ == "__main__":
    main()
