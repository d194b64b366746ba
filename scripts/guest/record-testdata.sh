#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes the golden recordings of function hooks anew, in guests: testdata/function-hooks and
# testdata/kprobes. Those that are there stay (see scripts/record-testdata.sh); renew the expected
# tables afterwards: make golden.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck disable=SC2016 # expanded in the guest
inside='
for n in client router server; do ip netns add $n; ip -n $n link set lo up; done
ip link add vc netns client type veth peer name rc netns router
ip link add vs netns server type veth peer name rs netns router
ip -n client addr add 10.1.0.1/24 dev vc; ip -n router addr add 10.1.0.2/24 dev rc
ip -n server addr add 10.2.0.1/24 dev vs; ip -n router addr add 10.2.0.2/24 dev rs
ip -n client link set vc up; ip -n router link set rc up
ip -n server link set vs up; ip -n router link set rs up
ip -n client route add default via 10.1.0.2; ip -n server route add default via 10.2.0.2
ip netns exec router sh -c "echo 1 > /proc/sys/net/ipv4/ip_forward"
ip netns exec router tc qdisc add dev rs root netem delay 10ms loss 2% reorder 2% rate 20mbit limit 200
ip netns exec router tc qdisc add dev rc root netem delay 10ms
estats-record --hooks SET -o /out/run --netns client --netns server --quiet 2>/tmp/said &
recorder=$!
until grep -q "recording to" /tmp/said; do sleep 1; done
ip netns exec server iperf3 -s -1 >/dev/null &
sleep 1
ip netns exec client iperf3 -c 10.2.0.1 -n 1M -C reno
sleep 1
kill -INT $recorder
wait $recorder'

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
while read -r kernel set scenario; do
	if [ -e "testdata/$scenario/run" ]; then
		echo "record-testdata: testdata/$scenario/run is there and stays" >&2
		continue
	fi
	sh scripts/guest/run.sh --out "$made/$scenario" "$kernel" \
		"$(printf %s "$inside" | sed "s/SET/$set/")"
	mkdir -p "testdata/$scenario"
	cp -r "$made/$scenario/run" "testdata/$scenario/run"
done <<-'LIST'
	6.12 fentry function-hooks
	5.10 kprobe kprobes
LIST
