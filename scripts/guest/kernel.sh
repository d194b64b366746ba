#!/bin/sh
# kernel.sh SERIES: the directory of an unpacked Debian cloud kernel of that series (5.10, 6.1,
# 6.12), fetched when it is not in the cache ($ESTATS_GUEST_CACHE, default target/guest). Remove
# the cache to get a newer one.
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
case $series in
5.10) suite=bullseye ;;
6.1 | 6.12) suite=bookworm ;;
*)
	echo "kernel.sh: no Debian release is known to have Linux $series" >&2
	exit 2
	;;
esac
PATH=$PATH:/usr/sbin:/sbin
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || {
	echo "kernel.sh: $keyring is missing: install debian-archive-keyring" >&2
	exit 2
}

apt=$cache/apt-$suite
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
ours() { # ours PROGRAM ARGUMENTS...: apt on our own lists
	program=$1
	shift
	"$program" -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root "$@"
}
update() { # update MIRROR: lists of the release and its security updates
	for repository in "debian $suite" "debian-security $suite-security"; do
		echo "deb [arch=amd64 signed-by=$keyring] http://$1/$repository main"
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

pattern="^linux-image-$(echo "$series" | sed 's/\./\\./')\..*cloud-amd64\$"
package=$(ours apt-cache search --names-only "$pattern" | cut -d' ' -f1 | sort -V | tail -n 1)
[ -n "$package" ] || {
	echo "kernel.sh: Debian $suite has no package like $pattern" >&2
	exit 2
}
new=$home.new
rm -rf "$new" "$home"
mkdir -p "$new"
(cd "$new" && ours apt-get download "$package" >&2)
dpkg -x "$new"/*.deb "$new/root"
rm "$new"/*.deb
release=$(basename "$(echo "$new"/root/boot/vmlinuz-*)" | sed 's/^vmlinuz-//')
mv "$new/root/boot/vmlinuz-$release" "$new/vmlinuz"
# Where modules are found by modprobe -d, whichever side of the /usr merge the package is on.
[ -d "$new/root/lib/modules" ] || ln -s usr/lib "$new/root/lib"
depmod -b "$new/root" "$release"
echo "$release" >"$new/ready"
mv "$new" "$home"
echo "$home"
