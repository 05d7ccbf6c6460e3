# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Code objects and the line of each of their instructions, as this very Python gives them.

    python lines.py [SEED [FUNCTIONS]] >FILE

For tests/unit/test_lines.c, which decodes the same tables. A line `code KIND FIRSTLINENO TABLE`
(KIND lnotab, linetable, locations; TABLE in hexadecimal, - for none), then for each instruction
`at INDEX LINE` with INDEX as python_line() takes it, LINE -1 for none. The lines come from
PyCode_Addr2Line, the function that tracemalloc asks. Runs on 3.6 and later.
"""
import ast
import ctypes
import random
import sys
import types

VERSION = sys.version_info[:2]
KIND = "lnotab" if VERSION < (3, 10) else "linetable" if VERSION == (3, 10) else "locations"
UNIT = 2 if VERSION == (3, 10) else 1

addr2line = ctypes.pythonapi.PyCode_Addr2Line
addr2line.restype = ctypes.c_int
addr2line.argtypes = [ctypes.py_object, ctypes.c_int]

STATEMENTS = """
x = f(1, [a for a in b if a], *c)
for i in range(3):
    try:
        y = i if x else (yield_ + 1)
    except (A, B) as error:
        raise C(error) from None
    finally:
        del y
with a as b, c() as d:
    while not b:
        if d and e or f:
            break
        else:
            continue
def inner(p, q=lambda: 1, *r, s: int = 2, **t):
    nonlocal_ = {p: q for p in r}
    assert p, "no " + str(q)
    return [n for m in r for n in m]
class K(base):
    z = 1
    def method(self):
        return super().method
def generator():
    v = yield 1
    yield from v
async def coroutine():
    async with v as w:
        await w
"""


def scatter(tree, chance):
    """Gives each node a line and columns by chance: far jumps, backwards, long forms."""
    span = chance.choice([3, 40, 300, 100000])
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = 1 + chance.randrange(span)
            node.end_lineno = node.lineno + chance.choice([0, 0, 0, 1, 200])
            node.col_offset = chance.choice([0, 4, 79, 200, 5000])
            node.end_col_offset = node.col_offset + chance.choice([1, 3, 15, 16, 1000])
    return tree


def spread(source, chance):
    """The source with empty lines by chance, up to more than a byte can count."""
    lines = []
    for line in source.splitlines():
        lines += [""] * chance.choice([0, 0, 0, 1, 5, 130, 300])
        lines.append(line)
    return "\n".join(lines)


def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for inner in codes(constant):
                yield inner


def show(code):
    table = code.co_lnotab if VERSION < (3, 10) else code.co_linetable
    print("code", KIND, code.co_firstlineno, "".join("%02x" % byte for byte in table) or "-")
    print("at", -1, addr2line(code, -1))
    # One instruction beyond the end as well.
    for offset in range(0, len(code.co_code) + 2, 2):
        print("at", offset // UNIT, addr2line(code, offset))


def main():
    chance = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    for module in (ast, random, types):
        with open(module.__file__, encoding="utf-8") as file:
            for code in codes(compile(file.read(), module.__file__, "exec")):
                show(code)
    # A function longer than one entry of any table can say, and one of many lines.
    long = "def f(x):\n    return " + " + ".join("x[%d]" % i for i in range(400)) + "\n"
    many = "def g(x):\n" + "".join("    x = %d\n\n" % i for i in range(500))
    for source in (STATEMENTS, long, many):
        for code in codes(compile(source, "s", "exec")):
            show(code)
    for _ in range(count):
        for code in codes(compile(spread(STATEMENTS, chance), "s", "exec")):
            show(code)
        for code in codes(compile(scatter(ast.parse(STATEMENTS), chance), "s", "exec")):
            show(code)


main()
