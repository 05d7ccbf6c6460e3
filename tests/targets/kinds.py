# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Makes known numbers of objects of each kind, and counts what it has itself.

    kinds.py [interpreters]

With "interpreters" three more hold lists before it begins, each with a heap and a lock of its own
(Python 3.12). Prints READY, waits for a line, makes the objects, and prints a line of JSON: "made",
how many of each type there are more; "classes", how many instances of each class of its own the
collector knows; "blocks", sys.getallocatedblocks() as it is while it waits to be ended.
"""
import gc
import json
import os
import signal
import sys
import warnings


class Plain:
    """With a dict, or with inline values."""

    def __init__(self, number):
        self.number = number
        self.name = "plain %d" % number


class Slots:
    __slots__ = ("one", "two")

    def __init__(self, number):
        self.one = number
        self.two = None


class Outer:
    class Inner(dict):
        pass


COUNT = 3000


def make():
    kept = [None] * 9
    kept[0] = [Plain(i) for i in range(COUNT)]
    kept[1] = [Slots(i) for i in range(COUNT)]
    kept[2] = [Outer.Inner(one=i) for i in range(COUNT)]
    kept[3] = [[i] * (i % 30) for i in range(COUNT)]
    kept[4] = [{i: None, -i: None} for i in range(COUNT)]
    kept[5] = [{i, -i, str(i)} for i in range(COUNT)]
    kept[6] = ["text %d" % i for i in range(COUNT)]
    kept[7] = [bytearray(1 + i % 300) for i in range(COUNT)]
    # Blocks of malloc's.
    kept[8] = ["long %d " % i + "x" * 600 for i in range(COUNT)]
    return kept


MADE = {
    "__main__.Plain": COUNT,
    "__main__.Slots": COUNT,
    "__main__.Outer.Inner": COUNT,
    "list": COUNT + 10,
    "dict": COUNT,
    "set": COUNT,
    # Plain's names, what the sets have, and the texts.
    "str": 4 * COUNT,
    "bytearray": COUNT,
}


def count():
    """The start of the line, without the last member."""
    gc.collect()
    classes = {}
    for thing in gc.get_objects():
        name = "%s.%s" % (type(thing).__module__, type(thing).__qualname__)
        if name.startswith("__main__."):
            classes[name] = classes.get(name, 0) + 1
    return json.dumps({"made": MADE, "classes": classes})[:-1].encode()


def forget_names():
    """The cache of attributes owns their names: some have no other owner, and go when a type's
    address lets another in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys._clear_type_cache()


def more_interpreters():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    # 3.12 ends one with the last reference to its id.
    made = [interpreters.create() for _ in range(3)]
    for each in made:
        interpreters.run_string(each, "kept = [[i] for i in range(20000)]")
    return made


def main():
    others = more_interpreters() if "interpreters" in sys.argv else None
    # What is made once for all is there before it counts.
    make()
    count()
    forget_names()
    if sys.version_info < (3, 11):
        # Each has a dict.
        MADE["dict"] += COUNT
    os.write(1, b"READY\n")
    os.read(0, 1)
    # Lists of that many elements are large blocks, and no pool has their items.
    kept = make()
    start = count()
    blocks, line = 0, b""
    # What it counts is what there was before: from the second time on as much as there is after it.
    turn = 0
    while turn < 5:
        blocks = sys.getallocatedblocks()
        line = b'%s, "blocks": %d}\n' % (start, blocks)
        turn += 1
    os.write(1, line)
    # Unlike a read it allocates nothing.
    signal.pause()
    return kept, others


if __name__ == "__main__":
    main()
