#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What recording costs the traffic: CPU time per message of a pinned TCP ping-pong over veth.

With --load resets or datagrams: per packet that the kernel drops, of TCP or not.

Every round runs all variants one after the other (A B C A B C), so that a machine that slows down
for a while slows all of them; the table has the median of the rounds, and the ratio to the
baseline of the same round.
"""

import argparse
import os
import shutil

import lab

#: Matches no connection of the benchmark: what a filtered-out connection costs.
OTHER_PORT = 9


def variants(pair):
    """Name and, in a directory of its own, the tool that runs beside the ping-pong."""
    yield "baseline", None
    for hooks in lab.hook_sets():
        yield (
            f"`estats-record --all --hooks {hooks}`",
            lambda d, hooks=hooks: lab.recorder(d, "--all", "--hooks", hooks),
        )
    yield (
        f"`estats-record --port {OTHER_PORT}`, filtered out",
        lambda d: lab.recorder(d, "--port", OTHER_PORT),
    )
    if shutil.which("tcpdump"):
        yield "`tcpdump -s 96 -w`, one end", lambda d: lab.tcpdump(pair, d)
    if shutil.which("perf"):
        yield "`perf record -a -e 'tcp:*'`", perf
    if shutil.which("bpftrace"):
        yield "`bpftrace` counting `tcp_probe`", bpftrace


def variants_of_drops(_):
    """Likewise beside packets that the kernel drops."""
    yield "baseline", None
    yield "`estats-record --all`", lambda d: lab.recorder(d, "--all")
    yield (
        "`estats-record --all --without drops --without segment_drop`",
        lambda d: lab.recorder(d, "--all", "--without", "drops", "--without", "segment_drop"),
    )
    yield (
        f"`estats-record --port {OTHER_PORT}`, filtered out",
        lambda d: lab.recorder(d, "--port", OTHER_PORT),
    )
    if shutil.which("perf"):
        yield "`perf record -a -e skb:kfree_skb`", lambda d: perf(d, "skb:kfree_skb")
    if shutil.which("bpftrace"):
        yield (
            "`bpftrace` counting `kfree_skb` by reason",
            lambda d: bpftrace(d, "skb:kfree_skb", "@[args->reason]"),
        )


def perf(directory, events="tcp:*"):
    output = directory / "perf.data"
    argv = lab.with_tracefs(["perf", "record", "-q", "-a", "-e", events, "-o", str(output)])
    return argv, lambda _: output.exists() and output.stat().st_size > 0


def bpftrace(_, event="tcp:tcp_probe", map="@"):
    argv = lab.with_tracefs(["bpftrace", "-e", f"tracepoint:{event} {{ {map} = count(); }}"])
    return argv, lambda text: "Attaching" in text


def measure(pair, start, args):
    """CPU time per message of the ping-pong, and of the tool beside it, in ns."""
    with lab.scratch() as directory:
        if start is None:
            return lab.ping_pong(pair, args.cpu, args.chunks, args.messages, args.load)[1], 0.0
        with lab.tool(*start(directory), directory) as tool:
            before = tool.cpu_seconds()
            cost = lab.ping_pong(pair, args.cpu, args.chunks, args.messages, args.load)[1]
            own = tool.cpu_seconds() - before
    return cost, own * 1e9 / (args.chunks * args.messages)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cpus = os.sched_getaffinity(0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--chunks", type=int, default=60)
    parser.add_argument("--messages", type=int, default=2000, help="messages of a chunk")
    parser.add_argument("--cpu", type=int, default=max(cpus), help="where the ping-pong is pinned")
    parser.add_argument("--load", choices=("messages", "resets", "datagrams"), default="messages")
    return parser.parse_args()


def main():
    args = parse()
    costs, ratios, own = {}, {}, {}
    unsure = 0
    with lab.Pair() as pair:
        for _ in range(args.rounds):
            base = None
            for name, start in (variants if args.load == "messages" else variants_of_drops)(pair):
                unsure += not lab.wait_until_alone()
                cost, tool = measure(pair, start, args)
                base = base or cost
                costs.setdefault(name, []).append(cost)
                ratios.setdefault(name, []).append(cost / base)
                own.setdefault(name, []).append(tool)
    print(f"{lab.machine()}; {args.rounds} rounds of {args.chunks} x {args.messages} messages.\n")
    rows = []
    for name, values in costs.items():
        rows.append((
            name,
            f"{lab.median(values):.0f}",
            "1" if name == "baseline" else lab.quartiles(ratios[name]),
            f"{lab.median(own[name]):.0f}",
        ))
    head = ("attached", "CPU ns per message", "ratio (quartiles)", "the tool's own CPU, ns per message")
    lab.table(head, rows)
    lab.warn(unsure)


if __name__ == "__main__":
    main()
