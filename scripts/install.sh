#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs programs that are built, with man pages, completions, documents, a unit of systemd that is not enabled, and its
# options: scripts/install.sh PROGRAMS [remove]
#
#   PROGRAMS  the directory with estats-record and estats-analyze; nothing is built
#   remove    takes away what an installation at the same place has put there
#
# Variables: PREFIX (/usr/local), DESTDIR (what stands before it), STRIP (strip; `true` keeps symbols),
# ZSH_DIR (share/zsh/site-functions below PREFIX). The unit's options are in /etc/estats/record.toml, for another PREFIX
# than /usr and /usr/local in PREFIX/etc/estats. Options that somebody has changed are left alone.
set -eu
umask 022
programs=${1:?usage: install.sh PROGRAMS [remove]}
top=$(dirname "$(dirname "$(realpath "$0")")")
prefix=${PREFIX-/usr/local}
base=${DESTDIR:-}$prefix
case $prefix in
/usr | /usr/local) etc=/etc ;;
*) etc=$prefix/etc ;;
esac
options=${DESTDIR:-}$etc/estats/record.toml
units=$base/lib/systemd/system
zsh=$base/${ZSH_DIR:-share/zsh/site-functions}
bash=$base/share/bash-completion/completions
fish=$base/share/fish/vendor_completions.d
man=$base/share/man/man1
doc=$base/share/doc/estats
documents="README.md CHANGELOG.md LICENSE LICENSE-GPL-2.0"

if [ "${2:-}" = remove ]; then
	for program in estats-record estats-analyze; do
		rm -f "$base/bin/$program" "$man/$program.1" "$man/$program"-*.1 \
			"$bash/$program" "$zsh/_$program" "$fish/$program.fish"
	done
	for document in $documents; do rm -f "$doc/$document"; done
	rm -f "$units/estats-record.service"
	! cmp -s "$top/packaging/record.toml" "$options" || rm -f "$options"
	# The other directories belong to everybody.
	for own in "$doc" "$(dirname "$options")"; do
		[ ! -d "$own" ] || rmdir --ignore-fail-on-non-empty "$own"
	done
	exit 0
fi

for program in estats-record estats-analyze; do
	[ -x "$programs/$program" ] || {
		echo "install: there is no $programs/$program: run \`make release\` first, as an ordinary user" >&2
		exit 2
	}
done
mkdir -p "$base/bin" "$man" "$bash" "$zsh" "$fish" "$doc" "$units" "$(dirname "$options")"
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
for program in estats-record estats-analyze; do
	from=$programs/$program
	"$from" man "$pages"
	for shell in bash zsh fish; do "$from" completions $shell >"$pages/$program.$shell"; done
	install -m 644 "$pages/$program.bash" "$bash/$program"
	install -m 644 "$pages/$program.zsh" "$zsh/_$program"
	install -m 644 "$pages/$program.fish" "$fish/$program.fish"
	cp "$from" "$pages/$program"
	${STRIP:-strip} "$pages/$program"
	install -m 755 "$pages/$program" "$base/bin/$program"
done
install -m 644 "$pages"/*.1 "$man"
for document in $documents; do install -m 644 "$top/$document" "$doc/$document"; done
# A tree for an archive has no prefix, and is unpacked in /usr/local.
[ -n "$prefix" ] || etc=/usr/local/etc
sed -e "s|/usr/bin/estats-record|${prefix:-/usr/local}/bin/estats-record|" -e "s|/etc/estats|$etc/estats|" \
	"$top/packaging/estats-record.service" >"$pages/estats-record.service"
install -m 644 "$pages/estats-record.service" "$units/estats-record.service"
[ -e "$options" ] || install -m 644 "$top/packaging/record.toml" "$options"
