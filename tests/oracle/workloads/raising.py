# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Exceptions with their tracebacks and frames kept, chained, from generators, swallowed and
retried.

The wrapping ones have no arguments: their tuple would come from the free list of the wrapped ones'.
Nor is a number kept: from 3.14 on they have a free list.
"""


class Trouble(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Local:
    __slots__ = ("x",)


def fail(code, depth):
    held = Local()
    if depth:
        return fail(code, depth - 1)
    raise Trouble(code)


def caught(n):
    out = []
    for i in range(n):
        try:
            fail("code-%d" % i, i % 5)
        except Trouble as error:
            out.append(error)
    return out


def chained(n):
    out = []
    for i in range(n):
        try:
            try:
                fail("code-%d" % i, 2)
            except Trouble as error:
                raise RuntimeError from error
        except RuntimeError as error:
            out.append(error)
    return out


def cleaned(n):
    out = []
    for i in range(n):
        try:
            try:
                fail(i, 1)
            finally:
                out.append(Local())
        except Trouble:
            pass
    return out


def broken(n):
    for i in range(n):
        held = Local()
        if i == n - 1:
            raise Trouble(i)
        yield held


def drained(n):
    out = []
    for i in range(n):
        try:
            for item in broken(4):
                out.append(item)
        except Trouble:
            out.append(Local())
    return out


def setup():
    caught(6), chained(2), cleaned(2), drained(2)


def work(state):
    kept = [caught(1500), chained(800), cleaned(2000), drained(1500)]
    for _ in range(5):
        caught(100)
    return kept
