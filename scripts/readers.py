#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Opens every table of a bundled recording in every reader that docs/read.md names, and compares what they say.

usage: readers.py ESTATS-ANALYZE

- Each opens all tables, and counts the rows that the list of the tables (manifest.json) has.
- Each answers the same questions of Parquet files, and of Arrow files where it reads these: a sum of octets, a number
  and the latest of times, a number of NULL, a text, a truth value, a sum of seconds. The answers are those of CSV with
  arithmetic of plain Python.
- Each shows what a file says of its recording and a column of its unit, if it has a way to.
- Each opens the segments of the log as they are, or unpacked, or not at all, as the table in docs/read.md has it.
"""

import csv
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import chdb
import datafusion
import duckdb
import pandas
import polars
import pyarrow
import pyarrow.compute
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/read.md"
#: It has snapshots, an audit and NULL in most columns of its series.
RECORDING = ROOT / "testdata/loss-audited/run"
#: The same for all that speak SQL, of tables by their names.
QUESTIONS = {
    "octets": 'SELECT SUM("HCDataOctetsOut") FROM estats',
    "times": "SELECT COUNT(ts) FROM series",
    "latest": "SELECT MAX(ts) FROM series",
    "rows without a threshold": 'SELECT COUNT(*) FROM series WHERE "CurSsthresh" IS NULL',
    "first address": "SELECT MIN(remote_address) FROM connections",
    "established": "SELECT COUNT(*) FROM connections WHERE established",
    "seconds": "SELECT SUM(duration_s) FROM connections",
    "counters": "SELECT COUNT(*) FROM schema WHERE kind = 'counter' AND table_name = 'estats'",
    "unit": "SELECT MIN(unit) FROM schema WHERE table_name = 'estats' AND column_name = 'HCDataOctetsOut'",
}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def fail(message):
    sys.exit(f"readers: {message}")


def plain(value):
    """An answer as all give it: times in microseconds, sums of seconds without their last digits."""
    if isinstance(value, datetime.datetime):
        value = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return (value - EPOCH) // datetime.timedelta(microseconds=1)
    return round(value, 6) if isinstance(value, float) else value


class Account:
    """The answers by another way: CSV, and no library."""

    def __init__(self, directory):
        self.directory = directory

    def rows(self, table):
        with open(self.directory / f"{table}.csv", newline="") as file:
            return list(csv.DictReader(file))

    def answers(self):
        series, connections = self.rows("series"), self.rows("connections")
        schema = [row for row in self.rows("schema") if row["table_name"] == "estats"]
        times = [row["ts"] for row in series if row["ts"]]
        return {
            "octets": sum(int(row["HCDataOctetsOut"]) for row in self.rows("estats") if row["HCDataOctetsOut"]),
            "times": len(times),
            "latest": plain(datetime.datetime.fromisoformat(max(times))),
            "rows without a threshold": sum(not row["CurSsthresh"] for row in series),
            "first address": min(row["remote_address"] for row in connections),
            "established": sum(row["established"] == "true" for row in connections),
            "seconds": plain(sum(float(row["duration_s"]) for row in connections)),
            "counters": sum(row["kind"] == "counter" for row in schema),
            "unit": next(row["unit"] for row in schema if row["column_name"] == "HCDataOctetsOut"),
        }


class Reader:
    """One way to read tables. What it has no way to, its method leaves out."""

    #: Ends of the names of the files that it opens.
    formats = ("parquet", "arrow")

    def rows(self, path):
        raise NotImplementedError

    def answers(self, tables, end):
        raise NotImplementedError

    def origin(self, path):
        """What a Parquet file says of its recording; None if the reader does not show it."""
        return None

    def unit(self, path, column):
        """The unit of a column of a Parquet file; None if the reader does not show it."""
        return None

    def segment(self, path):
        """The number of records in a segment of the log; fails if it cannot open it."""
        raise NotImplementedError


def texts(pairs):
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    return {text(key): text(value) for key, value in dict(pairs or {}).items()}


class Pyarrow(Reader):
    name = "pyarrow"

    def table(self, path):
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path)
        with pyarrow.ipc.open_file(path) as file:
            return file.read_all()

    def rows(self, path):
        return self.table(path).num_rows

    def answers(self, tables, end):
        pc = pyarrow.compute
        t = {name: self.table(tables / f"{name}.{end}") for name in ("estats", "series", "connections", "schema")}
        of_estats = t["schema"].filter(pc.equal(t["schema"]["table_name"].cast("string"), "estats"))
        octets = of_estats.filter(pc.equal(of_estats["column_name"].cast("string"), "HCDataOctetsOut"))
        return {
            "octets": pc.sum(t["estats"]["HCDataOctetsOut"]).as_py(),
            "times": pc.count(t["series"]["ts"]).as_py(),
            "latest": pc.max(t["series"]["ts"].cast("int64")).as_py(),
            "rows without a threshold": t["series"]["CurSsthresh"].null_count,
            "first address": min(t["connections"]["remote_address"].to_pylist()),
            "established": pc.sum(t["connections"]["established"]).as_py(),
            "seconds": pc.sum(t["connections"]["duration_s"]).as_py(),
            "counters": of_estats["kind"].to_pylist().count("counter"),
            "unit": octets["unit"][0].as_py(),
        }

    def origin(self, path):
        return texts(pyarrow.parquet.read_schema(path).metadata)

    def unit(self, path, column):
        return texts(pyarrow.parquet.read_schema(path).field(column).metadata).get("unit")

    def segment(self, path):
        with pyarrow.input_stream(path) as stream:
            return pyarrow.ipc.open_stream(stream).read_all().num_rows


class Pandas(Reader):
    name = "pandas"

    def table(self, path):
        if path.suffix == ".parquet":
            return pandas.read_parquet(path, dtype_backend="numpy_nullable")
        return pandas.read_feather(path, dtype_backend="numpy_nullable")

    def rows(self, path):
        return len(self.table(path))

    def answers(self, tables, end):
        t = {name: self.table(tables / f"{name}.{end}") for name in ("estats", "series", "connections", "schema")}
        of_estats = t["schema"][t["schema"].table_name == "estats"]
        return {
            "octets": int(t["estats"].HCDataOctetsOut.sum()),
            "times": int(t["series"].ts.count()),
            "latest": t["series"].ts.max().to_pydatetime(),
            "rows without a threshold": int(t["series"].CurSsthresh.isna().sum()),
            "first address": min(t["connections"].remote_address),
            "established": int(t["connections"].established.sum()),
            "seconds": float(t["connections"].duration_s.sum()),
            "counters": int((of_estats.kind == "counter").sum()),
            "unit": of_estats[of_estats.column_name == "HCDataOctetsOut"].unit.iloc[0],
        }

    def segment(self, path):
        return len(pandas.read_feather(path))


class Polars(Reader):
    name = "polars"

    def table(self, path):
        return polars.read_parquet(path) if path.suffix == ".parquet" else polars.read_ipc(path)

    def rows(self, path):
        return self.table(path).height

    def answers(self, tables, end):
        # The SQL of estats-analyze sql. It compares categories of text only as text.
        frames = {path.stem: self.table(path) for path in tables.glob(f"*.{end}")}
        text = polars.col(polars.Categorical).cast(polars.String)
        context = polars.SQLContext({name: frame.with_columns(text) for name, frame in frames.items()})
        return {what: context.execute(sql, eager=True).item() for what, sql in QUESTIONS.items()}

    def origin(self, path):
        return texts(polars.read_parquet_metadata(path))

    def segment(self, path):
        return polars.read_ipc_stream(path).height


class DuckDb(Reader):
    name = "DuckDB"
    formats = ("parquet",)

    def rows(self, path):
        return duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]

    def answers(self, tables, end):
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        for path in tables.glob(f"*.{end}"):
            connection.execute(f"CREATE VIEW \"{path.stem}\" AS SELECT * FROM '{path}'")
        # Its times with a zone need pytz in Python.
        asked = {what: sql.replace("MAX(ts)", "epoch_us(MAX(ts))") for what, sql in QUESTIONS.items()}
        return {what: connection.execute(sql).fetchall()[0][0] for what, sql in asked.items()}

    def origin(self, path):
        return texts(duckdb.sql(f"SELECT key, value FROM parquet_kv_metadata('{path}')").fetchall())

    def segment(self, path):
        return duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]


class DataFusion(Reader):
    name = "DataFusion"

    def context(self, path, name="t"):
        context = datafusion.SessionContext()
        self.register(context, name, path)
        return context

    @staticmethod
    def register(context, name, path):
        if path.suffix == ".parquet":
            context.register_parquet(name, str(path), skip_metadata=False)
        else:
            context.register_arrow(name, str(path), file_extension=path.suffix)

    def rows(self, path):
        return self.context(path).sql("SELECT count(*) AS n FROM t").to_pydict()["n"][0]

    def answers(self, tables, end):
        context = datafusion.SessionContext()
        for path in tables.glob(f"*.{end}"):
            self.register(context, path.stem, path)
        one = lambda sql: context.sql(sql).to_arrow_table().column(0)[0]
        exact = lambda value: value.value if isinstance(value, pyarrow.TimestampScalar) else value.as_py()
        return {what: exact(one(sql)) for what, sql in QUESTIONS.items()}

    def origin(self, path):
        return texts(self.context(path).table("t").schema().metadata)

    def unit(self, path, column):
        return texts(self.context(path).table("t").schema().field(column).metadata).get("unit")

    def segment(self, path):
        return self.rows(path)


class ClickHouse(Reader):
    name = "ClickHouse (chdb)"
    word = {".parquet": "Parquet", ".arrow": "Arrow", ".arrows": "ArrowStream", ".zst": "ArrowStream"}

    def file(self, path):
        return f"file('{path}', '{self.word[path.suffix]}')"

    @staticmethod
    def one(sql):
        row = json.loads(chdb.query(sql, "JSONCompactEachRow").bytes())
        # It writes 64-bit numbers as text where Javascript would round them.
        return row[0]

    def rows(self, path):
        return int(self.one(f"SELECT count() FROM {self.file(path)}"))

    def answers(self, tables, end):
        answers = {}
        for what, sql in QUESTIONS.items():
            sql = re.sub(r"FROM (\w+)", lambda m: "FROM " + self.file(tables / f"{m[1]}.{end}"), sql)
            answer = self.one(sql.replace("MAX(ts)", "toUnixTimestamp64Micro(MAX(ts))"))
            answers[what] = int(answer) if isinstance(answer, str) and answer.isdigit() else answer
        return answers

    def segment(self, path):
        return self.rows(path)


READERS = (Pyarrow(), Pandas(), Polars(), DuckDb(), DataFusion(), ClickHouse())


def documented():
    """The table of readers in the manual: of each reader, its cells by their headings."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    start = next((n for n, line in enumerate(lines) if line.startswith("| reader |")), None)
    if start is None:
        fail(f"{PAGE.name} has no table of readers")
    cells = lambda line: [cell.strip() for cell in line.strip("|").split("|")]
    rows = {}
    for line in lines[start + 2 :]:
        row = dict(zip(cells(lines[start]), cells(line)))
        if row["reader"] not in {reader.name for reader in READERS}:
            break
        rows[row["reader"]] = row
    return rows


