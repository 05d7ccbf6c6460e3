# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Computes what depends on nothing but its argument, and allocates all the time.

    digests.py LINES

Prints LINES lines, each a digest of all that two threads have made until then; with 0 until
standard input ends. Whatever went wrong in an allocator or a frame in between, the lines after it
would be others than in an undisturbed run.
"""
import hashlib
import json
import sys
import threading

STEPS = 40


class Record:
    def __init__(self, number):
        self.number = number
        self.text = "record %d" % number
        self.children = [number + i for i in range(number % 17)]


def step(number, kept):
    """What one step makes, as bytes; KEPT is what earlier ones left."""
    records = [Record(number * 31 + i) for i in range(60)]
    kept[number % 97] = {record.text: record.children for record in records}
    text = json.dumps([json.loads(json.dumps(vars(record))) for record in records], sort_keys=True)
    block = bytearray(number * 7919 % 70000)
    block[::613] = bytes(number % 251 for _ in block[::613])
    return text.encode() + bytes(block) + repr(sorted(kept)).encode()


def work(thread, first, digest):
    kept = {}
    for number in range(first, first + STEPS):
        digest.update(step(number * 2 + thread, kept))


def main():
    lines = int(sys.argv[1])
    ended = threading.Event()
    if not lines:
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    digests = [hashlib.sha256(), hashlib.sha256()]
    line = 0
    while line < lines or (not lines and not ended.is_set()):
        threads = [
            threading.Thread(target=work, args=(i, line * STEPS, digest))
            for i, digest in enumerate(digests)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(line, *(digest.hexdigest() for digest in digests), flush=True)
        line += 1


if __name__ == "__main__":
    main()
