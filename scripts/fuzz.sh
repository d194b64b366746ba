#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# usage: scripts/fuzz.sh SECONDS [TARGET...]: runs the fuzz targets (all, if none is named), each for so long. What ends one
# with a fault is kept in fuzz/artifacts. No nightly compiler and no cargo-fuzz are needed (fuzz/rustc.sh).
set -eu
cd "$(dirname "$0")/../fuzz"
seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- frames rows manifest captures references wire
target=$(cd .. && realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
for name; do set -- "$@" --bin "$name"; shift; done
RUSTC_WRAPPER="$PWD/rustc.sh" CARGO_TARGET_DIR="$target" cargo build --locked "$@"
for name; do
	[ "$name" = --bin ] && continue
	mkdir -p "$target/corpus/$name" artifacts
	"$target/debug/$name" -max_total_time="$seconds" -artifact_prefix="artifacts/$name-" "$target/corpus/$name"
done
