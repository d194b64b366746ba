#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the notebooks on bundled recordings, and holds what they show against two other accounts of it.

usage: notebooks.py ESTATS-ANALYZE

Each runs in a directory of its own, with a copy of the recordings, after the commands that its first cell gives
the reader. Then:

- Its figures (the cell with the tag `numbers`) are what another way leads to: the golden tables
  (testdata/*/expected), which another reader wrote, tables in CSV with arithmetic of plain Python, or
  `estats-analyze diff`. The notebook gets its own through Parquet, polars, pandas, DuckDB, numpy and scipy.
- Its outputs are those in the repository. BLESS=1 writes these. Pictures must be there, and not empty, but their octets
  are not compared: they depend on the machine (how FreeType and numpy were built), what they show does not.
"""

import base64
import csv
import fractions
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import nbformat
import papermill

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: A plot that shows anything is larger than an empty canvas, in octets of PNG.
SMALLEST_PLOT = 6_000
PNG = "image/png"


def fail(message):
    sys.exit(f"notebooks: {message}")


def golden(scenario, table):
    """The rows of a golden table."""
    text = (ROOT / "testdata" / scenario / "expected" / f"{table}.txt").read_text()
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [dict(line.split(maxsplit=1) for line in block) for block in blocks]


class Account:
    """The tables of a recording by another way: CSV, and no library."""

    def __init__(self, analyze, recording, *options):
        with tempfile.TemporaryDirectory(prefix="estats-csv-") as name:
            command = [analyze, "replay", "--format", "csv", *options, "-o", f"{name}/tables", recording]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for table in ("connections", "estats", "series"):
                with open(f"{name}/tables/{table}.csv", newline="") as file:
                    setattr(self, table, list(csv.DictReader(file)))
        self.begin = {row["conn_id"]: int(row["begin_ns"]) for row in self.connections}
        self.end = {row["conn_id"]: int(row["end_ns"]) for row in self.connections}

    def senders(self):
        """Rows of estats of the ends that sent data, in the order in which they began."""
        rows = [row for row in self.estats if int(row["HCDataOctetsOut"]) > 0]
        return sorted(rows, key=lambda row: self.begin[row["conn_id"]])

    def total(self, name, conn_id, ns):
        """What the variable had counted at that time."""
        before = [
            int(row[name] or 0)
            for row in self.series
            if row["conn_id"] == conn_id and int(row["ts_ns"]) <= ns
        ]
        return before[-1] if before else 0

    def shared(self):
        """The octets of each sender while all of them were open, and for how many nanoseconds that was."""
        ids = [row["conn_id"] for row in self.senders()]
        begin, end = max(self.begin[i] for i in ids), min(self.end[i] for i in ids)
        at = lambda i, ns: self.total("HCThruOctetsAcked", i, ns)
        return [at(i, end) - at(i, begin) for i in ids], end - begin


def expected_explore(_analyze):
    connections = golden("function-hooks", "connections")
    rows = golden("function-hooks", "estats")
    largest = max(rows, key=lambda r: int(r["HCThruOctetsAcked"]))
    return {
        "connections": len(connections),
        "complete": sum(c["completeness"] == "complete" for c in connections),
        "conn_id": int(largest["conn_id"]),
        "octets_acked": int(largest["HCThruOctetsAcked"]),
        "segs_retrans": int(largest["SegsRetrans"]),
        "cong_signals": int(largest["CongSignals"]),
        "min_rtt_us": int(largest["MinRTT"]),
        "cwnd_limited_us": int(largest["SndLimTimeCwnd"]),
    }


#: The notebook's name for a run -> the scenario.
COMPARED = {
    "clean": "clean-path",
    "loss": "loss",
    "reordering": "reordering",
    "ECN marks": "congestion-marks",
}


def expected_compare(_analyze):
    expected = {}
    for run, scenario in COMPARED.items():
        rows = golden(scenario, "estats")
        # As the notebook: the end that sent most, the first of equals.
        sender = min(rows, key=lambda r: (-int(r["HCDataOctetsOut"]), int(r["conn_id"])))
        names = ("SegsRetrans", "CongSignals", "ECNsignals", "DSACKDups")
        expected[run] = {name: int(sender[name]) for name in names}
    return expected


def expected_throughput(analyze):
    account = Account(analyze, ROOT / "testdata/notebooks/three-flows")
    shared, ns = account.shared()
    return {
        "octets_acked": [int(row["HCThruOctetsAcked"]) for row in account.senders()],
        "octets_retrans": [int(row["OctetsRetrans"]) for row in account.senders()],
        "shared_octets": shared,
        "shared_mbit_s": round(sum(shared) * 8e3 / ns, 3),
    }


def jain(octets):
    return float(round(fractions.Fraction(sum(octets) ** 2, len(octets) * sum(x * x for x in octets)), 4))


def expected_fairness(analyze):
    account = Account(analyze, ROOT / "testdata/notebooks/three-flows")
    shared, _ = account.shared()
    return {
        "shared_octets": shared,
        "jain_shared": jain(shared),
        "jain_whole_lives": jain([int(row["HCThruOctetsAcked"]) for row in account.senders()]),
    }


def expected_delay(analyze):
    expected = {}
    for run in ("cubic", "bbr"):
        account = Account(analyze, ROOT / f"testdata/notebooks/deep-queue-{run}", "--interval", "event")
        sender = max(account.estats, key=lambda row: int(row["HCDataOctetsOut"]))
        samples, counted = [], 0
        for row in account.series:
            if row["conn_id"] == sender["conn_id"] and int(row["CountRTT"] or 0) > counted:
                counted = int(row["CountRTT"])
                samples.append(int(row["SampleRTT"]))
        least = int(sender["MinRTT"])
        expected[run] = {
            "samples": len(samples),
            "min_rtt_us": least,
            "median_rtt_us": statistics.median(samples),
            "p95_queue_us": round(statistics.quantiles(samples, n=20, method="inclusive")[-1] - least, 1),
        }
    return expected


def expected_two_ends(_analyze):
    sender, receiver = sorted(
        golden("loss-audited", "estats"), key=lambda row: -int(row["HCDataOctetsOut"])
    )
    # Both connections were open when the recording ended: no FIN has come.
    assert all(row["ended_after"] == "true" for row in golden("loss-audited", "connections"))
    in_order = int(receiver["HCThruOctetsReceived"])
    return {
        "segments_sent": int(sender["DataSegsOut"]),
        "segments_lost": int(sender["DataSegsOut"]) - int(receiver["DataSegsIn"]),
        "segments_retransmitted": int(sender["SegsRetrans"]),
        "octets_in_order": in_order,
        "octets_twice": int(receiver["HCDataOctetsIn"]) - in_order,
        # The kernel side's own maximum; the notebook has that of the values over time.
        "longest_hole": int(receiver["MaxReasmQueue"]),
    }


def expected_repeats(analyze):
    groups = [[ROOT / f"testdata/notebooks/{name}-{n}" for n in range(1, 7)] for name in ("cubic", "bbr")]
    command = [analyze, "diff", "--json", *groups[0], "--against", *groups[1]]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    role = next(role for role in json.loads(text)["roles"] if role["role"].endswith(", sends"))
    rate = next(number for number in role["numbers"] if number["name"] == "rate")
    mbit = lambda value: round(value / 1e6, 6)
    return {
        "runs": [rate["n_a"], rate["n_b"]],
        "goodput_mbit_s": [mbit(rate["a"]), mbit(rate["b"])],
        "difference": mbit(rate["difference"]),
        "interval": [mbit(end) for end in rate["interval"]],
    }


#: The notebooks: how many plots each shows, and what its figures have to be.
NOTEBOOKS = {
    "compare": (2, expected_compare),
    "delay": (2, expected_delay),
    "explore": (2, expected_explore),
    "fairness": (1, expected_fairness),
    "repeats": (1, expected_repeats),
    "throughput": (2, expected_throughput),
    "two-ends": (2, expected_two_ends),
}


def prepare(notebook, directory, analyze):
    """Copies the recordings and runs the commands of the first cell, as its reader does."""
    left_out = shutil.ignore_patterns("reference", "web10g", "btf", "sock_diag", "limits", "expected", "tables")
    shutil.copytree(ROOT / "testdata", directory / "testdata", ignore=left_out)
    for name in ("notebooks", "bin"):
        (directory / name).mkdir()
    (directory / "bin/estats-analyze").symlink_to(analyze)
    lines = notebook.cells[0].source.splitlines()
    commands = "\n".join(line for line in lines if line.startswith("    "))
    if "estats-analyze replay" not in commands:
        fail("the first cell should have the commands that make the tables")
    environment = {**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-eu", "-c", commands], cwd=directory / "notebooks", env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        fail(f"{commands}\n{done.stderr}")


def without_traces(done, kept):
    """What ran, without what differs from run to run."""
    done.metadata = kept.metadata
    for cell, before in zip(done.cells, kept.cells, strict=True):
        cell.metadata = before.metadata
        cell.id = before.id
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).clear()
    return done


def shown(notebook):
    """The outputs of each cell, pictures as a word."""
    cells = []
    for cell in notebook.cells:
        outputs = json.loads(json.dumps(cell.get("outputs", [])))
        for output in outputs:
            if PNG in output.get("data", {}):
                output["data"][PNG] = "a picture"
        cells.append((cell.get("execution_count"), outputs))
    return cells


def run(name, plots, expected, analyze):
    """Executes one notebook from its beginning."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    kept = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="estats-notebook-") as directory:
        directory = pathlib.Path(directory)
        prepare(kept, directory, analyze)
        done = papermill.execute_notebook(
            str(path), str(directory / "done.ipynb"), cwd=str(directory / "notebooks"), progress_bar=False
        )
    done = without_traces(done, kept)
    outputs = [(c, o) for c in done.cells for o in c.get("outputs", ())]
    warnings = [o["text"] for _, o in outputs if o.get("name") == "stderr"]
    if warnings:
        fail(f"{path.name} warns: {warnings[0][:500]}")
    pictures = [o.get("data", {}).get(PNG, "") for _, o in outputs]
    sizes = [len(base64.b64decode(png)) for png in pictures if png]
    if len(sizes) != plots or min(sizes) < SMALLEST_PLOT:
        fail(f"{path.name} should show {plots} plots; it shows {sizes} (octets of each)")
    said = [o for c, o in outputs if "numbers" in c.metadata.get("tags", ())]
    numbers = json.loads("".join(o["text"] for o in said if o.get("name") == "stdout"))
    if numbers != expected:
        fail(f"{path.name} says {numbers}, another way leads to {expected}")
    if os.environ.get("BLESS"):
        nbformat.write(done, path)
    elif shown(done) != shown(kept):
        for now, then in zip(shown(done), shown(kept)):
            if now != then:
                fail(f"{path.name} shows, and has in the repository (BLESS=1 renews it):\n{now}\n{then}")
    print(f"notebooks: {path.name}: ok, {plots} plots, {numbers}")


def main():
    analyze = os.path.abspath(sys.argv[1])
    found = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))
    if found != sorted(NOTEBOOKS):
        fail(f"there are {found}: say here what is expected of the new one")
    for name, (plots, expected) in NOTEBOOKS.items():
        run(name, plots, expected(analyze), analyze)


if __name__ == "__main__":
    main()
