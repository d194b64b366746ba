#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a recorder takes from its host: system calls, CPU, memory, disk, kernel objects.

At rest (its filter lets nothing in), then beside a transfer at full speed that it records. System
calls are counted by strace in a run of their own, since strace slows down what it watches.
"""

import argparse
import json
import re
import shutil
import subprocess
import time

import lab
from throughput import transfer

#: Matches no connection: a host at rest, whatever else it does meanwhile.
REST = ("--port", 9)


def objects(pid):
    """Programs, maps and links of one process, as bpftool lists them."""
    ids = {"prog": set(), "map": set(), "link": set()}
    for info in lab.pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        for line in info.read_text().splitlines():
            kind, _, value = line.partition("_id:")
            if kind in ids:
                ids[kind].add(int(value))
    return ids


def kernel_memory(pid):
    """Name, type, value size and bytes of every map of a process."""
    ids = objects(pid)["map"]
    for found in json.loads(lab.run("bpftool", "-j", "map", "show")):
        if found["id"] in ids:
            yield found


def show_kernel_objects(pid):
    ids = objects(pid)
    print(f"{len(ids['prog'])} programs, {len(ids['map'])} maps, {len(ids['link'])} links.\n")
    grouped = {}
    for found in kernel_memory(pid):
        key = found.get("name", "?"), found["type"], found["bytes_value"]
        count, total = grouped.get(key, (0, 0))
        grouped[key] = count + 1, total + found["bytes_memlock"]
    rows = [
        (f"`{name}`", kind, count, value, f"{total / 1024:.0f}")
        for (name, kind, value), (count, total) in sorted(grouped.items(), key=lambda g: -g[1][1])
    ]
    rows.append(("sum", "", "", "", f"{sum(t for _, t in grouped.values()) / 1024:.0f}"))
    lab.table(("map", "type", "number", "value, bytes", "KiB of kernel memory"), rows)


def system_calls(pid, during):
    """Calls per second by name, counted by strace while `during` runs."""
    with lab.scratch() as directory:
        output = directory / "calls"
        strace = subprocess.Popen(
            ["strace", "-q", "-f", "-c", "-o", str(output), "-p", str(pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(1)
            begun = time.monotonic()
            during()
            took = time.monotonic() - begun
        finally:
            strace.send_signal(lab.signal.SIGINT)
            strace.wait()
        # %time seconds usecs/call calls [errors] name; strace watched a second more than `took`
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$",
                          output.read_text(), re.M)
    return {name: int(calls) / (took + 1) for calls, name in rows if name != "total"}


def usage(tool, directory, during):
    """CPU share and bytes written per second while `during` runs, and what it gives."""
    cpu, disk, begun = tool.cpu_seconds(), lab.size(directory / "run"), time.monotonic()
    result = during()
    # Batches are written within a second; let the last one arrive.
    time.sleep(1.5)
    took = time.monotonic() - begun
    return (
        (tool.cpu_seconds() - cpu) / took,
        (lab.size(directory / "run") - disk) / took,
        tool.memory_kib() / 1024,
        result,
    )


def measure(pair, options, during):
    with lab.scratch() as directory, lab.tool(*lab.recorder(directory, *options), directory) as t:
        time.sleep(2)
        figures = usage(t, directory, during)
    calls = {}
    if shutil.which("strace"):
        with lab.scratch() as directory, lab.tool(*lab.recorder(directory, *options), directory) as t:
            calls = system_calls(t.process.pid, during)
    return figures, calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20, help="length of each measurement")
    args = parser.parse_args()
    print(f"{lab.machine()}.\n")
    with lab.Pair() as pair:
        alone = lab.wait_until_alone()
        with lab.scratch() as directory, lab.tool(*lab.recorder(directory, "--all"), directory) as t:
            show_kernel_objects(t.process.pid)
        at_rest = measure(pair, REST, lambda: time.sleep(args.seconds))
        loaded = measure(
            pair, ("--netns", pair.client), lambda: transfer(pair, min(args.seconds, 10))
        )
    rows = []
    for name, ((cpu, disk, memory, moved), calls) in (("at rest", at_rest), ("at full speed, one end", loaded)):
        top = sorted(calls.items(), key=lambda c: -c[1])[:4]
        rows.append((
            name,
            f"{cpu * 100:.1f} %",
            f"{memory:.0f}",
            f"{disk * 3600 / 1e6:.1f}" if moved is None else "-",
            f"{disk:.0f}",
            f"{sum(calls.values()):.0f}",
            ", ".join(f"{call} {n:.0f}" for call, n in top),
        ))
    lab.table(
        ("recorder", "CPU", "resident, MiB", "MB of disk per hour", "bytes of disk per second",
         "system calls per second", "of these"),
        rows,
    )
    lab.warn(int(not alone))


if __name__ == "__main__":
    main()
