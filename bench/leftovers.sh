#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Kills a recorder with SIGKILL and shows that the kernel keeps nothing of it.
# Usage: leftovers.sh [PROGRAM]. Root; needs bpftool. Exit status 1 if anything stays behind.
set -eu
cd "$(dirname "$0")/.."
record=${1:-${CARGO_TARGET_DIR:-target}/release/estats-record}
work=$(mktemp -d)
pid=
cleanup() {
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Ids of the BPF objects that a process holds, from its file descriptors: other programs of the
# host may have objects of the same names.
held() {
	cat "/proc/$1/fdinfo/"* 2>/dev/null | sed -n "s/^$2_id:[[:space:]]*//p" | sort -un
}

# With all that attaches anything: interfaces of this namespace too.
"$record" --quiet -o "$work/run" --all --packets --interface lo 2>"$work/log" &
pid=$!
tries=0
until grep -q 'recording to' "$work/log"; do
	tries=$((tries + 1))
	if [ "$tries" -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then
		echo "leftovers.sh: the recorder did not start: $(cat "$work/log")" >&2
		exit 2
	fi
	sleep 0.1
done

for kind in prog map link; do
	held "$pid" "$kind" >"$work/$kind"
	echo "$kind: $(wc -l <"$work/$kind") held by the recorder"
done
ls /sys/fs/bpf >"$work/pins" 2>/dev/null || true
echo "pinned in /sys/fs/bpf: $(wc -l <"$work/pins")"

kill -9 "$pid"
wait "$pid" 2>/dev/null || true
pid=
# The kernel frees programs and maps after a grace period of RCU.
sleep 2

status=0
for kind in prog map link; do
	left=0
	while read -r id; do
		if bpftool "$kind" show id "$id" >/dev/null 2>&1; then
			echo "$kind $id is still there:"
			bpftool "$kind" show id "$id"
			left=$((left + 1))
			status=1
		fi
	done <"$work/$kind"
	echo "$kind: $left left after kill -9"
done
exit $status
