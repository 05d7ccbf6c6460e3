# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Realloc in every direction: over the 512 bytes where pymalloc ends, over the size where malloc
maps, and back; calloc too.

Kept in flat lists: a list of its own for each result could come from a free list.
"""
import array
import ctypes
import io

LADDER = [1, 16, 100, 400, 496, 505, 512, 513, 520, 1000, 4096, 40000, 131000, 140000, 300000,
          1000000]


def climb(n):
    """Each bytearray stops at another step, having passed all below."""
    out = []
    for i in range(n):
        b = bytearray(1)
        for size in LADDER[:i % len(LADDER) + 1]:
            b += b"x" * (size - len(b))
        out.append(b)
    return out


def descend(n):
    out = []
    for i in range(n):
        b = bytearray(LADDER[-1 - i % 3])
        for size in reversed(LADDER[i % 12:10]):
            del b[size:]
        out.append(b)
    return out


def lists(n):
    out = []
    for i in range(n):
        grown = []
        for _ in range(i % 200):
            grown.append(None)
        if i % 3 == 0:
            del grown[i % 40:]
        out.append(grown)
    return out


def arrays(n):
    out = []
    for i in range(n):
        a = array.array("q")
        for k in range(i % 100):
            a.append(k)
        out.append(a)
    return out


def zeroed(n):
    """bytes(n) and ctypes' buffers are the users of calloc."""
    return [bytes(i) for i in range(2, n)], [ctypes.create_string_buffer(i + 20) for i in range(n)]


def concatenated(n):
    out = []
    for i in range(n):
        text = ""
        for k in range(i % 60):
            text += "0123456789"
        out.append(text)
    return out


def streams(n):
    out = []
    for i in range(n):
        s = io.StringIO()
        for k in range(i % 30):
            s.write("line %d\n" % k)
        b = io.BytesIO()
        for k in range(i % 30):
            b.write(b"0123456789abcdef" * 4)
        out.append(s)
        out.append(b)
        out.append(b.getvalue())
    return out


def views(n):
    base = bytearray(100000)
    return [memoryview(base)[i:i + 10] for i in range(n)]


def big(n):
    """Mapped blocks: made, grown, shrunk, dropped."""
    out = []
    for i in range(n):
        b = bytearray(200000 + i * 1000)
        b.extend(bytes(300000))
        if i % 2:
            del b[150000:]
        if i % 4 == 3:
            del b[1000:]
        out.append(b)
        bytes(400000)
    return out


def setup():
    climb(17), descend(13), lists(5), arrays(5), zeroed(5)
    concatenated(5), streams(3), views(3), big(4)


def work(state):
    kept = [climb(160), descend(120), lists(1500), arrays(800), zeroed(1500), concatenated(1200),
            streams(300), views(2000), big(30)]
    climb(40), descend(20), big(5)
    return kept
