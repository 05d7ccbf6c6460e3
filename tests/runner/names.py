# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a test is called: finds the jobs that a name stands for, and lists all names."""
import os
import re

import harness
import parts
from job import Job

BATS_TEST = re.compile(r"""^@test\s+(["'])(.*)\1\s*\{""")
UNIT_TEST = re.compile(r"\bcmocka_unit_test\w*\(\s*(\w+)")


class Unknown(Exception):
    """There is no test of this name."""


def bats_tests():
    """[(file, test)] of all files."""
    found = []
    for file in parts.bats_files():
        with open(parts.path("tests/bats", file)) as f:
            tests = [test[2].replace('\\"', '"') for test in map(BATS_TEST.match, f) if test]
        found += [(file, test) for test in tests]
    return found


def bats_called(name):
    """Those that have NAME in theirs; if there are none, those that have its words in order."""
    tests = bats_tests()
    words = re.compile(".*".join(map(re.escape, name.split())))
    return ([each for each in tests if name in (each[1], " ".join(each))] or
            [each for each in tests if name in each[1]] or
            [each for each in tests if words.search(each[1])])


def unit_tests():
    """[(program, test)] of all programs."""
    found = []
    for program in parts.unit_programs():
        with open(parts.path("tests/unit", program + ".c")) as f:
            found += [(program, test) for test in UNIT_TEST.findall(f.read())]
    return found


def with_interpreter(part, interpreter, scope):
    """The jobs of PART on INTERPRETER, as they are on any, also if it is none of those found."""
    root, python = harness.split_root(interpreter)
    if not os.access(os.path.join(root, "usr/bin", python) if root else python, os.X_OK):
        raise Unknown("there is no interpreter %s" % interpreter)
    scope.all, scope.short = [(root, python)], False
    return [job for job in parts.jobs_of(part, scope) if job.name.endswith(":" + interpreter)]


def one_unit_test(program, test, jobs):
    job = next(job for job in jobs if job.name == "unit " + program)
    env = dict(job.env, TMBPF_UNIT_TEST=test)
    return Job(job.part, "%s %s" % (job.name, test), job.command, job.says, env=env)


def one_bats_test(file, test, short):
    name = re.sub(r"([][\\.^$*+?(){}|])", r"\\\1", test)
    return parts.bats_job(file, short, "--filter", "^%s$" % name)


def with_what_is_before(chosen):
    return [job.after for job in chosen if job.after and job.after not in chosen][:1] + chosen


def find(name, scope):
    """The jobs that NAME stands for."""
    part, colon, interpreter = name.partition(":")
    if name in parts.PARTS:
        return parts.jobs_of(name, scope)
    if part in parts.DRIVERS and interpreter.startswith("/"):
        return with_interpreter(part, interpreter, scope)
    jobs = [job for part in parts.PARTS for job in parts.jobs_of(part, scope)]
    chosen = [job for job in jobs if name in (job.name, job.name.partition(" ")[2])]
    # A unit program without sanitizers, unless it is called "asan test_...".
    chosen = [job for job in chosen if job.part != "asan" or job.name == name]
    if not chosen:
        units = [(program, test) for program, test in unit_tests()
                 if name in (test, program + " " + test)]
        chosen = [one_unit_test(program, test, jobs) for program, test in dict.fromkeys(units)]
    if not chosen:
        chosen = [one_bats_test(file, test, scope.short) for file, test in bats_called(name)]
    if not chosen:
        raise Unknown("there is no test %s" % name)
    return with_what_is_before(chosen)


def show(scope):
    """What there is, for someone who asked for what there is not."""
    print("parts:")
    for part, (_, what) in parts.PARTS.items():
        print("  %-15s %s" % (part, what))
    print("parts with an interpreter, as in parity:/usr/bin/python3:")
    print("  " + " ".join(parts.DRIVERS))
    print("interpreters:")
    for each in scope.all:
        print("  " + harness.label(*each))
    print("files of bats, whose tests can be named by a part of their name:")
    print("  " + " ".join(parts.bats_files()))
    print("unit programs, whose tests can be named:")
    print("  " + " ".join(parts.unit_programs()))


def show_all(scope):
    """Every name, one a line, each of which tests/run takes."""
    for part in parts.PARTS:
        print(part)
    for part in parts.PARTS:
        for job in parts.jobs_of(part, scope):
            print(job.name)
    for program, test in unit_tests():
        print("%s %s" % (program, test))
    for file, test in bats_tests():
        print("%s %s" % (file, test))
