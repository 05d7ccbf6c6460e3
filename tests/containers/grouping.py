# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Checks of --container and --cgroup. Each is given a box.Place."""
import contextlib
import glob
import json
import os
import secrets
import shutil
import subprocess

import box
import harness
from harness import Failed

BUSY = os.path.join(harness.TARGETS, "busy.py")


class Group:
    """Sessions on what WHICH (--container NAME, say) names, from entry to exit."""

    def __init__(self, tmbpf, *which):
        self.tmbpf, self.which = tmbpf, which

    def __enter__(self):
        self.tmbpf.must("start", *self.which, "--exact")
        return self

    def __exit__(self, *_):
        self.tmbpf.run("stop", *self.which)

    def status(self):
        return json.loads(self.tmbpf.must("status", *self.which, "--json"))

    def traced(self):
        return {process["pid"] for process in self.status()["processes"]
                if process["state"] == "traced"}

    def wait(self, *processes):
        wanted = {process.pid for process in processes}
        box.until(
            "processes %s are traced; the status is %s" % (wanted, self.status()["processes"]),
            lambda: self.traced() == wanted)

    def snapshots(self, folder):
        """{pid: what the file says of itself}"""
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        self.tmbpf.must("snapshot", *self.which, "-o", folder)
        return {
            int(name.partition(".")[0]): json.loads(
                self.tmbpf.must("export", os.path.join(folder, name), "--format",
                                "json"))["snapshot"] for name in os.listdir(folder)
        }


def begin(inside, start):
    process = start(inside.put(BUSY))
    process.expect("READY")
    return process


def end(*processes):
    for process in processes:
        process.tell("end")
        if process.line() != "ended":
            raise Failed("the target does not obey")
        process.finish()


def refused(tmbpf, which, status, word):
    done = tmbpf.run("start", *which, "--exact")
    if done.returncode != status or word not in done.stderr:
        raise Failed(
            "start %s: exit %d: %s" % (" ".join(which), done.returncode, done.stderr.strip()))


def whole_group(place, inside, which, stack):
    """Who is there, who comes later, and what the snapshots say of them."""
    first = stack.enter_context(begin(inside, inside.start))
    with Group(place.tmbpf, *which) as group:
        if group.traced() != {first.pid}:
            raise Failed("%s: traced are %s" % (which, group.traced()))
        second = stack.enter_context(begin(inside, inside.add))
        group.wait(first, second)
        folder = os.path.join(inside.folder, "snapshots" + which[0])
        for pid, found in group.snapshots(folder).items():
            if (found["pid"] != pid or found["container"] != inside.name or
                    found["cgroup"] != "/" + inside.name):
                raise Failed("%s: the snapshot of %d names %s, %s" %
                             (which, pid, found["container"], found["cgroup"]))
        place.tmbpf.must("stop", *which)
    end(second, first)
    box.until("the sockets go", lambda: not place.sockets())


def group(place):
    """A container with a name, and two whose ids begin alike, with one of these traced."""
    start = secrets.token_hex(6)
    ids = [start + digit + secrets.token_hex(26)[1:] for digit in "ab"]
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(place.box())
        whole_group(place, inside, ("--container", inside.name), stack)
        whole_group(place, inside, ("--cgroup", "/" + inside.name), stack)
        whole_group(place, inside, ("--cgroup", box.memory_folder("/" + inside.name)), stack)
        one, two = (stack.enter_context(place.box(name=each)) for each in ids)
        other = stack.enter_context(begin(two, two.start))
        refused(place.tmbpf, ("--container", "no-such-container"), 3, "no-such-container")
        whole_group(place, one, ("--container", one.name[:13]), stack)
        first = stack.enter_context(begin(one, one.start))
        refused(place.tmbpf, ("--container", start), 1, "several containers")
        if box.code_copies(other.pid):
            raise Failed("there were probes in a container that was not asked for")
        end(first, other)
    return ("by name, by the beginning of an id, by control group and its folder: who was there "
            "and who came later")


