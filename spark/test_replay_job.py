#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Recordings of several hosts through replay_job.py on a real Spark, and what engines read of them.

usage: test_replay_job.py ESTATS-ANALYZE

The dataset must hold, row by row and value by value, what estats-analyze makes of each recording on one
machine; Spark must read every table as it is; Spark SQL, DuckDB and `estats-analyze sql` must give the same
answers; and a second run of the job must change nothing.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import duckdb
from pyspark.sql import SparkSession

import replay_job

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: Host -> bundled recordings it made. The second name would be a number to who guesses types, the third
#: needs escaping in a path.
HOSTS = {
    "web1": ["loss", "clean-path"],
    "0042": ["reordering", "snapshots", "packets"],
    "db:1/eu": ["function-hooks", "reset-by-linger"],
}
#: What readers make of the tables' types without help: no decimal, no binary, no timestamp without zone.
TYPES = {"bigint", "int", "string", "boolean", "double", "timestamp"}
#: One text for three engines.
QUESTION = """
    SELECT c.recording, c.congestion_control, COUNT(*) AS connections,
           SUM(e.HCThruOctetsAcked) AS octets, SUM(e.SegsRetrans) AS retrans, MAX(e.MaxRTT) AS max_rtt,
           MIN(c.begin_ns) AS begin_ns
    FROM connections c JOIN estats e ON c.recording = e.recording AND c.conn_id = e.conn_id
    GROUP BY c.recording, c.congestion_control ORDER BY c.recording, c.congestion_control
"""


def check(what, condition, detail=""):
    if not condition:
        sys.exit(f"test_replay_job: FAILED: {what} {detail}")
    print(f"test_replay_job: ok: {what}", flush=True)


def same(what, ours, theirs):
    """Equal rows, in whatever order."""
    ours, theirs = sorted(map(repr, ours)), sorted(map(repr, theirs))
    only = [r for r in ours if r not in theirs][:2] + [r for r in theirs if r not in ours][:2]
    check(f"{what} ({len(ours)} rows)", ours == theirs, f"{len(theirs)} rows; {only}")


def recordings(directory):
    """Copies of bundled recordings, as each host would have made them."""
    runs = {}
    for host, names in HOSTS.items():
        for name in names:
            run = directory / f"recordings-{len(runs)}" / name
            shutil.copytree(
                ROOT / "testdata" / name / "run", run, ignore=shutil.ignore_patterns("tables")
            )
            manifest = json.loads((run / "manifest.json").read_text())
            manifest["host"]["hostname"] = host
            (run / "manifest.json").write_text(json.dumps(manifest))
            runs[run] = host
    return runs


def flaky(directory, analyze):
    """An estats-analyze whose first replay of every recording fails, as on a full disk."""
    program, tried = directory / "flaky-analyze", directory / "tried"
    tried.mkdir()
    program.write_text(f"""#!/bin/sh
if [ "$1" = replay ] && mkdir "{tried}/$(basename "$2")" 2>/dev/null; then
	echo "no space left" >&2
	exit 2
fi
exec "{analyze}" "$@"
""")
    program.chmod(0o755)
    return program, tried


