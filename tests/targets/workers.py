# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A server that forks its workers before they work, and does as it is told on standard input.

    workers.py [COUNT]

Starts COUNT (2) workers, prints `worker PID` for each, then READY. A worker keeps a block of 1000
bytes a hundred times a second; the first one, `leaky`, in leak(), the others in work(), where they
keep the last ten. Told

    fork       starts another worker: `worker PID`
    kill       ends the first worker with SIGKILL and starts another in its place, as leaky:
               `worker PID`
    short N    forks N children, one after another, that end at once: `done`
    shell      starts a shell that becomes a Python by exec, a while later: `worker PID`
    hold N     keeps N blocks itself, in hold(): `done`
    inherit    forks a child that frees half of what hold() kept and keeps the rest: `worker PID`
    end        ends the workers, then itself

However it ends, the workers end as well.
"""
import os
import signal
import sys
import time

HELD = []
SERVER = os.getpid()


def leak(kept):
    kept.append(bytes(1000))


def work(kept):
    kept.append(bytes(1001))  # KEEPS
    del kept[:-10]


def serve(step):
    kept = []
    while os.getppid() == SERVER:
        step(kept)
        time.sleep(0.01)


def hold(count):
    HELD.extend(bytes(2000 + i % 2) for i in range(count))


def fork(run, *arguments):
    pid = os.fork()
    if not pid:
        try:
            run(*arguments)
        finally:
            os._exit(0)
    return pid


def halve():
    del HELD[::2]
    while os.getppid() == SERVER:
        time.sleep(1)


def say(*words):
    print(*words, flush=True)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    workers = [fork(serve, work if i else leak) for i in range(count)]
    for pid in workers:
        say("worker", pid)
    say("READY")
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "end":
            break
        if word == "fork":
            workers.append(fork(serve, work))
            say("worker", workers[-1])
        elif word == "kill":
            os.kill(workers[0], signal.SIGKILL)
            os.waitpid(workers[0], 0)
            workers[0] = fork(serve, leak)
            say("worker", workers[0])
        elif word == "short":
            for _ in range(int(rest[0])):
                os.waitpid(fork(int), 0)
            say("done")
        elif word == "shell":
            code = ("import os, time\nkept = []\nwhile os.getppid() == %d:\n"
                    "    kept.append(bytes(1002))\n    time.sleep(0.01)" % SERVER)
            shell = 'sleep 0.3; exec "$0" -c "$1"'
            workers.append(fork(os.execv, "/bin/sh", ["sh", "-c", shell, sys.executable, code]))
            say("worker", workers[-1])
        elif word == "hold":
            hold(int(rest[0]))
            say("done")
        elif word == "inherit":
            workers.append(fork(halve))
            say("worker", workers[-1])
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
