#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# causes.sh [KERNEL...]: the tests of docs/limits.md in guests whose kernels have hooks on functions. There the
# transmit loop is hooked, and limits_basis must be exact. Default: 6.12.
set -eu
cd "$(dirname "$0")/../.."
top=$(pwd)
[ $# -gt 0 ] || set -- 6.12
build="${CARGO:-cargo} test --no-default-features --features record --test live --no-run"
$build
tests=$($build --message-format=json 2>/dev/null | sed -n 's|.*"executable":"\([^"]*/live-[^"]*\)".*|\1|p')
[ -n "$tests" ] || { echo "causes.sh: no test program was built" >&2; exit 1; }
# The programs themselves are built with the tests.
for kernel; do
	# The tests write below CARGO_TARGET_TMPDIR, and read the documents of the package.
	sh scripts/guest/run.sh --timeout 2700 --env ESTATS_REQUIRE_LIVE=1 --env ESTATS_LIMITS_BASIS=exact \
		--file "$tests" --file "$top/docs/limits.md" "$kernel" \
		"mkdir -p $(realpath -m "${CARGO_TARGET_DIR:-target}")/tmp && cd $top && $tests causes:: --nocapture" </dev/null
done
