# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A recording, or a directory of tables."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    Table = Union[pyarrow.Table, polars.DataFrame, pandas.DataFrame]

#: Exit status of estats-analyze for a recording of which records were lost: its tables are there, with marked rows.
_LOST = 3
#: Begins every key of ours in the metadata of a file.
_PREFIX = "estats."
_MANIFEST = "manifest.json"


def _footer(path: pathlib.Path) -> dict[str, str]:
    """The keys and values of a Parquet file's footer."""
    if _is_there("pyarrow"):
        import pyarrow.parquet

        read = pyarrow.parquet.read_metadata(path).metadata or {}
        return {key.decode(): value.decode() for key, value in read.items()}
    if _is_there("polars"):
        import polars

        return dict(polars.read_parquet_metadata(path))
    raise _nothing("pyarrow or polars")


class EstatsError(Exception):
    """What cannot be done, and why: one sentence."""


@dataclass(frozen=True)
class Column:
    """What is stated of a column: a row of the table ``schema``. None is what does not apply."""

    #: Its name: that of RFC 4898 for a variable, snake_case for others.
    name: str
    #: Its place in the table, from 1.
    position: int
    #: Arrow type.
    type: str
    #: Unit in words: octets, us, ns, segments, share (0 to 1) and others.
    unit: str | None
    #: Meaning.
    description: str
    #: Object of RFC 4898.
    rfc_object: str | None
    #: Of a variable: counter, gauge, maximum, minimum, identity or derived.
    kind: str | None
    #: Of a variable, since when it counts: connection, recording or now.
    basis: str | None
    #: The numbers that it can have, both ends included: ``0..1``, or ``0..`` without a largest.
    range: str | None
    #: Variables and fields of the kernel that it is computed from, with commas.
    computed_from: str | None
    #: Of a variable in this recording: exact, sampled, approximate, constant or missing.
    quality: str | None
    #: Why it is not exact.
    quality_reason: str | None


#: The columns of the table schema, in the order of Column's fields.
_STATED = (
    "column_name",
    "ordinal_position",
    "data_type",
    "unit",
    "description",
    "rfc_object",
    "kind",
    "basis",
    "value_range",
    "computed_from",
    "quality",
    "quality_reason",
)


