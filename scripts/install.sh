#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs programs that are built, with man pages, completions and documents: scripts/install.sh PROGRAMS [remove]
#
#   PROGRAMS  the directory with estats-record and estats-analyze; nothing is built
#   remove    takes away what an installation at the same place has put there
#
# Variables: PREFIX (/usr/local), DESTDIR (what stands before it), STRIP (strip; `true` keeps symbols),
# ZSH_DIR (share/zsh/site-functions below PREFIX).
set -eu
umask 022
programs=${1:?usage: install.sh PROGRAMS [remove]}
top=$(dirname "$(dirname "$(realpath "$0")")")
base=${DESTDIR:-}${PREFIX-/usr/local}
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
	# The other directories belong to everybody.
	[ ! -d "$doc" ] || rmdir --ignore-fail-on-non-empty "$doc"
	exit 0
fi

for program in estats-record estats-analyze; do
	[ -x "$programs/$program" ] || {
		echo "install: there is no $programs/$program: run \`make release\` first, as an ordinary user" >&2
		exit 2
	}
done
mkdir -p "$base/bin" "$man" "$bash" "$zsh" "$fish" "$doc"
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
