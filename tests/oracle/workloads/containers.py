# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The standard library's containers in C, iterators half-way, weak references."""
import collections
import itertools
import weakref


class Thing(object):
    pass


class Record(object):
    def __init__(self, number):
        self.number = number
        self.name = "record-%d" % number
        self.extra = None


def records(n):
    return [Record(i + 1000) for i in range(n)]


def deques(n):
    out = []
    for i in range(n):
        d = collections.deque(maxlen=300)
        for k in range(i):
            d.append(None)
        out.append(d)
    return out


def ordered(n):
    d = collections.OrderedDict()
    for i in range(n):
        d["key-%d" % i] = None
    for i in range(0, n, 3):
        del d["key-%d" % i]
    return d


def grouped(n):
    d = collections.defaultdict(set)
    for i in range(n):
        d["group-%d" % (i % 200)].add("member-%d" % i)
    return d


def sets(n):
    out = []
    for i in range(n):
        out.append(frozenset(["member-%d" % k for k in range(i % 20)]))
    return out


def weak(n):
    things = [Thing() for _ in range(n)]
    table = weakref.WeakValueDictionary()
    refs = [weakref.ref(thing) for thing in things]
    return things, table, refs


def iterators(n):
    out = []
    for i in range(n):
        left, right = itertools.tee(iter("abcdefgh"))
        next(left)
        out.append([left, right, itertools.cycle("ab"), itertools.islice(right, 5)])
    return out


def attributes(n):
    out = []
    for i in range(n):
        thing = Thing()
        for k in range(i % 12):
            setattr(thing, "attribute%d" % k, None)
        out.append(thing)
    return out


def setup():
    records(3), deques(70), ordered(4), grouped(4), sets(3), weak(3), iterators(3), attributes(13)


def work(state):
    return [records(4000), deques(300), ordered(3000), grouped(4000), sets(400), weak(2000),
            iterators(500), attributes(2000)]
