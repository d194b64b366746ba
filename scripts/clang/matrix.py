# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Writes docs/compilers.md from the results of scripts/clang/matrix.sh: matrix.py RESULTS"""

import json
import re
import sys
from pathlib import Path

HEAD = """# Compilers

Written by `make clangs` (`scripts/clang/matrix.sh`); do not edit. The BPF programs are C, and clang compiles
them when `estats-record` is built. A kernel's verifier then reads what clang made. It may refuse the code of
one clang and take that of another, though the source is the same. So `make clangs` loads the objects of each
clang in guests with the oldest and the newest kernel of the guest tests. In each guest and with each hook set
`estats-record check` loads and attaches everything. Then a transfer over loopback is recorded, with packets
and snapshots, and `estats-analyze verify` and `audit` read the recording. `audit` compares its values with the
kernel's own, so it finds code that loads and counts wrongly. The table has what was tried.

The environment variable `CLANG` chooses the clang of a build: `CLANG=clang-19 cargo build`. Without it the
build takes `clang`. Debian 12 has 14, Debian 13 has 19 under this name. [bpf/clang.h](../bpf/clang.h) has what
is written so that the code of every clang is taken, and does the same. Clang 21 and newer made additions of
counters that Linux 5.10 refuses. Clang 22 and newer left out the bound of an index that Linux 5.10 needs. Unit
tests look for such instructions in the object of the clang that builds. Of what clang 22 and newer made of the
changes of state, Linux 5.10 and 6.1 removed a part as dead code, without a word. Only fewer equal values in this
table showed that: all lines of one kernel and hook set should add up to the same.

A clang that has no line here was not tried yet.
"""


def lines(path):
    return path.read_text(errors="replace").strip().splitlines() if path.exists() else []


def status(path):
    last = lines(path)[-1:] or ["no status"]
    return last[0].removeprefix("status ")


def checked(path):
    """What `check --json` says, or None if nothing could be loaded."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def reason(error):
    """The program and the verifier's last words, or else the last line of the error."""
    program = re.search(r"prog '(\w+)'", "\n".join(error))
    words = [line for line in error if not re.match(r"processed |.*-- (BEGIN|END) PROG LOAD LOG --", line)]
    return (f"`{program[1]}`: " if program else "") + " ".join(words[-1:])


def agreed(run):
    """How many values of a recording were compared with the kernel's own: equal, within bounds."""
    found = re.search(r"(\d+) equal, (\d+) within bounds", "\n".join(lines(run / "audit")))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def cell(run, most, notes, where):
    report = checked(run / "check.json")
    if report is None:
        notes.append(f"{where}: nothing was loaded: {reason(lines(run / 'check.error'))}")
        return "nothing loaded"
    refused = report["refused"]
    for one in refused:
        notes.append(f"{where}: `{one['program']}`: {one['reason']}")
    said = f"{report['programs']} loaded, {len(refused)} refused"
    for step in ["record", "verify", "audit"]:
        if status(run / step) != "0":
            told = [line for line in lines(run / step)[:-1] if line][-1:]
            notes.append(f"{where}: {step} ended with status {status(run / step)}: {' '.join(told)}")
            said += f", {step} failed"
    equal, within = agreed(run)
    if not equal:
        notes.append(f"{where}: no connection was compared with tcp_info")
        return f"{said}, nothing compared"
    # A verifier may remove what it takes for dead code, and refuse nothing.
    if equal + within < most and not refused:
        why = "code may be missing, or the guest was too slow"
        notes.append(f"{where}: fewer values were compared than with another clang: {why}")
    return f"{said}, {equal} values equal, {within} within bounds"


def main():
    results = Path(sys.argv[1])
    clangs = sorted((p for p in results.iterdir()), key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    runs = {}
    for clang in clangs:
        for run in clang.glob("*/*"):
            if run.is_dir():
                release = (run.parent / "release").read_text().strip()
                runs.setdefault((release, run.name), {})[clang.name] = run
    columns = sorted(runs, key=lambda c: ([int(n) for n in re.findall(r"\d+", c[0])[:2]], c[1]))
    most = {column: max(sum(agreed(run)) for run in tried.values()) for column, tried in runs.items()}
    notes = []
    print(HEAD)
    print("| compiler | " + " | ".join(f"{release}, {name}" for release, name in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for clang in clangs:
        version = re.sub(r"^Debian clang version ", "clang ", (clang / "version").read_text().strip())
        cells = []
        for column in columns:
            run = runs[column].get(clang.name)
            where = f"{version}, {column[0]}, {column[1]}"
            cells.append(cell(run, most[column], notes, where) if run else "not tried")
        print(f"| {version} | " + " | ".join(cells) + " |")
    print("\n## What was refused or differs, and why\n")
    print("\n".join(f"- {note}" for note in notes) or "Nothing.")


main()
