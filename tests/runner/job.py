# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A process that runs tests, and what its output says of them."""
import re

# The formats of outputs: TAP, as bats and cmocka write it; that of tests/oracle/harness.py; and
# none, of what only makes something.
TAP, TALLY, NO_TESTS = "tap", "tally", "none"

PLAN = re.compile(r"^1\.\.(\d+)")
# bats says how long a test took; cmocka calls "not ok" what it skips.
TEST = re.compile(r"^(not )?ok \d+ (?:- )?(.*?)(?: in (\d+)(ms|sec))?(?: # skip *(.*))?$", re.I)
CHECK = re.compile(r"^(ok  |FAIL|skip) (.*?)(?: \((\d+(?:\.\d+)?) s\))?$")


class Job:
    """COMMAND, which is told of as NAME and belongs to PART.

    LOAD is how many processors it keeps busy, about. SECONDS is how long it takes, about: the long
    ones are begun first. Nothing else depends on either. With AFTER it waits for the end of that
    job. USER is who runs it, an entry of pwd, if not who runs this.
    """

    def __init__(self, part, name, command, says=TALLY, load=0.7, seconds=30, env=None, after=None,
                 user=None):
        self.part, self.name, self.command, self.says = part, name, command, says
        self.load, self.seconds, self.env, self.after, self.user = load, seconds, env, after, user


class Result:
    """What came of a job, or of several."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failures, self.skips = [], []  # in words
        self.times = []  # (seconds, test)
        self.seconds = 0.0

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        self.times += other.times
        self.seconds += other.seconds

    def fail(self, why):
        self.failures.append("%s: %s" % (self.name, why))

    def skip(self, why):
        self.skips.append("%s: %s" % (self.name, why))

    def time(self, seconds, test):
        """Notes how long TEST took, without saying twice what it ran on."""
        on = self.name.partition(":")[2]
        again = on and test.startswith(on)
        self.times.append((seconds, self.name + (test[len(on):] if again else ": " + test)))

    def line(self):
        """"3 passed, 0 failed", with the number of those that were skipped, if any."""
        skipped = ", %d skipped" % len(self.skips) if self.skips else ""
        return "%d passed, %d failed%s" % (self.passed, len(self.failures), skipped)


def read_tap(result, lines):
    """Counts LINES into RESULT; how many tests there were, and how many there were to be."""
    seen = planned = 0
    for line in lines:
        plan, test = PLAN.match(line), TEST.match(line)
        if plan:
            planned += int(plan[1])
        elif test:
            seen += 1
            name, why = test[2].strip(), test[5]
            if why is not None:
                result.skip("%s: %s" % (name, why or "without a reason"))
            elif test[1]:
                result.fail(name)
            else:
                result.passed += 1
            if test[3]:
                seconds = int(test[3]) / (1000 if test[4] == "ms" else 1)
                result.time(seconds, name)
    return seen, planned


def read_tally(result, lines):
    """The same; there were to be as many as the last line says."""
    seen, bad = 0, len(result.failures)
    for line in lines:
        check = CHECK.match(line)
        if not check:
            continue
        seen += 1
        word, text, seconds = check.groups()
        if word == "skip":
            result.skip(text)
        elif word == "FAIL":
            result.fail(text)
        else:
            result.passed += 1
        if seconds:
            result.time(float(seconds), text.partition(": ")[0])
    total = "%d passed, %d failed" % (result.passed, len(result.failures) - bad)
    return seen, seen if lines and lines[-1] == total else None


def count(job, output, status, seconds, time_is_up=False):
    """The Result of a JOB that said OUTPUT and ended with STATUS, None if it was ended."""
    result = Result(job.name)
    result.seconds = seconds
    if job.says == NO_TESTS:
        if status:
            result.fail("the time was up" if time_is_up else "ended with status %s" % status)
        return result
    lines = output.rstrip("\n").split("\n")
    seen, planned = (read_tap if job.says == TAP else read_tally)(result, lines)
    of = "%d tests" % seen if planned is None else "%d of %d tests" % (seen, planned)
    if time_is_up:
        result.fail("the time was up while it ran, after %s and %.0f s" % (of, seconds))
    elif planned is None:
        result.fail("ended with status %s after %s, without its sum" % (status, of))
    elif seen != planned:
        result.fail("ended with status %s after %s" % (status, of))
    elif not seen:
        result.fail("has no test")
    elif status and not result.failures:
        result.fail("ended with status %s though no test failed" % status)
    if not result.times:
        result.times.append((seconds, job.name))
    return result
