#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# big-endian.sh: estats-analyze, cross-compiled for s390x and run under emulation, says in one sentence that
# it does not work on a big-endian machine, and makes no tables.
#
# Needs the packages qemu-user-static and gcc-s390x-linux-gnu, and Rust's libraries for
# s390x-unknown-linux-gnu (rustup target add).
set -eu
cd "$(dirname "$0")/../.."
target=s390x-unknown-linux-gnu
for program in qemu-s390x-static:qemu-user-static s390x-linux-gnu-gcc:gcc-s390x-linux-gnu; do
	command -v "${program%:*}" >/dev/null || {
		echo "big-endian.sh: ${program%:*} is not installed: apt-get install ${program#*:}" >&2
		exit 2
	}
done
export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc
cargo build --no-default-features --bin estats-analyze --target $target
tables=$(mktemp -d)
trap 'rm -rf "$tables"' EXIT
status=0
said=$(qemu-s390x-static -L /usr/s390x-linux-gnu target/$target/debug/estats-analyze \
	replay testdata/loss/run -o "$tables/made" 2>&1) || status=$?
echo "$said"
if [ "$status" != 2 ] || [ -e "$tables/made" ] || [ "$(echo "$said" | wc -l)" != 1 ] ||
	! echo "$said" | grep -q "^estats-analyze: this machine is big-endian"; then
	echo "big-endian.sh: status $status; a sentence, status 2 and no tables were expected" >&2
	exit 1
fi
