#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes a Debian package of programs that are built: scripts/deb.sh PROGRAMS OUTPUT-DIRECTORY
#
# What it depends on is what dpkg-shlibdeps (package dpkg-dev) finds in the programs. A package that was made on
# Debian 12 can be installed on Debian 13 too, not the other way round. The same programs and the same commit give
# the same bytes. DEB_COMPRESS and DEB_MAINTAINER are options of dpkg-deb and the field Maintainer.
set -eu
umask 022
programs=${1:?usage: deb.sh PROGRAMS OUTPUT}
out=${2:?usage: deb.sh PROGRAMS OUTPUT}
top=$(dirname "$(dirname "$(realpath "$0")")")
. "$top/scripts/release.sh"
command -v dpkg-shlibdeps >/dev/null || {
	echo "deb: apt-get install dpkg-dev" >&2
	exit 2
}
arch=$(dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage
# Where Debian's own packages put completions of zsh.
DESTDIR=$stage PREFIX=/usr ZSH_DIR=share/zsh/vendor-completions sh "$top/scripts/install.sh" "$programs"
doc=$stage/usr/share/doc/estats
gzip -9n "$stage"/usr/share/man/man1/*.1
mv "$doc/CHANGELOG.md" "$doc/changelog"
gzip -9n "$doc/changelog"
python3 "$top/scripts/notices.py" text >"$doc/THIRD-PARTY"
gzip -9n "$doc/THIRD-PARTY"
{
	echo "The sources of estats are under BSD-2-Clause or GPL-2.0-only. The programs of this package are given away"
	echo "under BSD-2-Clause. The packages that are linked into them have other licences: see THIRD-PARTY.gz."
	echo
	cat "$top/LICENSE"
} >"$doc/copyright"
rm "$doc/LICENSE" "$doc/LICENSE-GPL-2.0"

# It looks for a source package around it.
mkdir -p "$work/debian" "$stage/DEBIAN"
printf 'Source: estats\n\nPackage: estats\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$stage/usr/bin/estats-record" "$stage/usr/bin/estats-analyze" |
	sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || {
	echo "deb: dpkg-shlibdeps found no libraries" >&2
	exit 1
}
# In KiB, a directory as one: du counts directories as the file system has them.
size=$(find "$stage/usr" "$stage/etc" -printf '%y %s\n' |
	awk '{ kib += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print kib }')
cat >"$stage/DEBIAN/control" <<EOF
Package: estats
Version: $version
Architecture: $arch
Maintainer: ${DEB_MAINTAINER:-the estats authors <root@localhost>}
Installed-Size: $size
Depends: $depends
Section: net
Priority: optional
Description: TCP flight recorder for stock Linux kernels
 estats-record records with BPF what the kernel's TCP knows about every
 connection: the variables of RFC 4898 and Web10G. estats-analyze makes
 Parquet tables, summaries and reports of a recording, and says what each
 sender waited for.
EOF
# The unit is neither enabled nor started: recording is for who wants it.
echo /etc/estats/record.toml >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/postinst" <<'EOF'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
EOF
cat >"$stage/DEBIAN/prerm" <<'EOF'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl disable --now estats-record.service || true
fi
EOF
cp "$stage/DEBIAN/postinst" "$stage/DEBIAN/postrm"
chmod 755 "$stage/DEBIAN/postinst" "$stage/DEBIAN/prerm" "$stage/DEBIAN/postrm"
(cd "$stage" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$stage/DEBIAN/md5sums"
# dpkg-deb lowers times that are later, and leaves earlier ones.
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
deb=$out/estats_${version}_$arch.deb
# shellcheck disable=SC2086 # options
dpkg-deb --root-owner-group ${DEB_COMPRESS:--Zxz} --build "$stage" "$deb" >/dev/null
echo "$deb"
