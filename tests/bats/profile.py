# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Snapshots of Python's own tracemalloc as snapshot files, and tmbpf's answers held against
Python's.

    profile.py make OUT.snap TRUTH.pickle             traces a workload, writes both
    profile.py loads TRUTH.pickle EXPORTED.pickle     the two say the same to this Python
    profile.py statistics TRUTH.pickle TMBPF FILE     `TMBPF stats FILE` says what Python says

The encoder is independent of tmbpf's: pprof's profile.proto, written by hand. Runs on 3.6 and
later.
"""
import ctypes
import gzip
import json
import random
import subprocess
import sys
import tracemalloc

NFRAME = 4


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


class Profile:
    """Collects elements; tables are numbered in the order in which they are asked for."""

    def __init__(self):
        self.strings, self.functions, self.locations, self.samples = {"": 0}, {}, {}, []
        self.comments = []

    def string(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def location(self, filename, lineno, name="f"):
        function = self.functions.setdefault((filename, name), len(self.functions) + 1)
        return self.locations.setdefault((function, lineno), len(self.locations) + 1)

    def sample(self, frames, values, labels):
        content = message(1, b"".join(varint(self.location(*frame)) for frame in frames))
        content += message(2, b"".join(varint(value) for value in values))
        for key, value in labels.items():
            content += message(3, number(1, self.string(key)) + number(3, value))
        self.samples.append(content)

    def comment(self, text):
        self.comments.append(self.string(text))

    def encode(self):
        out = b""
        for kind, unit in (("alloc_objects", "count"), ("alloc_space", "bytes"),
                           ("inuse_objects", "count"), ("inuse_space", "bytes")):
            out += message(1, number(1, self.string(kind)) + number(2, self.string(unit)))
        out += b"".join(message(2, sample) for sample in self.samples)
        for (function, lineno), location in self.locations.items():
            line = number(1, function) + number(2, lineno)
            out += message(4, number(1, location) + message(4, line))
        for (filename, name), function in self.functions.items():
            filename = number(4, self.string(filename))
            out += message(5, number(1, function) + number(2, self.string(name)) + filename)
        out += b"".join(number(13, comment) for comment in self.comments)
        for text in self.strings:
            out += message(6, text.encode("utf-8", "surrogatepass"))
        return out


def raw(trace):
    """(domain, size, frames, total_nframe) of one of Python's tuples, whatever its version."""
    domain, size, frames = trace[:3]
    return domain, size, frames, (trace[3] if len(trace) > 3 else len(frames)) or len(frames)


def grouped(snapshot):
    """{(domain, frames, total_nframe): [count, size]} in the snapshot's order."""
    groups = {}
    for trace in snapshot.traces._traces:
        domain, size, frames, total_nframe = raw(trace)
        group = groups.setdefault((domain, frames, total_nframe), [0, 0])
        group[0] += 1
        group[1] += size
    return groups


def to_profile(snapshot):
    profile = Profile()
    for (domain, frames, total_nframe), (count, size) in grouped(snapshot).items():
        labels = {}
        if domain:
            labels["domain"] = domain
        if total_nframe != len(frames):
            labels["total_nframe"] = total_nframe
        profile.sample(frames, (2 * count, 3 * size, count, size), labels)
    profile.comment("tmbpf.python_version=0x%08x" % sys.hexversion)
    profile.comment("tmbpf.traceback_limit=%d" % snapshot.traceback_limit)
    profile.comment("tmbpf.current=%d" % sum(trace.size for trace in snapshot.traces))
    profile.comment("tmbpf.coverage=1")
    return profile


def run_code(filename, depth, kept):
    """Allocates at lines of a file that there is not, in calls DEPTH deep."""
    source = ("def f(n, kept):\n"
              "    kept.append(bytes(n * 10 + 1))\n"
              "    if n:\n"
              "        f(n - 1, kept)\n"
              "    kept.append([n] * 3)\n")
    space = {}
    exec(compile(source, filename, "exec"), space)
    space["f"](depth, kept)


def workload():
    kept = []
    for name in ("/srv/app.py", "/srv/lib/util.pyc", "/srv/lib/util.py", "relative.py", "",
                 "/srv/g\u00f6\u51fd\U0001f600.py", "/srv/lone\udcff\ud800.py", "<string>",
                 "/srv/[odd].py", "/srv/" + "long" * 90 + ".py"):
        for depth in (0, 2, 9):
            run_code(name, depth, kept)
    for i in range(3000):
        kept.append(str(i) * (i % 7 + 1))
    track = getattr(ctypes.pythonapi, "PyTraceMalloc_Track", None)
    track = track or ctypes.pythonapi._PyTraceMalloc_Track
    track.argtypes = [ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t]
    for i in range(5):
        track(7 + i % 2, 0x1000 + i, 1000 * i)
    track(2 ** 32 - 1, 0x1000, 2 ** 40 + 1)
    return kept


