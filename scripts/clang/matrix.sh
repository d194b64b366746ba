#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# matrix.sh [CLANG...]: compiles the BPF objects with each clang, loads them in guests with the oldest and
# the newest kernel, records a transfer there, and writes docs/compilers.md from what was found.
#
#   CLANG   a version that Debian has (scripts/clang/get.sh fetches it), or a path; default: all versions
#
# Results are kept in target/clang/results, and the document is written from all that are there.
# ESTATS_CLANG_KERNELS has other kernels than "5.10 newest"; `here` is this machine's own, as root.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- 14 15 16 17 18 19 21 22 23
cache=$(realpath -m "${ESTATS_CLANG_CACHE:-target/clang}")
objects=$cache/objects
results=$cache/results

# One recorder, which loads the objects of a directory (src/capture/load/object.rs). To build it with
# every clang would link everything each time.
"${CARGO:-cargo}" build --no-default-features --features record
programs=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
# What compiles the objects is the build script that cargo has just made: flags stand there only.
script=$(ls -t "$programs"/build/estats-*/build-script-build | head -n 1)
names=""
for clang; do
	case $clang in
	*/*) program=$clang name=$(basename "$clang") ;;
	*) name=clang-$clang program=$(sh scripts/clang/get.sh "$clang") ;;
	esac
	names="$names $name"
	build=$cache/build/$name
	rm -rf "$build" "$objects/$name"
	mkdir -p "$build" "$objects/$name"
	"$program" --version | head -n 1 >"$objects/$name/version"
	echo "matrix: compiling with $(cat "$objects/$name/version")" >&2
	CLANG=$program OUT_DIR=$build CARGO_CFG_TARGET_ARCH=$(uname -m) "$script" >"$build/said" 2>&1 || {
		cat "$build/said" >&2
		exit 1
	}
	cp "$build/estats.bpf.o" "$build/kprobe.bpf.o" "$objects/$name"
done

# shellcheck disable=SC2016 # expanded in the guest
inside='
one() { # one NAME SET: what the kernel takes, and what a recording has
	to=$out/$1/$2
	mkdir -p "$to"
	export ESTATS_BPF_OBJECTS='$objects'/$1
	estats-record check --json --hooks "$2" >"$to/check.json" 2>"$to/check.error"
	echo "matrix: $1 $2: check ended with status $? at $(cut -d" " -f1 /proc/uptime) s"
	iperf3 -s -1 -p 5301 >/dev/null &
	until ss -Hltn "sport = :5301" | grep -q .; do sleep 1; done
	estats-record --hooks "$2" --packets --interface all --snapshots 500ms --all -q -o "$out/run" \
		-- iperf3 -c 127.0.0.1 -p 5301 -n 300K -C reno >"$to/record" 2>&1
	echo "status $?" >>"$to/record"
	kill $! 2>/dev/null
	wait
	estats-analyze verify -q "$out/run" >"$to/verify" 2>&1
	echo "status $?" >>"$to/verify"
	estats-analyze audit -q "$out/run" >"$to/audit" 2>&1
	echo "status $?" >>"$to/audit"
	rm -rf "$out/run"
	echo "matrix: $1 $2: $(tail -qn 1 "$to/record" "$to/verify" "$to/audit" | tr "\n" " ") at $(cut -d" " -f1 /proc/uptime) s"
}'
for kernel in ${ESTATS_CLANG_KERNELS:-5.10 newest}; do
	case $kernel in
	5.10) sets=kprobe ;; # older than 5.17: no loops in BPF, which the others need
	here) sets="tracepoint kprobe" ;; # not every kernel has hooks on functions
	*) sets="fentry kprobe tracepoint" ;;
	esac
	files="" steps=""
	for name in $names; do
		files="$files --file $objects/$name"
		for set in $sets; do steps="$steps
one $name $set"; done
	done
	rm -rf "$cache/out"
	steps="$inside
$steps
uname -r >\$out/release"
	if [ "$kernel" = here ]; then
		mkdir -p "$cache/out"
		PATH=$programs:$PATH sh -c "out=$cache/out; $steps" </dev/null
	else
		# shellcheck disable=SC2086 # a list of options
		sh scripts/guest/run.sh --timeout 7200 --out "$cache/out" $files "$kernel" "out=/out; $steps"
	fi
	for name in $names; do
		rm -rf "$results/$name/$kernel"
		mkdir -p "$results/$name"
		cp "$objects/$name/version" "$results/$name/version"
		mv "$cache/out/$name" "$results/$name/$kernel"
		cp "$cache/out/release" "$results/$name/$kernel/release"
	done
done
python3 scripts/clang/matrix.py "$results" >docs/compilers.md.new
mv docs/compilers.md.new docs/compilers.md
