#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Replays recordings of many hosts into one Hive-partitioned Parquet dataset, on Apache Spark.

Each task replays one recording with estats-analyze and puts its tables into

    DATASET/TABLE/host=HOST/date=DAY/UUID.parquet

HOST and DAY (the UTC day on which it began) are the recording's own, UUID is its identity: a task that
runs again, for whatever reason, writes the same bytes to the same places. When all tables of a recording
are there, DATASET/_recordings/UUID.json says so; a recording that has not changed since is passed over.

    spark-submit spark/replay_job.py --dataset /data/estats /recordings/*/run
    spark-submit spark/replay_job.py --dataset s3://lake/estats --list recordings.txt

Recordings and dataset are paths that every executor sees, or URLs of fsspec (s3:// takes s3fs, gs://
gcsfs, on every executor). Exit status: 0 fine, 1 recordings failed, 2 usage or environment, 3 fine, but
recordings lost data while they were made.
"""

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

import fsspec.core
from fsspec.implementations.local import LocalFileSystem
from pyspark import SparkFiles, TaskContext
from pyspark.sql import SparkSession

#: What Hive calls the partition of NULL.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
#: estats-analyze: tables are written, but the recording had lost data.
LOST = 3


class Failed(Exception):
    """A recording that cannot be replayed, in one sentence."""


def partition(value):
    """A value in a Hive path, escaped as Hive, Spark and DuckDB undo it."""
    return urllib.parse.quote(value, safe="") or NULL_PARTITION


def inspect(path):
    """What a recording says of itself, without its streams."""
    try:
        fs, root = fsspec.core.url_to_fs(path)
        manifest = fs.cat_file(f"{root}/manifest.json")
        said = json.loads(manifest)
        files = sorted(
            (pathlib.PurePosixPath(f["name"]).name, f["size"])
            for f in fs.ls(root, detail=True)
            if f["name"].endswith(".arrows.zst")
        )
        # Streams are only ever appended to and the manifest is written at the end, so sizes tell
        # whether anything came; hashing a gigabyte would take as long as to replay half of it.
        fingerprint = hashlib.sha256(manifest + json.dumps(files).encode()).hexdigest()
        began = said["started"]["realtime_ns"] // 10**9
        day = datetime.datetime.fromtimestamp(began, datetime.timezone.utc).date()
        return {
            "path": path,
            "recording": said["recording"],
            "host": said["host"]["hostname"] or "",
            "date": day.isoformat(),
            "bytes": sum(size for _, size in files),
            "fingerprint": fingerprint,
        }
    except FileNotFoundError as e:
        return {"path": path, "error": f"is no recording: {e}"}
    except (OSError, ValueError, KeyError, TypeError) as e:
        return {"path": path, "error": f"its manifest cannot be read: {e!r}"}


@contextlib.contextmanager
def local_copy(path, scratch):
    """The recording as a directory of this machine; copied only if it is not one already."""
    fs, root = fsspec.core.url_to_fs(path)
    if isinstance(fs, LocalFileSystem):
        yield root
        return
    copy = f"{scratch}/recording"
    os.mkdir(copy)
    for file in fs.ls(root, detail=True):
        name = pathlib.PurePosixPath(file["name"]).name
        if name == "manifest.json" or name.endswith(".arrows.zst"):
            fs.get_file(file["name"], f"{copy}/{name}")
    yield copy
    shutil.rmtree(copy)


def put(fs, source, target):
    """Puts a file where readers see all of it or nothing."""
    if not isinstance(fs, LocalFileSystem):
        # Objects appear when they are whole.
        fs.put_file(source, target)
        return
    # Readers of Parquet datasets pass over names with a dot; the process makes it unique, for the same
    # task may run twice at a time (speculation).
    partial = f"{os.path.dirname(target)}/.{os.path.basename(target)}.{os.getpid()}.tmp"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def known(fs, marker):
    """What was written of a recording before; none if nothing whole was."""
    try:
        return json.loads(fs.cat_file(marker))
    except FileNotFoundError:
        return None


def replay(found, options, threads):
    """Replays one recording into the dataset."""
    fs, dataset = fsspec.core.url_to_fs(options.dataset)
    marker = f"{dataset}/_recordings/{found['recording']}.json"
    program = SparkFiles.get(os.path.basename(options.program)) if options.ship else options.program
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    made = {
        "fingerprint": found["fingerprint"],
        "program": version.stdout.strip(),
        "interval": options.interval,
    }
    before = known(fs, marker)
    if before is not None and before["made"] == made and not options.again:
        return {**before, "path": found["path"], "did": "kept"}
    with tempfile.TemporaryDirectory(prefix="estats-", dir=options.scratch) as scratch:
        tables = f"{scratch}/tables"
        with local_copy(found["path"], scratch) as run:
            done = subprocess.run(
                [program, "replay", run, "-o", tables, "--interval", options.interval]
                + ["--threads", str(threads)],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode not in (0, LOST):
            said = done.stderr.strip().splitlines() or ["nothing on stderr"]
            raise Failed(f"status {done.returncode}: {said[-1]}")
        manifest = json.loads(pathlib.Path(tables, "manifest.json").read_bytes())
        inside = f"host={partition(found['host'])}/date={found['date']}/{found['recording']}.parquet"
        files = []
        for file in manifest["files"]:
            target = f"{pathlib.PurePath(file['file']).stem}/{inside}"
            put(fs, f"{tables}/{file['file']}", f"{dataset}/{target}")
            files.append({**file, "file": target})
        result = {
            "recording": found["recording"],
            "host": found["host"],
            "date": found["date"],
            "bytes": found["bytes"],
            "lost_records": manifest["lost_records"],
            "digest": manifest["digest"],
            "made": made,
            "files": files,
        }
        # Last: what has no marker is not whole, and is written again.
        text = pathlib.Path(scratch, "marker")
        text.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        put(fs, str(text), marker)
    return {**result, "path": found["path"], "did": "replayed"}


def task(found, options, threads, attempts):
    """One task. What fails is tried again by Spark, elsewhere perhaps; the last attempt reports it
    instead, or one damaged recording would end the job."""
    try:
        return replay(found, options, threads)
    except (Failed, OSError, subprocess.SubprocessError) as e:
        if TaskContext.get().attemptNumber() + 1 < attempts:
            raise
        return {"path": found["path"], "did": "failed", "error": str(e)}


def attempts_of(context):
    """How often Spark tries a task before the job fails: local mode has a rule of its own."""
    local = re.fullmatch(r"local(?:\[[^,\]]*(?:,\s*(\d+))?\])?", context.master)
    if local:
        return int(local[1] or 1)
    return int(context.getConf().get("spark.task.maxFailures", "4"))


def distinct(found):
    """Each recording once, the largest first, so that none is left to run alone at the end; and what
    cannot be replayed."""
    failed = [{**f, "did": "failed"} for f in found if "error" in f]
    first = {}
    for one in sorted((f for f in found if "error" not in f), key=lambda f: (-f["bytes"], f["path"])):
        same = first.setdefault(one["recording"], one)
        if same["fingerprint"] != one["fingerprint"]:
            what = f"has the UUID of {same['path']}, but other contents: keep the whole one"
            failed.append({**one, "did": "failed", "error": what})
    return list(first.values()), failed


def report(results, file):
    """Says what was done; gives the exit status."""
    results.sort(key=lambda r: r["path"])
    if file:
        text = json.dumps(results, indent=1) + "\n"
        pathlib.Path(file).write_text(text, encoding="utf-8")
    for one in results:
        if one["did"] == "failed":
            print(f"replay_job: {one['path']} {one['error']}", file=sys.stderr)
    count = {did: sum(r["did"] == did for r in results) for did in ("replayed", "kept", "failed")}
    lossy = sum(r.get("lost_records", 0) > 0 for r in results)
    octets = sum(r["bytes"] for r in results if r["did"] == "replayed")
    print(
        f"replay_job: {count['replayed']} recordings replayed ({octets / 1e6:.1f} MB), "
        f"{count['kept']} unchanged, {count['failed']} failed, {lossy} had lost data",
        file=sys.stderr,
    )
    if count["failed"]:
        return 1
    return LOST if lossy else 0


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="*", metavar="RECORDING", help="path or fsspec URL")
    parser.add_argument("--list", metavar="FILE", help="more recordings, one a line")
    parser.add_argument("--dataset", required=True, help="where it goes: path or fsspec URL")
    parser.add_argument("--program", default="estats-analyze", help="default: in PATH")
    parser.add_argument("--ship", action="store_true", help="send the program to the executors")
    parser.add_argument("--scratch", metavar="DIR", help="executors' directory for work")
    parser.add_argument("--interval", default="100ms", help="of the series, as of replay")
    parser.add_argument("--again", action="store_true", help="also what is there unchanged")
    # Not on stdout, which a launcher shares with its own messages.
    parser.add_argument("--report", metavar="FILE", help="what was done with each, as JSON")
    options = parser.parse_args(arguments)
    if options.list:
        lines = pathlib.Path(options.list).read_text(encoding="utf-8").splitlines()
        options.recordings += [line for line in map(str.strip, lines) if line]
    if not options.recordings:
        parser.error("name a recording, or a list of them with --list")
    if not shutil.which(options.program):
        parser.error(f"{options.program} is not here: name estats-analyze with --program")
    options.program = os.path.abspath(shutil.which(options.program))
    # An executor has another working directory.
    options.recordings = [r.rstrip("/") for r in map(absolute, options.recordings)]
    options.dataset = absolute(options.dataset).rstrip("/")
    return options


def absolute(path):
    return path if "://" in path else os.path.abspath(path)


def main(arguments=None):
    options = parse(arguments)
    spark = SparkSession.builder.appName("estats replay").getOrCreate()
    context = spark.sparkContext
    if options.ship:
        context.addFile(options.program)
    threads = int(context.getConf().get("spark.task.cpus", "1"))
    attempts = attempts_of(context)
    paths = sorted(set(options.recordings))
    slices = min(len(paths), 4 * context.defaultParallelism)
    found, failed = distinct(context.parallelize(paths, slices).map(inspect).collect())
    results = failed
    if found:
        # A task for each: they differ in length, and a retry costs one recording.
        rows = context.parallelize(found, len(found))
        results += rows.map(lambda one: task(one, options, threads, attempts)).collect()
    spark.stop()
    return report(results, options.report)


if __name__ == "__main__":
    sys.exit(main())
