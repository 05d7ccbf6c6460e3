# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Compares two tracemalloc files by domain, size and traceback; run by the interpreter that ran the
target.

    domain_groups.py TRUTH SEEN

Domain 0 is left to parity. Prints what each domain holds; exits 1 where any trace is in one file
alone. The sizes of a stack's blocks are not kept one by one, so that only their sum has to agree.
"""
import os
import sys
import tracemalloc


def groups(path):
    found = {}
    for trace in tracemalloc.Snapshot.load(path).traces:
        if not trace.domain:
            continue
        frames = tuple(
            (os.path.basename(frame.filename), frame.lineno) for frame in trace.traceback)
        key = trace.domain, frames, getattr(trace.traceback, "total_nframe", None)
        size, count = found.get(key, (0, 0))
        found[key] = (size + trace.size, count + 1)
    return found


def main():
    truth, seen = groups(sys.argv[1]), groups(sys.argv[2])
    for key in set(truth) | set(seen):
        if truth.get(key) != seen.get(key):
            print("truth %s, seen %s (bytes, blocks) at %s" % (truth.get(key), seen.get(key), key))
            sys.exit(1)
    if not truth:
        print("the truth has no trace")
        sys.exit(1)
    words = []
    for domain in sorted({key[0] for key in truth}):
        sums = [value for key, value in truth.items() if key[0] == domain]
        words.append("%d: %d blocks, %d bytes" %
                     (domain, sum(count for _, count in sums), sum(size for size, _ in sums)))
    print("%d tracebacks agree; domain %s" % (len(truth), "; ".join(words)))


if __name__ == "__main__":
    main()
