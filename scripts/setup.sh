#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs what is missing on Debian 12 and 13, and does nothing when all is there: scripts/setup.sh [demo|test]
#
#   demo   what building and the demo need
#   test   also what the tests need (default)
#
# Rust itself is not touched: install it from https://rustup.rs or use the machine's own.
set -eu
purpose=${1:-test}
case $purpose in
demo | test) ;;
*)
	echo "usage: setup.sh [demo|test]" >&2
	exit 2
	;;
esac

missing=""
need() { # need COMMAND-OR-FILE PACKAGE
	case $1 in
	/*) [ -e "$1" ] || missing="$missing $2" ;;
	*) command -v "$1" >/dev/null 2>&1 || missing="$missing $2" ;;
	esac
}

PATH=$PATH:/usr/sbin:/sbin
need clang clang
need make make
need cc gcc
need pkg-config pkg-config
need /usr/include/libelf.h libelf-dev
need /usr/include/zlib.h zlib1g-dev
need /usr/include/linux/bpf.h linux-libc-dev
need iperf3 iperf3
need ip iproute2
need ss iproute2
for_tests() {
	need clang-format clang-format
	need tcpdump tcpdump
	need nsenter util-linux
	need zstd zstd
	# Reports are looked at in a browser (tests/offline/report, scripts/screenshot.sh).
	need chromium chromium
	need chromedriver chromium-driver
	# What captures and passive RTT are held against.
	need tshark tshark
	need tcptrace tcptrace
	need ping iputils-ping
	need dig bind9-dnsutils
	need dnsmasq dnsmasq-base
	need /usr/share/doc/python3-venv python3-venv
	# Guests (scripts/guest): an emulator, and what goes into an initramfs.
	need qemu-system-x86_64 qemu-system-x86
	need busybox busybox-static
	need dash dash
	need cpio cpio
	need xz xz-utils
	need depmod kmod
	need readelf binutils
	# How much the unit may do (tests/offline/unit.rs).
	need systemd-analyze systemd
	# Completions, asked of real shells (tests/offline/shell), and packages (scripts/packages.sh).
	need zsh zsh
	need fish fish
	need dpkg-shlibdeps dpkg-dev
	need debootstrap debootstrap
	need tc iproute2
	need /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
	# Notebooks and the README's Python (scripts/notebooks.sh), and Spark's Java (scripts/spark.sh).
	need python3 python3
	# In the directory of the release's own Python, 3.11 in Debian 12 and 3.13 in Debian 13.
	set -- /usr/lib/python3.*/ensurepip
	need "$1" python3-venv
	[ "${ESTATS_SPARK:-1}" = 0 ] || need java default-jre-headless
}
[ "$purpose" = demo ] || for_tests

if ! command -v cargo >/dev/null 2>&1; then
	echo "setup: cargo is not installed: get Rust 1.95 or newer from https://rustup.rs" >&2
	exit 2
fi
# A QUIC that spins, for tests/record/rtt.rs: from PyPI, since Debian 12 has no package of it.
quic() {
	[ "$purpose" = test ] || return 0
	quic=$(dirname "$0")/../target/quic
	[ -x "$quic/bin/python" ] && return
	echo "setup: installing aioquic in target/quic" >&2
	python3 -m venv "$quic" && "$quic/bin/pip" install -q aioquic ||
		echo "setup: aioquic cannot be installed; the test of QUIC is skipped" >&2
}

# The description of Perfetto's traces, for tests/offline/export: from PyPI too.
perfetto() {
	[ "$purpose" = test ] || return 0
	scripts=$(dirname "$0")
	sh "$scripts/venv.sh" perfetto "$scripts/../tests/offline/export/requirements.txt" >/dev/null ||
		echo "setup: perfetto cannot be installed; the test of its traces is skipped" >&2
}

[ -n "$missing" ] || {
	quic
	perfetto
	exit 0
}
if [ "$(id -u)" != 0 ]; then
	echo "setup: these packages are missing:$missing; run as root: apt-get install$missing" >&2
	exit 2
fi
echo "setup: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
quic
perfetto
