#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# arm64.sh [KERNEL...]: the guest tests on Debian's arm64 kernels of these series (default 6.12 6.18),
# under software emulation. Both programs and the guest tests are cross-compiled; every hook set records
# the traffic in the guest, which replays its recordings too; the same recordings are replayed and
# checked on this machine. ESTATS_GUEST_SCENARIOS chooses scenarios, such as "clean;loss, CUBIC;zero window".
# The table of docs/arm64.md comes from here: with BLESS=1 it is renewed, else it is printed.
#
# Needs the packages qemu-system-arm and gcc-aarch64-linux-gnu, and Rust's libraries for
# aarch64-unknown-linux-gnu (rustup target add, or Debian's libstd-rust-dev:arm64).
set -eu
here=$(dirname "$(realpath "$0")")
cd "$here/../.."
target=aarch64-unknown-linux-gnu
[ $# -gt 0 ] || set -- 6.12 6.18
for program in qemu-system-aarch64:qemu-system-arm aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu; do
	command -v "${program%:*}" >/dev/null || {
		echo "arm64.sh: ${program%:*} is not installed: apt-get install ${program#*:}" >&2
		exit 2
	}
done
[ -d "$(rustc --print target-libdir --target $target)" ] || {
	echo "arm64.sh: Rust has no libraries for $target: rustup target add $target" >&2
	exit 2
}

userland=$(sh "$here/userland.sh" arm64)
include=$userland/usr/include
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# Behind the cross compiler's own, so that only libelf's and zlib's headers are found there.
export CFLAGS_aarch64_unknown_linux_gnu="-idirafter $include -idirafter $include/aarch64-linux-gnu"
export LIBBPF_SYS_LIBRARY_PATH_aarch64_unknown_linux_gnu="${userland%/root}/link"
tests="--no-default-features --features record --test guest"
# shellcheck disable=SC2086 # several words
built=$(cargo test $tests --target $target --no-run 2>&1) || {
	echo "$built" >&2
	exit 1
}
program=$(echo "$built" | sed -n 's/.*Executable tests.guest.main\.rs (\(.*\))$/\1/p')
program=$(realpath "$program")

out=target/tmp/arm64.md
mkdir -p target/tmp
: >"$out"
status=0
for kernel; do
	log=target/tmp/arm64-$kernel.log
	# shellcheck disable=SC2086
	ESTATS_GUEST_ARM64=$program ESTATS_REQUIRE_LIVE=1 cargo test -q $tests \
		"linux_$(echo "$kernel" | tr . _)" -- --exact --nocapture >"$log" 2>&1 || status=1
	cat "$log"
	grep '^| ' "$log" >>"$out" || status=1
done
# The smallest rings there are, on a kernel whose pages are larger than they would be.
# shellcheck disable=SC2016 # expanded in the guest
sh "$here/run.sh" --arch arm64 --timeout 1200 6.12-16k \
	'for hooks in fentry tracepoint kprobe; do estats-record check --hooks $hooks || exit 1; done' || status=1
if [ "${BLESS:-}" = 1 ]; then
	awk -v rows="$out" '
		/^<!-- end/ { while ((getline row < rows) > 0) print row; inside = 0 }
		!inside
		/^\|---/ && begun { inside = 1; begun = 0 }
		/^<!-- begin/ { begun = 1 }
	' docs/arm64.md >"$out.new"
	mv "$out.new" docs/arm64.md
fi
exit $status
