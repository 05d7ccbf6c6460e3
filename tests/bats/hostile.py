# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Files that somebody made to do harm, and files that got damaged, given to tmbpf; run by Python
3.9 or later.

    hostile.py PART TMBPF FOLDER        PART a function below; FOLDER is empty, and is left with
                                        what was made

Each file must be refused: exit status 1, nothing on standard output, one line on standard error
that names the file and the place in it and one with advice at most, no file written or left over,
in little memory and time. Where a damaged file still is a snapshot, Python must read the same from
it. Prints what was done; exits 1 with the first file that is not refused so.
"""
import collections
import gzip
import io
import os
import pickle
import pickletools
import random
import re
import resource
import subprocess
import sys
import tracemalloc
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import profile  # noqa: E402

ADDRESS_SPACE = 1600 << 20
RESIDENT = 700 << 20
SMALL = 64 << 20
SECONDS = 20
MANY = 10 ** 7
Done = collections.namedtuple("Done", "status out err rss")


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(*command):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, preexec_fn=limit)
    # Answers are short; an endless one ends with the time.
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    return Done(process.returncode, out, err.decode("utf-8", "backslashreplace"),
                usage.ru_maxrss * 1024)


class Trial:
    def __init__(self, tmbpf, folder):
        self.tmbpf, self.folder = tmbpf, folder
        self.refused = self.taken = self.most = 0
        self.reasons = set()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def write_apart(self, name, make):
        """What a child has in memory does not count as that of a later one, as this process's
        would."""
        child = os.fork()
        if not child:
            try:
                self.write(name, make())
                os._exit(0)
            finally:
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            sys.exit("%s cannot be made" % name)
        return self.path(name)

    def wrong(self, name, done, text):
        sys.exit("%s: %s: exit %d, %d bytes of output, %d MiB resident: %r" % (
            name, text, done.status, len(done.out), done.rss >> 20, done.err[:500]))

    def check_refusal(self, path, done, reason, memory):
        name = os.path.basename(path)
        if done.status != 1 or done.out:
            self.wrong(name, done, "is not refused")
        lines = done.err.splitlines()
        # What is wrong, and perhaps what to do about it.
        if not 1 <= len(lines) <= 2 or name not in lines[0]:
            self.wrong(name, done, "is not refused in a line that names it")
        if not re.search(reason, lines[0]):
            self.wrong(name, done, "is refused for something else than %r" % reason)
        if done.rss > memory:
            self.wrong(name, done, "takes more than %d MiB" % (memory >> 20))
        self.most = max(self.most, done.rss)
        self.refused += 1
        self.reasons.add(re.sub("[0-9]+", "N", done.err.partition(name)[2]))

    def refuse(self, path, reason, memory=SMALL):
        """By each command; and nothing is written."""
        before = sorted(os.listdir(self.folder))
        out = self.path("written")
        for command in (["stats", path], ["diff", path, path],
                        ["export", path, "--format", "json", "-o", out]):
            self.check_refusal(path, run(self.tmbpf, *command), reason, memory)
        if sorted(os.listdir(self.folder)) != before:
            sys.exit(
                "%s: files were written: %s" % (path, set(os.listdir(self.folder)) ^ set(before)))

    def tell(self):
        if not self.refused:
            sys.exit("nothing was tried")
        print("%d refused for %d reasons, %d taken, at most %d MiB" %
              (self.refused, len(self.reasons), self.taken, self.most >> 20))


def traces():
    name, other = "/srv/app.py", "/srv/gr\u00f6\u00dfe.py"
    frames = ((name, 300), (other, 7), (name, 70000))
    return [(0, 100, frames, 3), (0, 100, frames, 3), (7, 5000, ((other, 2),), 9),
            (0, 3000000000, ((name, 1),), 1)]


def good_pickle(protocol=pickle.HIGHEST_PROTOCOL):
    return pickle.dumps(tracemalloc.Snapshot(traces(), 25), protocol)


def good_profile():
    return profile.to_profile(tracemalloc.Snapshot(traces(), 25)).encode()


class Narrow(pickle.Unpickler):
    """Python's own, but for what a Snapshot does not need."""

    def find_class(self, module, name):
        if module != "tracemalloc" or name not in ("Snapshot", "_Traces"):
            raise pickle.UnpicklingError("no")
        return super().find_class(module, name)


def same_as_python(trial, path):
    """A damaged pickle that tmbpf takes: Python has to have the same of it."""
    with open(path, "rb") as file:
        data = file.read()
    exported = run(trial.tmbpf, "export", path, "--format", "tracemalloc", "--python", "3.12")
    if exported.status:
        sys.exit("%s: is read by stats, and not by export: %s" % (path, exported.err))
    try:
        expected = Narrow(io.BytesIO(data)).load()
        found = Narrow(io.BytesIO(exported.out)).load()
        if (
            expected.traces._traces == found.traces._traces
            and expected.traceback_limit == found.traceback_limit
        ):
            return
        text = "%r, tmbpf has %r" % (expected.traces._traces, found.traces._traces)
    except Exception as error:
        text = "%r" % error
    sys.exit("%s: Python has %s" % (path, text))


