#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What packet digests cost the traffic, beside tcpdump -s 96 in the same run, and the disk.

Cost is CPU time per message of the pinned ping-pong of cost.py; a message is four packets at the
sockets of both ends, and two at one end's interface. Disk is the packets stream alone, in bytes per
row, of that ping-pong and of a bulk transfer at full speed.
"""

import argparse
import json
import os
import subprocess

import lab


def others(options, name):
    """A recorder whose operations are filtered out: of a process that has no connections."""

    def start(directory):
        return lab.recorder(directory, *options, "--pid", start.process.pid)

    start.process = None
    return name, start


def variants(pair):
    here = ("--interface", "veth0", "--netns", pair.client)
    yield "baseline", None
    yield "`estats-record --all`", lambda d: lab.recorder(d, "--all")
    yield "`estats-record --all --packets`", lambda d: lab.recorder(d, "--all", "--packets")
    yield others(here, "`estats-record --interface`, one end, operations filtered out")
    yield "`tcpdump -s 96 -w`, one end", lambda d: lab.tcpdump(pair, d)


def cost(pair, start, args):
    with lab.scratch() as directory:
        if start is None:
            return lab.ping_pong(pair, args.cpu, args.chunks, args.messages)[1], 0.0
        with lab.tool(*start(directory), directory) as tool:
            before = tool.cpu_seconds()
            each = lab.ping_pong(pair, args.cpu, args.chunks, args.messages)[1]
            own = tool.cpu_seconds() - before
    return each, own * 1e9 / (args.chunks * args.messages)


def costs(pair, args):
    ns, ratios, own = {}, {}, {}
    sleeper = subprocess.Popen(["sleep", "100000"])
    try:
        for _ in range(args.rounds):
            base = None
            for name, start in variants(pair):
                if hasattr(start, "process"):
                    start.process = sleeper
                each, tool = cost(pair, start, args)
                base = base or each
                ns.setdefault(name, []).append(each)
                ratios.setdefault(name, []).append(each / base)
                own.setdefault(name, []).append(tool)
    finally:
        sleeper.kill()
        sleeper.wait()
    rows = [
        (
            name,
            f"{lab.median(values):.0f}",
            "1" if name == "baseline" else lab.quartiles(ratios[name]),
            f"{lab.median(own[name]):.0f}",
        )
        for name, values in ns.items()
    ]
    head = ("attached", "CPU ns per message", "ratio (quartiles)", "the tool's own CPU, ns per message")
    lab.table(head, rows)


def bulk(pair, args):
    server = subprocess.Popen(
        ["ip", "netns", "exec", pair.server, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
    )
    try:
        client = ("ip", "netns", "exec", pair.client, "iperf3", "-c", lab.SERVER)
        # Until it listens.
        for _ in range(100):
            if f":{5201:04X} " in lab.run(
                "ip", "netns", "exec", pair.server, "cat", "/proc/net/tcp6", "/proc/net/tcp"
            ):
                break
        lab.run(*client, "-t", args.seconds)
    finally:
        server.wait(30)


def disk(pair, args):
    """Rows and bytes of the packets streams."""
    loads = (
        ("ping-pong", lambda: lab.ping_pong(pair, args.cpu, args.chunks, args.messages)),
        ("bulk transfer", lambda: bulk(pair, args)),
    )
    places = (
        ("sockets", ("--packets",)),
        ("interface, one end", ("--interface", "veth0", "--netns", pair.client)),
    )
    rows = []
    for load, run in loads:
        for place, options in places:
            for digest in (0, 64):
                with lab.scratch() as directory:
                    start = lab.recorder(directory, *options, "--digest-bytes", digest)
                    with lab.tool(*start, directory):
                        run()
                    run_directory = directory / "run"
                    argv = [lab.program("estats-analyze"), "verify", "--json", run_directory]
                    done = subprocess.run(map(str, argv), capture_output=True, text=True, check=False)
                    report = json.loads(done.stdout)
                    files = [f for f in report["files"] if f["file"].startswith("packets-")]
                    packets = sum(f["rows"] for f in files)
                    size = sum((run_directory / f["file"]).stat().st_size for f in files)
                    lost = sum(cpu["lost"] for cpu in report["cpus"])
                    clean = "yes" if not report["findings"] else "NO"
                rows.append((
                    f"{load}, {place}", digest, packets, f"{size / max(packets, 1):.1f}", lost, clean,
                ))
    head = ("load, place", "`--digest-bytes`", "rows", "bytes per row", "lost", "adds up")
    lab.table(head, rows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cpus = os.sched_getaffinity(0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--chunks", type=int, default=60)
    parser.add_argument("--messages", type=int, default=2000, help="messages of a chunk")
    parser.add_argument("--seconds", type=int, default=5, help="of the bulk transfer")
    parser.add_argument("--cpu", type=int, default=max(cpus), help="where the ping-pong is pinned")
    return parser.parse_args()


def main():
    args = parse()
    with lab.Pair() as pair:
        print(f"{lab.machine()}; {args.rounds} rounds of {args.chunks} x {args.messages} messages.\n")
        costs(pair, args)
        disk(pair, args)


if __name__ == "__main__":
    main()
