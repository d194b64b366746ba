#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Records an iperf3 transfer between two network namespaces of its own, replays it and prints the
# summary. Without root or BPF it replays the bundled recording instead, and says so.
set -eu
cd "$(dirname "$0")/.."

features="--no-default-features"
[ "$(id -u)" = 0 ] && features="$features --features record"
# shellcheck disable=SC2086 # a list of options
cargo build --release $features
bin=target/release
run=demo-run

bundled() {
	echo "demo: $1; replaying the bundled recording instead" >&2
	out=$(mktemp -d)
	cp -r testdata/loss/run "$out/run"
	"$bin/estats-analyze" "$out/run"
	exit 0
}

[ "$(id -u)" = 0 ] || bundled "recording needs root"
"$bin/estats-record" check >/dev/null 2>&1 || bundled "this kernel does not let us load BPF"

if [ -e "$run" ]; then
	rm -rf "$run.old"
	mv "$run" "$run.old"
	echo "demo: kept the run before as $run.old" >&2
fi
a=estats-demo-a-$$ b=estats-demo-b-$$ server=""
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	ip netns del "$a" 2>/dev/null || true
	ip netns del "$b" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add "$a"
ip netns add "$b"
ip link add estats0 netns "$a" type veth peer name estats1 netns "$b"
ip -n "$a" addr add 192.0.2.1/24 dev estats0
ip -n "$b" addr add 192.0.2.2/24 dev estats1
for end in "$a estats0" "$b estats1"; do
	# shellcheck disable=SC2086 # namespace and device
	set -- $end
	ip -n "$1" link set lo up
	ip -n "$1" link set "$2" up
done
ip netns exec "$b" iperf3 -s -1 >/dev/null 2>&1 &
server=$!
tries=0
until ip netns exec "$b" ss -Hltn 'sport = :5201' | grep -q .; do
	tries=$((tries + 1))
	[ "$tries" -lt 50 ] || { echo "demo: iperf3 does not listen after 5 s" >&2; exit 2; }
	sleep 0.1
done

"$bin/estats-record" -o "$run" --all --netns "$a" --netns "$b" -- \
	ip netns exec "$a" iperf3 -c 192.0.2.2 -t 5 -C cubic
"$bin/estats-analyze" "$run"
