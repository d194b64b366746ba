#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs the notebooks and what the README and the manual show, in a Python of their own, with the estats-analyze given.
set -eu
cd "$(dirname "$0")/.."
venv=$(sh scripts/venv.sh notebooks notebooks/requirements.txt)
"$venv/bin/python" scripts/notebooks.py "$1"
"$venv/bin/python" scripts/readme.py "$1"
