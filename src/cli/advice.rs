// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What both programs add to errors of the library: the library names the cause, and here is which flag
//! helps.

use estats::log::LogError;

/// What to do about it, where a flag helps.
pub fn log(error: &LogError) -> Option<&'static str> {
    match error {
        LogError::OutputExists(_) => Some("remove it or choose another with -o"),
        LogError::DiskFull { made: true, .. } => {
            Some("free some space, or choose another directory with -o, and run it again")
        }
        LogError::DiskFull { made: false, .. } => {
            Some("free some space, or bound the recording with --max-size")
        }
        LogError::Io { .. }
        | LogError::NotARecording(_)
        | LogError::NotAFile(_)
        | LogError::Manifest { .. }
        | LogError::UnknownVersion { .. }
        | LogError::Corrupt { .. }
        | LogError::Encode { .. } => None,
    }
}

/// The error, and what to do about it.
pub fn with(error: &impl ToString, advice: Option<&str>) -> String {
    let error = error.to_string();
    advice.map_or_else(|| error.clone(), |advice| format!("{error}; {advice}"))
}
