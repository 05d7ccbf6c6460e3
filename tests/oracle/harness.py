# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the drivers of this folder share: interpreters, targets that wait for a word, tmbpf, and the
sum at the end."""
import argparse
import concurrent.futures
import glob
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
TARGETS = os.path.join(TOP, "tests", "targets")
# How long anything may take that is waited for, in seconds: a last resort, however busy it is here.
PATIENCE = 300


class Failed(Exception):
    """What was to be shown does not hold; the text says how."""


class Skipped(Exception):
    """It cannot be shown here; the text says why."""


def said_by(script, *arguments):
    """The words that a script of the project prints."""
    done = subprocess.run([os.path.join(TOP, script), *arguments], stdout=subprocess.PIPE,
                          universal_newlines=True)
    return done.stdout.split()


def roots():
    return said_by("scripts/roots", "--list")


def interpreters():
    """(root, python) of every interpreter found: this system's, pyenv's, the roots'."""
    found = [("", "/usr/bin/python3")] if os.path.exists("/usr/bin/python3") else []
    try:
        pyenv = subprocess.run(["pyenv", "root"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               universal_newlines=True).stdout.strip()
    except OSError:
        pyenv = ""
    if pyenv:
        found += [
            ("", path)
            for path in sorted(glob.glob(os.path.join(pyenv, "versions", "3.*", "bin", "python3")))
        ]
    return found + [split_root(name) for name in roots()]


def split_root(name):
    """DIR:PY as (root, python)."""
    root, _, python = name.rpartition(":")
    return root, python


def label(root, python):
    """How an interpreter is called: DIR:PY of a root, else its path."""
    return root + ":" + python if root else python


class Python:
    """An interpreter to run, and a folder that it sees."""

    def __init__(self, root, python):
        self.root = root.rstrip("/")
        self.command = (["chroot", self.root] if root else []) + [python]
        self.label = label(self.root, python)
        self.folder = tempfile.mkdtemp(prefix="oracle-", dir=self.root + "/tmp")
        self.env = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
        for name in ("PYTHONMALLOC", "PYTHONTRACEMALLOC", "TMPDIR"):
            self.env.pop(name, None)
        # The truth's run imports these, so the other imports them as well: else the table of
        # interned strings is fuller in one of them, and grows there before the work and here within
        # it.
        with open(self.path("sitecustomize.py"), "w") as f:
            f.write("import json\nimport tracemalloc\n")
        self.env["PYTHONPATH"] = self.inside("")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, *files):
        """Copies FILES into the folder; the last one's name there, as the interpreter sees it."""
        for file in files:
            # Others may just be starting the same one.
            copy = "%s.%d" % (self.path(os.path.basename(file)), threading.get_ident())
            shutil.copy(file, copy)
            os.replace(copy, self.path(os.path.basename(file)))
        return self.inside(os.path.basename(files[-1]))

    def path(self, name):
        return os.path.join(self.folder, name)

    def inside(self, name):
        return self.path(name)[len(self.root):]

    def version(self):
        """(3, 11), say."""
        done = subprocess.run(
            self.command + ["-c", "import sys; print('%d %d' % sys.version_info[:2])"],
            stdout=subprocess.PIPE, universal_newlines=True, timeout=PATIENCE)
        if done.returncode:
            raise Failed("%s does not run" % self.label)
        return tuple(int(word) for word in done.stdout.split())

    def run(self, *arguments, **env):
        done = subprocess.run(self.command + list(arguments), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True,
                              timeout=PATIENCE, env=dict(self.env, **env))
        if done.returncode not in (0, 1):
            raise Failed("%s ended with %d: %s" %
                         (" ".join(arguments), done.returncode, done.stderr.strip()[-300:]))
        return done

    def must(self, *arguments, **env):
        done = self.run(*arguments, **env)
        if done.returncode:
            raise Failed("%s ended with %d: %s" % (" ".join(arguments), done.returncode,
                                                   (done.stderr or done.stdout).strip()[-300:]))
        return done.stdout


def versions():
    """[(version, (root, python))] of those of interpreters() that run."""
    found = []
    for root, path in interpreters():
        with Python(root, path) as python:
            try:
                found.append((python.version(), (root, path)))
            except (Failed, OSError):
                continue
    return found


def newest():
    return max(versions(), key=lambda each: each[0])[1]


def until(found, failure):
    """Waits until FOUND() is true."""
    end = time.monotonic() + PATIENCE
    while not found():
        if time.monotonic() > end:
            raise Failed(failure)
        time.sleep(0.05)


