#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Tries what `make install`, `make dist` and `make deb` make: scripts/packages.sh [RELEASE...]
#
#   RELEASE   bookworm, trixie, ...: the package is installed in a clean root of this Debian release, its programs
#             run there on this machine's kernel, and it is removed again (as root, with debootstrap)
#
# Nothing is built: the programs are those in $PROGRAMS, by default target/debug. The clean root is kept as
# $ESTATS_ROOTS/RELEASE-clean (target/roots), and each trial has a copy of it.
set -eu
top=$(dirname "$(dirname "$(realpath "$0")")")
programs=$(realpath "${PROGRAMS:-${CARGO_TARGET_DIR:-$top/target}/debug}")
roots=$(realpath -m "${ESTATS_ROOTS:-$top/target/roots}")
PATH=$PATH:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

if [ $# -gt 0 ] && [ "$(id -u)" != 0 ]; then
	echo "packages: not tried in a clean $*: a root of Debian needs root" >&2
	[ "${ESTATS_REQUIRE_LIVE:-}" != 1 ] || exit 2
	set --
fi
if [ $# -gt 0 ] && [ -z "${ESTATS_IN_NAMESPACE:-}" ]; then
	export ESTATS_IN_NAMESPACE=1
	# What is mounted below is gone when this ends.
	exec unshare --mount --propagation private sh "$0" "$@"
fi
fail() {
	echo "packages: $1" >&2
	exit 1
}
work=$(mktemp -d)
bootstraps=
# /sys of this machine is mounted in a root while its package is tried: nothing is deleted before it is unmounted, and never
# in another file system.
cleanup() {
	for pid in $bootstraps; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	for at in "$work"/*/dev "$work"/*/sys "$work"/*/proc; do
		! mountpoint -q "$at" || umount -l "$at" || return 0
	done
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Roots are made while the files are.
for release; do
	[ -e "$roots/$release-clean/ready" ] || {
		new=$roots/$release-clean.new
		rm -rf --one-file-system "$new"
		mkdir -p "$roots"
		debootstrap --variant=minbase --include=ca-certificates "$release" "$new" >"$work/$release.log" 2>&1 &&
			mv "$new" "$roots/$release-clean" && touch "$roots/$release-clean/ready"
	} &
	bootstraps="$bootstraps $!"
done

echo "packages: install and uninstall" >&2
DESTDIR=$work/tree sh "$top/scripts/install.sh" "$programs"
"$work/tree/usr/local/bin/estats-analyze" --version
for file in bin/estats-record share/man/man1/estats-analyze-summary.1 share/doc/estats/LICENSE \
	share/bash-completion/completions/estats-record share/zsh/site-functions/_estats-analyze \
	share/fish/vendor_completions.d/estats-record.fish; do
	[ -s "$work/tree/usr/local/$file" ] || fail "make install lacks $file"
done
[ -s "$work/tree/etc/estats/record.toml" ] || fail "make install lacks the options of the unit"
grep -q 'exec /usr/local/bin/estats-record --config /etc/estats/record.toml ' \
	"$work/tree/usr/local/lib/systemd/system/estats-record.service" || fail "the unit starts another program"
[ "$(stat -c %a "$work/tree/usr/local/bin/estats-record")" = 755 ] || fail "a program has other permissions than 755"
# Options that somebody has changed are theirs.
options=$work/tree/etc/estats/record.toml
echo '# changed' >>"$options"
DESTDIR=$work/tree sh "$top/scripts/install.sh" "$programs"
grep -q '^# changed' "$options" || fail "make install replaces options"
DESTDIR=$work/tree sh "$top/scripts/install.sh" "$programs" remove
[ -e "$options" ] || fail "make uninstall takes changed options"
cp "$top/packaging/record.toml" "$options"
touch "$work/tree/usr/local/bin/estats-of-another"
DESTDIR=$work/tree sh "$top/scripts/install.sh" "$programs" remove
left=$(find "$work/tree" ! -type d)
[ "$left" = "$work/tree/usr/local/bin/estats-of-another" ] || fail "make uninstall leaves or takes: $left"

# Fast compression: these files are thrown away.
export DIST_LEVEL=-1 DEB_COMPRESS="-Zgzip -z1"
echo "packages: dist and deb, twice" >&2
for time in 1 2; do
	# Nothing of the surroundings gets into them.
	(umask 0$time$time && TZ=UTC-$time sh "$top/scripts/dist.sh" "$programs" "$work/$time" >/dev/null)
	(umask 0$time$time && TZ=UTC-$time sh "$top/scripts/deb.sh" "$programs" "$work/$time" >/dev/null)
done
for file in "$work"/1/*; do
	cmp "$file" "$work/2/${file##*/}" || fail "${file##*/} has other bytes the second time"
done
tar -xzf "$work"/1/estats-*-linux.tar.gz -C "$work"
dist=$(echo "$work"/estats-*-linux)
"$dist/bin/estats-record" --version
python3 - "$dist/share/doc/estats" "$top/Cargo.lock" <<'EOF'
import json, os, sys, tomllib

documents, lock = sys.argv[1:]
with open(os.path.join(documents, "estats.cdx.json")) as file:
    sbom = json.load(file)
with open(lock, "rb") as file:
    locked = {(package["name"], package["version"]) for package in tomllib.load(file)["package"]}
with open(os.path.join(documents, "THIRD-PARTY")) as file:
    words = file.read()
assert sbom["bomFormat"] == "CycloneDX" and sbom["metadata"]["component"]["name"] == "estats"
found = {(part["name"], part["version"]) for part in sbom["components"]}
assert found <= locked and {"parquet", "libbpf-sys", "zstd-sys"} <= {name for name, _ in found}, found
# Of SQL, of builds and of tests: not in these programs.
assert not {"polars", "libbpf-cargo", "proptest"} & {name for name, _ in found}, found
refs = {part["bom-ref"] for part in sbom["components"]} | {sbom["metadata"]["component"]["bom-ref"]}
for entry in sbom["dependencies"]:
    assert entry["ref"] in refs and set(entry["dependsOn"]) <= refs, entry
for part in sbom["components"]:
    assert part["licenses"][0]["expression"] and part["hashes"], part
    assert f"\n{part['name']} {part['version']}: " in words, part["name"]
# Vendored C sources, and what the report's pages have, too.
assert "uplot (third_party/uplot)" in words
assert "Meta Platforms" in words or "Facebook" in words
print(f"packages: {len(found)} components", file=sys.stderr)
EOF
wait
bootstraps=

# What is not there before and after, but for what apt and dpkg write about themselves.
files() {
	(cd "$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/lib/apt \
		-o -path ./var/cache -o -path ./var/log -o -path ./var/lib/dpkg \) -prune -o -print | LC_ALL=C sort)
}
for release; do
	[ -e "$roots/$release-clean/ready" ] || {
		cat "$work/$release.log" >&2
		fail "debootstrap failed"
	}
	root=$work/$release
	cp -a "$roots/$release-clean" "$root"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	# Those that an administrator added, such as a proxy's, without which nothing can be downloaded.
	[ ! -d /usr/local/share/ca-certificates ] ||
		cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates"
	chroot "$root" update-ca-certificates >/dev/null 2>&1
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	# Devices of its own: the machine's are not within reach.
	mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
	mknod -m 666 "$root/dev/null" c 1 3
	mknod -m 666 "$root/dev/zero" c 1 5
	mknod -m 666 "$root/dev/full" c 1 7
	mknod -m 666 "$root/dev/random" c 1 8
	mknod -m 666 "$root/dev/urandom" c 1 9
	mknod -m 666 "$root/dev/tty" c 5 0
	cp "$work"/1/*.deb "$root/tmp"
	cp -r "$top/testdata/loss-audited/run" "$root/tmp/run1"
	within() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }
	within apt-get update -qq
	files "$root" >"$work/before"
	within sh -c 'apt-get install -y -qq --no-install-recommends /tmp/estats_*.deb' >"$work/apt" 2>&1 ||
		fail "$release: $(cat "$work/apt")"
	within estats-record --version
	within estats-analyze summary /tmp/run1 | tail -n 1 | grep -q '^audit: ' || fail "$release: no summary"
	# It says that this kernel can be recorded, if it says so outside.
	if "$programs/estats-record" check >/dev/null 2>&1; then
		within estats-record check >"$work/check" 2>&1 || fail "$release: $(cat "$work/check")"
		head -n 3 "$work/check"
	elif [ "${ESTATS_REQUIRE_LIVE:-}" = 1 ]; then
		fail "estats-record check fails on this machine"
	else
		echo "packages: estats-record check is not tried: it fails on this machine" >&2
	fi
	within apt-get purge -y -qq --autoremove estats >"$work/apt" 2>&1 || fail "$release: $(cat "$work/apt")"
	files "$root" >"$work/after"
	diff "$work/before" "$work/after" || fail "$release: removing the package leaves files"
	umount -l "$root/proc" "$root/sys" "$root/dev"
	echo "packages: $release: installed, run and removed" >&2
done
