#!/bin/sh
# Runs the notebooks and what the README shows, in a Python of their own, with the estats-analyze given.
set -eu
cd "$(dirname "$0")/.."
venv=$(sh scripts/venv.sh notebooks notebooks/requirements.txt)
"$venv/bin/python" scripts/notebooks.py "$1"
"$venv/bin/python" scripts/readme.py "$1"
