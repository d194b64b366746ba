#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# All benchmarks, as Markdown on stdout: the tables of docs/benchmarks.md and docs/impact.md.
# Root; about ten minutes; ends what it started and removes its own network namespaces.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --release --no-default-features --features record --bins --examples
for benchmark in cost throughput footprint snapshots packets; do
	printf '### bench/%s.py\n\n' "$benchmark"
	python3 "bench/$benchmark.py"
done
for load in resets datagrams; do
	printf '### bench/cost.py --load %s\n\n' "$load"
	python3 bench/cost.py --load "$load"
done
printf '### bench/leftovers.sh\n\n'
sh bench/leftovers.sh
