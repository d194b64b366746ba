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

# A check that finds nothing to check would pass whatever the tree has: it must find so much at least.
# Arguments: what it looks for, how many there must be, and what it found, one a line.
found() {
	[ "$(printf '%s\n' "$3" | grep -c .)" -ge "$2" ] ||
		complain "fewer than $2 $1 as this script looks for them: it checks nothing"
}

# Every relative link of a document leads somewhere.
# Parts of documents under tests/ stand elsewhere when they are read.
docs=$(git ls-files '*.md' ':!third_party' ':!tests')
found documents 20 "$docs"
all=$(for doc in $docs; do grep -oE '\]\([^)]+\)' "$doc" || true; done)
found links 80 "$all"
for doc in $docs; do
	grep -oE '\]\([^)]+\)' "$doc" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '://' | while read -r link; do
		[ -e "$(dirname "$doc")/$link" ] || echo "$doc: no $link"
	done || true
done >"$links"
while read -r line; do complain "$line"; done <"$links"

# Everything that programs are attached to is named in docs/impact.md, every command in the manual.
hooks=$(grep -oE '(Function|Tracepoint|Iterator)\("[a-z_0-9]+"' src/capture/points.rs |
	sed 's/.*"\(.*\)"/\1/' | sort -u)
found 'hooks in src/capture/points.rs' 20 "$hooks"
# Programs of cgroups and interfaces stand there as their sections are named, between grave accents.
sections=$(grep -hoE 'SEC\("(cgroup[a-z_0-9]*/[a-z_0-9]+|tc/[a-z_0-9]+|sockops)"\)' bpf/*.c |
	sed 's/.*"\(.*\)".*/\1/' | sort -u)
found 'programs of cgroups and interfaces in bpf' 6 "$sections"
# Arguments: a document. What it must name and does not name.
unnamed() {
	for hook in $hooks; do
		grep -qw "$hook" "$1" || echo "$hook"
	done
	for section in $sections; do
		grep -qF "\`$section\`" "$1" || echo "$section"
	done
}
for hook in $(unnamed docs/impact.md); do
	complain "docs/impact.md does not name $hook"
done
# The check finds what is missing.
for hook in tcp_probe tc/egress cgroup/sock_create; do
	sed "s|$hook||g" docs/impact.md >"$links"
	[ "$(unnamed "$links")" = "$hook" ] || complain "a document without $hook is not found to lack it"
done
# The man pages' own command is hidden.
commands=$(sed -n '/^enum Command {/,/^}/p' src/cli/mod.rs | grep -oE '^    [A-Z][A-Za-z]+' |
	sed 's/ //g; s/\([a-z]\)\([A-Z]\)/\1-\2/g' | tr '[:upper:]' '[:lower:]' | grep -vx man || true)
found 'commands in src/cli/mod.rs' 15 "$commands"
for command in $commands; do
	grep -q "^    estats-analyze $command" docs/*.md || complain "docs/ does not show estats-analyze $command"
done

# Every source names its licence in one of its first lines. Others' files have their own words.
sources=$(git ls-files '*.rs' '*.c' '*.h' '*.sh' '*.py' '*.js' '*.css' '*.html' '*.toml' '*requirements*.txt' \
	Makefile .ci/run .clang-format .gitignore scripts/guest/init ':!third_party')
found sources 400 "$sources"
for source in $sources; do
	head -n 3 "$source" | grep -q 'SPDX-License-Identifier: ' || complain "$source names no licence"
done

# A source that is in nobody's clone compiles here alone.
strays=$(git ls-files --others --exclude-standard -- '*.rs' '*.c' '*.h' '*.sh' '*.py')
[ -z "$strays" ] || complain "not in the repository: $strays"

# A map that is long is not read.
[ "$(wc -w <ARCHITECTURE.md)" -lt 3000 ] || complain "ARCHITECTURE.md has 3,000 words or more"
[ "$(wc -w <README.md)" -le 900 ] || complain "README.md has more than 900 words: the manual in docs/ has room"

# Nothing is left half done.
found 'sources in which words are looked for' 400 "$(git ls-files '*.rs' '*.c' '*.h' '*.sh')"
left=$(git grep -nE 'todo!\(|unimplemented!\(|FIXME|XXX' -- '*.rs' '*.c' '*.h' '*.sh' ':!scripts/check-text.sh' || true)
[ -z "$left" ] || complain "left open: $left"
exit $status
