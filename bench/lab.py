# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the benchmarks share: two network namespaces, processes that end cleanly, tables.

Everything made here is named after this process and removed by it; processes are ended by the
handle they were started with. Nothing of the host is changed: no sysctl, no mount.
"""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
CLIENT, SERVER = "10.123.0.1", "10.123.0.2"


def fail(message):
    sys.exit(f"{sys.argv[0]}: {message}")


def program(name):
    """Path of one of this project's own programs."""
    path = TARGET / name
    if not path.exists():
        fail(
            f"{path} is missing; build it with: cargo build --release --no-default-features "
            "--features record --bins --examples"
        )
    return str(path)


def run(*argv, **options):
    """Runs a program to its end and gives its stdout."""
    done = subprocess.run(
        [str(a) for a in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
    if done.returncode:
        fail(f"{' '.join(map(str, argv))}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


class Pair:
    """Two network namespaces with veth between them."""

    def __init__(self):
        self.client, self.server = (f"estats-bench-{os.getpid()}-{end}" for end in "cs")
        self.made = []

    def __enter__(self):
        if os.geteuid() != 0:
            fail("needs root: it makes network namespaces and loads BPF programs")
        try:
            for name in (self.client, self.server):
                run("ip", "netns", "add", name)
                self.made.append(name)
            run(
                *("ip", "-n", self.client, "link", "add", "veth0", "type", "veth"),
                *("peer", "name", "veth0", "netns", self.server),
            )
            for name, address in ((self.client, CLIENT), (self.server, SERVER)):
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "veth0")
                run("ip", "-n", name, "link", "set", "veth0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], check=False)
        self.made = []

    def segments(self):
        """Segments sent by both ends since the namespaces were made (the kernel's own count)."""
        total = 0
        for name in (self.client, self.server):
            lines = run("ip", "netns", "exec", name, "cat", "/proc/net/snmp").splitlines()
            keys, values = (line.split() for line in lines if line.startswith("Tcp:"))
            total += int(values[keys.index("OutSegs")]) + int(values[keys.index("RetransSegs")])
        return total


class Tool:
    """A program that runs beside the load until it is told to end."""

    def __init__(self, argv, ready, directory):
        self.log = open(directory / "tool.stderr", "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        deadline = time.monotonic() + 30
        while not ready(self.text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                fail(f"{argv[0]} did not come up: {self.text().strip()[-500:]}")
            time.sleep(0.02)

    def text(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def cpu_seconds(self):
        """CPU time of the process so far; to the nanosecond, where stat counts in ticks of 10 ms."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9

    def memory_kib(self):
        """Largest resident set so far."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        return 0

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


@contextlib.contextmanager
def tool(argv, ready, directory):
    started = Tool(argv, ready, directory)
    try:
        yield started
    finally:
        started.end()
        started.log.close()


def recorder(directory, *options):
    """Arguments of estats-record, and how to tell that it records."""
    argv = [program("estats-record"), "--quiet", "-o", directory / "run", *options]
    return argv, lambda text: "recording to" in text


def hook_sets():
    """The hook sets that this kernel has whole, as `estats-record check` finds them."""
    found = []
    for hooks in ("tracepoint", "fentry", "kprobe"):
        argv = [program("estats-record"), "check", "--json", "--hooks", hooks]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            continue
        report = json.loads(done.stdout)
        # Raw tracepoints alone make no kprobe set.
        functions = any(h["hook"] == "write_xmit" and h["attached"] for h in report["hooks"])
        if report["hook_set"] == hooks and functions == (hooks != "tracepoint"):
            found.append(hooks)
    return found


def tcpdump(pair, directory):
    argv = ["ip", "netns", "exec", pair.client, "tcpdump", "-Z", "root", "-n", "-i", "veth0"]
    argv += ["-s", "96", "-w", directory / "run.pcap", "tcp"]
    return argv, lambda text: "listening on" in text


def with_tracefs(argv):
    """perf and bpftrace read tracefs; where it is not mounted, they get it for themselves only."""
    if pathlib.Path("/sys/kernel/tracing/events").is_dir():
        return argv
    mount = 'mount -t tracefs tracefs /sys/kernel/tracing && exec "$@"'
    return ["unshare", "--mount", "sh", "-ec", mount, "sh", *argv]


def others():
    """TCP programs of other recorders: they slow down everything that is measured here."""
    if not shutil.which("bpftool"):
        return 0
    found = json.loads(run("bpftool", "-j", "prog", "show"))
    return sum(p.get("name") in ("tcp_probe", "egress") for p in found)


def wait_until_alone(patience=15):
    """Waits until no other recorder runs; whether that came true in time."""
    deadline = time.monotonic() + patience
    while others():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def warn(unsure):
    """Says in the output what wait_until_alone() could not reach."""
    if unsure:
        print(f"Measured beside a recorder that is not this benchmark's: {unsure} times.\n")


@contextlib.contextmanager
def scratch():
    with tempfile.TemporaryDirectory(prefix="estats-bench-") as path:
        yield pathlib.Path(path)


def size(path):
    """Bytes of a file, or of all files of a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def median(values):
    return statistics.median(values)


def quartiles(ratios):
    """Median and, in brackets, first and third quartile."""
    low, mid, high = (sorted(ratios)[i * (len(ratios) - 1) // 4] for i in (1, 2, 3))
    return f"{mid:.2f} ({low:.2f} to {high:.2f})"


PING_PONG_PORT = 5500


def ping_pong(pair, cpu, chunks, messages, load="messages"):
    """First quartile, median and third quartile of the CPU time per message, in ns."""
    command = (program("examples/pingpong"), pair.client, pair.server, SERVER, PING_PONG_PORT)
    return [float(x) for x in run(*command, cpu, chunks, messages, load).split()]


def table(head, rows):
    """Prints a Markdown table; the first column is text, the others are numbers."""
    print("| " + " | ".join(head) + " |")
    print("|---" + "|--:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def machine():
    """One line on where this was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    day = time.strftime("%Y-%m-%d", time.gmtime())
    cpus = len(os.sched_getaffinity(0))
    return f"{day}, Linux {platform.release()}, {cpus} CPUs ({model}), load average {load}"