class Run:
    """The tables of one recording. ``estats.open`` makes it."""

    def __init__(self, tables: pathlib.Path, recording: pathlib.Path | None) -> None:
        self._tables = tables
        self._recording = recording
        self._list = _json(tables / _MANIFEST)
        if self._list.get("format") != "parquet":
            raise EstatsError(f"{tables} has no Parquet tables but {self._list.get('format')}")

    def __repr__(self) -> str:
        return f"estats.open({str(self._recording or self._tables)!r})"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the recording: host, hooks, options, clocks, losses."""
        if self._recording is None:
            raise EstatsError(f"{self._tables} has tables without their recording, whose manifest is asked for")
        return _json(self._recording / _MANIFEST)

    @property
    def files(self) -> list[dict[str, Any]]:
        """Each file of the tables: ``file``, ``rows`` and ``sha256``."""
        return list(self._list["files"])

    @property
    def tables(self) -> list[str]:
        """The names of the tables."""
        return [pathlib.PurePath(entry["file"]).stem for entry in self.files]

    def path(self, name: str) -> pathlib.Path:
        """The Parquet file of a table."""
        if name not in self.tables:
            raise EstatsError(f"there is no table {name!r}: there are {', '.join(self.tables)}")
        return self._tables / f"{name}.parquet"

    @property
    def origin(self) -> dict[str, str]:
        """What the files state of their recording: recording (UUID), host, kernel, hook_set, tool_version,
        tables_version. What the recording does not know is not there."""
        path = self.path("schema")
        try:
            pairs = _footer(path)
        except EstatsError:
            raise
        except Exception as e:  # As in _read().
            raise EstatsError(f"cannot read {path}: {' '.join(str(e).split())}") from e
        ours = {key.removeprefix(_PREFIX): value for key, value in pairs.items() if key.startswith(_PREFIX)}
        # These two are the table's own.
        return {key: value for key, value in ours.items() if key not in ("table", "description")}

    def table(self, name: str, columns: Sequence[str] | None = None) -> Table:
        """A table of pyarrow, polars or pandas: of the first that is installed."""
        if _is_there("pyarrow"):
            return self.arrow(name, columns)
        if _is_there("polars"):
            return self.polars(name, columns)
        return self.pandas(name, columns)

    def arrow(self, name: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """A table of pyarrow, with unit and meaning in the metadata of its fields."""
        parquet = _library("pyarrow.parquet", "pyarrow")
        return self._read(parquet.read_table, name, columns)

    def polars(self, name: str, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """A DataFrame of polars."""
        frame: polars.DataFrame = self._read(_library("polars", "polars").read_parquet, name, columns)
        return frame

    def pandas(self, name: str, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """A DataFrame of pandas, with its nullable types: a column of integers with NULL stays one of integers."""
        read = _library("pandas", "pandas").read_parquet
        frame: pandas.DataFrame = self._read(read, name, columns, dtype_backend="numpy_nullable")
        return frame

    def _read(self, read: Any, name: str, columns: Sequence[str] | None, **options: Any) -> Any:
        path = self.path(name)
        if columns is not None:
            columns = [columns] if isinstance(columns, str) else list(columns)
            if name != "schema":
                unknown = [column for column in columns if column not in self.schema(name)]
                if unknown:
                    raise EstatsError(f"the table {name!r} has no column {unknown[0]!r}")
        try:
            return read(path, columns=columns, **options)
        except Exception as e:  # Each library has errors of its own.
            raise EstatsError(f"cannot read {path}: {' '.join(str(e).split())}") from e

    def _rows(self, name: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        if _is_there("pyarrow"):
            rows: list[dict[str, Any]] = self.arrow(name, columns).to_pylist()
            return rows
        if _is_there("polars"):
            return self.polars(name, columns).to_dicts()
        frame = self.pandas(name, columns).astype(object)
        rows = frame.where(frame.notna(), None).to_dict("records")
        return rows

    def schema(self, name: str) -> dict[str, Column]:
        """The columns of a table in their order, with unit, meaning and quality in this recording. For those of all
        tables, read the table ``schema``."""
        self.path(name)
        rows = self._rows("schema", ["table_name", *_STATED])
        mine = [row for row in rows if row["table_name"] == name]
        return {row["column_name"]: Column(*(row[stated] for stated in _STATED)) for row in mine}

    def lossy(self) -> list[int]:
        """``conn_id`` of the connections of which something may be missing: records were lost, or the row itself
        shows a gap. In their rows, counts of events are lower bounds."""
        rows = self._rows("connections", ["conn_id", "completeness"])
        return sorted(row["conn_id"] for row in rows if row["completeness"] == "lossy")


def open(path: str | os.PathLike[str]) -> Run:
    """Opens a recording, or a directory of tables.

    The tables of a recording are those in its directory ``tables``. ``estats-analyze`` makes them first if they are
    missing, of another version, or of something else. It is found in PATH, or named by ESTATS_ANALYZE. Without it,
    tables that are there are taken as they are if no file of the recording is newer.
    """
    directory = pathlib.Path(path)
    manifest = _json(directory / _MANIFEST)
    if "tables_version" in manifest:
        return Run(directory, None)
    if "format_version" not in manifest:
        raise EstatsError(f"{directory} is neither a recording nor a directory of tables")
    tables = directory / "tables"
    program = os.environ.get("ESTATS_ANALYZE") or shutil.which("estats-analyze")
    if program is not None:
        _analyze(program, directory)
    else:
        why = _stale(directory, tables)
        if why:
            raise EstatsError(f"{why}, and estats-analyze is neither in PATH nor named by ESTATS_ANALYZE")
    return Run(tables, directory)


def _analyze(program: str, recording: pathlib.Path) -> None:
    """Has the tables made if they have to be. Every command that needs them does that, and knows when; this one
    prints little."""
    command = [program, "summary", "--top", "1", str(recording)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as e:
        raise EstatsError(f"cannot run {program}: {e.strerror}") from e
    if done.returncode not in (0, _LOST):
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise EstatsError(f"{program} cannot make the tables of {recording}: {lines[-1]}")


def _stale(recording: pathlib.Path, tables: pathlib.Path) -> str | None:
    """Why the tables cannot be those of the recording; None if they can."""
    try:
        made = (tables / _MANIFEST).stat().st_mtime_ns
    except OSError:
        return f"{recording} has no tables"
    if any(entry.is_file() and entry.stat().st_mtime_ns > made for entry in recording.iterdir()):
        return f"the tables of {recording} are older than the recording"
    return None


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError as e:
        what = "there is no such directory" if not path.parent.is_dir() else f"it has no {path.name}"
        raise EstatsError(f"{path.parent} is neither a recording nor a directory of tables: {what}") from e
    except OSError as e:
        raise EstatsError(f"cannot read {path}: {e.strerror}") from e
    except ValueError as e:
        raise EstatsError(f"{path} is damaged: {e}") from e
    if not isinstance(read, dict):
        raise EstatsError(f"{path} is damaged: it is no JSON object")
    return read


def _is_there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _library(module: str, library: str) -> Any:
    if not _is_there(library):
        raise _nothing(library)
    return importlib.import_module(module)


def _nothing(library: str) -> EstatsError:
    return EstatsError(f"{library} is not installed: pip install {library.split()[0]}")
