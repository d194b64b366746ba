#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# get.sh VERSION: the path of a program that is Debian's clang of that version (14, 19, ...), fetched when
# it is not in the cache ($ESTATS_CLANG_CACHE, default target/clang). Nothing is installed and root is not
# needed: apt works on sources and lists of its own.
#
# Debian has most versions in one release only. Each is therefore unpacked with all the libraries of its
# own release, and started by the dynamic loader of that release. That also works where the machine's C
# library is older.
set -eu
version=${1:?usage: get.sh VERSION}
cd "$(dirname "$0")/../.."
cache=$(realpath -m "${ESTATS_CLANG_CACHE:-target/clang}")
program=$cache/clang-$version
if [ -x "$program" ]; then
	echo "$program"
	exit 0
fi
# The oldest release that has it.
case $version in
13 | 14 | 15 | 16 | 19) release=bookworm ;;
17 | 18 | 21 | 22) release=trixie ;;
*) release=sid ;;
esac
repositories="debian:$release"
[ "$release" = sid ] ||
	repositories="$repositories debian:$release-backports debian-security:$release-security"
PATH=$PATH:/usr/sbin:/sbin
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

apt=$cache/apt-$release
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/installed"
for repository in $repositories; do
	echo "deb [arch=amd64 signed-by=$keyring] http://deb.debian.org/${repository%:*} ${repository#*:} main"
done >"$apt/sources.list"
ours() { # ours ARGUMENTS...: apt-get on our own lists, as on a machine that has no package yet
	apt-get -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/installed" \
		-o Dir::Cache="$apt" -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root -o APT::Architecture=amd64 -o APT::Architectures=amd64 "$@"
}
ours update -o APT::Update::Error-Mode=any >&2
# The program, its own headers and shared libraries; not what only linking or C++ needs.
packages=$(ours install --simulate --no-install-recommends "clang-$version" |
	sed -n 's/^Inst \([^ ]*\).*/\1/p' |
	grep -E "^(clang-$version|libclang-common-$version-dev|libc6|lib.*)\$" |
	grep -vE '^lib(stdc\+\+|gcc|c6|crypt|objc|tsan|asan|lsan|ubsan|hwasan|itm|quadmath).*-dev|-dev-bin$')
new=$cache/$version.new
rm -rf "$new" "$cache/$version"
mkdir -p "$new"
# shellcheck disable=SC2086 # names without spaces
(cd "$new" && ours download $packages >&2)
for archive in "$new"/*.deb; do dpkg -x "$archive" "$new"; done
rm "$new"/*.deb
mv "$new" "$cache/$version"

root=$cache/$version
loader=$(find "$root" -name ld-linux-x86-64.so.2 -type f | head -n 1)
resources=$(find "$root/usr/lib/llvm-$version/lib/clang" -mindepth 1 -maxdepth 1 -type d | head -n 1)
libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu:$root/usr/lib/llvm-$version/lib
cat >"$program.new" <<END
#!/bin/sh
exec "$loader" --library-path "$libraries" "$root/usr/lib/llvm-$version/bin/clang" \\
	-resource-dir "$resources" "\$@"
END
chmod +x "$program.new"
"$program.new" --version >&2
mv "$program.new" "$program"
echo "$program"
