# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Strings of every kind, and code whose file and function names are of every kind, lone surrogates
included."""
import types

EXACT = True
NAMES = ["plain", "latin-\xe9\xff", "greek-\u03b1\u03b2", "\u4e2d\u6587", "math-\U0001d400",
         "\udc80\udcff-undecodable", "\ud800-lone",
         "mixed-\xe9\u03b1\U0001f40d", "new\nline", "quote\"back\\slash", "<angle>", "x" * 300,
         "\u4e2d" * 200]


class Item:
    __slots__ = ("x",)


def make(keep, n):
    for _ in range(n):
        keep.append(Item())


def renamed(code, filename, name):
    """The same code object under another file name and function name; compile() refuses some of
    these."""
    if hasattr(code, "replace"):
        return code.replace(co_filename=filename, co_name=name)
    return types.CodeType(
        code.co_argcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize, code.co_flags,
        code.co_code, code.co_consts, code.co_names, code.co_varnames, filename, name,
        code.co_firstlineno, code.co_lnotab, code.co_freevars, code.co_cellvars)


def template(make, keep, n):
    make(keep, n)
    if n > 100:
        make(keep,
             n - 100)


def functions():
    return [types.FunctionType(renamed(template.__code__, "dir/" + name + ".py", name), {})
            for name in NAMES]


def strings(n):
    out = []
    for i in range(n):
        tail = str(i)
        out.append("ascii-%s" % tail)
        out.append("latin-\xe9-%s" % tail)
        out.append("two-\u4e2d-%s" % tail)
        out.append("four-\U0001f40d-%s" % tail)
        out.append("lone-\ud800\udfff-%s" % tail)
    return out


def changed(kept):
    out = []
    for text in kept:
        out.append(text.upper())
        out.append(text.replace("-", "\U0001f40d"))
        out.append(text.encode("utf-8", "surrogatepass"))
    return out


def setup():
    made = functions()
    keep = [None] * 100000
    keep.clear()
    for f in made:
        f(make, keep, 101)
    changed(strings(3))
    return made


def work(made):
    keep = []
    for number, f in enumerate(made):
        f(make, keep, 200 + 10 * number)
    texts = strings(2000)
    return [keep, texts, changed(texts[:2500])]
