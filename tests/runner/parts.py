# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The parts of the tests, and the jobs that each consists of: in short, and all of it.

In short, comparisons run on two interpreters, this system's own and the newest one, and the longest
of them on fewer workloads. LOADs and SECONDS are those of two idle processors, about.
"""
import glob
import os
import pwd

import harness
from job import NO_TESTS, TAP, Job

TOP = harness.TOP
OWN = ("", "/usr/bin/python3")
ASAN = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1"}
# Files of bats that take longer than the others, in seconds.
LONG_BATS = {"estimate.bats": 220, "groups.bats": 150, "lazy.bats": 60, "hostile.bats": 50,
             "privileges.bats": 50, "faults.bats": 45}


def path(*words):
    return os.path.join(TOP, *words)


class Scope:
    """What is to run: in SHORT, or all. Interpreters are (root, path)."""

    def __init__(self, short):
        self.short = short
        self.found = harness.versions()
        self.all = [each for _, each in self.found]
        self.newest = max(self.found)[1] if self.found else OWN
        self.missing = harness.said_by("scripts/roots", "--missing")

    def interpreters(self, *short):
        """Those that a part runs on: SHORT in short (this system's and the newest), or all."""
        chosen = (short or (OWN, self.newest)) if self.short else self.all
        return list(dict.fromkeys(chosen))


def options_of(interpreter):
    root, python = interpreter
    return ["--root", harness.label(root, python)] if root else ["--python", python]


def oracle(part, driver, interpreters, *options, detail="", **more):
    """A job of DRIVER for each of INTERPRETERS."""
    name = part + (" " + detail if detail else "")
    return [Job(part, "%s:%s" % (name, harness.label(*each)),
                [path("tests", "oracle", driver), *options_of(each), *options], **more)
            for each in interpreters]


def workloads(*names):
    return [word for name in names for word in ("--workload", name)]


def part_runner(scope):
    return [Job("runner", "runner", [path("tests/runner/check")], load=0.3)]


def unit_programs():
    return sorted(os.path.basename(name)[:-2] for name in glob.glob(path("tests/unit/test_*.c")))


def unit_jobs(part, build, env, **more):
    return [Job(part, "%s %s" % (part, name), [path(build, "tests/unit", name)], TAP, load=1,
                seconds=5, env={"CMOCKA_MESSAGE_OUTPUT": "TAP", **env}, **more)
            for name in unit_programs()]


def part_unit(scope):
    return unit_jobs("unit", "build", {})


def part_asan(scope):
    """What it runs is built meanwhile, by whom the project's folder belongs to."""
    user = pwd.getpwuid(os.stat(TOP).st_uid)
    build = Job("asan", "asan build", [
        "make", "--no-print-directory", "-C", TOP, "-j", str(os.cpu_count()), "asan-programs"],
        NO_TESTS, load=1.5, seconds=400, env={"HOME": user.pw_dir, "MAKEFLAGS": ""}, user=user)
    return [build] + unit_jobs("asan", "build-asan", ASAN, after=build)


def bats_files():
    return sorted(os.path.basename(name) for name in glob.glob(path("tests/bats/*.bats")))


def bats_job(file, short, *options):
    env = {"TMBPF": path("build/tmbpf"), **({"TMBPF_SHORT": "1"} if short else {})}
    return Job("bats", "bats " + file, ["bats", "--tap", "--timing", *options,
                                        path("tests/bats", file)], TAP, load=0.5,
               seconds=LONG_BATS.get(file, 20), env=env)


def part_bats(scope):
    return [bats_job(file, scope.short) for file in bats_files()]


def part_estimates(scope):
    if not scope.short:
        return oracle("estimates", "estimates", scope.all, load=1.2, seconds=120)
    return (oracle("estimates", "estimates", [OWN], "--short", load=1.2, seconds=60) +
            oracle("estimates", "estimates", [scope.newest], "--short", "--scenario", "shares",
                   "--scenario", "large", load=0.5))


def part_parity(scope):
    return oracle("parity", "parity", scope.interpreters(), seconds=60)


def part_lazy(scope):
    """The comparisons once more with frees that are not probed."""
    if scope.short:
        some = workloads("classes.py", "codes.py", "growth.py", "nogil.py", "threads.py")
        return (oracle("lazy", "parity", [OWN], "--lazy-free", *some, detail="parity") +
                oracle("lazy", "blocks", [scope.newest], "--lazy-free", detail="blocks"))
    return [job for driver in ("parity", "blocks", "modes") for job in
            oracle("lazy", driver, scope.all, "--lazy-free", detail=driver, seconds=60)]


def part_blocks(scope):
    return oracle("blocks", "blocks", scope.interpreters())


def part_forks(scope):
    return oracle("forks", "forks", scope.interpreters(), load=0.5)


def part_modes(scope):
    return oracle("modes", "modes", scope.interpreters(), *["--short"] * scope.short, seconds=60)


def part_census(scope):
    return oracle("census", "census", scope.interpreters())


def part_allocators(scope):
    short = ["--short"] * scope.short
    jobs = []
    for mode in ("domains", "preload", "settings"):
        found = scope.interpreters(OWN)
        if mode == "preload":  # libraries of this system, which no root has
            found = [each for each in found if not each[0]]
        jobs += oracle("allocators", "allocators", found, "--mode", mode, *short, detail=mode,
                       load=0.5)
    return jobs + [Job("allocators", "allocators musl", [
        path("tests/oracle/allocators"), "--mode", "musl", *short], load=0.5)]


def part_snapshots(scope):
    count = ["--count", "64"] if scope.short else []
    return oracle("snapshots", "snapshots", scope.interpreters(), *count, load=2)


def part_cpython(scope):
    return oracle("cpython", "cpython_cases", scope.interpreters())


def part_roundtrip(scope):
    return oracle("roundtrip", "roundtrip", scope.interpreters())


def part_html(scope):
    return [Job("html", "html", [path("tests/oracle/html")], seconds=40)]


def part_containers(scope):
    return [Job("containers", "containers", [path("tests/containers/run")], load=0.5, seconds=120)]


def part_endurance(scope):
    short = ["--short"] * scope.short
    return [Job("endurance", "endurance " + part, [path("tests/endurance/run"), part, *short],
                load=0.7, seconds=60) for part in ("many", "churn", "kill")]


def part_endurance_long(scope):
    return [Job("endurance-long", "endurance-long " + part, [
        path("tests/endurance/run"), part, "--long"], seconds=1800)
        for part in ("many", "churn", "kill")]


def part_vm(scope):
    """A kernel of the oldest series that is supported in short: what differs most is in it."""
    short = ["--checks", "doctor,attach,exact,detach,kill", "5.10"] if scope.short else []
    return [Job("vm", "vm", [path("tests/vm/run"), *short], load=1.6, seconds=400)]


def uv_pythons():
    """Those of uv whose every line is told right. Of 3.14's the sums of two ints are not yet."""
    there = dict(line.split(":", 1) for line in harness.said_by("scripts/uv-pythons", "--list"))
    return [python for name, python in there.items() if not name.startswith("3.14")]


def part_builds(scope):
    """The CPythons that scripts/pythons builds and uv installs: interpreters() knows neither."""
    found = [("", python)
             for python in harness.said_by("scripts/pythons", "--list") + uv_pythons()]
    return [job for driver in ("parity", "blocks") for job in
            oracle("builds", driver, found, detail=driver, seconds=60)]


# What each is, in the order in which they are told of. Those of NAMED run only where they are
# named; those of WHOLE, which take long to make, only there and where all is run.
PARTS = {
    "runner": (part_runner, "what runs the tests"),
    "unit": (part_unit, "the programs of tests/unit"),
    "asan": (part_asan, "the same with AddressSanitizer and UndefinedBehaviorSanitizer"),
    "bats": (part_bats, "the commands: the files of tests/bats"),
    "parity": (part_parity, "exact tracing held against tracemalloc, on tests/oracle/workloads"),
    "lazy": (part_lazy, "the same, and more, with --lazy-free"),
    "blocks": (part_blocks, "live blocks and coverage held against what the interpreter counts"),
    "forks": (part_forks, "what forked children inherit"),
    "modes": (part_modes, "targets that run in other ways"),
    "census": (part_census, "heap held against what processes count themselves"),
    "estimates": (part_estimates, "the default mode on programs whose growth is known"),
    "allocators": (part_allocators, "other mallocs, other domains, another C library"),
    "snapshots": (part_snapshots, "stats, diff and export held against Python on random snapshots"),
    "cpython": (part_cpython, "the same on the cases of CPython's own tests"),
    "roundtrip": (part_roundtrip, "what Python dumped, through tmbpf's files and back"),
    "html": (part_html, "the exported page, in a headless Chromium"),
    "containers": (part_containers, "Pythons in containers of runc's, podman's, containerd's"),
    "endurance": (part_endurance, "many processes, processes that come and go, killed tracers"),
    "vm": (part_vm, "other kernels, under qemu"),
    "builds": (part_builds, "parity and blocks on the CPythons of scripts/pythons and uv's"),
    "endurance-long": (part_endurance_long, "endurance for most of an hour"),
}
WHOLE = ("builds",)
NAMED = ("endurance-long",)
# Parts that an interpreter can be named for, and their drivers.
DRIVERS = {"parity": "parity", "lazy": "parity", "blocks": "blocks", "forks": "forks",
           "modes": "modes", "census": "census", "estimates": "estimates",
           "allocators": "allocators", "snapshots": "snapshots", "cpython": "cpython_cases",
           "roundtrip": "roundtrip", "builds": "parity"}


def jobs_of(part, scope):
    return PARTS[part][0](scope)


def parts_of(short):
    return [part for part in PARTS if part not in NAMED and not (short and part in WHOLE)]
