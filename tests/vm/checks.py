# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is checked inside a booted kernel; run by init, as root.

    checks.py NAME...    these checks
    checks.py --names    prints the names of all

Prints a line for each check: `check NAME ok|FAIL DETAIL`. Nothing depends on how fast the machine
is.

doctor    the features that it finds are those that kernels of this version have
attach    --exact starts, and there are probes in the target's code
exact     its snapshot has what tracemalloc has, traceback by traceback, with four threads
detach    after `stop` the target's code is as in its file and the kernel holds nothing of ours, and
          the target works on
follow    a child by fork and one that becomes another Python by exec are traced, each to its line
default   the default mode names the line that leaks, and leaves nothing behind
kill      the tracer is killed (-9) while the target works: its output is what it would have been,
          and nothing is left behind
"""
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
import tracemalloc

HERE = os.path.dirname(os.path.abspath(__file__))
TMBPF = os.path.join(HERE, "tmbpf")
WORK = os.path.join(HERE, "work.py")
GROWING = os.path.join(HERE, "growing.py")
WORKERS = os.path.join(HERE, "workers.py")
NFRAME = 25
# Emulation may be a hundred times slower than the machine itself.
PATIENCE = 300
ENV = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")

BPF_PROG_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID, SYS_BPF = 11, 31, 321
EVENTS = "/sys/kernel/tracing/uprobe_events"


class Failed(Exception):
    """What was to be shown does not hold; the text says how."""


class Target:
    """A program that says words on its output and waits for lines on its input."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0, env=ENV)
        self.pid = self.process.pid
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def line(self):
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.held:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise Failed("the target said nothing for %d s" % PATIENCE)
            got = os.read(self.process.stdout.fileno(), 4096)
            if not got:
                raise Failed("the target ended with %s" % self.process.wait())
            self.held += got
        line, _, self.held = self.held.partition(b"\n")
        return line.decode()

    def expect(self, word):
        found = self.line()
        if found != word:
            raise Failed("the target said %s, not %s" % (found, word))

    def tell(self, word=""):
        os.write(self.process.stdin.fileno(), word.encode() + b"\n")


