// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Sentences on standard error. Where that is the journal of systemd, each line has a priority before it
//! (sd-daemon(3)), so that warnings are found as warnings.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use estats::util::visible;

/// Takes what is on the terminal's line away.
pub const CLEAR: &str = "\r\x1b[K";

/// Priorities of syslog(3).
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFORMATION: u8 = 6;

/// Says what goes on.
pub fn say(text: &str) {
    write(text, INFORMATION);
}

/// Says what may be missing, or is not as it was asked for.
pub fn warn(text: &str) {
    write(text, WARNING);
}

/// Says why there is no recording, or no more of it.
pub fn fail(text: &str) {
    write(text, ERROR);
}

/// Writes to standard error. A closed standard error does not end the recording, as a panic of
/// `eprintln!` would.
fn write(text: &str, priority: u8) {
    let _ = std::io::stderr().write_all(line(text, is_journal().then_some(priority)).as_bytes());
}

/// Control characters of others are made visible: of ours there is only the sequence that clears the status line.
fn line(text: &str, priority: Option<u8>) -> String {
    let (own, text) = text.strip_prefix(CLEAR).map_or(("", text), |text| (CLEAR, text));
    let text = visible::lines(text);
    match priority {
        Some(priority) => text.lines().map(|line| format!("<{priority}>{line}\n")).collect(),
        None => format!("{own}{text}"),
    }
}

/// Whether standard error is the journal: systemd names it by its device and its inode.
fn is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IS_JOURNAL.get_or_init(|| {
        let stream = std::env::var("JOURNAL_STREAM").ok();
        let stderr = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
        let own = stderr.and_then(|stderr| stderr.metadata()).ok();
        let own = own.map(|found| format!("{}:{}", found.dev(), found.ino()));
        stream.is_some() && stream == own
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_journal_has_its_priority() {
        assert_eq!(line("one\ntwo\n", Some(WARNING)), "<4>one\n<4>two\n");
        assert_eq!(line(&format!("{CLEAR}one\x1b[m\n"), Some(ERROR)), "<3>one\\x1b[m\n");
        assert_eq!(line(&format!("{CLEAR}one\x1b[m\n"), None), format!("{CLEAR}one\\x1b[m\n"));
        assert_eq!(line("00:01", None), "00:01");
    }
}
