# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Checks on one or two containers, whose processes are traced by their pids. Each is given a
box.Place."""
import json
import os
import subprocess
import tempfile
import time

import box
import comparison
import harness
from harness import Failed

WORKLOADS = ("classes.py", "codes.py", "mixed.py", "threads.py", "closures.py", "growth.py",
             "recursion.py")
MIB = box.MIB
GROWING = os.path.join(harness.TARGETS, "growing.py")


def assert_no_losses(status, *but):
    lost = {cause: count for cause, count in harness.lost(status).items() if cause not in but}
    if lost:
        raise Failed("lost: %s" % lost)


def assert_probed(process):
    changed = box.code_changed(process.pid)
    if not changed:
        raise Failed("there is no probe in the code of process %d" % process.pid)
    return changed


def assert_no_probe(process, when):
    changed = box.code_changed(process.pid)
    if changed:
        raise Failed(
            "%s %d bytes of the code of process %d are changed" % (when, changed, process.pid))


def parity(place, name):
    with place.box() as inside:
        workload = inside.put(*comparison.SCRIPTS, comparison.workload_file(name))
        target, scratch = inside.inside("target.py"), inside.inside("truth")
        inside.must(target, "truth", workload, scratch, "25")
        with inside.start(target, "traced", workload, "-", "25") as process:
            process.expect("READY")
            process.settle()
            place.tmbpf.start(process.pid)
            process.tell()
            process.expect("DONE")
            process.settle()
            status = comparison.snapshot(place.tmbpf, inside, process)
            place.tmbpf.stop(process.pid)
            process.tell()
            process.finish()
        assert_no_losses(status)
        with inside.start(inside.inside("compare.py"), scratch, inside.inside("seen"), workload,
                          limit=None) as process:
            return comparison.agree(process.process.stdout.read(), "")


SOURCE = """import sys

kept = []
for name in sys.argv[1:]:
    exec(compile("\\n\\n\\nkept.append([object() for _ in range(1000)])\\n", name, "exec"))
print("DONE", flush=True)
sys.stdin.readline()
"""
LINES = "# 1\n# 2\n# 3\nkept = '%s'\n"


def source(place):
    """Names that lead to files with the same line inside, outside, and to a link from here to
    there."""
    names = {"real.py": None, "within.py": box.INSIDE + "/real.py"}
    with place.box() as inside, tempfile.TemporaryDirectory(prefix="tmbpf-outside-") as outside:
        secret = os.path.join(outside, "secret.py")
        names.update({"out.py": secret, "up.py": "../" * 12 + secret.lstrip("/"),
                      "magic.py": "/proc/1/root" + secret,
                      "folder.py": "folder/secret.py", "folder": outside})
        with open(secret, "w") as f:
            f.write(LINES % "OUTSIDE")
        with open(inside.path("real.py"), "w") as f:
            f.write(LINES % "INSIDE")
        with open(inside.path("main.py"), "w") as f:
            f.write(
                "import os, sys\nsys.stdout.write('READY\\n')\n"
                "sys.stdout.flush()\nsys.stdin.readline()\n"
                + SOURCE)
        for name, leads in names.items():
            if leads:
                os.symlink(leads, inside.path(name))
        names.pop("folder")
        with inside.start(inside.inside("main.py"), *map(inside.inside, names)) as process:
            process.expect("READY")
            place.tmbpf.start(process.pid)
            process.tell()
            process.expect("DONE")
            place.tmbpf.snapshot(process.pid, inside, "seen")
            texts = [place.tmbpf.must("stats", inside.path("seen.pb.gz"), "--group-by", how,
                                      "--limit", 0)
                     for how in ("lineno", "traceback")]
            texts.append(place.tmbpf.must("export", inside.path("seen.pb.gz"), "--format", "json"))
            place.tmbpf.stop(process.pid)
            process.tell()
            process.finish()
    for name in names:
        if (inside.inside(name) + ":4" not in texts[0] or
                '"%s", line 4' % inside.inside(name) not in texts[1]):
            raise Failed("%s is not told of: %s" % (name, texts[0][:600]))
    if any("OUTSIDE" in text for text in texts):
        raise Failed("a line of a file outside is shown")
    shown = [text.count("kept = 'INSIDE'") for text in texts[:2]]
    if shown != [2, 2] or "exec(compile(" not in texts[1]:
        raise Failed("of two names of a file inside the line is shown %s times" % shown)
    return "shown through the root: %d names, nothing of the %d that lead out" % (
        shown[0], len(names) - shown[0])


def line_of(path, mark):
    with open(path) as file:
        return next(i for i, line in enumerate(file, 1) if "# " + mark in line)


def leak_found(tmbpf, pid):
    """The status that names growing.py's leak."""
    leaking, end = line_of(GROWING, "MOST"), time.monotonic() + harness.PATIENCE
    while time.monotonic() < end:
        status = tmbpf.status(pid)
        if status["mode"] != "estimate" or status["state"] != "running":
            raise Failed("mode %s, state %s" % (status["mode"], status["state"]))
        if any(row["grows"] and row["lineno"] == leaking and
               row["filename"] == box.INSIDE + "/growing.py" for row in status["growth"]):
            return status
        time.sleep(0.5)
    raise Failed("the leak was not found in %d s: %d windows, %s" %
                 (harness.PATIENCE, status["windows"], status["growth"][:2]))


