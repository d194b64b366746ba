# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Recordings of estats-record, a TCP flight recorder, as tables in pyarrow, polars and pandas.

>>> import estats
>>> run = estats.open("run1")                                   # doctest: +SKIP
>>> run.polars("connections").select("comm", "limited_by")      # doctest: +SKIP
>>> run.schema("estats")["HCDataOctetsOut"].unit                # doctest: +SKIP
'octets'

Units are those that ``schema`` states: octets for variables of RFC 4898, bytes for what the kernel counts, us for RTTs,
ns for times of CLOCK_MONOTONIC (columns that end in ``_ns``), s for columns that end in ``_s``.
"""

from ._run import Column, EstatsError, Run, open

__all__ = ["Column", "EstatsError", "Run", "open"]
