#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Prints the directory of a Python environment with exactly what a requirements file pins; makes it if it
# is not there or the file has changed since: scripts/venv.sh NAME REQUIREMENTS
set -eu
venv=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/python/$1
if ! cmp -s "$2" "$venv/requirements.txt"; then
	rm -rf "$venv"
	# Debian's own, which has venv from python3-venv, before others in PATH.
	python=/usr/bin/python3
	[ -x "$python" ] || python=python3
	"$python" -m venv "$venv"
	echo "venv: installing $2" >&2
	"$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir -r "$2" >&2
	cp "$2" "$venv/requirements.txt"
fi
echo "$venv"