def default(place):
    with place.box() as inside:
        with inside.start(inside.put(GROWING), "shares", "3600") as process:
            process.expect("READY")
            began = time.monotonic()
            place.tmbpf.must("start", "-p", process.pid)
            status = leak_found(place.tmbpf, process.pid)
            took = time.monotonic() - began
            place.tmbpf.must("snapshot", "-p", process.pid, "-o", inside.path("seen.pb.gz"))
            place.tmbpf.stop(process.pid)
            assert_no_losses(status)
            assert_no_probe(process, "after `stop`")
        named = json.loads(
            place.tmbpf.must("export", inside.path("seen.pb.gz"), "--format", "json"))["snapshot"]
        wanted = {"container": inside.name, "container_name": inside.name,
                  "cgroup": "/" + inside.name}
        if {name: named[name] for name in wanted} != wanted:
            raise Failed("the snapshot names %s" % {name: named[name] for name in wanted})
    return "growing.py:%d after %.0f s and %d windows" % (
        line_of(GROWING, "MOST"), took, status["windows"])


def ask(process, command):
    process.tell(command)
    return process.line()


def report(process):
    found = json.loads(ask(process, "report"))
    if found["wrong"]:
        raise Failed("%d of %d rounds were wrong" % (found["wrong"], found["rounds"]))
    return found


def sees_allocations(tmbpf, process):
    """Starts exact tracing of busy.py: nothing may be missing of what the heap grows by."""
    tmbpf.start(process.pid)
    if ask(process, "keep") != "kept":
        raise Failed("the target does not obey")
    status = tmbpf.growth(process.pid)
    # Where there is a seccomp filter there are no return probes: of what zlib takes some results
    # are not known.
    assert_no_losses(status, "result_unknown")
    coverage = status["growth_coverage"] or 0
    if status["blocks"] < 10000 or not 0.99 <= coverage <= 1.01 or status.get("warning"):
        raise Failed("%d blocks, coverage %s of the growth, warning %s" % (
            status["blocks"], status["growth_coverage"], status.get("warning")))
    return status


def watch_code(process, seconds):
    """Looks at PROCESS's code again and again: it may not change. How often."""
    looks, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        assert_no_probe(process, "while its neighbour is traced")
        looks += 1
        time.sleep(0.005)
    return looks


def layers(place, attach):
    """The kernel's breakpoints are in copies of pages, so that a page that never was copied never
    had one."""
    tmbpf = place.tmbpf_with(TMBPF_ATTACH=attach)
    with place.box() as one, place.box() as two:
        busy = [each.put(os.path.join(harness.TARGETS, "busy.py")) for each in (one, two)]
        with one.start(busy[0]) as traced, two.start(busy[1]) as other:
            traced.expect("READY")
            other.expect("READY")
            inodes = {box.interpreter_inode(each.pid) for each in (traced, other)}
            inodes.add(os.stat(one.lower + place.python).st_ino)
            if len(inodes) != 1:
                raise Failed("the containers do not share a file: inodes %s" % inodes)
            before = box.code_copies(other.pid)
            tmbpf.must("start", "-p", traced.pid, "--overhead", 50)
            looks = watch_code(other, 3)
            hits = tmbpf.status(traced.pid)["cost"]["hits"]
            tmbpf.stop(traced.pid)
            report(other)
            sees_allocations(tmbpf, traced)
            changed = assert_probed(traced)
            looks += watch_code(other, 1)
            copies = [box.code_copies(each.pid) for each in (traced, other)]
            tmbpf.stop(traced.pid)
            rate = report(other)["rate"]
            report(traced)
            for each in (traced, other):
                ask(each, "end")
                each.finish()
    if not hits:
        raise Failed("the default mode saw nothing")
    if copies[1] != before or copies[0] <= before:
        raise Failed("copies of code: %d bytes in the traced one; %d in the other, %d before" %
                     (copies[0], copies[1], before))
    return ("%d breakpoints in one, in %d KiB of copied code; the other: 0 in %d looks, "
            "%d KiB copied, %.0f rounds a second") % (
        changed, copies[0] >> 10, looks, copies[1] >> 10, rate)