def damage(trial, name, data, reason, check=None):
    path = trial.write(name, data)
    done = run(trial.tmbpf, "stats", path, "--limit", "0")
    if done.status == 0 and check and not done.err:
        trial.taken += 1
        check(trial, path)
    else:
        trial.check_refusal(path, done, reason, SMALL)
    os.unlink(path)


def truncated(trial):
    """At each byte."""
    for data in (good_pickle(4), good_pickle(5)):
        for size in range(len(data)):
            damage(trial, "cut-%d" % size, data[:size],
                   "is empty" if not size else "at byte [0-9]+" if size > 1 else "")
    data = gzip.compress(good_profile())
    for size in range(len(data)):
        damage(trial, "cut-%d" % size, data[:size],
               "is empty" if not size else "truncated" if size > 1 else "")


def flipped(trial):
    """Two bits of each byte, one after the other."""
    chance = random.Random(1)
    data = good_pickle()
    for i in range(len(data)):
        for bit in chance.sample(range(8), 2):
            damaged = bytearray(data)
            damaged[i] ^= 1 << bit
            damage(trial, "flip-%d-%d" % (i, bit), bytes(damaged), "at byte [0-9]+|not a snapshot",
                   same_as_python)
    data = gzip.compress(good_profile())
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 1 << chance.randrange(8)
        # The head of a gzip file has bytes that say nothing of its content: time, system, level.
        damage(trial, "flip-%d" % i, bytes(damaged), "", (lambda *_: None) if i < 10 else None)
    data = good_profile()
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 1 << chance.randrange(8)
        # Not protected by a sum here: much of it is only another profile.
        damage(trial, "flip-%d" % i, gzip.compress(bytes(damaged), 1), "", lambda *_: None)


def spliced(trial):
    """Parts of pickles in a wrong order, at each opcode: what a parser has to hold out."""
    chance = random.Random(2)
    data = good_pickle(4)
    starts = [position for _, _, position in pickletools.genops(data)]
    for i in range(600):
        one, other, end = chance.choice(starts), chance.choice(starts), chance.choice(starts)
        damage(trial, "splice-%d" % i,
               data[:one] + data[min(other, end):max(other, end)] + data[one:],
               "at byte [0-9]+|not a snapshot", same_as_python)


def text(word):
    return b"\x8c" + bytes([len(word)]) + word.encode()


def traced(body):
    """A Snapshot whose list is BODY."""
    out = b"\x80\x04" + text("tracemalloc") + text("Snapshot") + b"\x93)\x81}(" + text("traces")
    out += text("tracemalloc") + text("_Traces") + b"\x93)\x81}" + text("_traces")
    out += b"]" + body + b"sb"
    return out + text("traceback_limit") + b"K\x01ub."


def payloads(trial):
    """Opcodes that make Python run or import something: what they would do must not be done."""
    marker = trial.path("done")
    command = text("touch " + marker)
    system = text("posix") + text("system") + b"\x93"
    head = b"\x80\x04"
    snapshot = text("tracemalloc") + text("Snapshot") + b"\x93"
    good = traced(b"")
    for name, data, at in (
            ("reduce", head + system + command + b"\x85R.",
             len(head + text("posix") + text("system"))),
            ("global", head + b"cposix\nsystem\n" + command + b"\x85R.", 2),
            ("inst", head + b"(" + command + b"iposix\nsystem\n.", 3 + len(command)),
            ("obj", head + b"(" + system + command + b"o.",
             3 + len(text("posix") + text("system"))),
            ("newobj", head + system + command + b"\x85\x81.",
             len(head + text("posix") + text("system"))),
            ("reduce-snapshot", head + snapshot + b")R.", len(head + snapshot + b")")),
            ("newobj-ex", head + snapshot + b")}\x92.", len(head + snapshot + b")}")),
            ("build-class", head + snapshot + b"}b.", None),
            ("getattr", head + text("builtins") + text("getattr") + b"\x93.",
             len(head + text("builtins") + text("getattr"))),
            ("dotted", head + text("tracemalloc") + text("os.system") + b"\x93.",
             len(head + text("tracemalloc") + text("os.system"))),
            ("dotted-class", head + text("tracemalloc") + text("Snapshot.load") + b"\x93.",
             len(head + text("tracemalloc") + text("Snapshot.load"))),
            ("module", head + text("tracemalloc.os") + text("Snapshot") + b"\x93.",
             len(head + text("tracemalloc.os") + text("Snapshot"))),
            ("extension", head + b"\x82\x01.", 2),
            ("persistent", head + b"Pname\n.", 2),
            ("buffer", head + b"\x97.", 2),
            ("bytes", head + b"C\x03abc.", 2),
            ("behind", good[:-1] + system + command + b"\x85R.",
             len(good) - 1 + len(text("posix") + text("system"))),
            ("within", good[:-1] + b"0" + system + command + b"\x85R.", len(good) - 1),
            ("after the end", good + head + system + command + b"\x85R.", len(good) - 1),
            ("protocol 0", b"cposix\nsystem\n(S'touch " + marker.encode() + b"'\ntR.", None),
            ("protocol 2", pickle.dumps(tracemalloc.Snapshot(traces(), 25), 2), None),
            ("protocol 6", b"\x80\x06" + good[2:], 0)):
        path = trial.write(name, data)
        trial.refuse(path,
                     "at byte %d:" % at if at is not None else "at byte [0-9]+|not a snapshot")
        if os.path.exists(marker):
            sys.exit("%s: it was done" % name)


