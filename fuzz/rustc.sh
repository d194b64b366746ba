#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The compiler of scripts/fuzz.sh: libFuzzer counts what runs in estats and in the targets. The libraries stay as they are,
# so they need not be compiled once more. No sanitizer: those need a nightly compiler, and there is hardly unsafe code here.
case " $* " in
*" --crate-name estats "* | *" --crate-name frames "* | *" --crate-name rows "* | *" --crate-name manifest "* | \
	*" --crate-name captures "* | *" --crate-name references "* | *" --crate-name wire "*)
	exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
	;;
*) exec "$@" ;;
esac
