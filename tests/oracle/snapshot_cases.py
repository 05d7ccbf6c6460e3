# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Random snapshots and questions about them: plain tuples, lists and dicts, for `snapshots` and
snapshot_answers.py.

A case has three snapshots, oldest first, each a list of (domain, size, frames, total_nframe) with
frames ((filename, lineno), ...), the most recent first; the traceback limit; and queries:

    {"kind": "statistics", "of": 0, "key": "lineno", "cumulative": False, "domain": None, "filters":
    [...]}
    {"kind": "compare_to", ...}         of the snapshots 0 and 1
    {"kind": "row", ...}                of all three
    {"kind": "filter_traces", "of": 1, ...}

A filter is ("file", inclusive, pattern, lineno, all_frames, domain) or ("domain", inclusive,
domain).
"""
import random
import re

KEYS = (("lineno", False), ("filename", False), ("traceback", False), ("lineno", True),
        ("filename", True))
DOMAINS = (0, 0, 0, 389047, 2 ** 32 - 1)
LINES = (0, 1, 2, 2, 5, 9, 10, 99, 100, 65535, 2 ** 31, 2 ** 32 - 1)
SIZES = (0, 1, 16, 16, 16, 64, 512, 1000, 10239, 10240, 102399, 102400, 10 ** 6, 2 ** 31,
         2 ** 40 + 1)
NAMES = (
    "/srv/app.py", "/srv/app.pyc", "app.py", "app.pyc", "/srv/app.PYC", ".pyc", "a.pyo", "<string>",
    "<unknown>", "<frozen importlib._bootstrap>", "", " ", "a", "A", "b", "a/b", "a\\b",
    "/srv/[x].py", "/srv/[!x].py", "/srv/x.py", "/srv/*.py", "/srv/a-z.py", "-", "^", "]", "a]",
    "&&", "~~||", "/srv/gr\u00f6\u00dfe.py", "/srv/gro\u0308\u00dfe.py", "/srv/\u51fd\u6570.py",
    "/srv/\U0001f600.py", "\U0010ffff", "\uffff", "\ue000", "\x7f", "\x80", "/srv/\ud800.py",
    "/srv/\udcff.py", "\udfff", "\ud83d\ude00", "\U0001f600", "/srv/nul\0.py", "\0", "\0\0", "\1",
    "line\nfeed.py", "tab\t.py", "\x1b[31mred", "\u202eback", "c:1", "c@1", "%s%n", '"quoted"', "'",
    "/" + "long" * 5000 + ".py", "\u00e9" * 300, "/srv/./app.py", "//srv/app.py",
)


def random_name(chance):
    if chance.random() < 0.8:
        return chance.choice(NAMES)
    return "".join(chance.choice("ab/.[-!\u00fc\uffff\U00010000\ud800\udc00pyc")
                   for _ in range(chance.randrange(1, 9)))


def random_depth(chance):
    return chance.choice((1, 1, 1, 2, 3, 5, 25, chance.randrange(1, 101)))


def random_frames(chance, places):
    """Some are recursions: a few frames over and over."""
    depth = random_depth(chance)
    if chance.random() < 0.3:
        again = [chance.choice(places) for _ in range(chance.randrange(1, 4))]
        return tuple((again * depth)[:depth])
    return tuple(chance.choice(places) for _ in range(depth))


def copied(frames):
    """Equal to FRAMES and another object, so that a pickle has it in full again."""
    return tuple((filename + "" if not filename else filename[:1] + filename[1:], lineno)
                 for filename, lineno in list(frames))


def random_size(chance):
    if chance.random() < 0.05:
        return chance.randrange(2 ** chance.randrange(1, 54))
    return chance.choice(SIZES)


def random_snapshot(chance, tracebacks, most):
    traces = []
    for _ in range(chance.randrange(most + 1)):
        frames, total = chance.choice(tracebacks)
        if chance.random() < 0.3:
            frames = copied(frames)
        if chance.random() < 0.1:
            total = min(65535, total + chance.randrange(1, 1000))
        for _ in range(chance.choice((1, 1, 1, 2, 7))):
            traces.append((chance.choice(DOMAINS), random_size(chance), frames, total))
    if traces and chance.random() < 0.1:
        domain, _, frames, total = traces[0]
        traces[0] = domain, 2 ** 55 + chance.randrange(2 ** 54), frames, total
    chance.shuffle(traces)
    return traces


def random_class(chance):
    items = "".join(chance.choice(("a-m", "m-z", "0-9", "a-a", "z-a", "s", "x", "-", "!", "^", "\\",
                                   "[", "&&", "\u00f6", "\U0001f600", "--", "\ud800-\udfff"))
                    for _ in range(chance.randrange(1, 4)))
    return "[" + chance.choice(("", "!", "!", "]", "!]", "^")) + items + chance.choice(
        ("]", "]", "]", ""))


def random_pattern(chance, names):
    """From a name, so that many match. NUL cannot be given on a command line; what looks like a
    line or a domain would be one."""
    pattern = chance.choice(names)[:200]
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(pattern) + 1)
        part = chance.choice(("*", "*", "**", "?", "[", random_class(chance), random_class(chance)))
        pattern = pattern[:at] + part + pattern[at + chance.randrange(3):]
    if chance.random() < 0.2:
        pattern = chance.choice(
            ("*", "*.py", "*.pyc", "/srv/*", "?", "", "*a*", "<*>", "*/*/*.p?[!c]", "***"))
    pattern = pattern.replace("\0", "?")
    # An older Python tries each way to part a name among the stars.
    longest = max(map(len, names))
    stars = 1 if longest > 1000 else 2 if longest > 50 else 3
    while pattern.count("*") > stars:
        pattern = pattern.replace("*", "", 1)
    return re.sub("[:@]([0-9]+)$", "?\\1", pattern)


def random_filter(chance, names):
    inclusive = chance.random() < 0.5
    if chance.random() < 0.2:
        return "domain", inclusive, chance.choice(DOMAINS + (1,))
    lineno = chance.choice((None, None, None, chance.choice(LINES)))
    domain = chance.choice((None, None, None, chance.choice(DOMAINS)))
    return "file", inclusive, random_pattern(chance, names), lineno, chance.random() < 0.4, domain


def random_query(chance, kind, key, cumulative, names):
    query = {"kind": kind, "of": chance.randrange(2), "key": key, "cumulative": cumulative,
             "domain": None, "filters": []}
    if chance.random() < 0.5:
        query["filters"] = [random_filter(chance, names)
                            for _ in range(chance.choice((1, 1, 2, 3, 5)))]
    if chance.random() < 0.1:
        query["domain"] = chance.choice(DOMAINS)
    return query


def random_case(chance, number):
    names = list({random_name(chance) for _ in range(chance.randrange(1, 20))})
    names.sort()
    places = [(chance.choice(names), chance.choice(LINES))
              for _ in range(chance.choice((3, 10, 60)))]
    tracebacks = []
    for _ in range(chance.randrange(1, 90)):
        frames = random_frames(chance, places)
        tracebacks.append((frames, chance.choice((len(frames), len(frames), 65535))))
    most = chance.choice((5, 30, 100))
    snapshots = [random_snapshot(chance, tracebacks, most) for _ in range(3)]
    for i in range(3):
        # Empty ones: each alone, and together.
        if number % 16 == i or number % 16 == 3:
            snapshots[i] = []
    queries = [
        random_query(chance, kind, key, cumulative, names) for kind in ("statistics", "compare_to")
        for key, cumulative in KEYS
    ]
    queries.append(random_query(chance, "row", *chance.choice(KEYS), names))
    for _ in range(2):
        queries.append(random_query(chance, "filter_traces", "lineno", False, names))
    return {"number": number, "snapshots": snapshots, "limit": chance.choice((1, 25, 100, 65535)),
            "queries": queries}


def random_cases(seed, count):
    chance = random.Random(seed)
    return [random_case(chance, number) for number in range(count)]


def surrogates(name):
    return any("\ud800" <= c <= "\udfff" for c in name)


def coverage(cases):
    """How many snapshots, or queries, have what the comparison is to cover: none may be 0."""
    snapshots = [snapshot for case in cases for snapshot in case["snapshots"][:2]]
    frames = [{frame for trace in snapshot for frame in trace[2]} for snapshot in snapshots]
    names = [{filename for filename, _ in each} for each in frames]
    places = [[{trace[2][0] for trace in snapshot} for snapshot in case["snapshots"][:2]]
              for case in cases]
    filters = [each for case in cases for query in case["queries"] for each in query["filters"]]
    patterns = [each[2] for each in filters if each[0] == "file"]

    def named(test):
        return sum(any(test(name) for name in each) for each in names)

    def traced(test):
        return sum(any(test(trace) for trace in snapshot) for snapshot in snapshots)

    return {
        "empty": sum(not snapshot for snapshot in snapshots),
        "vanished sites": sum(bool(old - new) for old, new in places),
        "equal sizes": sum(len(snapshot) > len({trace[1] for trace in snapshot})
                           for snapshot in snapshots),
        "several domains": sum(len({trace[0] for trace in snapshot}) > 1 for snapshot in snapshots),
        "one frame": traced(lambda trace: len(trace[2]) == 1),
        "over 90 frames": traced(lambda trace: len(trace[2]) > 90),
        "recursion": traced(lambda trace: len(set(trace[2])) < len(trace[2])),
        "frames left off": traced(lambda trace: trace[3] > len(trace[2])),
        "size 0": traced(lambda trace: trace[1] == 0),
        "over 2^53 bytes": traced(lambda trace: trace[1] > 2 ** 53),
        "BMP": named(lambda name: any("\u0100" <= c <= "\uffff" and not surrogates(c)
                                      for c in name)),
        "astral": named(lambda name: any(c > "\uffff" for c in name)),
        "lone surrogates": named(surrogates),
        "NUL": named(lambda name: "\0" in name),
        "no name": named(lambda name: not name),
        "over 10000 characters": named(lambda name: len(name) > 10000),
        "<string>": named(lambda name: name == "<string>"),
        ".pyc": named(lambda name: name.endswith(".pyc")),
        "'*'": sum("*" in pattern for pattern in patterns),
        "'?'": sum("?" in pattern for pattern in patterns),
        "'[!'": sum("[!" in pattern for pattern in patterns),
        "unclosed '['": sum(bool(re.search(r"\[[^]]*$", pattern)) for pattern in patterns),
        "ranges": sum(bool(re.search(r"\[.*.-.*\]", pattern)) for pattern in patterns),
        "lines": sum(each[0] == "file" and each[3] is not None for each in filters),
        "all frames": sum(each[0] == "file" and each[4] for each in filters),
        "a filter's domain": sum(each[0] == "file" and each[5] is not None for each in filters),
        "domain filters": sum(each[0] == "domain" for each in filters),
        "several filters": sum(len(query["filters"]) > 1 for case in cases
                               for query in case["queries"]),
    }