def varint(number):
    return profile.varint(number)


def ten_million_frames():
    frame = text("a") + b"K\x01\x86"
    return traced(b"(K\x00K\x01(" + frame + b"\x94" + b"h\x00" * MANY + b"tM\x01\x00t" + b"a")


def ten_million_locations():
    locations = profile.message(1, varint(1) * MANY)
    return gzip.compress(
        good_profile() + profile.message(2, locations + profile.message(2, b"\1\1\1\1")), 1)


def claims(trial):
    """Sizes that are not there, and some that are: ten million frames."""
    for name, data, reason in (
            ("text", b"\x80\x04X\xff\xff\xff\xff.", "at byte 2:"),
            ("long text", b"\x80\x04\x8d" + b"\xff" * 8 + b".", "at byte 2:"),
            ("long text of 2^40", b"\x80\x04\x8d\0\0\0\0\0\1\0\0.", "at byte 2:"),
            ("frame", b"\x80\x04\x95" + b"\xff" * 8 + good_pickle(4)[11:], "at byte 2:"),
            ("number", b"\x80\x04\x8a\xff" + b"\x01" * 255 + b".", "at byte 2:"),
            ("large number", b"\x80\x04\x8b\xff\xff\xff\x7f\x01.", "at byte 2:"),
            ("memo", b"\x80\x04j\xff\xff\xff\xff.", "at byte 2:"),
            ("put", b"\x80\x04" + text("a") + b"r\xff\xff\xff\xff.", "at byte 5:"),
            ("marks", lambda: b"\x80\x04" + b"(" * MANY, "at byte [0-9]+:"),
            ("values", lambda: b"\x80\x04" + b"K\x01" * MANY, "at byte [0-9]+:"),
            ("values within a mark", lambda: traced(b"(" + b"K\x01" * MANY), "at byte [0-9]+:"),
            ("tuples", lambda: b"\x80\x04" + b"(" * 4 + b"K\x01\x85" * MANY, "at byte [0-9]+:"),
            ("frames of a pickle", ten_million_frames, "at byte [0-9]+:"),
            ("frames of a profile", ten_million_locations, ""),
            ("claimed frames",
             gzip.compress(good_profile() + varint(2 << 3 | 2) + varint(MANY * 8) +
                           varint(1 << 3 | 2) + varint(MANY * 7)), ""),
            ("claimed text", gzip.compress(good_profile() + varint(6 << 3 | 2) + varint(2 ** 63)),
             ""),
            ("endless number", gzip.compress(good_profile() + b"\x08" + b"\xff" * 1000), "")):
        trial.refuse(trial.write_apart(name, data if callable(data) else lambda data=data: data),
                     reason)
        os.unlink(trial.path(name))


def packed(head, block, times):
    """One gzip member, made without having all of it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([packer.compress(head)] + [packer.compress(block) for _ in range(times)] +
                    [packer.flush()])


def strings():
    return packed(good_profile(), profile.message(6, b"x" * 1000) * 1000, 700)


def samples():
    profile_of = profile.Profile()
    profile_of.sample([("a", 1)] * 50, (1, 1, 1, 1), {})
    return packed(good_profile(), profile.message(2, profile_of.samples[0]) * 10000, 700)


def bombs(trial):
    """Gzip files of 700 MB: of zeros, and of profiles of far too much; of very many members; a
    pickle of nothing but memos."""
    for name, make, reason in (
            ("zeros", lambda: packed(b"", bytes(1000000), 700), "more than|not a snapshot"),
            ("strings", strings, "more than"),
            ("samples", samples, "more than"),
            ("members", lambda: gzip.compress(bytes(1 << 24), 1) * 64, ""),
            ("empty members", lambda: gzip.compress(b"") * 10 ** 6, ""),
            ("memos", lambda: b"\x80\x04" + text("a") + b"\x94" * 7 * MANY,
             "at byte [0-9]+: more than")):
        trial.refuse(trial.write_apart(name, make), reason, RESIDENT)
        os.unlink(trial.path(name))


def main():
    part, tmbpf, folder = sys.argv[1:]
    trial = Trial(tmbpf, folder)
    globals()[part](trial)
    trial.tell()


if __name__ == "__main__":
    main()
