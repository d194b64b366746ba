# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sourced by kernel.sh and userland.sh: apt on lists of its own, signed by Debian's keyring, so the
# machine's sources and its architecture do not matter, nothing is installed, and root is not needed.
#
# Of the caller: $cache, a directory; $architecture, as Debian calls it; $repositories, words
# like debian:bookworm.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || {
	echo "$0: $keyring is missing: install debian-archive-keyring" >&2
	exit 2
}

apt=$cache/apt-$(echo "$repositories" | tr " :" "+-")
[ "$architecture" = amd64 ] || apt=$apt-$architecture
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
ours() { # ours PROGRAM ARGUMENTS...: apt on our own lists
	program=$1
	shift
	"$program" -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
		-o APT::Sandbox::User=root "$@"
}
update_from() { # update_from MIRROR: lists of the repositories
	for repository in $repositories; do
		echo "deb [arch=$architecture signed-by=$keyring] http://$1/${repository%:*} ${repository#*:} main"
	done >"$apt/sources.list"
	ours apt-get update -o APT::Update::Error-Mode=any >&2
}
# A release that is no longer supported moves from the one mirror to the other; the date until
# which its lists were valid passes.
if ! update_from deb.debian.org; then
	echo "Acquire::Check-Valid-Until \"false\";" >"$apt/archived.conf"
	APT_CONFIG=$apt/archived.conf
	export APT_CONFIG
	update_from archive.debian.org
fi
