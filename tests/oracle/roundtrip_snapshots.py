# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Snapshots of Python's own for tests/oracle/roundtrip, made and compared by the interpreter at
hand.

    python roundtrip_snapshots.py make FOLDER SEED      writes FOLDER/NAME.dump for each, and prints
                                                        the names, a line each
    python roundtrip_snapshots.py same FOLDER           compares each NAME.dump with NAME.direct and
                                                        NAME.through; a line of JSON
"""
import glob
import json
import os
import pickle
import random
import sys
import tracemalloc

WIDE = sys.version_info >= (3, 9)
ODD_NAMES = ["", "a.py", "<unknown>", "<string>", "traces", "_traces", "tracemalloc", "Snapshot",
             "nul\0in it", "\0", "\0\0.py", "\xe4.py", "\u20ac", "\U0001f40d.py",
              "\udcff.py", "\ud83d\udc0d", "\udc0d\ud83d", "new\nline", "tab\t",
             "\x1b[31m", "\x7f\x80\xff", "\uffff", "\U0010ffff",
             "x" * 255, "x" * 256, "\xe4" * 127, "\xe4" * 128, "y" * 70000, "a.pyc", "back\\slash",
             "C:\\x", " ", "a:1", "a@2", "*?[!]"]


def trace(domain, size, frames, more=0):
    narrow = domain, size, tuple(frames)
    return narrow + (len(frames) + more,) if WIDE else narrow


def odd():
    return ([trace(0, i, [(name, i)]) for i, name in enumerate(ODD_NAMES)] +
            [trace(1, 7, [(name, 1) for name in ODD_NAMES])])


def numbers():
    at = [("a.py", 1)]
    edges = [0, 1, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]
    return ([trace(number, 1, at) for number in edges] +
            [trace(0, number, at) for number in edges + [2 ** 32, 2 ** 40, 2 ** 62]] +
            [trace(0, 1, [("a.py", number)]) for number in edges] +
            [trace(0, 1, at, number) for number in edges[:6]])


def runs():
    """Equal tuples that follow one another, the same object and others, and again later."""
    one, two = trace(0, 10, [("a.py", 1)]), trace(0, 10, [("a.py", 1)], 3)
    return ([one] * 5 + [two] * 2 + [trace(0, 10, [("a.py", 1)]) for _ in range(3)] +
            [trace(0, 11, [("a.py", 1)])] * 2 + [one] * 1500)


def by_chance(chance, count):
    names = chance.sample(ODD_NAMES[1:], 12)
    places = [(chance.choice(names), chance.randrange(300)) for _ in range(80)]
    backs = []
    for _ in range(count // 3 + 1):
        depth = chance.choice([1, 1, 2, 3, 4, 5, 25, 100])
        backs.append(
            ([chance.choice(places) for _ in range(depth)], chance.choice([0, 0, 0, 1, 300])))
    return [trace(chance.choice([0, 0, 0, 1, 77]), chance.randrange(2 ** chance.randrange(1, 40)),
                  *chance.choice(backs)) for _ in range(count)]


def work(name, depth):
    """What a program leaves allocated, in code whose file has that name."""
    scope = {}
    source = ("def f(n):\n    if n:\n        return [f(n - 1), [n] * 9]\n"
              "    return [str(i) * 40 for i in range(30)]\n")
    exec(compile(source, name, "exec"), scope)
    return scope["f"](depth)


def real(limit):
    tracemalloc.start(limit)
    held = [
        work(name, depth) for name in ("plain.py", "\u20ac.py", "\udcff.py") for depth in (0, 3, 40)
    ]
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    return snapshot, held


def snapshots(seed):
    chance = random.Random(seed)
    for limit in (1, 5, 100):
        yield "real-%d" % limit, real(limit)[0]
    made = [("none", []), ("one", [trace(0, 1, [("a.py", 1)])]), ("odd", odd()),
            ("numbers", numbers()), ("runs", runs()), ("batch", by_chance(chance, 1000)),
            ("batches", by_chance(chance, 1001)), ("many", by_chance(chance, 5000)),
            ("deep", [trace(0, 1, [("a.py", i % 70000) for i in range(65535)])])]
    for name, traces in made:
        yield name, tracemalloc.Snapshot(traces, chance.choice([1, 25, 65535]))


def make(folder, seed):
    for name, snapshot in snapshots(seed):
        ways = [("", lambda file: pickle.dump(snapshot, file, pickle.HIGHEST_PROTOCOL))]
        if name in ("real-5", "odd", "runs"):
            ways += [("-4", lambda file: pickle.dump(snapshot, file, 4)),
                     ("-py",
                      lambda file: pickle._Pickler(file, pickle.HIGHEST_PROTOCOL).dump(snapshot))]
        for suffix, dump in ways:
            path = os.path.join(folder, name + suffix + ".dump")
            if suffix:
                with open(path, "wb") as file:
                    dump(file)
            else:
                snapshot.dump(path)
            print(name + suffix)


def difference(path, other):
    """What differs between two dumps, "" where nothing does."""
    left, right = tracemalloc.Snapshot.load(path), tracemalloc.Snapshot.load(other)
    if left.traceback_limit != right.traceback_limit:
        return "traceback_limit %r, not %r" % (right.traceback_limit, left.traceback_limit)
    if type(left.traces._traces) is not type(right.traces._traces):
        return "the traces are a %s" % type(right.traces._traces).__name__
    if len(left.traces) != len(right.traces):
        return "%d traces, not %d" % (len(right.traces), len(left.traces))
    for i, (a, b) in enumerate(zip(left.traces._traces, right.traces._traces)):
        if a != b or [type(x) for x in a] != [type(x) for x in b]:
            return "trace %d is %.200r, not %.200r" % (i, b, a)
    if left.statistics("traceback") != right.statistics("traceback"):
        return "statistics differ"
    return ""


def same(folder):
    result = {}
    for path in glob.glob(os.path.join(folder, "*.dump")):
        base = path[:-len(".dump")]
        result[os.path.basename(base)] = dict(
            {how: difference(path, base + "." + how) if os.path.exists(base + "." + how)
             else "was not made" for how in ("direct", "through")},
            count=len(tracemalloc.Snapshot.load(path).traces))
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        same(sys.argv[2])
