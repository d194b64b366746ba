#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Builds the manual into target/book with the mdbook given: scripts/book.sh MDBOOK
#
# A book has pages only. A link to another file of the repository becomes its text and the file's name.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
source=$target/book-source
rm -rf "$source"
mkdir -p "$source"
cp docs/*.png "$source"
for page in docs/*.md; do
	sed 's#\[\([^]]*\)\](\.\./\([^)]*\))#\1 (`\2` in the repository)#g' "$page" >"$source/${page#docs/}"
done
# A link whose text goes over two lines.
if grep -n '](\.\./' "$source"/*.md; then
	echo "book: write these links in one line" >&2
	exit 1
fi
MDBOOK_BOOK__SRC=$source MDBOOK_BUILD__BUILD_DIR=$target/book "$1" build
echo "$target/book/index.html"
