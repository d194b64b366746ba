#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What each hook set costs a message on Debian's stock kernels, as Markdown: the ping-pong of
# cost.py in a guest. Its CPUs are emulated, so the ratios rank the sets and say no more, and that
# only on an idle host. About two minutes per kernel; not part of `make bench`.
#
#   sh bench/guests.sh [KERNEL...]        default: 6.1 6.12
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --no-default-features --features record --bins
cargo build --quiet --no-default-features --features record --example pingpong
pingpong=$PWD/target/debug/examples/pingpong

# shellcheck disable=SC2016 # expanded in the guest
inside='
for n in a b; do ip netns add $n; ip -n $n link set lo up; done
ip link add va netns a type veth peer name vb netns b
ip -n a addr add 10.9.0.1/24 dev va; ip -n a link set va up
ip -n b addr add 10.9.0.2/24 dev vb; ip -n b link set vb up
n=0
message() { # median CPU time of a message
	PINGPONG a b 10.9.0.2 $((5000 + n)) 1 12 200 | cut -d" " -f2
}
beside() { # beside OPTIONS...: the same while the recorder runs
	estats-record -o /tmp/run$n --quiet "$@" 2>/tmp/said &
	recorder=$!
	until grep -q "recording to" /tmp/said; do sleep 0.2; kill -0 $recorder || return 0; done
	sleep 0.5
	message
	kill -INT $recorder
	wait $recorder
}
programs() { estats-record check --hooks $1 --json | sed -n "s/.*\"programs\": \([0-9]*\).*/\1/p"; }
for set in SETS; do echo "PROGRAMS $set $(programs $set)"; done
for round in 1 2 3; do
	n=$((n + 1)); echo "COST baseline $(message)"
	for set in SETS; do
		n=$((n + 1)); echo "COST $set $(beside --all --hooks $set)"
		n=$((n + 1)); echo "COST $set,filtered $(beside --port 9 --hooks $set)"
	done
done'

for kernel in ${*:-6.1 6.12}; do
	script=$(printf %s "$inside" |
		sed "s#PINGPONG#$pingpong#; s#SETS#${SETS:-tracepoint fentry kprobe}#g")
	sh scripts/guest/run.sh --timeout 900 --file "$pingpong" "$kernel" "$script" | tr -d '\r' |
		awk -v kernel="$kernel" '
		$1 == "PROGRAMS" { programs[$2] = $3 }
		$1 == "COST" && $3 {
			if ($2 == "baseline") base = $3
			else { n[$2]++; ratio[$2, n[$2]] = $3 / base; if (n[$2] == 1) order[++sets] = $2 }
		}
		function median(set, a, b, c) {
			a = ratio[set, 1]; b = ratio[set, 2]; c = ratio[set, 3]
			if ((a - b) * (c - a) >= 0) return a
			return (b - a) * (c - b) >= 0 ? b : c
		}
		END {
			print "| kernel | hook set | programs | ratio to baseline, `--all` | filtered out |"
			print "|---|---|--:|--:|--:|"
			for (i = 1; i <= sets; i++) if (order[i] !~ /,/)
				printf "| %s | %s | %s | %.2f | %.2f |\n", kernel, order[i],
					programs[order[i]], median(order[i]), median(order[i] ",filtered")
		}'
done