def make(out, truth):
    tracemalloc.start(NFRAME)
    kept = workload()
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    del kept
    snapshot.dump(truth)
    with open(out, "wb") as file:
        file.write(gzip.compress(to_profile(snapshot).encode()))


def loads(truth, exported):
    truth, seen = tracemalloc.Snapshot.load(truth), tracemalloc.Snapshot.load(exported)
    assert type(seen) is tracemalloc.Snapshot and type(seen.traces) is type(truth.traces)
    assert seen.traceback_limit == truth.traceback_limit
    assert len(seen.traces) == len(truth.traces), (len(seen.traces), len(truth.traces))
    assert len(seen.traces._traces[0]) == len(truth.traces._traces[0])
    expected = {}
    for (domain, frames, total_nframe), (count, size) in grouped(truth).items():
        expected[domain, frames, total_nframe] = [count, size]
    found = grouped(seen)
    assert found == expected, set(map(str, found)) ^ set(map(str, expected))
    sizes = {}
    for domain, size, frames, total_nframe in map(raw, seen.traces._traces):
        sizes.setdefault((domain, frames, total_nframe), []).append(size)
    assert all(max(each) - min(each) <= 1 for each in sizes.values())
    # All that Python does with a snapshot works.
    for key in ("lineno", "filename", "traceback"):
        seen.statistics(key)
        seen.compare_to(truth, key)
    print("%d blocks, %d tracebacks, %d bytes" % (
        len(seen.traces), len(found), sum(trace.size for trace in seen.traces)))


def strict(text):
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def python_says(snapshot, key, cumulative):
    """The statistics as a list of [size, count, frames most recent first]."""
    said = []
    for statistic in snapshot.statistics(key, cumulative):
        frames = [(strict(f.filename), f.lineno) for f in statistic.traceback]
        said.append([statistic.size, statistic.count, frames[::-1]])
    return said


def tmbpf_says(tmbpf, file, key, cumulative, options):
    command = [tmbpf, "stats", file, "--format", "json", "--limit", "0", "--group-by", key]
    command += ["--cumulative"] * cumulative + options
    text = subprocess.check_output(command)
    answer = json.loads(text.decode("utf-8"))
    said = []
    for statistic in answer["statistics"]:
        frames = [(f["filename"], f.get("lineno", 0)) for f in statistic["traceback"]]
        said.append([statistic["size"], statistic["count"], frames])
        assert statistic["total_size"] == 3 * statistic["size"]
    assert answer["groups"] == len(said)
    return said


def chance_filters(chance, names):
    """Options of tmbpf, and the filters of tracemalloc that mean the same."""
    options, filters = [], []
    all_frames = chance.random() < 0.5
    for _ in range(chance.randrange(4)):
        pattern = chance.choice(names)
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(pattern) + 1)
            other = chance.choice(["*", "?", "[a-m]", "[!a]", "["])
            pattern = pattern[:at] + other + pattern[at + 1:]
        lineno = chance.choice([None, None, 2, 5])
        inclusive = chance.random() < 0.5
        filters.append(tracemalloc.Filter(inclusive, pattern, lineno, all_frames))
        pattern += ":%d" % lineno if lineno is not None else ""
        options += ["--include=" + pattern if inclusive else "--exclude=" + pattern]
    return options + ["--all-frames"] * all_frames, filters


def compare(tmbpf, file, snapshot, key, cumulative, options):
    expected = python_says(snapshot, key, cumulative)
    found = tmbpf_says(tmbpf, file, key, cumulative, options)
    if expected != found:
        for i, (one, other) in enumerate(zip(expected + [None], found + [None])):
            if one != other:
                sys.exit("%s %s %s: place %d: Python %s, tmbpf %s" % (
                    key, cumulative, options, i, ascii(one), ascii(other)))
    return len(expected)


def statistics(truth, tmbpf, file):
    snapshot = tracemalloc.Snapshot.load(truth)
    kinds = [("lineno", False), ("filename", False), ("traceback", False), ("lineno", True),
             ("filename", True)]
    groups = sum(compare(tmbpf, file, snapshot, key, cumulative, []) for key, cumulative in kinds)
    names = sorted({filename for trace in map(raw, snapshot.traces._traces)
                    for filename, lineno in trace[2]})
    names = [name for name in names if len(name) < 100 and "\ud800" not in name]
    chance = random.Random(1)
    for i in range(120):
        options, filters = chance_filters(chance, names)
        chosen = snapshot
        if chance.random() < 0.2:
            domain = chance.choice([0, 7, 2 ** 32 - 1])
            options += ["--domain", str(domain)]
            chosen = chosen.filter_traces([tracemalloc.DomainFilter(True, domain)])
        key, cumulative = chance.choice(kinds)
        groups += compare(tmbpf, file, chosen.filter_traces(filters), key, cumulative, options)
    print("%d groups in %d queries" % (groups, 125))


if __name__ == "__main__":
    {"make": make, "loads": loads, "statistics": statistics}[sys.argv[1]](*sys.argv[2:])
