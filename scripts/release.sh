# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What packages state of their sources; read by deb.sh and dist.sh, after `top` is set.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/Cargo.toml" | head -n 1)
# The commit's time, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