def tmbpf(*arguments):
    done = subprocess.run([TMBPF, *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=PATIENCE, env=ENV)
    if done.returncode:
        raise Failed("tmbpf %s: %s" % (arguments[0], " ".join(done.stderr.split())[-600:]))
    return done.stdout


def status(pid):
    return json.loads(tmbpf("status", "-p", pid, "--json"))


def assert_no_losses(found):
    lost = {name: count for name, count in found["losses"].items() if count}
    if lost:
        raise Failed("lost %s" % lost)


def doctor():
    found = json.loads(tmbpf("doctor", "--json"))["kernel"]
    version = tuple(int(word) for word in os.uname().release.split(".")[:2])
    multi = version >= (6, 10)  # from 6.6 on, but of use for all threads only since
    wanted = {"btf": True, "bpf": True, "uprobe_multi": multi, "uprobe_session": version >= (6, 13),
              "bpf_loop": version >= (5, 17), "runtime_memory": version >= (6, 1)}
    if not multi:
        wanted["uprobe_events"] = True
    wrong = {name: found.get(name) for name in set(wanted) | (set(found) - {"release", "machine"})
             if found.get(name) != wanted.get(name)}
    if wrong:
        raise Failed("it says %s" % wrong)
    missing = [name for name, there in wanted.items() if not there]
    return "%s missing" % (", ".join(missing) or "nothing")


def changed_bytes(pid):
    """Bytes of the process' code that are not those of the files it is from: breakpoints."""
    changed = 0
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            words = line.split(None, 5)
            if len(words) < 6 or "x" not in words[1] or not words[5].startswith("/"):
                continue
            start, end = (int(word, 16) for word in words[0].split("-"))
            memory.seek(start)
            mine = memory.read(end - start)
            with open(words[5].rstrip("\n"), "rb") as file:
                file.seek(int(words[2], 16))
                theirs = file.read(end - start).ljust(end - start, b"\0")
            if mine != theirs:
                changed += sum(a != b for a, b in zip(mine, theirs))
    return changed


def ids(command):
    """Of all BPF programs or links in the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr, found = (ctypes.c_uint32 * 32)(), set()
    while not libc.syscall(SYS_BPF, command, ctypes.byref(attr), ctypes.sizeof(attr)):
        found.add(attr[1])
        attr[0] = attr[1]
    return found


def kernel_holds():
    with open(EVENTS) as events:
        return {"programs": ids(BPF_PROG_GET_NEXT_ID), "links": ids(BPF_LINK_GET_NEXT_ID),
                "events": set(events)}


def assert_nothing_left(pid, before):
    """The kernel lets go of what is closed a moment later."""
    end = time.monotonic() + 30
    while True:
        now = kernel_holds()
        left = {what: len(now[what] - before[what]) for what in now if now[what] - before[what]}
        changed = changed_bytes(pid)
        if not left and not changed:
            return
        if time.monotonic() > end:
            raise Failed("left behind: %s, %d bytes of code changed" %
                         (left or "nothing in the kernel", changed))
        time.sleep(0.1)


def line_of(path, mark):
    with open(path) as file:
        return next(i for i, line in enumerate(file, 1) if "# " + mark in line)


def groups(path):
    """{traceback: (blocks, bytes)} of what work.py itself allocated, but for what it waits in."""
    found, waits = {}, line_of(WORK, "WAITS")
    for trace in tracemalloc.Snapshot.load(path).traces:
        frames = tuple(
            (os.path.basename(frame.filename), frame.lineno) for frame in trace.traceback)
        if frames[-1][0] == "work.py" and frames[-1][1] != waits:
            count, size = found.get(frames, (0, 0))
            found[frames] = (count + 1, size + trace.size)
    return found


def compare(truth, seen):
    wanted, found = groups(truth), groups(seen)
    wrong = [(at[-1], wanted.get(at), found.get(at)) for at in set(wanted) | set(found)
             if wanted.get(at) != found.get(at)]
    if wrong or not wanted:
        raise Failed("%d of %d tracebacks differ: %s" % (len(wrong), len(wanted), wrong[:3]))
    return "%d tracebacks, %d blocks" % (len(wanted), sum(count for count, _ in wanted.values()))


class Exact:
    """Three checks look at one session."""

    def __init__(self):
        self.before = kernel_holds()
        self.target = None
        self.attached = False

    def close(self):
        if self.target:
            self.target.process.kill()
            self.target = None

    def attach(self):
        self.target = Target(WORK, "traced")
        self.target.expect("READY")
        tmbpf("start", "-p", self.target.pid, "--exact", "--nframe", NFRAME)
        self.attached = True
        changed = changed_bytes(self.target.pid)
        if not changed:
            raise Failed("no probe in the target's code")
        return "%d bytes of its code changed" % changed

    def exact(self):
        self.assert_attached()
        self.target.tell()
        self.target.expect("DONE")
        tmbpf("snapshot", "-p", self.target.pid, "-o", "/tmp/seen.pb.gz")
        assert_no_losses(status(self.target.pid))
        tmbpf("export", "/tmp/seen.pb.gz", "--format", "tracemalloc", "-o", "/tmp/seen")
        subprocess.run([sys.executable, WORK, "truth", "/tmp/truth", str(NFRAME)], check=True,
                       timeout=PATIENCE, env=ENV)
        return compare("/tmp/truth", "/tmp/seen")

    def detach(self):
        self.assert_attached()
        tmbpf("stop", "-p", self.target.pid)
        assert_nothing_left(self.target.pid, self.before)
        self.target.tell()
        self.target.expect("AGAIN")
        self.close()
        return ""

    def assert_attached(self):
        if not self.attached:
            raise Failed("not attached")


def member(pid, child, least):
    """Waits until CHILD, of PID's tree, is traced and holds LEAST bytes that it allocated since."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = json.loads(tmbpf("status", "-p", pid, "--follow", "--json"))
        mine = [process for process in found["processes"] if process["pid"] == child]
        if mine and mine[-1]["state"] == "traced" and mine[-1]["session"]["current"] >= least:
            assert_no_losses(mine[-1]["session"])
            return
        time.sleep(1)
    raise Failed("process %d after %d s: %s" % (child, PATIENCE, mine))


def rows_of(path):
    """{(file, line): blocks} of a snapshot."""
    rows = json.loads(tmbpf("stats", path, "--format", "json", "--limit", 0))["statistics"]
    return {(os.path.basename(row["traceback"][0]["filename"]),
             row["traceback"][0]["lineno"]): row["count"] for row in rows}


def worker(target, how):
    target.tell(how)
    word, pid = target.line().split()
    if word != "worker":
        raise Failed("the target said %s" % word)
    return int(pid)


def follow():
    before = kernel_holds()
    with Target(WORKERS, "0") as target:
        target.expect("READY")
        tmbpf("start", "-p", target.pid, "--follow", "--exact")
        try:
            forked, executed = worker(target, "fork"), worker(target, "shell")
            member(target.pid, forked, 5000)
            member(target.pid, executed, 50000)
            tmbpf("snapshot", "-p", target.pid, "--follow", "-o", "/tmp/all")
            counts = (rows_of("/tmp/all/%d.pb.gz" % forked).get(
                ("workers.py", line_of(WORKERS, "KEEPS")), 0),
                      rows_of("/tmp/all/%d.pb.gz" % executed).get(("<string>", 4), 0))
            if not 5 <= counts[0] <= 11 or counts[1] < 20:
                raise Failed("%d and %d blocks" % counts)
            changed = [changed_bytes(pid) for pid in (target.pid, forked, executed)]
            if not all(changed):
                raise Failed("bytes of code changed: %s" % changed)
            tmbpf("stop", "-p", target.pid, "--follow")
            for pid in (target.pid, forked, executed):
                assert_nothing_left(pid, before)
        finally:
            target.tell("end")
            target.process.wait(PATIENCE)
    return "%d blocks of a forked child, %d of an executed one" % counts


def leak_found(pid):
    """What the session says of growing.py's leak, once it calls it one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = status(pid)
        if found["mode"] != "estimate" or found["state"] != "running":
            raise Failed("mode %s, state %s" % (found["mode"], found["state"]))
        for row in found["growth"]:
            if row["grows"] and row["lineno"] == line_of(GROWING, "MOST") and found["windows"] >= 3:
                assert_no_losses(found)
                return "%d blocks there after %d windows" % (row["count"], found["windows"])
        time.sleep(2)
    rows = ["%s:%d %.0f+-%.0f in %d" %
            (row["function"], row["lineno"], row["size"], row["size_error"], row["windows"])
            for row in found["growth"][:5]]
    raise Failed("the leak was not found in %d s: %d windows of %.1f ms, every %.1f s, %d births; "
                 "what grows: %s; cost: %s" %
                 (PATIENCE, found["windows"], 1e3 * found["cost"]["window"],
                  found["cost"]["interval"], found["births"], rows, found["cost"]))


def default():
    before = kernel_holds()
    with Target(GROWING, "shares", "3600") as target:
        target.expect("READY")
        # Probes and windows cost so much more under emulation that there is room for few in the
        # usual 2 %.
        tmbpf("start", "-p", target.pid, "--overhead", 50)
        detail = leak_found(target.pid)
        tmbpf("stop", "-p", target.pid)
        assert_nothing_left(target.pid, before)
    return detail


def kill():
    before = kernel_holds()
    rounds = 100
    with Target(WORK, "sums", str(rounds)) as target:
        target.expect("READY")
        target.tell()
        wanted = target.line()
    with Target(WORK, "sums", str(rounds)) as target:
        target.expect("READY")
        tmbpf("start", "-p", target.pid, "--exact")
        tracer, events = status(target.pid)["tracer_pid"], 0
        target.tell()
        while not events:
            events = sum(status(target.pid)["events"].values())
        if select.select([target.process.stdout], [], [], 0)[0]:
            raise Failed("the target was through before its tracer was killed")
        os.kill(tracer, signal.SIGKILL)
        assert_nothing_left(target.pid, before)
        found = target.line()
        if found != wanted:
            raise Failed("its output is %s, untraced %s" % (found, wanted))
    return "after %d events" % events


def run(name, check):
    began = time.monotonic()
    try:
        word, detail = "ok", check()
    except (Failed, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        word, detail = "FAIL", str(error)
        if not isinstance(error, Failed):
            detail = "%s: %s" % (type(error).__name__, error)
    print("check %s %s %s (%.0f s)" % (name, word, detail, time.monotonic() - began), flush=True)


def main():
    names = ("doctor", "attach", "exact", "detach", "follow", "default", "kill")
    if sys.argv[1:] == ["--names"]:
        print(*names)
        return
    session = Exact()
    for name in names:
        if name in sys.argv[1:]:
            run(name, getattr(session, name, None) or globals()[name])
    session.close()


if __name__ == "__main__":
    main()