def opens(reader, segments):
    """Whether it opens segments, all of them with the rows that pyarrow finds, or none."""
    done = set()
    for path, rows in segments.items():
        try:
            found = reader.segment(path)
        except Exception:  # Each has its own.
            done.add(False)
            continue
        if found != rows:
            fail(f"{reader.name} finds {found} records in {path.name}, pyarrow {rows}")
        done.add(True)
    if len(done) != 1:
        fail(f"{reader.name} opens some segments of the log, and others not")
    return done.pop()


def check(reader, tables, expected, segments, unpacked):
    """What a reader does, in the words of the manual's table."""
    parquet = tables / "parquet"
    files = json.loads((parquet / "manifest.json").read_text())["files"]
    manifest = json.loads((tables / "run/manifest.json").read_text())
    for end in reader.formats:
        for entry in files:
            path = (tables / end / entry["file"]).with_suffix(f".{end}")
            if reader.rows(path) != entry["rows"]:
                fail(f"{reader.name} finds {reader.rows(path)} rows in {path.name}, not {entry['rows']}")
        answers = {what: plain(answer) for what, answer in reader.answers(tables / end, end).items()}
        if answers != expected:
            fail(f"{reader.name} answers of {end} files\n{answers}, plain Python of CSV\n{expected}")
    origin = reader.origin(parquet / "estats.parquet")
    if origin is not None:
        stated = {key: value for key, value in origin.items() if key.startswith("estats.")}
        known = {
            "estats.table": "estats",
            "estats.recording": manifest["recording"],
            "estats.host": manifest["host"]["hostname"],
            "estats.kernel": manifest["host"]["kernel_release"],
            "estats.hook_set": manifest["hook_set"],
            "estats.tool_version": manifest["tool_version"],
        }
        if {key: stated.get(key) for key in known} != known or len(stated) != len(known) + 2:
            fail(f"{reader.name} finds the origin {stated}, not {known}")
    unit = reader.unit(parquet / "estats.parquet", "HCDataOctetsOut")
    if unit not in (None, "octets"):
        fail(f"{reader.name} finds the unit {unit}")
    word = {True: "yes", False: "no"}
    return {
        "reader": reader.name,
        "Parquet": "yes",
        "Arrow file": word["arrow" in reader.formats],
        "origin of a file": word[origin is not None],
        "metadata of a column": word[unit is not None],
        "log segment": word[opens(reader, segments)],
        "unpacked segment": word[opens(reader, unpacked)],
    }


