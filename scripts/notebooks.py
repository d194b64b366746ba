#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the notebooks on bundled recordings and compares their figures with the golden tables.

usage: notebooks.py ESTATS-ANALYZE

The golden tables (testdata/*/expected) are text that another reader wrote, so what a notebook gets through
Parquet, polars, pandas and DuckDB is held against values that went none of these ways.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import papermill

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: A plot that shows anything is larger than an empty canvas (some 3 kB as base64 PNG).
SMALLEST_PLOT = 8_000


def fail(message):
    sys.exit(f"notebooks: {message}")


def golden(scenario, table):
    """The rows of a golden table."""
    text = (ROOT / "testdata" / scenario / "expected" / f"{table}.txt").read_text()
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [dict(line.split(maxsplit=1) for line in block) for block in blocks]


def expected_explore():
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


def expected_compare():
    expected = {}
    for run, scenario in COMPARED.items():
        rows = golden(scenario, "estats")
        # As the notebook: the end that sent most, the first of equals.
        sender = min(rows, key=lambda r: (-int(r["HCDataOctetsOut"]), int(r["conn_id"])))
        names = ("SegsRetrans", "CongSignals", "ECNsignals", "DSACKDups")
        expected[run] = {name: int(sender[name]) for name in names}
    return expected


def replayed(analyze, scenario, directory):
    """A bundled recording with its tables, as a path."""
    run = directory / scenario
    if not run.exists():
        shutil.copytree(ROOT / "testdata" / scenario / "run", run)
        subprocess.run([analyze, "replay", run], check=True, stdout=subprocess.DEVNULL)
    return str(run)


def run(path, parameters, directory, plots, expected):
    """Executes one notebook from its beginning."""
    for cell in json.loads(path.read_text())["cells"]:
        if cell.get("outputs") or cell.get("execution_count"):
            fail(f"{path.name} has outputs: clear them before committing (they are made by the test)")
    done = papermill.execute_notebook(
        str(path), str(directory / path.name), parameters, cwd=str(directory), progress_bar=False
    )
    outputs = [(c, o) for c in done.cells for o in c.get("outputs", ())]
    shown = [o.get("data", {}).get("image/png", "") for _, o in outputs]
    sizes = [len(png) for png in shown if png]
    if len(sizes) != plots or min(sizes) < SMALLEST_PLOT:
        fail(f"{path.name} should show {plots} plots; it shows {sizes} (octets of each)")
    said = [o for c, o in outputs if "numbers" in c.metadata.get("tags", ())]
    numbers = json.loads("".join(o["text"] for o in said if o.get("name") == "stdout"))
    if numbers != expected:
        fail(f"{path.name} says {numbers}, the golden tables {expected}")
    warnings = [o["text"] for _, o in outputs if o.get("name") == "stderr"]
    if warnings:
        fail(f"{path.name} warns: {warnings[0][:500]}")
    print(f"notebooks: {path.name}: ok, {plots} plots, {numbers}")


def main():
    analyze = os.path.abspath(sys.argv[1])
    notebooks = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
    if notebooks != ["compare.ipynb", "explore.ipynb"]:
        fail(f"there are {notebooks}: say here what is expected of the new one")
    with tempfile.TemporaryDirectory(prefix="estats-notebooks-") as name:
        directory = pathlib.Path(name)
        one = replayed(analyze, "function-hooks", directory)
        many = {run: replayed(analyze, s, directory) for run, s in COMPARED.items()}
        path = ROOT / "notebooks"
        run(path / "explore.ipynb", {"run": one}, directory, 2, expected_explore())
        run(path / "compare.ipynb", {"runs": many}, directory, 2, expected_compare())


if __name__ == "__main__":
    main()
