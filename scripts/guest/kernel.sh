#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# kernel.sh SERIES [ARCHITECTURE]: the directory of an unpacked Debian cloud kernel of that series
# (5.10, 6.18, ...) for this architecture (amd64 or arm64), fetched when it is not in the cache
# ($ESTATS_GUEST_CACHE, default target/guest). Of a series the newest kernel is taken; `newest` is the
# newest kernel that Debian has of all; 6.12-16k, on arm64, is one whose pages have 16 KiB. Remove the
# cache to get a newer one.
set -eu
series=${1:?usage: kernel.sh SERIES [ARCHITECTURE]}
architecture=${2:-amd64}
here=$(dirname "$(realpath "$0")")
cd "$(dirname "$0")/../.."
cache=$(realpath -m "${ESTATS_GUEST_CACHE:-target/guest}")
home=$cache/kernels/$series
[ "$architecture" = amd64 ] || home=$home-$architecture
if [ -e "$home/ready" ]; then
	echo "$home"
	exit 0
fi
# Where Debian has it: a release with its security updates, or others whose packages run on it.
case $series in
5.10) repositories="debian:bullseye debian-security:bullseye-security" ;;
6.1 | 6.12) repositories="debian:bookworm debian-security:bookworm-security" ;;
newest) repositories="debian:trixie-backports debian:forky" ;;
*) repositories="debian:trixie debian:trixie-backports debian:forky" ;;
esac
PATH=$PATH:/usr/sbin:/sbin
. "$here/apt.sh"

flavour=cloud-$architecture
case $series in
newest) version="[0-9]+\\.[0-9]+" ;;
*-16k)
	version=$(echo "${series%-16k}" | sed 's/\./\\./')
	flavour=$architecture-16k
	;;
*) version=$(echo "$series" | sed 's/\./\\./') ;;
esac
pattern="^linux-image-$version\\..*[0-9]-$flavour\$"
package=$(ours apt-cache search --names-only "$pattern" | cut -d' ' -f1 | sort -V | tail -n 1)
[ -n "$package" ] || {
	echo "kernel.sh: there is no package like $pattern in $repositories" >&2
	exit 2
}
# Since Linux 7.0 the package of this name has no files: those it depends on have the parts.
release=${package#linux-image-}
parts=$(ours apt-cache depends --important "$package" |
	sed -n "s/^ *\(Pre\)\{0,1\}Depends: \(linux-[a-z]*-$(echo "$release" | sed 's/[.]/\\&/g')\)\$/\2/p")
new=$home.new
rm -rf "$new" "$home"
mkdir -p "$new"
# shellcheck disable=SC2086 # names without spaces
(cd "$new" && ours apt-get download "$package" $parts >&2)
for archive in "$new"/*.deb; do dpkg -x "$archive" "$new/root"; done
rm "$new"/*.deb
image=$new/root/boot/vmlinuz-$release
[ -e "$image" ] || image=$new/root/usr/lib/modules/$release/vmlinuz
mv "$image" "$new/vmlinuz"
# Where modules are found by modprobe -d, whichever side of the /usr merge the package is on.
[ -d "$new/root/lib/modules" ] || ln -s usr/lib "$new/root/lib"
depmod -b "$new/root" "$release"
echo "$release" >"$new/ready"
mv "$new" "$home"
echo "$home"
