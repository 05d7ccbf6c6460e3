# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Containers to trace: runc's, each an overlay on the one root that scripts/roots makes; nothing is
installed inside.

What is in /srv/app inside is Box.app here. Root inside is user 100000 here, unless the container is
told to be root.
"""
import ctypes
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "oracle"))
sys.path.insert(0, os.path.join(TESTS, "targets"))

import breakpoints
import harness

MIB = 1 << 20
INSIDE = "/srv/app"
OUTER_ROOT = 100000
PR_SET_CHILD_SUBREAPER = 36
PATIENCE = harness.PATIENCE

# All that a Python calls, and no more, as the profiles of docker and podman do it: what is not
# named fails. None of the system calls with which the kernel's return probes and optimised probes
# work is.
ALLOWED = """
    access arch_prctl brk capget capset chdir chmod clock_getres clock_gettime clock_nanosleep clone
    clone3 close close_range connect dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait
    eventfd2 execve exit exit_group faccessat faccessat2 fchdir fchmod fchmodat fchown fcntl
    fdatasync flock fork fstat fstatfs fsync ftruncate futex getcwd getdents64 getegid geteuid
    getgid getpeername getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
    getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr ioctl kill lgetxattr
    link linkat listen lseek lstat madvise membarrier memfd_create mincore mkdir mkdirat mmap
    mprotect mremap msync munmap nanosleep newfstatat open openat openat2 pause pipe pipe2 poll
    ppoll prctl pread64 preadv prlimit64 pselect6 pwrite64 pwritev read readlink readlinkat readv
    recvfrom recvmsg rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_getparam
    sched_getscheduler sched_yield select sendfile sendmsg sendto set_robust_list set_tid_address
    setgid setgroups setpgid setsid setuid shutdown sigaltstack socket socketpair stat statfs statx
    symlink symlinkat sysinfo tgkill timerfd_create timerfd_settime umask uname unlink unlinkat
    utimensat vfork wait4 waitid write writev""".split()


def reap_orphans():
    """Makes this process the parent of whom runc leaves behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def must(*command):
    # A container keeps what it was given as output: a pipe would keep us waiting.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                              stdout=said, stderr=said, timeout=PATIENCE)
        said.seek(0)
        text = said.read()
    if done.returncode:
        raise harness.Failed("%s: exit %d: %s" % (" ".join(map(str, command[:3])), done.returncode,
                                                  text.strip()[-400:]))
    return text


def until(what, condition, patience=PATIENCE):
    """What CONDITION gives, once that is true."""
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise harness.Failed("waited %d s in vain: %s" % (patience, what))
        time.sleep(0.05)


