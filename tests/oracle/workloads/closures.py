# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Closures and their cells, bound methods, partials, classes made in functions, default
arguments."""
import functools


class Base:
    def method(self):
        return self


def adder(n):
    total = "total-%d" % n

    def add(extra):
        nonlocal total
        total = total + extra
        return total

    return add


def nest(a):
    def second(b):
        def third(c):
            return lambda: (a, b, c)
        return third("c%s" % b)
    return second("b%s" % a)


def adders(n):
    out = [adder(i) for i in range(n)]
    for add in out:
        add("+")
    return out


def methods(n):
    return [Base().method for _ in range(n)]


def partials(n):
    return [functools.partial(adder, "argument-%d" % i) for i in range(n)]


def classes(n):
    out = []
    for i in range(n):
        class Made(Base):
            number = i + 1000

            def method(self):
                return __class__
        out.append(Made)
    return out


def setup():
    adders(3), [nest("x")() for _ in range(3)], methods(3), partials(3), classes(2)


def work(state):
    kept = [adders(4000), [nest("v%d" % i) for i in range(2000)], methods(3000), partials(3000)]
    kept.append(classes(60))
    classes(40)
    return kept
