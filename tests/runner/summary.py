# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Counts what jobs come to, prints it, and writes it down."""
import os
import platform
import subprocess
import sys
import time

import harness
import parts
from job import Result

SLOWEST = 10


class Summary:
    """What came of the jobs so far."""

    def __init__(self):
        self.began = time.monotonic()
        self.parts = {}
        self.all = Result("all")

    def add(self, job, output, result):
        """Prints OUTPUT, and what it came to. Whole, so that what runs at once stays apart."""
        print("# %s" % job.name)
        sys.stdout.write(output if not output or output.endswith("\n") else output + "\n")
        for failure in result.failures:
            print("FAIL " + failure)
        print("# %s: %s in %.0f s" % (job.name, result.line(), result.seconds), flush=True)
        self.parts.setdefault(job.part, Result(job.part)).add(result)
        self.all.add(result)

    def skip(self, name, why):
        self.all.skips.append("%s: %s" % (name, why))

    def fail(self, part, why):
        self.parts.setdefault(part, Result(part)).fail(why)
        self.all.failures.append("%s: %s" % (part, why))

    def seconds(self):
        return time.monotonic() - self.began

    def finish(self):
        """Prints what all came to; the exit status."""
        for result in self.parts.values():
            print("# %-14s %s, %.0f s of tests" % (result.name, result.line(), result.seconds))
        print("# all of it took %.0f s; the slowest:" % self.seconds())
        for seconds, name in sorted(self.all.times, reverse=True)[:SLOWEST]:
            print("# %7.1f s  %s" % (seconds, name))
        for failure in self.all.failures:
            print("failed: " + failure)
        for skip in self.all.skips:
            print("skipped: " + skip)
        print(self.all.line(), flush=True)
        return 1 if self.all.failures or not self.all.passed else 0


def said(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def commit():
    """Of what is tested; the files may differ from it."""
    git = ("git", "-c", "safe.directory=*", "-C", parts.TOP)
    head = said(*git, "rev-parse", "HEAD")
    if not head:
        return "not known"
    return head + (", and changes to it" if said(*git, "status", "--porcelain") else "")


def system():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "not known"


def write(path, summary, scope):
    """What docs/check-all.md says."""
    lines = ["# The whole check", "", "`make check-all` writes this file; see README for what it "
             "runs.", "", "- date: %s" % time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
             "- commit: %s" % commit(), "- kernel: %s" % platform.release(),
             "- system: %s, %d processors" % (system(), os.cpu_count()),
             "- it took %d minutes" % ((summary.seconds() + 59) // 60), "", "Interpreters:", ""]
    lines += ["- %s: Python %d.%d" % (harness.label(*each), *version)
              for version, each in sorted(scope.found)]
    lines += ["", "| part | passed | failed | skipped | seconds |", "|---|---|---|---|---|"]
    lines += ["| %s | %d | %d | %d | %.0f |" % (
        part.name, part.passed, len(part.failures), len(part.skips), part.seconds)
        for part in summary.parts.values()]
    for what, found in (("Failed", summary.all.failures), ("Skipped", summary.all.skips)):
        if found:
            lines += ["", what + ":", ""] + ["- " + each for each in found]
    lines += ["", summary.all.line()]
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
