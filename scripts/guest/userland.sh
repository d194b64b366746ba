#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# userland.sh ARCHITECTURE: a directory with programs and libraries of Debian 12 for an architecture
# that is not this machine's (arm64), unpacked and not installed: what a guest's initramfs is made of
# (initramfs.sh), and the libelf and zlib that the recorder is linked with. Fetched when it is not in the
# cache ($ESTATS_GUEST_CACHE, default target/guest).
set -eu
architecture=${1:?usage: userland.sh ARCHITECTURE}
here=$(dirname "$(realpath "$0")")
cd "$here/../.."
cache=$(realpath -m "${ESTATS_GUEST_CACHE:-target/guest}")
home=$cache/userland-$architecture
if [ -e "$home/ready" ]; then
	echo "$home/root"
	exit 0
fi
# The oldest release that the programs are built on, as its C library runs with that of newer ones
# and not the other way round.
repositories="debian:bookworm debian-security:bookworm-security"
. "$here/apt.sh"

new=$home.new
rm -rf "$new" "$home"
mkdir -p "$new/archives/partial" "$new/root/usr/bin" "$new/root/usr/sbin" "$new/root/usr/lib"
for merged in bin sbin lib; do ln -s "usr/$merged" "$new/root/$merged"; done
: >"$new/status" # nothing is installed
ours apt-get install -y --download-only --no-install-recommends -o Dir::State::status="$new/status" \
	-o Dir::Cache::archives="$new/archives/" -o Debug::NoLocking=1 \
	busybox-static dash iproute2 libelf-dev util-linux zlib1g-dev >&2
for archive in "$new"/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink -C "$new/root"
done
rm -r "$new/archives" "$new/status"
# What the linker is to find there, without that C library's own scripts.
mkdir "$new/link"
for library in elf z; do
	ln -s "../root/usr/lib/$(cd "$new/root/usr/lib" && echo *-linux-gnu/lib$library.so.1)" "$new/link/lib$library.so"
done
echo bookworm >"$new/ready"
mv "$new" "$home"
echo "$home/root"