def is_gone(pid):
    """Whether the process has ended; if it is ours, it is reaped."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return not os.path.isdir("/proc/%d" % pid)


class Child:
    """A process that runc started, and that is ours since: as much of subprocess.Popen as
    harness.Target needs."""

    def __init__(self, pid, stdin, stdout):
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=PATIENCE):
        until("the end of process %d" % self.pid, lambda: self.poll() is not None, timeout)
        return self.returncode

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, 9)


class Process(harness.Target):
    """One in a container, by its pid here."""

    def __init__(self, box, command):
        """COMMAND starts it, and then ends: runc run, or runc exec."""
        self.errors = tempfile.TemporaryFile()
        file = os.path.join(box.folder, "pid")
        inner, stdin = os.pipe()
        stdout, outer = os.pipe()
        try:
            done = subprocess.run([*command[:2], "--detach", "--pid-file", file, *command[2:]],
                                  stdin=inner, stdout=outer, stderr=self.errors, timeout=PATIENCE)
        finally:
            os.close(inner)
            os.close(outer)
        if done.returncode:
            os.close(stdin)
            os.close(stdout)
            self.errors.seek(0)
            raise harness.Failed(
                "runc: exit %d: %s" %
                (done.returncode, self.errors.read().decode(errors="replace").strip()[-400:]))
        with open(file) as f:
            self.pid = int(f.read())
        self.process = Child(self.pid, os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0))
        self.held = b""

    def rest(self):
        """All that it still says, when it has ended, with status 0."""
        text = self.held + self.process.stdout.read()
        self.held = b""
        self.finish()
        return text.decode()


class Box:
    """A container that can be started, again and again, and the overlay that it is on."""

    numbers = itertools.count()

    def __init__(self, place, root, python, name="", limit=256 * MIB, as_root=False):
        """Its memory is limited to LIMIT bytes (None: is not). AS_ROOT: root inside is root, and
        may write to its root."""
        self.name = name or "tmbpf-test-%d-%d" % (os.getpid(), next(self.numbers))
        self.python, self.limit, self.as_root, self.lower = python, limit, as_root, root
        self.folder = os.path.join(place, self.name)
        self.app = os.path.join(self.folder, "app")
        self.merged = os.path.join(self.folder, "merged")
        self.upper = os.path.join(self.folder, "upper")
        for folder in ("app", "merged", "upper" + INSIDE, "layers", "bundle"):
            os.makedirs(os.path.join(self.folder, folder))
        os.chmod(self.app, 0o777)
        must("mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % (
            root, self.upper, os.path.join(self.folder, "layers")), self.merged)
        # What one imports and the other does not makes tables of a different size: see
        # harness.Python.
        with open(os.path.join(self.app, "sitecustomize.py"), "w") as f:
            f.write("import json\nimport tracemalloc\n")

    def __enter__(self):
        return self

    def remove(self):
        """Of runc's containers. There may be none."""
        subprocess.run(["runc", "delete", "--force", self.name], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE)

    def __exit__(self, *_):
        self.remove()
        if os.path.ismount(self.merged):
            until("no use of %s" % self.merged,
                  lambda: not subprocess.run(["umount", self.merged],
                                             stderr=subprocess.DEVNULL).returncode)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        """The file NAME of /srv/app, as it is called here."""
        return os.path.join(self.app, name)

    def inside(self, name):
        return os.path.join(INSIDE, name)

    def put(self, *files):
        """Copies FILES into /srv/app; the last one's name there."""
        for file in files:
            shutil.copy(file, self.app)
        return self.inside(os.path.basename(files[-1]))

    def env(self, more):
        return ["%s=%s" % pair for pair in {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": INSIDE, **more}.items()]

    def config(self, arguments, env, limit):
        """The container as runc wants to be told of it (opencontainers/runtime-spec, config.md)."""
        namespaces = ["pid", "mount", "ipc", "uts", "network", "cgroup"]
        namespaces += [] if self.as_root else ["user"]
        mapping = [{"containerID": 0, "hostID": OUTER_ROOT, "size": 65536}]
        resources = {"pids": {"limit": 200}}
        if limit:
            resources["memory"] = {"limit": limit, "swap": limit}
        return {
            "ociVersion": "1.0.2", "hostname": "box",
            "root": {"path": self.merged, "readonly": not self.as_root},
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "cwd": "/",
                        "noNewPrivileges": True, "capabilities": {},
                        "args": arguments, "env": env},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "mode=755", "size=64k"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "nodev", "mode=1777"]},
                {"destination": INSIDE, "type": "bind", "source": self.app,
                 "options": ["bind", "rw", "nosuid", "nodev"]},
            ],
            "linux": {
                "namespaces": [{"type": each} for each in namespaces],
                **({} if self.as_root else {"uidMappings": mapping, "gidMappings": mapping}),
                "cgroupsPath": "/" + self.name, "resources": resources,
                "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
                "seccomp": {"defaultAction": "SCMP_ACT_ERRNO",
                            "architectures": ["SCMP_ARCH_X86_64"],
                            "syscalls": [{"names": ALLOWED, "action": "SCMP_ACT_ALLOW"}]},
            },
        }

    def start(self, *arguments, limit=-1, **env):
        """The container, with its Python and ARGUMENTS as its first process. It is one at a
        time."""
        bundle = os.path.join(self.folder, "bundle")
        self.remove()
        with open(os.path.join(bundle, "config.json"), "w") as f:
            json.dump(self.config([self.python, *arguments], self.env(env),
                                  self.limit if limit == -1 else limit), f)
        return Process(self, ["runc", "run", "--bundle", bundle, self.name])

    def add(self, *arguments, **env):
        """Another Python in the running container."""
        named = [word for pair in self.env(env) for word in ("--env", pair)]
        return Process(self, ["runc", "exec", *named, self.name, self.python, *arguments])

    def shell(self, *command):
        return must("runc", "exec", self.name, *command)

    def must(self, *arguments, **env):
        """What a Python says that has the container for itself, and as much memory as there is."""
        with self.start(*arguments, limit=None, **env) as process:
            return process.rest()


