# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs jobs at the same time, as many as the processors have room for."""
import os
import signal
import subprocess
import tempfile
import time

import job as jobs

# Jobs mostly wait: those that run may want somewhat more than there is.
ROOM = 0.5
PATIENCE = 10  # how long those that are ended may take to, in seconds


def processes():
    """[(pid, its parent, its session)] of all."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name) as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(name), int(fields[1]), int(fields[3])))
    return found


def descendants(pids):
    """PIDS, and all that they started and that still has them as ancestors."""
    known, found, left = processes(), [], list(pids)
    while left:
        pid = left.pop()
        found.append(pid)
        left += [child for child, parent, _ in known if parent == pid]
    return found


def left_of(pid):
    """Who still is of the session that the process PID began: what its tests did not end."""
    return [each for each, _, session in processes() if session == pid]


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


class Running:
    """A job that was started."""

    def __init__(self, job, folder, number):
        self.job, self.began = job, time.monotonic()
        self.output = tempfile.TemporaryFile()
        # Sessions of one job are not to be seen by another.
        run = os.path.join(folder, "run%d" % number)
        os.mkdir(run, 0o700)
        env = dict(os.environ, TMBPF_RUN=run, **(job.env or {}))
        user = {}
        if job.user and job.user.pw_uid != os.getuid():
            user = {"user": job.user.pw_uid, "group": job.user.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen(job.command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, env=env,
                                        start_new_session=True, **user)

    def seconds(self):
        return time.monotonic() - self.began

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def result(self, time_is_up=False):
        status = self.process.returncode
        return jobs.count(self.job, self.said(), status, self.seconds(), time_is_up)


class Scheduler:
    """Runs WORK, jobs, until DEADLINE, a time of time.monotonic().

    REPORT is called with each job, what it printed, and its result.
    """

    def __init__(self, work, deadline, report):
        self.left = sorted(work, key=lambda job: -job.seconds)
        self.deadline, self.report = deadline, report
        self.room = os.cpu_count() + ROOM
        self.running, self.number, self.folder = [], 0, None

    def run(self):
        with tempfile.TemporaryDirectory(prefix="tmbpf-check-") as self.folder:
            os.chmod(self.folder, 0o711)
            try:
                self.run_all()
            finally:
                self.end()

    def run_all(self):
        while self.left or self.running:
            self.start_some()
            time.sleep(0.05)
            for each in [each for each in self.running if each.process.poll() is not None]:
                self.running.remove(each)
                send(left_of(each.process.pid), signal.SIGKILL)
                self.report(each.job, each.said(), each.result())
            if time.monotonic() > self.deadline:
                self.give_up()

    def waits(self, job):
        """Whether what JOB has to come after is still to come."""
        return job.after in self.left or job.after in [each.job for each in self.running]

    def start_some(self):
        load = sum(each.job.load for each in self.running)
        for job in list(self.left):
            if self.waits(job) or (self.running and load + job.load > self.room):
                continue
            load += job.load
            self.left.remove(job)
            self.start(job)

    def start(self, job):
        self.number += 1
        try:
            self.running.append(Running(job, self.folder, self.number))
        except OSError as error:
            result = jobs.Result(job.name)
            result.fail("cannot be run: %s" % error)
            self.report(job, "", result)

    def give_up(self):
        over, left = self.running, self.left
        self.end()
        for each in over:
            self.report(each.job, each.said(), each.result(time_is_up=True))
        for job in left:
            result = jobs.Result(job.name)
            result.fail("the time was up before it began")
            self.report(job, "", result)

    def end(self):
        """Ends what runs: asks, and who does not end within PATIENCE is not asked again."""
        over, self.running, self.left = self.running, [], []
        pids = descendants(each.process.pid for each in over)
        send(pids, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and any(each.process.poll() is None for each in over):
            time.sleep(0.05)
        send([pid for pid in pids if os.path.exists("/proc/%d" % pid)], signal.SIGKILL)
        for each in over:
            each.process.wait()
