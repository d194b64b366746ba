// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The messages of both programs, as the sources have them.

use std::fs;
use std::path::Path;

/// What a message follows in the sources: errors, and what the programs print on stderr.
const BEGINNINGS: [&str; 8] = [
    "#[error(",
    "bail!(",
    "anyhow!(",
    "eprintln!(",
    "say(",
    "say(&format!(",
    "reason: ",
    "let reason = ",
];

/// Sources in which every sentence is a message, wherever it stands.
const OF_MESSAGES: [&str; 32] = [
    "bin/record.rs",
    "lib.rs",
    "cli/compare.rs",
    "recordings/transform.rs",
    "recordings/transform/select.rs",
    "recordings/transform/merge.rs",
    "recordings/transform/merge/compatible.rs",
    "recordings/transform/anonymize.rs",
    "views/summary/condition.rs",
    "cli/cut.rs",
    "util/units.rs",
    "capture/cgroup.rs",
    "capture/function.rs",
    "capture/netns.rs",
    "capture/load/attach.rs",
    "capture/load/kernel.rs",
    "cli/advice.rs",
    "cli/arguments.rs",
    "cli/config.rs",
    "cli/explain.rs",
    "cli/import.rs",
    "cli/recording.rs",
    "cli/replay.rs",
    "cli/reread.rs",
    "capture/diag.rs",
    "capture/filter.rs",
    "capture/foreign.rs",
    "capture/listeners.rs",
    "capture/rest.rs",
    "capture/load/refused.rs",
    "capture/sight/namespaces.rs",
    "log/survey.rs",
];

/// Texts of these sources that no user sees: of a report, of a test of the recorder itself, of `--help`.
const NOT_SEEN: [&str; 7] = [
    "records lost",
    "missing hook",
    "kprobes counted both ways",
    "Example",
    "FILE is recognised",
    "not needed: ",
    "Connections that were open at the start or end",
];

/// Words of a sentence.
const SENTENCE: usize = 5;

/// Shorter parts are no message of their own: "{setting}: {reason}".
const LEAST: usize = 10;

/// A message of a program.
pub struct Message {
    /// File and line.
    pub place: String,
    /// As it stands in the source.
    pub text: String,
    /// Its longest part without a value.
    pub fixed: String,
}

/// Words with one blank between them, without what marks code and cells in Markdown.
pub fn words(text: &str) -> String {
    let text = text.replace(['`', '\\'], "").replace('|', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All messages of the sources below a directory, but those of tests.
pub fn all(dir: &Path) -> Vec<Message> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(inner) = dirs.pop() {
        let entries = fs::read_dir(&inner).expect("a directory");
        let mut entries: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let name = path.strip_prefix(dir).expect("below it").display().to_string();
                of_source(&name, &fs::read_to_string(&path).expect("a source"), &mut found);
            }
        }
    }
    found
}

fn of_source(name: &str, source: &str, found: &mut Vec<Message>) {
    let source = source.split("#[cfg(test)]").next().expect("a first part");
    let every = OF_MESSAGES.contains(&name);
    for (at, text) in literals(source) {
        let before = source[..at].trim_end();
        let before = before.strip_suffix("format!(").unwrap_or(before);
        let before = if before.ends_with("reason:") { &source[..at] } else { before };
        let is_message = BEGINNINGS.iter().any(|b| before.trim_end().ends_with(b.trim_end()))
            || of_ensure(before)
            || (every
                && text.split_whitespace().count() >= SENTENCE
                && !before.ends_with("expect("));
        let is_message = is_message && !NOT_SEEN.iter().any(|begin| text.starts_with(begin));
        if let Some(fixed) = fixed(&text).filter(|_| is_message) {
            let line = source[..at].lines().count();
            found.push(Message { place: format!("src/{name}:{line}"), text, fixed });
        }
    }
}

/// Whether this is what `ensure!` says: the condition stands before it.
fn of_ensure(before: &str) -> bool {
    let Some(at) = before.rfind("ensure!(") else { return false };
    let condition = &before[at..];
    condition.ends_with(',') && condition.lines().count() <= 3 && !condition.contains([';', '"'])
}

/// The texts of a source, with their places; those of comments are none.
fn literals(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut chars = source.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        match c {
            '/' if next == Some('/') => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            // '"' and '\'', which begin no text.
            '\'' if source[at..].starts_with("'\"'") => drop((chars.next(), chars.next())),
            '\'' if source[at..].starts_with("'\\") => drop((chars.next(), chars.next())),
            '"' => {
                let mut text = String::new();
                while let Some((_, c)) = chars.next() {
                    match (c, chars.peek().map(|(_, c)| *c)) {
                        ('"', _) => break,
                        ('\\', Some('\n')) => {
                            while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
                        }
                        ('\\', Some(escaped)) => {
                            text.push(if escaped == 'n' { ' ' } else { escaped });
                            chars.next();
                        }
                        (other, _) => text.push(other),
                    }
                }
                found.push((at, text));
            }
            _ => {}
        }
    }
    found
}

/// The longest part of a message that is always the same, if it is long enough to be looked for.
fn fixed(text: &str) -> Option<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                parts.push(String::new());
            }
            c if depth == 0 => parts.last_mut().expect("a part").push(c),
            _ => {}
        }
    }
    let parts = parts.iter().map(|part| {
        let part = part.trim_start_matches("estats-analyze: ");
        let part = part.trim_start_matches("estats-record: ");
        words(part.trim_matches([':', ';', ',', ' ', '(', ')']))
    });
    parts.max_by_key(String::len).filter(|part| part.len() >= LEAST && part.contains(' '))
}

/// A file that has another name would have no messages.
#[test]
fn sources_and_texts_of_the_lists_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for name in OF_MESSAGES {
        assert!(root.join(name).exists(), "{name}");
    }
    let (mut dirs, mut all) = (vec![root], String::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all += &fs::read_to_string(&path).expect("a source");
            }
        }
    }
    for begin in NOT_SEEN {
        assert!(all.contains(begin), "no source has {begin:?}");
    }
}
