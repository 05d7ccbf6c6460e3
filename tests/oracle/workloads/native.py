# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""C extension modules that allocate: through all three domains, from objects that are kept and from
calls that return.

They are called straight from this file, so that its lines own what they allocate. Results are kept
in flat lists: pickle and others leave tuples in the free list, from where a pair would be taken.
"""
import decimal
import hashlib
import io
import json
import pickle
import re
import zlib

try:
    import sqlite3
except ImportError:
    sqlite3 = None
try:
    import bz2
    import lzma
except ImportError:
    bz2 = lzma = None

TEXT = json.dumps([{"name": "row-%d" % i, "value": "v%d" % (i * 37), "tags": ["t%d" % i, "u%d" % i]}
                   for i in range(200)])
WORDS = " ".join("word%d=%d;" % (i, i * i) for i in range(1000))
PATTERN = re.compile(r"(\w+)=(\d+);")
SCAN = json.JSONDecoder().scan_once
CONTEXT = decimal.Context(prec=400)


def parse(n):
    return [SCAN(TEXT, 0) for _ in range(n)]


def matches(n):
    out = []
    for _ in range(n):
        out.append(list(PATTERN.finditer(WORDS)))
    return out, PATTERN.findall(WORDS), PATTERN.sub(r"\2", WORDS)


def compressors(n):
    """zlib's own tables are raw blocks of up to 128 KiB each, asked for through its callbacks."""
    out = []
    for i in range(n):
        c = zlib.compressobj(9)
        out.append(c)
        out.append(c.compress(WORDS.encode()))
    return out


def decompressors(n):
    """The window is allocated in the midst of inflate, where the GIL is not held."""
    data = zlib.compress(TEXT.encode() * 20)
    out = []
    for i in range(n):
        d = zlib.decompressobj()
        out.append(d)
        out.append(d.decompress(data[:len(data) // 2]))
    return out


def archives(n):
    out = []
    for _ in range(n if bz2 else 0):
        b = bz2.BZ2Compressor(1)
        x = lzma.LZMACompressor(preset=0)
        out.append(b)
        out.append(b.compress(b"0123456789" * 100))
        out.append(x)
        out.append(x.compress(b"0123456789" * 100))
    return out


def decimals(n):
    one = decimal.Decimal(1)
    return [CONTEXT.divide(one, decimal.Decimal(i)) for i in range(7, 7 + n)]


def rows(connection, n):
    if connection is None:
        return [["row-%d" % i] for i in range(n)]
    cursor = connection.cursor()
    cursor.execute("select name, value from t where id < ?", (n,))
    return cursor.fetchall()


def pickled(n):
    data = pickle.dumps([["entry-%d" % i, b"x" * (i % 700)] for i in range(n)], 2)
    return data, pickle.loads(data)


def hashes(n):
    out = []
    for i in range(n):
        h = hashlib.sha256(b"data-%d" % i)
        out.append(h)
        out.append(h.hexdigest())
    return out


def streams(n):
    out = []
    for i in range(n):
        s = io.BytesIO()
        for k in range(20):
            s.write(b"0123456789abcdef" * 5)
        out.append(s)
    return out


def setup():
    connection = None
    if sqlite3:
        connection = sqlite3.connect(":memory:")
        connection.execute("create table t (id integer, name text, value text)")
        connection.executemany("insert into t values (?, ?, ?)",
                               [(i, "name-%d" % i, "v" * (i % 50 + 1)) for i in range(3000)])
    parse(1), matches(1), compressors(1), decompressors(1), archives(1), decimals(2)
    rows(connection, 10)
    pickled(10), hashes(2), streams(1)
    return connection


def work(connection):
    kept = [parse(10), matches(4), compressors(30), decompressors(30), archives(2), decimals(1500)]
    kept.append([rows(connection, 3000), pickled(2000), hashes(500), streams(200)])
    for _ in range(20):
        zlib.compress(TEXT.encode())
        zlib.decompress(zlib.compress(WORDS.encode()))
    compressors(5), parse(2), matches(1)
    return kept