def main():
    analyze = os.path.abspath(sys.argv[1])
    rows = documented()
    with tempfile.TemporaryDirectory(prefix="estats-readers-") as name:
        tables = pathlib.Path(name)
        shutil.copytree(RECORDING, tables / "run", ignore=shutil.ignore_patterns("tables"))
        for end in ("parquet", "arrow", "csv"):
            command = [analyze, "replay", "--interval", "event", "--format", end, "-o", tables / end, tables / "run"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        expected = Account(tables / "csv").answers()
        if not all(expected.values()):
            fail(f"a question has no answer: {expected}")
        segments, unpacked = {}, {}
        for path in sorted((tables / "run").glob("*.arrows.zst")):
            segments[path] = Pyarrow().segment(path)
            plain_path = tables / path.with_suffix("").name
            subprocess.run(["zstd", "-qd", path, "-o", plain_path], check=True)
            unpacked[plain_path] = segments[path]
        for reader in READERS:
            found = check(reader, tables, expected, segments, unpacked)
            if rows.get(reader.name) != found:
                fail(f"docs/read.md has {rows.get(reader.name)}, and it is\n| {' | '.join(found.values())} |")
            print(f"readers: {reader.name}: ok, {', '.join(reader.formats)}")
    print(f"readers: {len(READERS)} say {expected}")


if __name__ == "__main__":
    main()
