// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What `--version` prints. Recordings and tables have the version alone.

use std::sync::LazyLock;

/// The version, and the commit if the build knew one (build.rs).
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("ESTATS_REVISION") {
        Some(revision) if !revision.is_empty() => format!("{version} ({revision})"),
        _ => version.to_owned(),
    }
});
