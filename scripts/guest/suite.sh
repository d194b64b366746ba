#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# suite.sh SUITE FILTER [KERNEL...]: live tests in guests whose kernels have hooks on functions. There the
# transmit loop is hooked, and limits_basis must be exact. Tests that change a setting of the whole kernel run
# only there. SUITE is live or record, FILTER as libtest takes it (causes::, drops::). Default kernel: 6.12.
set -eu
cd "$(dirname "$0")/../.."
top=$(pwd)
[ $# -ge 2 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
suite=$1 filter=$2
shift 2
[ $# -gt 0 ] || set -- 6.12
build="${CARGO:-cargo} test --no-default-features --features record --test $suite --no-run"
$build
tests=$($build --message-format=json 2>/dev/null | sed -n "s|.*\"executable\":\"\([^\"]*/$suite-[^\"]*\)\".*|\1|p")
[ -n "$tests" ] || { echo "suite.sh: no test program was built" >&2; exit 1; }
# The programs themselves are built with the tests.
for kernel; do
	# The tests write below CARGO_TARGET_TMPDIR, and read the documents of the package.
	sh scripts/guest/run.sh --timeout 2700 \
		--env ESTATS_REQUIRE_LIVE=1 --env ESTATS_LIMITS_BASIS=exact --env ESTATS_OWN_KERNEL=1 \
		--file "$tests" --file "$top/docs/limits.md" "$kernel" \
		"mkdir -p $(realpath -m "${CARGO_TARGET_DIR:-target}")/tmp && cd $top && $tests $filter --include-ignored --nocapture" </dev/null
done
