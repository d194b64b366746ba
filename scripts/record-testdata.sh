#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes the golden recordings anew from the live tests' own traffic, as root, for a new version of
# the format: testdata/SCENARIO/run. The recordings of old versions are never touched, so this
# writes only scenarios that are not there. Renew the expected tables afterwards: make golden.
#
# It runs in a UTS namespace and a cgroup of its own, so that no name of the machine gets in.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "record-testdata: recording needs root" >&2; exit 2; }

cargo test --no-default-features --features record --test live --no-run
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
group=$mount/estats-lab
keep=$(mktemp -d)
cleanup() {
	rm -rf "$keep"
	rmdir "$group" 2>/dev/null || true
}
trap cleanup EXIT
mkdir -p "$group"
ESTATS_KEEP=$keep ESTATS_REQUIRE_LIVE=1 unshare --uts sh -c '
	echo $$ >"$1/cgroup.procs"
	hostname lab
	exec cargo test --no-default-features --features record --test live -- \
		path:: ends::refused ends::reset ends::begun several::
' sh "$group"
mkdir -p testdata/notebooks
for run in "$keep"/notebooks/*; do
	to=testdata/notebooks/$(basename "$run")
	if [ -e "$to" ]; then
		echo "record-testdata: $to is there and stays" >&2
		continue
	fi
	cp -r "$run" "$to"
	echo "record-testdata: $to, $(du -sh "$to" | cut -f1)"
done
# Those of the tests that several::, whose names are not scenarios, keep as any other test does.
rm -rf "$keep"/notebooks "$keep"/three-uploads* "$keep"/an-upload-through* "$keep"/repeats-over*
for scenario in "$keep"/*; do
	to=testdata/$(basename "$scenario")/run
	if [ -e "$to" ]; then
		echo "record-testdata: $to is there and stays" >&2
		continue
	fi
	mkdir -p "$(dirname "$to")"
	cp -r "$scenario/run" "$to"
	echo "record-testdata: $to, $(du -sh "$to" | cut -f1)"
done