def job(dataset, program, paths, *options):
    """Runs the job as one runs it; two tasks at a time, each tried four times."""
    submit = pathlib.Path(sys.executable).parent / "spark-submit"
    said = pathlib.Path(f"{dataset}.json")
    said.unlink(missing_ok=True)
    done = subprocess.run(
        [submit, "--master", "local[2,4]", "--conf", "spark.ui.enabled=false"]
        + [ROOT / "spark/replay_job.py", "--dataset", dataset, "--program", program, "--report", said]
        + [*options, *paths],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not said.exists():
        sys.exit(f"test_replay_job: the job ended with {done.returncode}: {done.stderr[-3000:]}")
    return done.returncode, json.loads(said.read_text()), done.stderr


def contents(dataset):
    """Every file: its bytes' hash and when it was written."""
    return {
        str(f.relative_to(dataset)): (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns)
        for f in sorted(dataset.rglob("*"))
        if f.is_file()
    }


def write(directory, dataset, analyze):
    """The dataset by the job, and the tables of each recording by estats-analyze alone."""
    runs = recordings(directory)
    damaged = directory / "of-the-future"
    shutil.copytree(next(iter(runs)), damaged)
    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest.update(format_version=99, recording="00000000-0000-4000-8000-000000000000")
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    # One comes from an archive, by fsspec, as it would from an object store.
    paths = [str(run) for run in runs]
    archive = shutil.make_archive(str(directory / "archive"), "zip", next(iter(runs)).parent)
    paths[0] = f"zip://{next(iter(runs)).name}::file://{archive}"

    program, tried = flaky(directory, analyze)
    again = [*paths, paths[1], str(damaged), str(directory / "nothing-here")]
    status, results, stderr = job(dataset, program, again, "--ship")
    by_path = {r["path"]: r for r in results}
    check("a recording named twice is replayed once", len(by_path) == len(results) == len(paths) + 2)
    check("the job goes on when recordings fail", status == 1, stderr[-2000:])
    check("an unknown format is reported", "99" in by_path[str(damaged)]["error"], by_path)
    check("so is what is no recording", by_path[str(directory / "nothing-here")]["did"] == "failed")
    replayed = [r["path"] for r in results if r["did"] == "replayed"]
    check("each of the others was replayed", sorted(replayed) == sorted(paths), stderr[-2000:])
    check("although its first attempt failed", len(list(tried.iterdir())) == len(paths) + 1)

    before = contents(dataset)
    check("nothing is left half written", not [f for f in before if f.endswith(".tmp")])
    lost = dataset / "_recordings" / f"{by_path[paths[2]]['recording']}.json"
    lost.unlink()
    status, results, stderr = job(dataset, program, paths, "--ship")
    did = {r["path"]: r["did"] for r in results}
    check("a second run succeeds", status == 0, stderr[-2000:])
    check("it replays what has no marker", did.pop(paths[2]) == "replayed")
    check("and leaves the rest alone", set(did.values()) == {"kept"}, did)
    after = contents(dataset)
    hashes = [{f: sha for f, (sha, _) in files.items()} for files in (before, after)]
    check("every byte is the same", hashes[0] == hashes[1])
    written = {f for f in after if after[f] != before[f]}
    check("only its files were written", all(by_path[paths[2]]["recording"] in f for f in written))

    for run in runs:
        subprocess.run([analyze, "replay", run], check=True, stdout=subprocess.DEVNULL)
        made = json.loads((run / "tables/manifest.json").read_text())
        theirs = [r for r in by_path.values() if r.get("recording") == made["recording"]]
        check(f"{run.name}: the digest of one machine", theirs[0]["digest"] == made["digest"])
    return runs


def read(runs, dataset, analyze):
    """Every table in two engines against one machine's, then questions to all three."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        # Or host=0042 is the number 42.
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    duck = duckdb.connect()
    first = json.loads((next(iter(runs)) / "tables/manifest.json").read_text())
    tables = [pathlib.Path(f["file"]).stem for f in first["files"]]
    found = sorted(d.name for d in dataset.iterdir() if not d.name.startswith("_"))
    check("the dataset has every table", found == sorted(tables), found)
    for table in tables:
        frame = spark.read.parquet(f"{dataset}/{table}")
        frame.createOrReplaceTempView(table)
        duck.execute(
            f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{dataset}/{table}/**/*.parquet', "
            "hive_partitioning = true, hive_types = {'host': VARCHAR, 'date': VARCHAR})"
        )
        types = dict(frame.dtypes)
        check(f"{table}: Spark reads it as it is", set(types.values()) <= TYPES, types)
        # Time as a number, for engines hand it out in forms of their own.
        def columns(call):
            names = (c for c in types if c not in ("host", "date"))
            return ", ".join(f"{call}({c})" if types[c] == "timestamp" else f'"{c}"' for c in names)

        files = ", ".join(f"'{run}/tables/{table}.parquet'" for run in runs)
        alone = duck.execute(f"SELECT {columns('epoch_us')} FROM read_parquet([{files}])").fetchall()
        # The kept recordings are older than the polls of listening sockets, and than dropped packets.
        check(f"{table} has rows", alone or table in ("listeners", "listener_series", "drops"))
        by_duck = duck.execute(f"SELECT {columns('epoch_us')} FROM {table}").fetchall()
        names = columns("unix_micros").replace('"', "`")
        by_spark = [tuple(row) for row in spark.sql(f"SELECT {names} FROM {table}").collect()]
        same(f"{table} in DuckDB", by_duck, alone)
        same(f"{table} in Spark", by_spark, alone)

    hosts = "SELECT host, date, COUNT(*) FROM connections GROUP BY host, date"
    expected = {}
    for run, host in runs.items():
        made = json.loads((run / "tables/manifest.json").read_text())
        day = replay_job.inspect(str(run))["date"]
        rows = next(f["rows"] for f in made["files"] if f["file"] == "connections.parquet")
        expected[host, day] = expected.get((host, day), 0) + rows
    expected = [(*key, rows) for key, rows in expected.items()]
    same("hosts in Spark", [tuple(row) for row in spark.sql(hosts).collect()], expected)
    same("hosts in DuckDB", duck.execute(hosts).fetchall(), expected)

    asked = subprocess.run(
        [analyze, "sql", *runs, QUESTION, "--json"], check=True, stdout=subprocess.PIPE, text=True
    )
    answer = [tuple(row.values()) for row in json.loads(asked.stdout)]
    same("one question in Spark", [tuple(row) for row in spark.sql(QUESTION).collect()], answer)
    # DuckDB sums into 128 bits, which Python shows as any other integer.
    same("one question in DuckDB", duck.execute(QUESTION).fetchall(), answer)
    check("it has an answer for every recording", len({row[0] for row in answer}) == len(runs))
    document(spark, dataset)
    rows = spark.read.parquet(f"{dataset}-by-day/estats")
    files = list(pathlib.Path(f"{dataset}-by-day/estats").rglob("*.parquet"))
    check("compacting leaves two files", len(files) == 2, files)
    names = spark.table("estats").columns
    # The document's day, on which all but two of the recordings began.
    before = [tuple(r) for r in spark.table("estats").where("date = '2026-11-21'").collect()]
    check("the day has rows", before)
    same("they hold the same rows", [tuple(r) for r in rows.select(names).collect()], before)
    spark.stop()


def document(spark, dataset):
    """Runs the Python of docs/scale.md."""
    text = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(block.replace("/data/estats", str(dataset)), {"spark": spark, "duckdb": duckdb})
    check(f"the {len(blocks)} snippets of docs/scale.md run", len(blocks) == 3)


def pure():
    """What needs no Spark."""
    one = {"path": "a", "recording": "u", "fingerprint": "x", "bytes": 1}
    more = {**one, "path": "b", "fingerprint": "y", "bytes": 2}
    kept, failed = replay_job.distinct([one, more])
    check("of two with one UUID the larger is kept", [k["path"] for k in kept] == ["b"])
    check("and the other reported", "other contents" in failed[0]["error"])
    check("a host without a name is NULL", replay_job.partition("") == replay_job.NULL_PARTITION)
    check("a name is escaped", replay_job.partition("db:1/eu") == "db%3A1%2Feu")


def main():
    analyze = os.path.abspath(sys.argv[1])
    pure()
    with tempfile.TemporaryDirectory(prefix="estats-spark-") as directory:
        dataset = pathlib.Path(directory) / "dataset"
        runs = write(pathlib.Path(directory), dataset, analyze)
        read(runs, dataset, analyze)


if __name__ == "__main__":
    main()
