#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Opens tables and the log in all readers that docs/read.md names, with the
# estats-analyze given.
set -eu
cd "$(dirname "$0")/.."
analyze=$(realpath "$1")
venv=$(sh scripts/venv.sh notebooks notebooks/requirements.txt)
"$venv/bin/python" scripts/readers.py "$analyze"
