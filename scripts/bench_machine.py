"""The machine under scripts/bench_call.py: whether its cores are cores, who uses them, how programs are kept apart on
them. Knows no calls. Linux and the standard library only."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")

# As much work as half a second holds, and what of that time was somebody else's.
SPIN = """
import json, time
began = last = time.perf_counter_ns()
turns, lost, longest = 0, 0, 0
while last < began + 500_000_000:
    sum(range(200))
    turns, now = turns + 1, time.perf_counter_ns()
    if 100_000 < now - last:
        lost, longest = lost + now - last, max(longest, now - last)
    last = now
print(json.dumps({"turns": turns, "lost": lost / (last - began), "gap_ms_max": longest / 1e6}))
"""


class Watch:
    """Who uses the cores from now on, each as a share of one core."""

    def __init__(self, side, load, postgres):
        self.programs = {"core": (side,), "load": (load,), "postgres": postgres}
        self.began, self.before = time.monotonic(), self.read()

    def read(self):
        used = {name: sum(map(cpu_seconds, pids)) for name, pids in self.programs.items()}
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _idle, _iowait, irq, softirq, steal = fields
        return used | {"all": (user + nice + system + irq + softirq) / TICKS, "stolen": steal / TICKS}

    def shares(self):
        seconds, after = time.monotonic() - self.began, self.read()
        share = {name: max(after[name] - self.before[name], 0.0) / seconds for name in after}
        share["others"] = max(share.pop("all") - sum(share[name] for name in self.programs), 0.0)
        return share


class Aside:
    """Keeps a Postgres of our own on one core, where it does not push aside who runs there; puts it back afterwards."""

    def __init__(self, server_pid, core):
        self.server_pid, self.core = server_pid, core

    def __enter__(self):
        self.before = [(pid, os.sched_getaffinity(pid)) for pid in self.processes()]
        for pid, _ in self.before:
            self.put(pid, {self.core}, os.SCHED_BATCH)
        return self

    def __exit__(self, *_):
        everywhere = self.before[0][1] if self.before else set()
        for pid in self.processes():
            self.put(pid, everywhere, os.SCHED_OTHER)

    def processes(self):
        """Backends that begin later are made by the first of these, and like it."""
        if not self.server_pid:
            return []
        children = pathlib.Path(f"/proc/{self.server_pid}/task/{self.server_pid}/children").read_text()
        return [int(self.server_pid), *map(int, children.split())]

    @staticmethod
    def put(pid, cores, policy):
        try:
            os.sched_setaffinity(pid, cores)
            os.sched_setscheduler(pid, policy, os.sched_param(0))
        except (ProcessLookupError, PermissionError) as error:
            print(f"Postgres' process {pid} stays where it is: {error}", file=sys.stderr)


def described():
    """The machine, and whether its first two cores are two: threads of one core would slow each other down."""
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    alone = [result(spinning(core)) for core in (0, 1)]
    together = [result(spin) for spin in [spinning(core) for core in (0, 1)]]
    return {
        "cpu": model.group(1) if model else os.uname().machine, "cores": os.cpu_count(), "kernel": os.uname().release,
        "core_speed_together": [both["turns"] / one["turns"] for one, both in zip(alone, together)],
        "core_time_lost": [both["lost"] for both in together], "core_gap_ms_max": [both["gap_ms_max"] for both in together],
    }


def spinning(core):
    return subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", SPIN], text=True, stdout=subprocess.PIPE)


def result(spin):
    return json.loads(spin.communicate()[0])


def cpu_seconds(pid):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it is over
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
