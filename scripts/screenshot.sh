#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes docs/report.png: the report of the bundled lossy recording in headless Chromium.
set -eu
cd "$(dirname "$0")/.."
command -v chromium >/dev/null || { echo "screenshot: chromium is not installed: make setup" >&2; exit 2; }
cargo build --no-default-features
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
target/debug/estats-analyze report testdata/loss/run -o "$scratch/report.html" >/dev/null
# The name of the directory is the title.
sed -i 's/estats: run</estats: upload with loss</g' "$scratch/report.html"
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
	--disable-background-networking --disable-component-update --disable-sync \
	--user-data-dir="$scratch/profile" --hide-scrollbars --virtual-time-budget=3000 \
	--window-size=1280,1215 --screenshot="$PWD/docs/report.png" "file://$scratch/report.html" 2>/dev/null
ls -l docs/report.png
