# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A busy program that checks itself: parses, builds, compresses and sums without end, in two
threads.

    busy.py

Each round of each thread ends in a checksum that must be the one of the first round. It also holds
blocks that are older than any tracer, and gives some of them up in each round for new ones. Prints
READY once it is warm, then obeys lines on its standard input, each answered by one line:

    keep      makes and holds 10000 Held and 100 bytes objects of 5000 bytes   -> kept
    drop      gives up what `keep` made                                        -> dropped
    old       gives up all that was allocated before READY                     -> dropped
    report    -> JSON: rounds, each (rounds, by thread), wrong (checksums), worst (longest round,
                 seconds), rate; worst and rate since the last report
    end       ends, with status 1 if a checksum was wrong                      -> ended
"""
import json
import os
import sys
import threading
import time
import zlib


class Held:
    __slots__ = ("x",)


class Old:
    __slots__ = ("x", "text")

    def __init__(self, number):
        self.x = None
        self.text = "old-%d" % number


DOCUMENT = json.dumps(
    [{"id": i, "name": "name-%d" % i, "tags": ["a%d" % i, "b"], "sum": i / 8.0} for i in range(60)])


def parse(seed):
    return json.loads(DOCUMENT)


def build(rows):
    return {row["name"]: [tag.upper() for tag in row["tags"]] + [str(row["sum"])] for row in rows}


def pack(table):
    return zlib.compress(json.dumps(table, sort_keys=True).encode(), 1)


def once(seed):
    table = build(parse(seed))
    grown = bytearray()
    for name in table:
        grown += name.encode()
    return zlib.crc32(pack(table)) ^ zlib.crc32(bytes(grown))


class Worker:
    def __init__(self, number):
        self.number = number
        self.right = once(number)
        self.rounds = self.wrong = self.since = 0
        self.worst = 0.0
        self.ended = False
        self.old = [Old(i) for i in range(20000)]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        place = 0
        while not self.ended:
            began = time.perf_counter()
            self.wrong += once(self.number) != self.right
            old = self.old
            for _ in range(20):
                if old:
                    place = (place + 1) % len(old)
                    old[place] = Old(place)
            spent = time.perf_counter() - began
            if spent > self.worst:
                self.worst = spent
            self.rounds += 1
            self.since += 1


def keep():
    return [[Held() for _ in range(10000)],
            [bytes(5000) for _ in range(100)]]


def report(workers, since):
    now = time.perf_counter()
    found = {
        "rounds": sum(w.rounds for w in workers), "each": [w.rounds for w in workers],
        "wrong": sum(w.wrong for w in workers), "worst": max(w.worst for w in workers),
        "rate": sum(w.since for w in workers) / (now - since[0]),
    }
    for worker in workers:
        worker.worst = 0.0
        worker.since = 0
    since[0] = now
    return json.dumps(found)


def main():
    keep()
    workers = [Worker(number) for number in range(2)]
    held = []
    since = [time.perf_counter()]
    for worker in workers:
        worker.thread.start()
    while sum(w.rounds for w in workers) < 50:
        time.sleep(0.01)
    os.write(1, b"READY\n")
    for line in sys.stdin:
        command, answer = line.strip(), "dropped"
        if command == "keep":
            held.append(keep())
            answer = "kept"
        elif command == "drop":
            held.clear()
        elif command == "old":
            for worker in workers:
                worker.old = []
        elif command == "report":
            answer = report(workers, since)
        elif command == "end":
            break
        os.write(1, answer.encode() + b"\n")
    for worker in workers:
        worker.ended = True
    for worker in workers:
        worker.thread.join()
    os.write(1, b"ended\n")
    sys.exit(1 if any(w.wrong for w in workers) else 0)


if __name__ == "__main__":
    main()
