#!/bin/sh
# kernel.sh SERIES: the directory of an unpacked Debian cloud kernel of that series (5.10, 6.18, ...),
# fetched when it is not in the cache ($ESTATS_GUEST_CACHE, default target/guest). Of a series the
# newest kernel is taken; `newest` is the newest kernel that Debian has of all. Remove the cache to get
# a newer one.
#
# apt works on sources and lists of its own, signed by Debian's keyring, so the machine's sources
# do not matter, nothing is installed, and root is not needed.
set -eu
series=${1:?usage: kernel.sh SERIES}
cd "$(dirname "$0")/../.."
cache=$(realpath -m "${ESTATS_GUEST_CACHE:-target/guest}")
home=$cache/kernels/$series
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
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || {
	echo "kernel.sh: $keyring is missing: install debian-archive-keyring" >&2
	exit 2
}

apt=$cache/apt-$(echo "$repositories" | tr " :" "+-")
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
ours() { # ours PROGRAM ARGUMENTS...: apt on our own lists
	program=$1
	shift
	"$program" -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root "$@"
}
update() { # update MIRROR: lists of the repositories
	for repository in $repositories; do
		echo "deb [arch=amd64 signed-by=$keyring] http://$1/${repository%:*} ${repository#*:} main"
	done >"$apt/sources.list"
	ours apt-get update -o APT::Update::Error-Mode=any >&2
}
# A release that is no longer supported moves from the one mirror to the other; the date until
# which its lists were valid passes.
if ! update deb.debian.org; then
	echo "Acquire::Check-Valid-Until \"false\";" >"$apt/archived.conf"
	APT_CONFIG=$apt/archived.conf
	export APT_CONFIG
	update archive.debian.org
fi

if [ "$series" = newest ]; then
	version="[0-9]+\\.[0-9]+"
else
	version=$(echo "$series" | sed 's/\./\\./')
fi
pattern="^linux-image-$version\\..*cloud-amd64\$"
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
