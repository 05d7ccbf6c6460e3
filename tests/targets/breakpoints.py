# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Counts the bytes of a process's code that are not its files': breakpoints.

    breakpoints.py PID
"""
import sys


def changed(pid):
    count = 0
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb") as memory:
        for line in maps:
            fields = line.split(None, 5)
            if "x" not in fields[1] or len(fields) < 6 or not fields[5].startswith("/"):
                continue
            begin, end = (int(word, 16) for word in fields[0].split("-"))
            memory.seek(begin)
            with open("/proc/%d/root%s" % (pid, fields[5].rstrip("\n")), "rb") as file:
                file.seek(int(fields[2], 16))
                ours, theirs = memory.read(end - begin), file.read(end - begin)
            # The last page's rest is zeros in memory.
            if not ours.startswith(theirs):
                count += sum(our != their for our, their in zip(ours, theirs))
    return count


if __name__ == "__main__":
    print(changed(int(sys.argv[1])))
