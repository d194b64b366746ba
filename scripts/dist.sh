#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes a tar file of programs that are built: scripts/dist.sh PROGRAMS OUTPUT-DIRECTORY
#
# It has what `make install` installs, the licences of the packages that are linked into the programs, and an SBOM.
# The same programs and the same commit give the same bytes: SOURCE_DATE_EPOCH is the commit's time if it is not set.
set -eu
umask 022
programs=${1:?usage: dist.sh PROGRAMS OUTPUT}
out=${2:?usage: dist.sh PROGRAMS OUTPUT}
top=$(dirname "$(dirname "$(realpath "$0")")")
. "$top/scripts/release.sh"
name=estats-$version-$(uname -m)-linux

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage/$name PREFIX='' sh "$top/scripts/install.sh" "$programs"
doc=$stage/$name/share/doc/estats
python3 "$top/scripts/notices.py" text >"$doc/THIRD-PARTY"
python3 "$top/scripts/notices.py" sbom >"$doc/estats.cdx.json"

mkdir -p "$out"
tar -C "$stage" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
	--mode=u+rwX,go+rX,go-w -cf "$stage/$name.tar" "$name"
# Without a name and a time of its own.
gzip -n "${DIST_LEVEL:--9}" <"$stage/$name.tar" >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "$out/$name.tar.gz"