def copied_up(place):
    with place.box(as_root=True) as inside:
        file = "/usr/bin/" + os.path.basename(place.python)
        with inside.start(inside.put(os.path.join(harness.TARGETS, "busy.py"))) as first:
            first.expect("READY")
            inside.shell("chmod", "700", file)
            if not os.path.isfile(inside.upper + file):
                raise Failed("nothing was copied up")
            sees_allocations(place.tmbpf, first)
            assert_probed(first)
            with inside.add(inside.inside("busy.py")) as second:
                second.expect("READY")
                sees_allocations(place.tmbpf, second)
                assert_probed(second)
                for each in (second, first):
                    place.tmbpf.stop(each.pid)
                    report(each)
                    ask(each, "end")
                    each.finish()
    return "one that was there before and one that was started since: all of their growth is seen"


def slack():
    """The kernel charges up to 64 pages ahead for each processor (mm/memcontrol.c,
    MEMCG_CHARGE_BATCH)."""
    return (1 + os.cpu_count()) * 64 * os.sysconf("SC_PAGE_SIZE")


def tell_done(process, command):
    if ask(process, command) != "done":
        raise Failed("the target does not obey")


def tracer_memory(status):
    """Bytes of the tracer and its maps."""
    memory = status["memory"]
    return memory["tracer_rss"] + memory["maps"]


def memory(place):
    """What is charged is the target's growth, and the copies of the pages that have breakpoints."""
    with place.box() as inside, inside.start(
        inside.put(os.path.join(harness.TARGETS, "filling.py"))
    ) as process:
        process.expect("READY")
        process.settle()
        charged = box.Memory(process.pid)
        before = charged.usage()
        place.tmbpf.start(process.pid)
        copies, started = box.code_copies(process.pid), charged.usage()
        own = box.resident(process.pid)
        tell_done(process, "keep 300000")
        process.settle()
        status = place.tmbpf.status(process.pid)
        grown, worked = box.resident(process.pid) - own, charged.usage()
        place.tmbpf.stop(process.pid)
        process.tell("end")
        process.finish()
    assert_no_losses(status)
    detail = ("the start added %d KiB of which %d are copies of code; 300,000 objects %d KiB, "
              "resident %d; tracer and maps have %d MiB") % (
        (started - before) >> 10, copies >> 10,
        (worked - started) >> 10, grown >> 10, tracer_memory(status) >> 20)
    if started - before > copies + slack() or worked - started > grown + grown // 64 + slack():
        raise Failed(detail)
    return detail


