#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Tries a Debian release on this machine's kernel: scripts/distribution.sh RELEASE [STEP...]
#
#   RELEASE   bookworm, trixie, ...: a root of it is made with debootstrap if it is not there
#   STEP      setup   scripts/setup.sh in it
#             demo    make demo
#             test    the tests that record nothing on this machine and need no guest
#             or a command in one word, which runs in the checkout there; default: setup demo test
#
# The root is $ESTATS_ROOTS/RELEASE, by default target/roots/RELEASE. It gets a clone of what is committed
# here. Rust is this machine's own, readable only, since Debian has an older one than Cargo.toml asks for;
# so are cargo's downloads. Needs root. Nothing stays mounted: mounts are in a namespace of the script.
set -eu
release=${1:?usage: distribution.sh RELEASE [STEP...]}
shift
[ $# -gt 0 ] || set -- setup demo test
[ "$(id -u)" = 0 ] || {
	echo "distribution: needs root" >&2
	exit 2
}
top=$(dirname "$(dirname "$(realpath "$0")")")
root=$(realpath -m "${ESTATS_ROOTS:-$top/target/roots}/$release")
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

if [ -z "${ESTATS_IN_NAMESPACE:-}" ]; then
	(cd "$top" && "${CARGO:-cargo}" fetch --locked)
	export ESTATS_IN_NAMESPACE=1
	exec unshare --mount --propagation private "$0" "$release" "$@"
fi

PATH=$PATH:/usr/sbin:/sbin
if [ ! -e "$root/ready" ]; then
	command -v debootstrap >/dev/null || {
		echo "distribution: apt-get install debootstrap" >&2
		exit 2
	}
	debootstrap --variant=minbase --include=ca-certificates "$release" "$root"
	# The security updates, as an installation has them.
	echo "deb http://deb.debian.org/debian-security $release-security main" >>"$root/etc/apt/sources.list"
	touch "$root/ready"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# Those that an administrator added, such as a proxy's, without which nothing can be downloaded.
cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates"
chroot "$root" /usr/sbin/update-ca-certificates >/dev/null 2>&1
# A mount of its own: `ip netns exec` changes how / propagates, which only a mount has.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
# With what is mounted below: cgroups, BPF, tracing, terminals.
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
for home in "$cargo_home" "$rustup_home"; do
	mkdir -p "$root$home"
	mount --bind "$home" "$root$home"
	mount -o remount,bind,ro "$root$home"
done

checkout=$root/root/estats
if [ -e "$checkout/.git" ]; then
	git -C "$checkout" fetch -q "$top" HEAD
	git -C "$checkout" checkout -q --detach FETCH_HEAD
else
	git clone -q --no-hardlinks "$top" "$checkout"
fi

within() { # within COMMAND: a shell's command, in the checkout
	chroot "$root" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
		CARGO_HOME="$cargo_home" RUSTUP_HOME="$rustup_home" CARGO_NET_OFFLINE=true \
		ESTATS_GUEST=0 ESTATS_SPARK=0 PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
		PATH="$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
		/bin/sh -c "cd /root/estats && $1"
}
for step; do
	echo "distribution: $release: $step" >&2
	case $step in
	setup) within "sh scripts/setup.sh" ;;
	demo) within "make demo" ;;
	test) within "cargo test --no-default-features --features record --no-fail-fast --lib --bins --test offline" ;;
	*) within "$step" ;;
	esac
done
