#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Recording a transfer at full speed: loss, bytes on disk, the recorder's CPU, replay speed.

iperf3 over veth (cubic), once for every tool and round, interleaved. Segments are the kernel's own
count of both namespaces (SNMP OutSegs and RetransSegs), so that a tool that sees one packet for
forty segments and one that counts both ends compare.
"""

import argparse
import json
import os
import shutil
import subprocess
import time

import lab


def transfer(pair, seconds):
    """Runs iperf3 and gives its bytes."""
    server = ("ip", "netns", "exec", pair.server, "iperf3", "-s", "-1")
    client = ("ip", "netns", "exec", pair.client, "iperf3", "-c", lab.SERVER, "-C", "cubic", "-J")
    listening = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        result = json.loads(lab.run(*client, "-t", seconds))
        listening.wait(10)
    finally:
        if listening.poll() is None:
            listening.terminate()
            listening.wait()
    return result["end"]["sum_sent"]["bytes"]


class Run:
    """One transfer beside one tool: what came out."""

    def __init__(self, pair, start, seconds, directory):
        segments = pair.segments()
        self.cpu = self.memory = 0
        if start is None:
            self.bytes = transfer(pair, seconds)
            self.returncode = 0
        else:
            argv, ready = start
            with lab.tool(argv, ready, directory) as tool:
                before = tool.cpu_seconds()
                begun = time.monotonic()
                self.bytes = transfer(pair, seconds)
                self.cpu = (tool.cpu_seconds() - before) / (time.monotonic() - begun)
                self.memory = tool.memory_kib()
                self.returncode = tool.end()
                self.text = tool.text()
        self.segments = pair.segments() - segments
        self.rate = self.bytes * 8 / seconds / 1e9


class Account:
    """What a recording holds, from its manifest and its rows."""

    def __init__(self, path):
        totals = json.loads((path / "manifest.json").read_text())["totals"]
        counted = lab.run(lab.program("examples/operations"), path).split()
        self.records, self.operations = map(int, counted)
        self.emitted = sum(cpu["emitted"] for cpu in totals["per_cpu"])
        self.lost = self.emitted - sum(cpu["logged"] for cpu in totals["per_cpu"])
        self.disk = lab.size(path)


def of_recording(run, directory, seconds):
    account = Account(directory / "run")
    run.disk, run.lost = account.disk, account.lost
    run.records, run.operations = account.records, account.operations
    run.records_per_second = account.emitted / seconds


def of_capture(run, directory):
    """The same for a packet capture, compressed with the recorder's own level."""
    capture = directory / "run.pcap"
    run.raw = lab.size(capture)
    lab.run("zstd", "-q", "-1", "-T1", "--rm", capture)
    run.disk = lab.size(directory / "run.pcap.zst")
    dropped = [line for line in run.text.splitlines() if "dropped by kernel" in line]
    captured = [line for line in run.text.splitlines() if "packets captured" in line]
    run.lost = int(dropped[0].split()[0]) if dropped else 0
    run.records = int(captured[0].split()[0]) if captured else 0


def replay(path, directory, threads):
    """Seconds of a replay."""
    output = directory / f"tables-{threads}"
    begun = time.monotonic()
    lab.run(lab.program("estats-analyze"), "replay", path, "-o", output, "--threads", threads)
    took = time.monotonic() - begun
    shutil.rmtree(output)
    return took


def verify(path):
    begun = time.monotonic()
    lab.run(lab.program("estats-analyze"), "verify", path)
    return time.monotonic() - begun


#: Messages of the recording that is replayed: 300 chunks, some seconds of a ping-pong.
CHUNKS, MESSAGES = 300, 2000


