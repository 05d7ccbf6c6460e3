# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A tree of processes that come and go: by fork, as other programs by exec, and by
multiprocessing's spawn.

    churning.py RATE ALIVE

Starts RATE processes a second as long as fewer than ALIVE are there, until standard input ends;
then it waits for all, and prints how many there were of each kind. Each lives between nothing and
eight seconds and allocates meanwhile; some end by a signal. What is random has a seed.
"""
import collections
import os
import random
import select
import signal
import sys
import time

CODE = ("import sys, time\nkept = []\nend = time.time() + float(sys.argv[1])\nwhile time.time() < "
        "end:\n    kept.append(bytes(1002))\n    time.sleep(0.01)")


def grow(seconds):
    kept = []
    end = time.time() + seconds
    while time.time() < end:
        kept.append(bytes(1001))
        time.sleep(0.01)


def child(kind, seconds):
    if kind == "fork":
        grow(seconds)
    elif kind == "parent":
        # Ends before its child does.
        if os.fork():
            return
        grow(seconds)
    elif kind == "python":
        os.execv(sys.executable, [sys.executable, "-c", CODE, "%f" % seconds])
    elif kind == "shell":
        shell = 'sleep 0.2; exec "$0" -c "$1" "$2"'
        os.execv("/bin/sh", ["sh", "-c", shell, sys.executable, CODE, "%f" % seconds])
    elif kind == "other":
        os.execv("/bin/sleep", ["sleep", "%f" % seconds])
    elif kind == "again":
        # One interpreter after the other, under one pid.
        grow(seconds / 2)
        os.execv(sys.executable, [sys.executable, "-c", CODE, "%f" % (seconds / 2)])


KINDS = ("fork", "fork", "fork", "parent", "python", "python", "shell", "other", "again")


def main():
    rate, most = float(sys.argv[1]), int(sys.argv[2])
    chance = random.Random(1)
    counts = collections.Counter()
    living = {}
    print("READY", flush=True)
    while not select.select([sys.stdin], [], [], 1 / rate)[0]:
        while living:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            living.pop(pid, None)
        for pid, end in list(living.items()):
            if end and time.time() > end:
                os.kill(pid, signal.SIGKILL)
                living[pid] = 0
        if len(living) >= most:
            continue
        kind = chance.choice(KINDS)
        seconds = chance.choice((0, 0.05, 0.5, 2, 8)) * chance.random()
        killed = chance.random() < 0.2
        pid = os.fork()
        if not pid:
            try:
                child(kind, seconds)
            finally:
                os._exit(0)
        counts[kind] += 1
        living[pid] = time.time() + seconds * chance.random() if killed else 0
    while living:
        pid, _ = os.waitpid(-1, 0)
        living.pop(pid, None)
    print(*("%s=%d" % each for each in sorted(counts.items())), flush=True)


if __name__ == "__main__":
    main()
