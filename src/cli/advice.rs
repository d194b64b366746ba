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
        LogError::NotARecording(_) => Some("give the directory estats-record made"),
        LogError::NotAFile(_) => Some("remove it, or copy the file here"),
        LogError::UnknownVersion { .. } => Some("use a newer estats-analyze"),
        LogError::Corrupt { .. } => Some("`estats-analyze verify` shows what is affected"),
        LogError::Encode { .. } => Some(DEFECT),
        LogError::Io { .. } | LogError::Manifest { .. } => None,
    }
}

/// For errors that cannot be unless a program is wrong.
pub const DEFECT: &str = "this is a defect of estats, please report it";

/// For [`estats::UNFIT_MACHINE`].
pub const UNFIT: &str = "copy the recording to a little-endian machine, such as x86-64 or arm64";

/// The error, and what to do about it. Lines after the first are words of others.
pub fn with(error: &impl ToString, advice: Option<&str>) -> String {
    let error = error.to_string();
    let Some(advice) = advice else { return error };
    match error.split_once('\n') {
        Some((first, rest)) => format!("{first}; {advice}\n{rest}"),
        None => format!("{error}; {advice}"),
    }
}
