# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Exported files held against Python's own snapshot.

    formats.py folded TRUTH.pickle OUT [OLD.pickle]
    formats.py speedscope TRUTH.pickle OUT SCHEMA
    formats.py json TRUTH.pickle OUT SCHEMA
    formats.py html TRUTH.pickle OUT

Names of functions are left out of the comparison: Python's snapshots have none.
"""
import collections
import json
import re
import sys
import tracemalloc


def load(path):
    return tracemalloc.Snapshot.load(path)


def strict(text):
    """What JSON may hold: no surrogate."""
    return "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)


def shown(text):
    """What a folded line may hold."""
    out = ""
    for c in text:
        code = ord(c)
        if (code < 0x20 or c == ";" or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029) or
                0xD800 <= code < 0xE000):
            c = "\\x%02x" % code if code < 0x100 else "\\u%04x" % code
        out += c
    return out


def stacks(snapshot, name):
    """[size, count] of each traceback, the root first, of (NAME(file), line)."""
    sums = collections.defaultdict(lambda: [0, 0])
    for trace in snapshot.traces:
        key = tuple((name(frame.filename), frame.lineno) for frame in trace.traceback)
        sums[key][0] += trace.size
        sums[key][1] += 1
    return sums


def check(what, seen, wanted):
    if seen != wanted:
        both = [key for key in set(seen) | set(wanted) if seen.get(key) != wanted.get(key)]
        sys.exit("%s: %d differ, such as %r: %r, wanted %r" %
                 (what, len(both), both[0], seen.get(both[0]), wanted.get(both[0])))
    print("%s: %d stacks agree" % (what, len(seen)))


def folded_frame(text):
    """"function (file.py:12)" or "file.py:12" as (file, line)."""
    place = re.fullmatch(r".*? \((.*)\)", text)
    if text == "<unknown>":
        return text, 0
    file, _, line = (place[1] if place else text).rpartition(":")
    return file, int(line)


def folded(truth, out, old=None):
    seen = collections.defaultdict(lambda: [0] * (2 if old else 1))
    with open(out, encoding="utf-8") as f:
        content = f.read()
    # No reader may see another line than a split at newlines gives.
    lines = content.split("\n")
    assert lines.pop() == "" and lines == content.splitlines()
    for line in lines:
        stack, *values = line.rsplit(" ", 2 if old else 1)
        key = tuple(folded_frame(text) for text in stack.split(";"))
        seen[key] = [a + int(b) for a, b in zip(seen[key], values)]
    wanted = collections.defaultdict(lambda: [0] * (2 if old else 1))
    for i, snapshot in enumerate([load(old), load(truth)] if old else [load(truth)]):
        for key, (size, _) in stacks(snapshot, shown).items():
            if size:
                wanted[key][i] += size
    check("folded", dict(seen), dict(wanted))


def speedscope(truth, out, schema):
    import jsonschema
    with open(out, encoding="utf-8") as f, open(schema, encoding="utf-8") as g:
        data = json.load(f)
        jsonschema.validate(data, json.load(g))
    frames = [(frame.get("file", "<unknown>"), frame.get("line", 0))
              for frame in data["shared"]["frames"]]
    assert len(set(map(json.dumps, data["shared"]["frames"]))) <= len(frames)
    assert all("name" in f for f in data["shared"]["frames"])
    seen = collections.defaultdict(lambda: [0, 0])
    assert [profile["unit"] for profile in data["profiles"]] == ["bytes", "none"]
    for i, profile in enumerate(data["profiles"]):
        assert profile["endValue"] == sum(profile["weights"])
        assert len(profile["weights"]) == len(profile["samples"])
        for sample, weight in zip(profile["samples"], profile["weights"]):
            seen[tuple(frames[index] for index in sample)][i] += weight
    check("speedscope", dict(seen), dict(stacks(load(truth), strict)))


def whole(truth, out, schema):
    import jsonschema
    with open(out, encoding="utf-8") as f, open(schema, encoding="utf-8") as g:
        data = json.load(f)
        jsonschema.validate(data, json.load(g))
    frames = [(frame["filename"], frame["lineno"]) for frame in data["frames"]]
    seen, wanted = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
    for trace in data["traces"]:
        key = trace["domain"], trace["total_nframe"], tuple(
            frames[index] for index in trace["traceback"])
        seen[key][0] += trace["size"]
        seen[key][1] += trace["count"]
    for trace in load(truth).traces:
        frames = tuple(
            (strict(frame.filename), frame.lineno) for frame in reversed(trace.traceback))
        key = trace.domain, trace.traceback.total_nframe, frames
        wanted[key][0] += trace.size
        wanted[key][1] += 1
    check("json", dict(seen), dict(wanted))


if __name__ == "__main__":
    {"folded": folded, "speedscope": speedscope, "json": whole}[sys.argv[1]](*sys.argv[2:])
