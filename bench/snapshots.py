#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Snapshots of many sockets: time of a dump against inet_diag and ss, and bytes on disk.

Dump: 10,000 sockets over the loopback, all ESTABLISHED and idle. inet_diag is read raw, with all
attributes that a snapshot has too, and not even parsed; ss parses and prints. Ours is from the first
row of a poll to its last, what is written to disk meanwhile included.

Bytes: iperf3 at a fixed rate and twenty connections with requests and answers of random sizes,
polled every 10 ms.
"""

import argparse
import datetime
import json
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

import lab

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP, NLMSG_DONE = 1, 0x300, 3
ESTABLISHED = 1
#: INET_DIAG_MEMINFO, INFO, VEGASINFO, CONG, TOS, TCLASS, SKMEMINFO, SHUTDOWN: bit n - 1 each.
EXTENSIONS = 0xFF


def raw_dump():
    """Seconds that a dump of inet_diag takes, and the octets it gives."""
    request = struct.pack(
        "=IHHIIBBBxI48x", 72, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0,
        socket.AF_INET, socket.IPPROTO_TCP, EXTENSIONS, 1 << ESTABLISHED,
    )
    buffer = bytearray(1 << 20)
    octets = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        begun = time.perf_counter()
        diag.send(request)
        while True:
            n = diag.recv_into(buffer)
            octets += n
            # DONE comes alone, or last in a datagram of four octets of payload.
            for at in (0, n - 20):
                if at >= 0 and struct.unpack_from("=H", buffer, at + 4)[0] == NLMSG_DONE:
                    return time.perf_counter() - begun, octets


def ss_dump():
    begun = time.perf_counter()
    subprocess.run(["ss", "-tinmH4"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def connections(count):
    """Both ends of so many connections over the loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    ends = [listener]
    for _ in range(count):
        ends.append(socket.create_connection(listener.getsockname()))
        ends.append(listener.accept()[0])
    return ends


def recorded(directory, seconds, *arguments, during=lambda: time.sleep(0)):
    """Records while `during` runs, and for so many seconds more."""
    recorder = subprocess.Popen(
        [lab.program("estats-record"), "-q", "-o", directory, *map(str, arguments)],
        stderr=subprocess.PIPE, text=True,
    )
    for line in recorder.stderr:
        if line.startswith("recording to"):
            break
    during()
    time.sleep(seconds)
    recorder.send_signal(2)
    recorder.communicate()
    if recorder.returncode:
        lab.fail(f"estats-record: status {recorder.returncode}")


def poll_times(directory, sockets):
    """Seconds from the first to the last row of each poll of all sockets."""
    export = subprocess.Popen(
        [lab.program("estats-analyze"), "export", directory, "--format", "mlab-jsonl"],
        stdout=subprocess.PIPE, text=True,
    )
    times = [
        datetime.datetime.fromisoformat(json.loads(line)["Timestamp"].replace("Z", "+00:00"))
        for line in export.stdout
    ]
    export.wait()
    polls, first = [], 0
    for i in range(1, len(times) + 1):
        # Polls are two seconds apart; what is written in the middle of one may take some tenths.
        if i == len(times) or (times[i] - times[i - 1]).total_seconds() > 1:
            if sockets <= i - first <= sockets * 1.01:
                polls.append((times[i - 1] - times[first]).total_seconds())
            first = i
    return polls


def dumps(count, repeats):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ends = connections(count // 2)
    ours = {}
    for by in ("iterator", "netlink"):
        with tempfile.TemporaryDirectory() as scratch:
            directory = f"{scratch}/run"
            # Unfiltered, as inet_diag and ss are: the few other sockets of the host count everywhere.
            recorded(directory, 2 * repeats + 0.5, "--snapshots", "2s", "--snapshots-by", by)
            ours[by] = poll_times(directory, count)
            if not ours[by]:
                lab.fail(f"no poll of all sockets was recorded by {by}")
    raw, listed, octets = [], [], 0
    for _ in range(repeats):
        # As far apart as the polls: a dump right after another finds the sockets in the cache.
        time.sleep(1)
        seconds, octets = raw_dump()
        raw.append(seconds)
        time.sleep(1)
        listed.append(ss_dump())
    for end in ends:
        end.close()
    median = lambda values: sorted(values)[len(values) // 2]
    base = median(raw)
    print(f"{count} sockets, median of {repeats} dumps\n")
    print("| | ms per dump | us per socket | against raw inet_diag |")
    print("|---|--:|--:|--:|")
    rows = (
        ("estats-record --snapshots", ours["iterator"]),
        ("estats-record --snapshots-by netlink", ours["netlink"]),
        ("inet_diag, raw", raw),
        ("ss -tinm", listed),
    )
    for name, values in rows:
        m = median(values)
        print(f"| {name} | {m * 1e3:.1f} | {m * 1e6 / count:.2f} | {m / base:.2f} |")
    print(f"\ninet_diag: {octets / count:.0f} bytes per socket.\n")


def serve(listener):
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(peer,), daemon=True).start()


def answer(peer):
    while data := peer.recv(1 << 16):
        peer.sendall(data)


def ask(address, seconds, seed):
    """Requests of random sizes at random times, twenty a second, each answered in full."""
    choose = random.Random(seed)
    end = time.monotonic() + seconds
    with socket.create_connection(address) as s:
        while time.monotonic() < end:
            size = left = choose.randint(100, 20_000)
            s.sendall(bytes(size))
            while left:
                left -= len(s.recv(1 << 16))
            time.sleep(choose.expovariate(20))


def traffic(seconds):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    asking = [
        threading.Thread(target=ask, args=(listener.getsockname(), seconds, seed)) for seed in range(10)
    ]
    server = subprocess.Popen(["iperf3", "-s", "-1", "-p", "5391"], stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    client = subprocess.Popen(
        ["iperf3", "-c", "127.0.0.1", "-p", "5391", "-t", str(seconds), "-b", "500M"],
        stdout=subprocess.DEVNULL,
    )
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    client.wait()
    server.wait()
    listener.close()


def bytes_on_disk(seconds):
    print(f"iperf3 at 500 Mbit/s and ten pairs of sockets, {seconds} s, every 10 ms\n")
    print("| | snapshots | bytes | bytes per snapshot |")
    print("|---|--:|--:|--:|")
    for name, more in (("all", ()), ("--changed-only", ("--changed-only",))):
        with tempfile.TemporaryDirectory() as scratch:
            directory = f"{scratch}/run"
            recorded(directory, 0.2, "--snapshots", "10ms", *more, during=lambda: traffic(seconds))
            report = json.loads(lab.run(lab.program("estats-analyze"), "verify", "--json", directory))
            files = [f for f in report["files"] if f["file"].startswith("sockets")]
            rows, size = (sum(f[key] for f in files) for key in ("rows", "bytes"))
            print(f"| {name} | {rows} | {size} | {size / rows:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        lab.fail("needs root: it loads BPF programs")
    for tool in ("ss", "iperf3"):
        if not shutil.which(tool):
            lab.fail(f"{tool} is missing")
    dumps(arguments.sockets, arguments.repeats)
    bytes_on_disk(arguments.seconds)


if __name__ == "__main__":
    main()
