// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Times on the command line. Part of both programs.

use std::time::Duration;

use estats::util::units;

/// A time that is not 0.
pub fn duration(text: &str) -> Result<Duration, String> {
    match units::time(text) {
        Ok(Duration::ZERO) => Err("it must be longer than 0, as 500ms, 30s, 10m or 2h".to_owned()),
        _ => units::duration(text),
    }
}