# Debian's podman asks for more of these than a plain root may have.
LIMITS = ("--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
# What a Python needs of the root.
PARTS = ("bin", "lib", "lib64", "etc/passwd", "etc/group", "usr/bin/python3.13",
         "usr/lib/python3.13", "usr/lib64", "usr/lib/x86_64-linux-gnu")
KEEPING = (
    "import time\nkept = []\nwhile True:\n    kept.append(bytes(1000))\n    time.sleep(0.01)\n"
)


def told(place, pid, which, wanted):
    """Of the container that WHICH names the process PID is traced, and its snapshot says what is
    WANTED."""
    with Group(place.tmbpf, "--container", which) as group:
        if group.traced() != {pid}:
            raise Failed(
                "--container %s: traced are %s, its process is %s" % (which, group.traced(), pid))
        found = group.snapshots(os.path.join(place.run + "-snapshots", which))[pid]
    if {key: found[key] for key in wanted} != wanted:
        raise Failed("the snapshot names %s" % {key: found[key] for key in wanted})


def image_import(place, runtime, image):
    """PARTS of the root as an image of RUNTIME's, the command of podman or docker."""
    tar = subprocess.Popen(["tar", "-C", place.root, "-cf", "-", "--exclude=__pycache__",
                            "--exclude=gconv", "--exclude=perl*", *PARTS],
                           stdout=subprocess.PIPE)
    with tar.stdout:
        done = subprocess.run([*runtime, "import", "-", image], stdin=tar.stdout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=box.PATIENCE)
    if tar.wait() or done.returncode:
        raise Failed(
            "import of an image: exit %d: %s" % (done.returncode, done.stdout.strip()[-300:]))


def begin_here(function, *arguments):
    """What does not even begin without tmbpf cannot be shown here."""
    try:
        return function(*arguments)
    except Failed as error:
        raise harness.Skipped("does not run here: %s" % str(error).replace("\n", " | ")) from error


def image_runs(place, *runtime):
    """A container of RUNTIME's, of an image of its own: by name and by the beginning of its id."""
    name = "tmbpf-test-%d" % os.getpid()
    image = "localhost/%s:1" % name
    try:
        begin_here(image_import, place, runtime, image)
        begin_here(box.must, *runtime, "run", "--detach", "--name", name, *LIMITS, "--memory=256m",
                   image, place.python, "-c", KEEPING)
        pid, identity = box.must(*runtime, "inspect", "--format", "{{.State.Pid}} {{.Id}}",
                                 name).split()
        for which in (name, identity[:12]):
            told(place, int(pid), which,
                 {"container": identity, "container_name": name, "image": image})
    finally:
        for command in (["rm", "--force", name], ["rmi", "--force", image]):
            subprocess.run([*runtime, *command], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "by its name and by its id; the snapshot has both, and the image %s" % image


def podman(place):
    return image_runs(place, "podman", "--log-level=error", "--runtime=runc",
                      "--cgroup-manager=cgroupfs")


class Daemon:
    """A program that serves from entry to exit. It is there when the command READY succeeds."""

    def __init__(self, log, command, ready):
        self.log, self.command, self.ready = log, command, ready

    def serves(self):
        return not subprocess.run(self.ready, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode

    def __enter__(self):
        begin_here(self.begin)
        return self

    def begin(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        try:
            box.until("the end of the start of %s" % self.command[0],
                      lambda: self.process.poll() is not None or self.serves())
        except Failed:
            self.process.kill()
            raise
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise Failed("%s: exit %d: %s" %
                             (self.command[0], self.process.returncode, log.read().strip()[-400:]))

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def needs(*commands):
    for command in commands:
        if not shutil.which(command):
            raise harness.Skipped("there is no %s" % command)


CONTAINERD = """version = 2
root = "{0}/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{0}/socket"
[ttrpc]
address = "{0}/socket.ttrpc"
"""


def ctr_runs(place, *ctr):
    """The container's id is its name."""
    with place.box() as inside:
        try:
            begin_here(box.must, *ctr, "run", "--detach", "--rootfs", inside.merged, inside.name,
                       place.python, "-c", KEEPING)
            tasks = {
                words[0]: int(words[1])
                for words in map(str.split, box.must(*ctr, "task", "ls").splitlines()[1:])
            }
            told(place, tasks[inside.name], inside.name,
                 {"container": inside.name, "cgroup": "/tmbpf-test/" + inside.name})
        finally:
            for command in (["task", "rm", "--force", inside.name],
                            ["container", "rm", inside.name]):
                subprocess.run([*ctr, *command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # Of its namespace runc leaves the control groups.
            for folder in (glob.glob("/sys/fs/cgroup/*/tmbpf-test") +
                           glob.glob("/sys/fs/cgroup/tmbpf-test")):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
    return "ctr's, by its name"


def containerd(place):
    """The containerd that serves here, or one of our own. What it says of its containers is in /run
    in either case."""
    needs("containerd", "ctr")
    if not subprocess.run(["ctr", "version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode:
        return ctr_runs(place, "ctr", "--namespace", "tmbpf-test")
    folder = os.path.join(place.folder, "containerd")
    os.mkdir(folder)
    with open(os.path.join(folder, "config.toml"), "w") as f:
        f.write(CONTAINERD.format(folder))
    ctr = ("ctr", "--address", folder + "/socket", "--namespace", "tmbpf-test")
    with Daemon(folder + "/log", ["containerd", "--config", folder + "/config.toml"],
                [*ctr, "version"]):
        return ctr_runs(place, *ctr)


# Where the names of docker's containers are, whoever serves.
DOCKER_DATA = "/var/lib/docker"


def docker_folder():
    """Where docker and dockerd are: installed, or fetched for us alone."""
    if shutil.which("docker") and shutil.which("dockerd"):
        return ""
    found = harness.said_by("scripts/docker")
    if not found:
        raise harness.Skipped("scripts/docker cannot fetch docker")
    return found[0] + "/"


def docker(place):
    """The docker that serves here, or one of our own."""
    if shutil.which("docker") and not subprocess.run(
            ["docker", "info"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode:
        return image_runs(place, "docker")
    programs, folder = docker_folder(), os.path.join(place.folder, "docker")
    os.mkdir(folder)
    socket = "unix://%s/socket" % folder
    command = (programs + "docker", "--host", socket)
    serve = [programs + "dockerd", "--bridge=none", "--iptables=false", "--host=" + socket,
             "--pidfile=%s/pid" % folder, "--exec-root=%s/run" % folder]
    fresh = not os.path.exists(DOCKER_DATA)
    try:
        with Daemon(folder + "/log", serve, [*command, "info"]):
            return image_runs(place, *command)
    finally:
        if fresh:
            shutil.rmtree(DOCKER_DATA, ignore_errors=True)
