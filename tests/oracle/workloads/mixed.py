# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Containers that grow by realloc, dicts, sets, closures, generators, big blocks, temporaries."""


class Node:
    def __init__(self, value):
        self.value = value
        self.next = None


def grow(n):
    out = []
    for i in range(n):
        out.append(i + 1000)
    return out


def table(n):
    return {"key-%d" % i: [i] for i in range(n)}


def chain(n):
    head = None
    for i in range(n):
        node = Node(i)
        node.next = head
        head = node
    return head


def buffers(n):
    out = []
    for i in range(n):
        b = bytearray()
        for _ in range(20):
            b += b"0123456789abcdef" * 8
        out.append(b)
    return out


def closures(n):
    return [lambda i=i: i for i in range(n)]


def numbers(n):
    return {float(i) * 1.5 for i in range(n)}, [i ** 9 for i in range(1000, n)]


def setup():
    grow(10), table(10), chain(10), buffers(2), closures(3), numbers(10)


def work(state):
    kept = [grow(50000), table(10000), chain(20000), buffers(300), closures(5000), numbers(20000)]
    for _ in range(20):
        table(500), grow(1000)
    return kept
