# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A workload twice, under tracemalloc for the truth, and traced by tmbpf; then both compared.

The functions take a harness.Python; what they leave in its folder is called `truth` and `seen`.
"""
import glob
import json
import os
import time

import harness
from harness import Failed

WORKLOADS = os.path.join(harness.HERE, "workloads")
SCRIPTS = [os.path.join(harness.HERE, name) for name in
           ("target.py", "both.py", "compare.py", "totals.py")]
# What compare.py allows a group, allowed for all of a program: 200 blocks of 600 bytes, and 0.1 %.
ALLOWED_BYTES = 200 * 600


def workloads():
    return sorted(glob.glob(os.path.join(WORKLOADS, "*.py")))


def workload_file(name):
    """The path of the workload that is called NAME, or is the file NAME."""
    return name if os.path.dirname(name) else os.path.join(WORKLOADS, name)


def put(python, name):
    """Copies the workload NAME and what runs it to where PYTHON sees it; its name there."""
    return python.put(*SCRIPTS, workload_file(name))


def truth(python, workload, nframe=25, **env):
    """Runs WORKLOAD under tracemalloc; current and peak of get_traced_memory()."""
    python.must(python.inside("target.py"), "truth", workload, python.inside("truth"), str(nframe),
                **env)
    return memory_noted(python)


def memory_noted(python):
    with open(python.path("truth.memory")) as f:
        return json.load(f)


def snapshot(tmbpf, python, target):
    """Takes the snapshot; the status at that moment. A thread that was joined may still be
    ending."""
    end = time.monotonic() + harness.PATIENCE
    while True:
        before = tmbpf.status(target.pid)
        tmbpf.snapshot(target.pid, python, "seen")
        after = tmbpf.status(target.pid)
        if all(before[name] == after[name] for name in ("blocks", "current")):
            return after
        if time.monotonic() > end:
            raise Failed("the target goes on allocating: %d blocks, then %d" % (
                before["blocks"], after["blocks"]))


def trace(tmbpf, python, *command, nframe=25, **env):
    """Traces a target's COMMAND from READY to DONE; the status then."""
    with harness.Target(python, *command, **env) as target:
        target.expect("READY")
        tmbpf.start(target.pid, nframe)
        target.tell()
        target.expect("DONE")
        target.settle()
        status = snapshot(tmbpf, python, target)
        tmbpf.stop(target.pid)
        target.tell()
        target.finish()
    return status


def trace_workload(tmbpf, python, workload, nframe=25, **env):
    return trace(tmbpf, python, python.inside("target.py"), "traced", workload, "-", str(nframe),
                 nframe=nframe, **env)


def assert_no_losses(status):
    if harness.lost(status):
        raise Failed("lost: %s" % harness.lost(status))


def agree(report, errors):
    """What compare.py's REPORT comes to, in words, if it is that both agree."""
    if not report:
        raise Failed("Python cannot load what was exported: %s" % errors.strip()[-300:])
    found = json.loads(report)
    lines, tracebacks = found["lineno"], found["traceback"]
    words = "%d blocks, seen %d; off by %d in a line, %d in a traceback" % (
        lines["truth"]["blocks"], lines["seen"]["blocks"], lines["worst"], tracebacks["worst"])
    if not found["agrees"]:
        raise Failed("%s; worst line %s, traceback %s; %d bytes, seen %d" % (
            words, lines["worst_at"], tracebacks["worst_at"], lines["truth"]["bytes"],
            lines["seen"]["bytes"]))
    return words


def compare(python, workload):
    said = python.run(python.inside("compare.py"), python.inside("truth"), python.inside("seen"),
                      workload)
    return agree(said.stdout, said.stderr)


def totals(python, how, workload):
    """What totals.py says, which has to find that both agree."""
    said = python.run(python.inside("totals.py"), how, python.inside("truth"),
                      python.inside("seen"), workload)
    if said.returncode:
        raise Failed((said.stdout + said.stderr).strip()[-300:])
    return said.stdout.strip()


def measured(status):
    """With --lazy-free there is no peak."""
    return ("current",) if status["peak"] is None else ("current", "peak")


def compare_memory(status, wanted):
    """That STATUS has what get_traced_memory() had."""
    words = []
    for name in measured(status):
        off, allowed = status[name] - wanted[name], ALLOWED_BYTES + wanted[name] // 1000
        words.append("%s %d, off by %+d" % (name, wanted[name], off))
        if abs(off) > allowed:
            raise Failed("%s of %d allowed" % (words[-1], allowed))
    return ", ".join(words)


def compare_listed(python, status):
    """That the snapshot lists what STATUS counts."""
    code = ("import sys, tracemalloc; traces = tracemalloc.Snapshot.load(sys.argv[1]).traces; "
            "print(sum(trace.size for trace in traces), len(traces))")
    size, count = map(int, python.must("-c", code, python.inside("seen")).split())
    if (size, count) != (status["current"], status["blocks"]):
        raise Failed("the snapshot lists %d bytes in %d blocks, status says %d in %d" % (
            size, count, status["current"], status["blocks"]))


def pair(tmbpf, python, name, nframe=25, **env):
    """Both runs of the workload NAME, with ENV, and all that there is to compare."""
    workload = put(python, name)
    memory = truth(python, workload, nframe, **env)
    status = trace_workload(tmbpf, python, workload, nframe, **env)
    words = compare(python, workload)
    assert_no_losses(status)
    compare_listed(python, status)
    return "%s; %s" % (words, compare_memory(status, memory))