class Target:
    """A program under a Python that says words on its output and waits for lines on its input."""

    def __init__(self, python, *arguments, **env):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(python.command + list(arguments), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        stderr=self.errors, bufsize=0, env=dict(python.env, **env))
        self.pid = self.process.pid
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def line(self, patience=PATIENCE):
        """The next line that it prints."""
        end = time.monotonic() + patience
        while b"\n" not in self.held:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failed("the target said nothing for %d s" % patience)
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                self.errors.seek(0)
                raise Failed(
                    "the target ended with %s: %s" %
                    (self.process.wait(), self.errors.read().decode(errors="replace")[-300:]))
            self.held += data
        line, _, self.held = self.held.partition(b"\n")
        return line.decode()

    def expect(self, word):
        line = self.line()
        if line != word:
            raise Failed("the target said %r, not %s" % (line, word))

    def settle(self, call=("0", "0x0")):
        """Waits until its first thread is in CALL, read() of descriptor 0: what it allocates for
        that is done."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with open("/proc/%d/syscall" % self.pid) as f:
                if f.read().split()[:len(call)] == list(call):
                    return
            time.sleep(0.005)
        raise Failed("the target does not come to wait")

    def tell(self, text=""):
        self.process.stdin.write(text.encode() + b"\n")

    def finish(self):
        """Lets it end by itself."""
        self.process.stdin.close()
        try:
            if self.process.wait(timeout=PATIENCE):
                self.errors.seek(0)
                raise Failed(
                    "the target ended with %d: %s" %
                    (self.process.returncode, self.errors.read().decode(errors="replace")[-300:]))
        except subprocess.TimeoutExpired:
            raise Failed("the target does not end")


class Tmbpf:
    """tmbpf's commands. Sessions are started with OPTIONS as well (--lazy-free)."""

    def __init__(self, path, *options):
        self.path = path
        self.options = options

    def run(self, *arguments):
        return subprocess.run([self.path] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=PATIENCE)

    def must(self, *arguments):
        done = self.run(*arguments)
        if done.returncode:
            raise Failed(
                "tmbpf %s: exit %d: %s" % (" ".join(str(a) for a in arguments), done.returncode,
                                           (done.stderr or done.stdout).strip()[-300:]))
        return done.stdout

    def start(self, pid, nframe=25):
        self.must("start", "-p", pid, "--exact", "--nframe", nframe, *self.options)

    def status_once(self, pid):
        return json.loads(self.must("status", "-p", pid, "--json"))

    def status(self, pid):
        """With --lazy-free one whose numbers are not from before it was asked for."""
        asked = time.monotonic()
        while True:
            status = self.status_once(pid)
            walk = status.get("walk")
            if not walk or status["state"] != "running" or walk["age"] <= time.monotonic() - asked:
                return status
            if time.monotonic() - asked > PATIENCE:
                raise Failed("status is %.1f s old for %d s" % (walk["age"], PATIENCE))
            time.sleep(0.02)

    def growth(self, pid):
        """The same, whose coverage of the heap's growth is not from before it was asked for
        either."""
        asked = time.monotonic()
        while True:
            status = self.status(pid)
            census = status["growth_census"]
            if not census or census["age"] <= time.monotonic() - asked:
                return status
            if time.monotonic() - asked > PATIENCE:
                raise Failed(
                    "the census of status is %.1f s old for %d s" % (census["age"], PATIENCE))
            time.sleep(0.02)

    def snapshot(self, pid, python, name):
        """The session's snapshot as a tracemalloc file NAME in PYTHON's folder."""
        self.must("snapshot", "-p", pid, "-o", python.path(name + ".pb.gz"))
        self.must("export", python.path(name + ".pb.gz"), "--format", "tracemalloc", "-o",
                  python.path(name))

    def stop(self, pid):
        self.must("stop", "-p", pid)


def lost(status):
    """What STATUS says was lost of what is live, by cause; nothing where nothing was."""
    return {
        cause: count for cause, count in status["losses"].items()
        if count and cause != "dropped_tracebacks"
    }


class Tally:
    """Prints a line for each comparison and, last, the sum."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.lock = threading.Lock()

    def check(self, label, function, *arguments):
        began = time.monotonic()
        try:
            detail = function(*arguments)
            with self.lock:
                self.passed += 1
                print("ok   %s: %s (%.1f s)" % (label, detail, time.monotonic() - began),
                      flush=True)
        except Skipped as reason:
            self.skip(label, reason)
        except (Failed, KeyError, TypeError, ValueError, OSError,
                subprocess.TimeoutExpired) as error:
            text = str(error) if isinstance(error, Failed) else repr(error)
            with self.lock:
                self.failed += 1
                print("FAIL %s: %s (%.1f s)" % (label, text.replace("\n", " | "),
                                                time.monotonic() - began), flush=True)

    def skip(self, label, reason):
        with self.lock:
            self.skipped += 1
            print("skip %s: %s" % (label, reason), flush=True)

    def check_beside(self, checks, most):
        """CHECKS, each as check() takes it, MOST at the same time: of those that mostly wait."""
        with concurrent.futures.ThreadPoolExecutor(max_workers=most) as pool:
            list(pool.map(lambda check: self.check(*check), checks))

    def finish(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        sys.exit(1 if self.failed or not (self.passed or self.skipped) else 0)


def arguments(doc, lazy=False, **extra):
    """What a driver is given: --tmbpf, --python and --root, and what EXTRA has of its own.

    In what is returned `tmbpf` is a Tmbpf, and `chosen` are (root, python) as interpreters() has
    them. With LAZY there is the option --lazy-free, with which its sessions are started.
    """
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tmbpf", metavar="PATH", default=os.path.join(TOP, "build", "tmbpf"))
    parser.add_argument("--python", action="append", default=[], metavar="PY")
    parser.add_argument("--root", action="append", default=[], metavar="DIR:PY")
    if lazy:
        parser.add_argument("--lazy-free", action="store_true")
    for name, settings in extra.items():
        parser.add_argument("--" + name, **settings)
    args = parser.parse_args()
    args.tmbpf = Tmbpf(os.path.abspath(args.tmbpf), *["--lazy-free"] * (lazy and args.lazy_free))
    args.chosen = [("", python)
                   for python in args.python] + [split_root(name) for name in args.root]
    return args