def fill_up(process, charged, limit, room):
    """Leaves the target ROOM bytes, or somewhat less. What is left."""
    while limit - charged.usage() - room > 128 << 10:
        tell_done(process, "fill %d" % ((limit - charged.usage() - room) // 2))
    return limit - charged.usage()


def assert_not_killed(process, charged):
    kills = charged.kills()
    if kills or process.process.poll() is not None:
        raise Failed("%d killed for want of memory" % kills)


def memory_near_limit(place):
    limit = 96 * MIB
    with place.box(limit=limit) as inside, inside.start(
            inside.put(os.path.join(harness.TARGETS, "filling.py"))) as process:
        process.expect("READY")
        charged = box.Memory(process.pid)
        left = fill_up(process, charged, limit, 8 * MIB)
        place.tmbpf.start(process.pid)
        tell_done(process, "keep 20000")
        process.settle()
        status = place.tmbpf.status(process.pid)
        place.tmbpf.stop(process.pid)
        assert_not_killed(process, charged)
        process.tell("end")
        process.finish()
    if status["blocks"] < 20000:
        raise Failed("%d blocks" % status["blocks"])
    assert_no_losses(status)
    return (
        "%d KiB below its limit of %d MiB: not killed, %d blocks seen; tracer and maps have %d MiB"
        % (left >> 10, limit >> 20, status["blocks"], tracer_memory(status) >> 20)
    )


def memory_no_room(place):
    """Breakpoints are in copies of pages, which count for the container: where there is no room for
    them there are none."""
    limit = 96 * MIB
    with place.box(limit=limit) as inside, inside.start(
            inside.put(os.path.join(harness.TARGETS, "filling.py"))) as process:
        process.expect("READY")
        charged = box.Memory(process.pid)
        place.tmbpf.must("start", "-p", process.pid, "--overhead", 50)
        box.until("windows", lambda: place.tmbpf.status(process.pid)["windows"] > 1)
        # Windows that are open already have room as long as there is so much.
        fill_up(process, charged, limit, 2 * MIB)
        box.until("windows that are not opened",
                  lambda: place.tmbpf.status(process.pid)["losses"].get("no_room", 0))
        left = fill_up(process, charged, limit, MIB // 2)
        lost = place.tmbpf.status(process.pid)["losses"]["no_room"]
        box.until("more of them",
                  lambda: place.tmbpf.status(process.pid)["losses"]["no_room"] > lost + 1)
        place.tmbpf.stop(process.pid)
        assert_not_killed(process, charged)
        for mode in ("--exact", "--overhead=50"):
            done = place.tmbpf.run("start", "-p", process.pid, mode)
            if done.returncode != 1 or "memory limit" not in done.stderr:
                raise Failed("start %s: exit %d: %s" % (mode, done.returncode, done.stderr.strip()))
        assert_not_killed(process, charged)
        assert_no_probe(process, "after a refusal")
        process.tell("end")
        process.finish()
    return (
        "%d KiB below its limit: windows are not opened, `start` is refused, nothing is killed"
        % (left >> 10)
    )


def tracer_of(tmbpf, pid):
    return tmbpf.status(pid)["tracer_pid"]


def killed(place):
    """Of one that is traced by its pid, and of one by its name."""
    took = []
    for arguments in (lambda process, inside: ("-p", process.pid),
                      lambda process, inside: ("--container", inside.name)):
        with place.box() as inside:
            with inside.start(inside.put(os.path.join(harness.TARGETS, "busy.py"))) as process:
                process.expect("READY")
                which = arguments(process, inside)
                place.tmbpf.must("start", *which, "--exact")
                tracer, memory = tracer_of(place.tmbpf, process.pid), box.Memory(process.pid).folder
                held = box.kernel_objects(tracer)
                box.must("runc", "kill", inside.name, "KILL")
                began = time.monotonic()
                process.process.wait()
            box.must("runc", "delete", inside.name)
            box.until("the overlay can be unmounted", lambda: not subprocess.run(
                ["umount", inside.merged], stderr=subprocess.DEVNULL).returncode, 30)
            box.until("the end of the tracer", lambda: box.is_gone(tracer))
            box.until("programs and links go", lambda: not box.kernel_objects_left(held))
            took.append(time.monotonic() - began)
            if os.path.exists(memory):
                raise Failed("the control group is still there")
            status = json.loads(place.tmbpf.must("status", *which, "--json"))
            if status["state"] not in ("exited", "ended"):
                raise Failed("the state is %s" % status["state"])
            place.tmbpf.must("stop", *which)
            box.until("the sockets go", lambda: not place.sockets())
    return (
        "%d links and programs, mount, control groups and sockets were gone after %.1f and %.1f s"
        % (len(held), *took)
    )


def steady(place, inside, lines, end):
    """What steady.py prints in a container; END is called with it when it is traced and at work."""
    with inside.start(inside.inside("steady.py"), str(lines)) as process:
        process.expect("READY")
        if end:
            place.tmbpf.start(process.pid)
        process.tell()
        if end:
            box.until("its first allocations",
                      lambda: place.tmbpf.status(process.pid)["allocations"] > 10000)
            end(process.pid)
            if process.process.poll() is not None:
                raise Failed("it had ended before its tracer did")
            assert_no_probe_soon(process)
        return process.rest()


def assert_no_probe_soon(process):
    """The kernel takes them out a moment after the tracer's end."""
    box.until("the code is as it was", lambda: not box.code_changed(process.pid))


def output(place):
    """So many lines that the target cannot end before they are read: a pipe has room for 64 KiB."""
    lines = 8000

    def stop(pid):
        place.tmbpf.stop(pid)

    def kill(pid):
        tracer = tracer_of(place.tmbpf, pid)
        os.kill(tracer, 9)
        box.until("the end of the tracer", lambda: box.is_gone(tracer))

    with place.box() as inside:
        inside.put(os.path.join(harness.TARGETS, "steady.py"))
        plain = steady(place, inside, lines, None)
        stopped, left = steady(place, inside, lines, stop), steady(place, inside, lines, kill)
    if not plain.endswith("ENDED\n") or len(plain.splitlines()) != lines + 1:
        raise Failed("untraced it says %r" % plain[-100:])
    if stopped != plain or left != plain:
        raise Failed("the output differs")
    return "%d bytes, three times the same" % len(plain)