def memory_mount(pid):
    """Where the hierarchy that has PID's memory is mounted, what of it, PID's group there, and
    whether it is of version 2."""
    with open("/proc/%s/cgroup" % pid) as f:
        groups = dict(line.rstrip("\n").split(":", 2)[1:] for line in f)
    one = next((path for names, path in groups.items() if "memory" in names.split(",")), None)
    with open("/proc/self/mountinfo") as f:
        for line in f:
            fields, _, tail = line.partition(" - ")
            kind, _, options = tail.split()[:3]
            if (kind == "cgroup" and "memory" in options.split(",")) if one else kind == "cgroup2":
                top, point = fields.split()[3:5]
                return point, top, one or groups[""], not one
    raise harness.Failed("there is no control group of process %s that has a mount" % pid)


def memory_folder(path):
    """The folder of the control group PATH, of those that have memory."""
    point, top, _, _ = memory_mount("self")
    return os.path.join(point, os.path.relpath(path, top))


class Memory:
    """What the kernel charges to the container of a process."""

    def __init__(self, pid):
        _, _, path, self.unified = memory_mount(pid)
        self.folder = memory_folder(path)

    def read(self, one, two):
        with open(os.path.join(self.folder, two if self.unified else one)) as f:
            return f.read()

    def usage(self):
        return int(self.read("memory.usage_in_bytes", "memory.current"))

    def kills(self):
        """By the kernel, for want of memory."""
        words = self.read("memory.oom_control", "memory.events").split()
        return int(words[words.index("oom_kill") + 1])


def code_copies(pid):
    """Bytes of PID's code that are copies of its own: of pages that a breakpoint was put into."""
    total, code = 0, False
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            words = line.split()
            if not words[0].endswith(":"):
                code = "x" in words[1] and words[-1].startswith("/")
            elif code and words[0] == "Anonymous:":
                total += int(words[1]) << 10
    return total


def code_changed(pid):
    """Breakpoints: bytes of PID's code that are not those of its files."""
    return breakpoints.changed(pid)


def interpreter_inode(pid):
    """Of the file whose code PID maps; on an overlay that of the layer that has it."""
    with open("/proc/%d/maps" % pid) as f:
        for line in f:
            words = line.split()
            if "x" in words[1] and os.path.basename(words[-1]).startswith("python3"):
                return int(words[4])
    raise harness.Failed("process %d maps no interpreter" % pid)


def resident(pid):
    """Bytes of anonymous memory."""
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))


SYS_BPF, BPF_PROG_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID = 321, 13, 30


def kernel_objects(pid):
    """The BPF links and programs that PID holds: {(command to get one, id)}."""
    found = set()
    for descriptor in os.listdir("/proc/%d/fdinfo" % pid):
        try:
            with open("/proc/%d/fdinfo/%s" % (pid, descriptor)) as f:
                text = f.read()
        except FileNotFoundError:  # closed meanwhile
            continue
        for name, _, value in (line.partition(":") for line in text.splitlines()):
            if name in ("link_id", "prog_id"):
                found.add((BPF_LINK_GET_FD_BY_ID if name == "link_id" else BPF_PROG_GET_FD_BY_ID,
                           int(value)))
    if not found:
        raise harness.Failed("process %d holds no BPF program" % pid)
    return found


def kernel_objects_left(objects):
    left, libc = 0, ctypes.CDLL(None, use_errno=True)
    for command, number in objects:
        attr = (ctypes.c_uint32 * 32)(number)
        descriptor = libc.syscall(SYS_BPF, command, ctypes.byref(attr), ctypes.sizeof(attr))
        if descriptor >= 0:
            os.close(descriptor)
            left += 1
    return left


class Tmbpf(harness.Tmbpf):
    """With an environment of its own."""

    def __init__(self, path, env):
        super().__init__(path)
        self.env = dict(os.environ, **env)

    def run(self, *arguments):
        return subprocess.run([self.path, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=PATIENCE, env=self.env)


class Place:
    """What a check needs: where its containers are, and tmbpf with a folder of sockets for it
    alone."""

    def __init__(self, folder, root, python, tmbpf):
        self.folder, self.root, self.python, self.path = folder, root, python, tmbpf
        self.run = tempfile.mkdtemp(prefix="r", dir=folder)
        self.tmbpf = self.tmbpf_with()

    def tmbpf_with(self, **env):
        return Tmbpf(self.path, {"TMBPF_RUN": self.run, **env})

    def box(self, **options):
        return Box(self.folder, self.root, self.python, **options)

    def sockets(self):
        return os.listdir(self.run)
