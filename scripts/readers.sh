#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Opens tables and the log in all readers that docs/read.md names, and tests the Python package as pip installs it, with
# the estats-analyze given.
set -eu
cd "$(dirname "$0")/.."
analyze=$(realpath "$1")
venv=$(sh scripts/venv.sh notebooks notebooks/requirements.txt)
"$venv/bin/python" scripts/readers.py "$analyze"
installed=$(mktemp -d)
trap 'rm -rf "$installed"' EXIT
# Without a network: what builds it is in the requirements.
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index \
	--target "$installed" ./python
PYTHONPATH=$installed PYTHONDONTWRITEBYTECODE=1 ESTATS_ANALYZE=$analyze \
	"$venv/bin/python" -m unittest discover --start-directory python/tests
