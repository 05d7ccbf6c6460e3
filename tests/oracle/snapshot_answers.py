# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What this Python's tracemalloc says to the cases of snapshot_cases.py: run by the interpreter in
question, 3.8 or later.

    snapshot_answers.py CASES FOLDER ANSWERS

CASES and ANSWERS are pickles of plain data. Dumps the snapshots of case N as FOLDER/N.0, N.1 and
N.2. An answer is None where this Python does not take a pattern, {"refused": text} where it raises
ValueError, else {"rows": [(frames, size, count, ...)], "text": str() of each, "growth": of those
alone that grew, "totals": [(size, count) of each snapshot]}, frames most recent first.
"""
import pickle
import re
import sys
import tracemalloc

WIDE = sys.version_info >= (3, 9)


def make(traces, limit):
    return tracemalloc.Snapshot([trace if WIDE else trace[:3] for trace in traces], limit)


def dump(snapshot, path, number):
    if number % 2:
        snapshot.dump(path)
    else:
        # As Python up to 3.7 does, and with 3.6's.
        with open(path, "wb") as file:
            pickle.dump(snapshot, file, 4)


def make_filter(data):
    if data[0] == "domain":
        return tracemalloc.DomainFilter(*data[1:])
    return tracemalloc.Filter(*data[1:])


def filtered(snapshot, query):
    if query["domain"] is not None:
        snapshot = snapshot.filter_traces([tracemalloc.DomainFilter(True, query["domain"])])
    return snapshot.filter_traces([make_filter(data) for data in query["filters"]])


def frames(traceback):
    """The other order: that of the files, and of tmbpf's JSON."""
    return tuple((frame.filename, frame.lineno) for frame in traceback)[::-1]


def text(statistics):
    return b"".join(str(each).encode("utf-8", "backslashreplace") + b"\n" for each in statistics)


def totals(snapshots):
    return [(sum(trace.size for trace in snapshot.traces), len(snapshot.traces))
            for snapshot in snapshots]


def statistics(snapshots, query):
    found = snapshots[query["of"]].statistics(query["key"], query["cumulative"])
    rows = [(frames(each.traceback), each.size, each.count) for each in found]
    return {"rows": rows, "text": text(found), "totals": totals([snapshots[query["of"]]])}


def compare_to(snapshots, query):
    found = snapshots[1].compare_to(snapshots[0], query["key"], query["cumulative"])
    rows = [(frames(each.traceback), each.size, each.count, each.size_diff, each.count_diff)
            for each in found]
    growth = text(each for each in found if each.size_diff > 0)
    return {"rows": rows, "text": text(found), "growth": growth, "totals": totals(snapshots[:2])}


def row(snapshots, query):
    """Python compares two; of more, tmbpf says to show those first that grow in each step."""
    values = {}
    for i, snapshot in enumerate(snapshots):
        for each in snapshot.statistics(query["key"], query["cumulative"]):
            values.setdefault(each.traceback, [(0, 0)] * len(snapshots))[i] = each.size, each.count
    rows = []
    for traceback, sizes in values.items():
        (first_size, first_count), (size, count) = sizes[0], sizes[-1]
        grows = all(one[0] < other[0] for one, other in zip(sizes, sizes[1:]))
        order = grows, abs(size - first_size), size, abs(count - first_count), count, traceback
        rows.append((order, (frames(traceback), size, count, size - first_size, count - first_count,
                             sizes, grows)))
    rows.sort(key=lambda each: each[0], reverse=True)
    return {"rows": [each[1] for each in rows], "totals": totals(snapshots)}


def filter_traces(snapshots, query):
    return {"rows": list(snapshots[query["of"]].traces._traces)}


def traceback_format(snapshots, query):
    return {"rows": snapshots[query["of"]].traces[0].traceback.format()}


def answer(snapshots, query):
    try:
        snapshots = [filtered(snapshot, query) for snapshot in snapshots]
        # They are compiled only where there is something to match.
        for data in query["filters"]:
            filtered(make([(0, 1, (("x", 1),), 1)], 1), dict(query, domain=None, filters=[data]))
    except re.error:
        return None
    try:
        return globals()[query["kind"]](snapshots, query)
    except ValueError as error:
        return {"refused": str(error)}


def main():
    cases, folder, answers = sys.argv[1:]
    with open(cases, "rb") as file:
        cases = pickle.load(file)
    said = []
    for case in cases:
        snapshots = [make(traces, case["limit"]) for traces in case["snapshots"]]
        for i, snapshot in enumerate(snapshots):
            dump(snapshot, "%s/%d.%d" % (folder, case["number"], i), case["number"])
        said.append([answer(snapshots, query) for query in case["queries"]])
    with open(answers, "wb") as file:
        pickle.dump(said, file, 4)
    print("%d.%d" % sys.version_info[:2])


if __name__ == "__main__":
    main()
