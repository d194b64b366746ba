# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The package on bundled recordings. scripts/readers.sh runs this, with ESTATS_ANALYZE and all libraries."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib
import unittest
from unittest import mock

import estats

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ["ESTATS_ANALYZE"]
find_spec = estats._run.importlib.util.find_spec


def only(*libraries):
    """As if of the libraries only these were installed."""
    known = {"pyarrow", "polars", "pandas"} - set(libraries)
    return mock.patch(
        "estats._run.importlib.util.find_spec", lambda name: None if name in known else find_spec(name)
    )


def without_program():
    return mock.patch.dict(os.environ, {"PATH": "/nowhere"}, clear=True)


class Recordings(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="estats-python-")))
        self.run_directory = self.copy("loss-audited")

    def copy(self, name):
        to = self.directory / name
        shutil.copytree(ROOT / "testdata" / name / "run", to, ignore=shutil.ignore_patterns("tables"))
        return to

    def assertSays(self, sentence, call, *arguments):
        with self.assertRaises(estats.EstatsError) as raised:
            call(*arguments)
        self.assertEqual(str(raised.exception).replace(str(self.directory), "DIR"), sentence)

    def test_tables_are_made_and_are_those_that_replay_makes(self):
        run = estats.open(self.run_directory)
        made = subprocess.run(
            [PROGRAM, "replay", "--json", "-o", self.directory / "again", self.run_directory],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        self.assertEqual(run.files, json.loads(made.stdout)["files"])
        self.assertIn("schema", run.tables)
        self.assertEqual(run.manifest["recording"], run.origin["recording"])
        self.assertEqual(run.manifest["host"]["kernel_release"], run.origin["kernel"])

    def test_libraries_agree(self):
        run = estats.open(self.run_directory)
        for name in run.tables:
            rows = next(entry["rows"] for entry in run.files if entry["file"] == f"{name}.parquet")
            counts = run.arrow(name).num_rows, run.polars(name).height, len(run.pandas(name))
            self.assertEqual(counts, (rows, rows, rows), name)
        # NULL until there is a threshold.
        column = "CurSsthresh"
        in_arrow = run.arrow("series", [column])[column].to_pylist()
        self.assertIn(None, in_arrow)
        self.assertEqual(run.polars("series", [column])[column].to_list(), in_arrow)
        in_pandas = run.pandas("series", [column])[column]
        self.assertEqual(str(in_pandas.dtype), "Int64", "NULL makes no float of it")
        self.assertEqual([None if value is in_pandas.dtype.na_value else value for value in in_pandas], in_arrow)

    def test_any_library_alone_is_enough(self):
        run = estats.open(self.run_directory)
        whole = run.schema("estats"), run.lossy()
        for library in ("pyarrow", "polars"):
            with only(library):
                self.assertEqual(type(run.table("perf")).__module__.split(".")[0], library)
                self.assertEqual((run.schema("estats"), run.lossy(), run.origin["hook_set"]), (*whole, "tracepoint"))
        # pandas reads by pyarrow.
        with only("pandas"):
            self.assertEqual(type(run.table("perf")).__module__.split(".")[0], "pandas")
            self.assertEqual((run.schema("estats"), run.lossy()), whole)
            self.assertSays("pyarrow or polars is not installed: pip install pyarrow", lambda: run.origin)
        with only():
            self.assertSays("pandas is not installed: pip install pandas", run.table, "perf")

    def test_schema_states_units(self):
        schema = estats.open(self.run_directory).schema("estats")
        column = schema["HCDataOctetsOut"]
        self.assertEqual((column.unit, column.kind, column.type), ("octets", "counter", "Int64"))
        self.assertEqual(column.rfc_object, "tcpEStatsPerfHCDataOctetsOut")
        self.assertTrue(column.description.startswith("Payload octets transmitted by this socket"))
        self.assertEqual([c.position for c in schema.values()], list(range(1, len(schema) + 1)))
        self.assertEqual(schema["MinRTT"].unit, "us")
        self.assertIsNone(schema["conn_id"].kind)

    def test_a_directory_of_tables_needs_neither_recording_nor_program(self):
        estats.open(self.run_directory)
        tables = self.directory / "tables"
        shutil.move(self.run_directory / "tables", tables)
        with without_program():
            run = estats.open(tables)
            self.assertEqual(run.arrow("estats").num_rows, run.polars("estats").height)
            self.assertSays(
                "DIR/tables has tables without their recording, whose manifest is asked for", lambda: run.manifest
            )
            why = "and estats-analyze is neither in PATH nor named by ESTATS_ANALYZE"
            self.assertSays(f"DIR/loss-audited has no tables, {why}", estats.open, self.run_directory)

    def test_old_tables_are_made_again(self):
        estats.open(self.run_directory)
        manifest = self.run_directory / "tables" / "manifest.json"
        old = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**old, "tables_version": 1}))
        estats.open(self.run_directory)
        self.assertEqual(json.loads(manifest.read_text()), old)
        os.utime(manifest, (0, 0))
        with without_program():
            self.assertSays(
                "the tables of DIR/loss-audited are older than the recording, and estats-analyze is neither in PATH "
                "nor named by ESTATS_ANALYZE",
                estats.open,
                self.run_directory,
            )
            os.utime(manifest)
            estats.open(self.run_directory)

    def test_lossy_connections(self):
        self.assertEqual(estats.open(self.run_directory).lossy(), [])
        # A part of a segment is missing: estats-analyze makes the tables, and ends with another status.
        segment = self.copy("loss") / "hooks-000000.arrows.zst"
        segment.write_bytes(segment.read_bytes()[: segment.stat().st_size * 2 // 3])
        run = estats.open(segment.parent)
        rows = run.polars("connections").to_dicts()
        self.assertEqual(run.lossy(), sorted(r["conn_id"] for r in rows if r["completeness"] == "lossy"))
        self.assertTrue(run.lossy())

    def test_a_damaged_table_is_one_sentence_with_every_library(self):
        run = estats.open(self.run_directory)
        for name in ("perf", "schema"):
            path = run.path(name)
            path.write_bytes(path.read_bytes()[:-100])
        for read in (run.arrow, run.polars, run.pandas):
            self.assertRaisesRegex(estats.EstatsError, "^cannot read .*perf.parquet: ", read, "perf")
        with self.assertRaisesRegex(estats.EstatsError, "^cannot read .*schema.parquet: "):
            run.origin

    def test_errors_are_one_sentence(self):
        run = estats.open(self.run_directory)
        there = ", ".join(run.tables)
        self.assertSays(f"there is no table 'perv': there are {there}", run.table, "perv")
        self.assertSays("the table 'perf' has no column 'Octets'", run.polars, "perf", ["Octets"])
        neither = "is neither a recording nor a directory of tables"
        self.assertSays(f"DIR/none {neither}: there is no such directory", estats.open, self.directory / "none")
        self.assertSays(f"DIR {neither}: it has no manifest.json", estats.open, self.directory)
        other = self.directory / "other"
        other.mkdir()
        (other / "manifest.json").write_text("{}")
        self.assertSays(f"DIR/other {neither}", estats.open, other)
        (other / "manifest.json").write_text("[")
        self.assertRaisesRegex(estats.EstatsError, "other/manifest.json is damaged: ", estats.open, other)
        shutil.copytree(self.run_directory, self.directory / "damaged")
        (self.directory / "damaged" / "manifest.json").write_text('{"format_version": 99}')
        with self.assertRaises(estats.EstatsError) as raised:
            estats.open(self.directory / "damaged")
        self.assertRegex(str(raised.exception), "cannot make the tables of .*99")
        with mock.patch.dict(os.environ, {"ESTATS_ANALYZE": "/nowhere/estats-analyze"}):
            sentence = "cannot run /nowhere/estats-analyze: No such file or directory"
            self.assertSays(sentence, estats.open, self.run_directory)

    def test_what_the_documents_show_runs(self):
        estats.open(self.run_directory)
        self.run_directory.rename(self.directory / "run1")
        block = (ROOT / "python/README.md").read_text().split("```python\n")[1].split("```")[0]
        page = (ROOT / "docs/read.md").read_text().split("    import estats\n")[1].split("\n\n## ")[0]
        for code in (block, "import estats\n" + textwrap.dedent(page)):
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=self.directory, capture_output=True, text=True, check=False
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("octets", done.stdout)

    def test_the_version_is_that_of_the_program(self):
        version = lambda path, table: tomllib.loads((ROOT / path).read_text())[table]["version"]
        self.assertEqual(version("python/pyproject.toml", "project"), version("Cargo.toml", "package"))


if __name__ == "__main__":
    unittest.main()
