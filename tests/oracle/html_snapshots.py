# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Snapshot files for the driver html: what is in them is known here, independently of tmbpf."""
import gzip
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "bats"))
import profile  # noqa: E402 - tests/bats/profile.py, not the standard library's

MAIN = ("/srv/app/main.py", 10, "main")
SERVE = ("/srv/app/main.py", 20, "serve")
LOOKUP = ("/srv/app/cache.py", 33, "Cache.lookup")
STORE = ("/srv/app/cache.py", 40, "Cache.store")
LOADS = ("/usr/lib/python3.11/json/decoder.py", 353, "JSONDecoder.raw_decode")
RENDER = ("/usr/lib/python3/dist-packages/jinja2/runtime.py", 77, "Context.render")
WARM = ("/srv/app/main.py", 5, "warm_up")

# (frames, the most recent first; size, count)
OLD = [((LOOKUP, SERVE, MAIN), 400000, 400), ((LOADS, SERVE, MAIN), 300000, 3000),
       ((RENDER, SERVE, MAIN), 200000, 100), ((WARM, MAIN), 500000, 5)]
NEW = [((LOOKUP, SERVE, MAIN), 1600000, 1600), ((LOADS, SERVE, MAIN), 150000, 1500),
       ((RENDER, SERVE, MAIN), 200000, 100), ((STORE, LOOKUP, SERVE, MAIN), 250000, 50)]

HOSTILE = [
    "</script><script>window.owned=1</script>", "<img src=x onerror=window.owned=1>",
    "<!--<script>", "]]>", "javascript:window.owned=1", "\"'><svg onload=window.owned=1>",
    "\u2028window.owned=1\u2029", "__proto__", "constructor", "${window.owned=1}", "{{7*7}}",
    "@data@", "&lt;b&gt;", "\udcff\ud800", "\u202egnp.exe", "a\x01\x1b[31m\x7f\r\n\tb",
    "\U0001f40d" * 40, "(?:", "\\", "x" * 3000,
]


def text(frame):
    """A frame as the page shows it."""
    filename, lineno, name = frame
    return "%s (%s:%d)" % (name, filename, lineno)


def write(path, rows, **info):
    """ROWS are (frames, size, count) or with total_nframe as a fourth."""
    out = profile.Profile()
    for frames, size, count, *more in rows:
        out.sample(frames, (count, size, count, size), {"total_nframe": more[0]} if more else {})
    for key, value in info.items():
        out.comment("tmbpf.%s=%s" % (key.replace("__", "."), value))
    with gzip.open(path, "wb", compresslevel=1) as f:
        f.write(out.encode())
    return path


def usual(path, rows, **info):
    size = sum(row[1] for row in rows)
    settings = dict(pid=4711, command_line="python3 /srv/app/main.py --port 8000", host="web-3",
                    container="0123456789abcdef", python_version="0x030b02f0", mode="exact",
                    traceback_limit=25, current=size, peak=size + 4096, rss=52428800,
                    coverage=0.9912, coverage_basis="1182 of 1192 refills were announced")
    settings.update(info)
    return write(path, rows, **settings)


def hostile(path):
    rows = [(((name, 7, "f"), ("/srv/app.py", 1, name)), 1000 + i, 1)
            for i, name in enumerate(HOSTILE)]
    return write(path, rows, pid=1, command_line="".join(HOSTILE[:3]), host=HOSTILE[1],
                 mode=HOSTILE[0], python_version="0x030b02f0", loss__x="3 " + HOSTILE[1],
                 coverage=0.5, coverage_basis=HOSTILE[0])


def many(path, count):
    """COUNT stacks that differ in each frame but the first, of sizes that fall."""
    rows = [([("/m/%d.py" % (i % 977), i, "leaf"), ("/m/caller.py", i, "caller"), MAIN],
             1000 + 10 * (count - i), 1)
            for i in range(count)]
    return write(path, rows), sum(row[1] for row in rows)


def deep(path, depth):
    frames = [("/d.py", i + 1, "f") for i in range(depth)]
    return write(path, [(frames, 4096, 2), (frames[-3:], 64, 1)])