def show_analysis(pair, directory, rounds):
    """Replay and verification of a ping-pong recorded at the finest resolution.

    The recording of a transfer is read within tens of milliseconds, mostly of start-up.
    """
    path = directory / "run"
    cpu = max(os.sched_getaffinity(0))
    finest = lab.recorder(directory, "--all", "--resolution", "1us")
    with lab.tool(*finest, directory) as tool:
        before, begun = tool.cpu_seconds(), time.monotonic()
        lab.ping_pong(pair, cpu, CHUNKS, MESSAGES)
        own, took = tool.cpu_seconds() - before, time.monotonic() - begun
    account = Account(path)
    print(
        f"Ping-pong of {CHUNKS * MESSAGES} messages, recorded with `--all --resolution 1us`: "
        f"{account.records / took:.0f} records/s, {account.lost} lost, "
        f"{account.operations / account.records:.2f} operations per record, "
        f"{account.disk / account.operations:.2f} bytes per operation, "
        f"{account.disk / account.records:.1f} per record, "
        f"{account.disk / 1e6:.1f} MB; the recorder took {own / took * 100:.0f} % of a CPU, "
        f"{own * 1e9 / account.records:.0f} ns per record.\n"
    )
    rows = []
    for name, once in (
        ("replay --threads 1", lambda: replay(path, directory, 1)),
        ("replay --threads 2", lambda: replay(path, directory, 2)),
        ("verify", lambda: verify(path)),
    ):
        took = lab.median([once() for _ in range(rounds)])
        rows.append((
            f"`estats-analyze {name}`",
            f"{took:.2f}",
            f"{account.records / took / 1e6:.2f}",
            f"{account.operations / took / 1e6:.2f}",
            f"{account.disk / took / 1e6:.1f}",
        ))
    lab.table(("of that recording", "s", "M records/s", "M operations/s", "MB/s of log"), rows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=5, help="length of a transfer")
    return parser.parse_args()


def measure(pair, args):
    """Every tool in every round, and how many runs another recorder may have disturbed."""
    runs, unsure = {}, 0
    for _ in range(args.rounds):
        for name, start in (
            ("no recorder", None),
            ("`estats-record --all`, both ends", lambda d: lab.recorder(d, "--all")),
            (
                "`estats-record --netns`, the sender",
                lambda d: lab.recorder(d, "--netns", pair.client),
            ),
            ("`tcpdump -s 96 -w`, one end", lambda d: lab.tcpdump(pair, d)),
        ):
            unsure += not lab.wait_until_alone()
            with lab.scratch() as directory:
                run = Run(pair, start and start(directory), args.seconds, directory)
                if name.startswith("`estats"):
                    of_recording(run, directory, args.seconds)
                elif start:
                    of_capture(run, directory)
                runs.setdefault(name, []).append(run)
    return runs, unsure


def main():
    args = parse()
    print(f"{lab.machine()}; {args.rounds} rounds of {args.seconds} s.\n")
    with lab.Pair() as pair:
        runs, unsure = measure(pair, args)
        lab.wait_until_alone()
        with lab.scratch() as directory:
            show_analysis(pair, directory, args.rounds)
    rows = []
    for name, all_runs in runs.items():
        def mid(value, form="{:.1f}", of=all_runs):
            return form.format(lab.median([value(r) for r in of])) if hasattr(of[0], "disk") else "-"

        rows.append((
            name,
            f"{lab.median([r.rate for r in all_runs]):.1f}",
            lab.quartiles([r.rate / none.rate for r, none in zip(all_runs, runs["no recorder"])]),
            mid(lambda r: r.cpu * 100, "{:.0f} %"),
            mid(lambda r: r.memory / 1024, "{:.0f}"),
            mid(lambda r: r.lost, "{:.0f}"),
            mid(lambda r: r.disk / 1e6),
            mid(lambda r: r.disk / r.segments, "{:.2f}"),
            mid(lambda r: r.disk / r.records, "{:.1f}"),
            mid(lambda r: r.disk / r.bytes * 1e9 / 1e6, "{:.2f}"),
        ))
    lab.table(
        (
            "beside the transfer",
            "Gbit/s",
            "ratio (quartiles)",
            "its CPU",
            "its memory, MiB",
            "lost",
            "MB on disk (tcpdump: with zstd -1)",
            "bytes per segment",
            "bytes per record or packet",
            "MB per GB transferred",
        ),
        rows,
    )
    recorded = runs["`estats-record --all`, both ends"]
    rows = [
        ("records per second", f"{lab.median([r.records_per_second for r in recorded]):.0f}"),
        ("operations per record", f"{lab.median([r.operations / r.records for r in recorded]):.2f}"),
        ("bytes per operation", f"{lab.median([r.disk / r.operations for r in recorded]):.2f}"),
        ("segments per record", f"{lab.median([r.segments / r.records for r in recorded]):.1f}"),
    ]
    captures = runs["`tcpdump -s 96 -w`, one end"]
    rows.append(("tcpdump: MB before zstd", f"{lab.median([r.raw for r in captures]) / 1e6:.1f}"))
    lab.table(("`estats-record --all`", ""), rows)
    lab.warn(unsure)


if __name__ == "__main__":
    main()
