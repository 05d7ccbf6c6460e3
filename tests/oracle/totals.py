# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Looks at tracemalloc files where compare.py does not; run by the interpreter that ran the target.

    totals.py totals TRUTH SEEN WORKLOAD       frames with total_nframe (3.9 and later), group by
                                               group
    totals.py lines TRUTH SEEN WORKLOAD        by line alone, for targets that were started
                                               differently
    totals.py sum TRUTH SEEN WORKLOAD          all lines of the file together, bytes and blocks
    totals.py functions TRUTH SEEN WORKLOAD FUNC...  by traceback, of those whose newest frame is in
    one of FUNC: equal
    totals.py function SEEN NAME FILE FUNC     blocks and bytes whose newest frame is in FUNC of
                                               FILE, whose base name is NAME

The first three exit 1 where a group is off by more than SLACK blocks: only for workloads that are
EXACT; the fourth by any.
"""
import ast
import os
import sys
import tracemalloc

SLACK = 4


def newest_first(trace):
    frames = [(os.path.basename(f.filename), f.lineno) for f in trace.traceback]
    return frames[::-1] if sys.version_info >= (3, 7) else frames


def groups(path, name, key):
    found = {}
    for trace in tracemalloc.Snapshot.load(path).traces:
        frames = newest_first(trace)
        if frames[0][0] == name:
            at = key(trace, frames)
            size, count = found.get(at, (0, 0))
            found[at] = (size + trace.size, count + 1)
    return found


def with_total(trace, frames):
    return tuple(frames), getattr(trace.traceback, "total_nframe", None)


def by_line(trace, frames):
    return frames[0]


def by_file(trace, frames):
    return frames[0][0]


def by_traceback(_, frames):
    return tuple(frames)


def compare(truth, seen, slack=SLACK):
    for at in set(truth) | set(seen):
        wanted, found = truth.get(at, (0, 0)), seen.get(at, (0, 0))
        if abs(wanted[1] - found[1]) > slack or abs(wanted[0] - found[0]) > slack * 600:
            print("truth %s, seen %s (bytes, blocks) at %s" % (wanted, found, at))
            sys.exit(1)
    if not truth:
        print("the truth has no group")
        sys.exit(1)
    print("%d groups agree, %d blocks" % (len(truth), sum(count for _, count in truth.values())))


def function_lines(path, name):
    """First and last line of the function NAME in the file PATH."""
    with open(path) as f:
        tree = ast.parse(f.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            lines = [n.lineno for n in ast.walk(node) if hasattr(n, "lineno")]
            return min(lines), max(lines)
    raise SystemExit("no function %s in %s" % (name, path))


def main():
    what = sys.argv[1]
    if what == "function":
        first, last = function_lines(sys.argv[4], sys.argv[5])
        found = groups(sys.argv[2], sys.argv[3], by_line)
        sums = [value for at, value in found.items() if first <= at[1] <= last]
        print(sum(count for _, count in sums), sum(size for size, _ in sums))
        return
    name = os.path.basename(sys.argv[4])
    if what == "functions":
        ranges = [function_lines(sys.argv[4], function) for function in sys.argv[5:]]
        truth, seen = ({at: value for at, value in groups(path, name, by_traceback).items()
                        if any(first <= at[0][1] <= last for first, last in ranges)}
                       for path in sys.argv[2:4])
        compare(truth, seen, 0)
        return
    key = {"totals": with_total, "lines": by_line, "sum": by_file}[what]
    compare(groups(sys.argv[2], name, key), groups(sys.argv[3], name, key))


if __name__ == "__main__":
    main()
