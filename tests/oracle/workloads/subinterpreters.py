# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Code that allocates in two other interpreters of the process, beside the main one.

Before 3.12 tracemalloc asks for the thread's first thread state, the main interpreter's, so that
its tracebacks end where the main interpreter called the other; tmbpf's go on into the other one. So
there, and where the module is left out, the same code runs in the main interpreter, unless
TMBPF_SUBINTERPRETERS=always is set, for a comparison of sums (tests/oracle/modes).
"""
import gc
import os
import sys

SOURCE = """
class Item:
    __slots__ = ("x", "y")

def fill(into, n):
    for i in range(n):
        into.append(Item())

def texts(into, n):
    for i in range(n):
        into.append("text-%d-%s" % (i, "y" * (i % 600)))

def deeper(into, n, depth):
    if depth:
        return deeper(into, n, depth - 1)
    fill(into, n)
    texts(into, n)

import builtins
builtins.kept = []
builtins.deeper = deeper
deeper([], 10, 2)
"""


def load_module():
    if sys.version_info < (3, 12) and os.environ.get("TMBPF_SUBINTERPRETERS") != "always":
        return None
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return __import__(name)
        except ImportError:
            pass
    return None


class Here:
    """The main interpreter in the place of another."""

    def __init__(self):
        self.space = {}

    def run(self, source, name):
        exec(compile(source, name, "exec"), self.space)


class Other:
    def __init__(self, module):
        self.module = module
        self.identity = module.create()

    def run(self, source, name):
        text = "exec(compile(%r, %r, 'exec'), {})" % (source, name)
        run = getattr(self.module, "run_string", None)
        failure = run(self.identity, text)
        if failure is not None:
            raise RuntimeError(str(failure))


def setup():
    module = load_module()
    others = [Other(module) if module else Here() for _ in range(2)]
    for other in others:
        other.run(SOURCE, __file__)
    others.append(Here())
    others[-1].run(SOURCE, __file__)
    gc.collect()
    return others


def work(others):
    for number, other in enumerate(others):
        other.run("deeper(kept, %d, %d)" % (2000 + 500 * number, number), __file__)
    return others
