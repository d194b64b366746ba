#!/bin/sh
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

# Every hook of the schema stands in the blast radius, every command in the README.
for hook in $(sed -n 's/.*section: "\(.*\)",/\1/p' src/capture/points.rs | sort -u); do
	grep -q "$hook" docs/impact.md || complain "docs/impact.md does not name $hook"
done
for command in replay info verify summary variables audit report diff; do
	grep -q "estats-analyze $command" README.md || complain "README.md does not show estats-analyze $command"
done

# Nothing is left half done.
left=$(git grep -nE 'todo!\(|unimplemented!\(|FIXME|XXX' -- '*.rs' '*.c' '*.h' '*.sh' ':!scripts/check-text.sh' || true)
[ -z "$left" ] || complain "left open: $left"
exit $status
