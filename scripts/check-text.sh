#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What no compiler checks: links between documents, names that a document must have, leftovers.
set -eu
cd "$(dirname "$0")/.."
status=0
links=$(mktemp)
trap 'rm -f "$links"' EXIT
complain() {
	echo "check-text: $1" >&2
	status=1
}

# Every relative link of a document leads somewhere.
for doc in *.md docs/*.md testdata/*.md testdata/*/*.md; do
	[ -e "$doc" ] || continue
	grep -oE '\]\([^)]+\)' "$doc" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '://' | while read -r link; do
		[ -e "$(dirname "$doc")/$link" ] || echo "$doc: no $link"
	done || true
done >"$links"
while read -r line; do complain "$line"; done <"$links"

# Everything that programs are attached to is named in docs/impact.md, every command in the README.
hooks=$(grep -oE '(Function|Tracepoint|Iterator)\("[a-z_0-9]+"' src/capture/points.rs |
	sed 's/.*"\(.*\)"/\1/' | sort -u)
# A pattern that matches nothing checks nothing.
[ "$(echo "$hooks" | wc -l)" -gt 20 ] || complain "src/capture/points.rs has no hooks as this script reads them"
for hook in $hooks; do
	grep -qw "$hook" docs/impact.md || complain "docs/impact.md does not name $hook"
done
for command in replay info verify summary variables audit report diff; do
	grep -q "estats-analyze $command" README.md || complain "README.md does not show estats-analyze $command"
done

# Every source names its licence in one of its first lines. Others' files have their own words.
sources=$(git ls-files '*.rs' '*.c' '*.h' '*.sh' '*.py' '*.js' '*.css' Makefile .ci/run ':!third_party')
[ "$(echo "$sources" | wc -l)" -gt 400 ] || complain "git lists no sources as this script asks for them"
for source in $sources; do
	head -n 3 "$source" | grep -q 'SPDX-License-Identifier: ' || complain "$source names no licence"
done

# A source that is in nobody's clone compiles here alone.
strays=$(git ls-files --others --exclude-standard -- '*.rs' '*.c' '*.h' '*.sh' '*.py')
[ -z "$strays" ] || complain "not in the repository: $strays"

# Nothing is left half done.
left=$(git grep -nE 'todo!\(|unimplemented!\(|FIXME|XXX' -- '*.rs' '*.c' '*.h' '*.sh' ':!scripts/check-text.sh' || true)
[ -z "$left" ] || complain "left open: $left"
exit $status
