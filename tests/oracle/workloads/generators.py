# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Generators, coroutines and async generators kept half-way; asyncio tasks run to their end.

No range's iterator is kept: from 3.14 on it may come from a free list.
"""
import asyncio


class Item:
    __slots__ = ("x", "y")


def counter(n):
    kept = [Item(), Item(), Item(), Item(), Item()]
    while n:
        n -= 1
        kept.append(Item())
        yield kept


def delegate(n):
    yield from counter(n)


def suspended(n):
    out = []
    for i in range(n):
        generator = delegate(10)
        for _ in range(i % 4 + 1):
            next(generator)
        out.append(generator)
    return out


class Pause:
    __slots__ = ("box",)

    def __init__(self, box):
        self.box = box

    def __await__(self):
        self.box.append(Item())
        yield self
        self.box.append(Item())


async def leaf(box):
    await Pause(box)
    box.append(Item())
    await Pause(box)


async def branch(box, depth):
    if depth:
        await branch(box, depth - 1)
    else:
        await leaf(box)


def coroutines(n):
    """Driven by hand, a step at a time, and kept where they wait."""
    out = []
    for i in range(n):
        box = []
        coroutine = branch(box, i % 6)
        coroutine.send(None)
        coroutine.send(None)
        out.append((coroutine, box))
    return out


async def ticker(n):
    for i in range(n):
        yield Item()


async def collect(n):
    out = []
    async for item in ticker(n):
        out.append(item)
    return out + [item async for item in ticker(n)]


async def worker(box, n):
    for _ in range(n):
        await asyncio.sleep(0)
        box.append(Item())


async def crowd(n):
    boxes = [[] for _ in range(n)]
    await asyncio.gather(*[worker(box, 20) for box in boxes])
    return boxes + [await collect(500)]


def setup():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(crowd(2))
    suspended(4)
    for coroutine, _ in coroutines(3):
        coroutine.close()
    return loop


def work(loop):
    kept = [suspended(1000), coroutines(1000)]
    kept.append(loop.run_until_complete(crowd(100)))
    kept.append([sum(1 for _ in part) for part in [iter(range(50))] * 50])
    return kept
