// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! SIGHUP: the file with options is read again. What can change while recording is applied, and what cannot is named.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use estats::log::WriterOptions;

use super::arguments::RecordArguments;
use super::config::{Given, Mistake, Parsed};

/// Keys that bound the recording.
const BOUNDS: [&str; 3] = ["keep", "max-size", "rotate"];
/// Keys of the file of metrics.
const METRICS: [&str; 2] = ["metrics", "metrics-interval"];

/// How a command line is read again.
type Read = fn(&[OsString]) -> Result<Parsed<RecordArguments>, Mistake>;

/// What is in force, and where it came from.
#[derive(Debug)]
pub struct Reread {
    line: Vec<OsString>,
    file: Option<PathBuf>,
    given: Given,
    read: Read,
}

/// What is new.
#[derive(Debug, Default)]
pub struct News {
    /// New bounds of the recording.
    pub log: Option<WriterOptions>,
    /// Options with another file of metrics.
    pub metrics: Option<RecordArguments>,
    /// The report for the user, in one sentence.
    pub words: String,
}

impl Reread {
    /// For what was read of this command line.
    pub fn new(line: Vec<OsString>, file: Option<PathBuf>, given: Given, read: Read) -> Self {
        Self { line, file, given, read }
    }

    /// Reads the file again, while `log` is in force.
    pub fn again(&mut self, log: &WriterOptions) -> News {
        let Some(file) = self.file.as_ref().map(|file| file.display().to_string()) else {
            let words = "SIGHUP is ignored: there is no file with options (--config) to read again";
            return News { words: words.to_owned(), ..News::default() };
        };
        let Parsed { options, given, .. } = match (self.read)(&self.line) {
            Ok(parsed) => parsed,
            Err(mistake) => {
                let why = match mistake {
                    Mistake::File(why) => why,
                    Mistake::Line(e) => sentence(&e.to_string()),
                };
                let words = format!("the recording goes on with the options that it had: {why}");
                return News { words, ..News::default() };
            }
        };
        let keys: BTreeSet<String> = self.given.keys().chain(given.keys()).cloned().collect();
        let changed = keys.into_iter().filter(|key| self.given.get(key) != given.get(key));
        // Without a bound at the beginning a recording has no key frames, and could not lose its oldest segments.
        let new = options.log();
        let can_bound = new.is_bounded() == log.is_bounded();
        let (now, later): (Vec<String>, Vec<String>) = changed.partition(|key| {
            METRICS.contains(&key.as_str()) || (can_bound && BOUNDS.contains(&key.as_str()))
        });
        for key in &now {
            match given.get(key) {
                Some(words) => drop(self.given.insert(key.clone(), words.clone())),
                None => drop(self.given.remove(key)),
            }
        }
        let has = |keys: &[&str]| now.iter().any(|key| keys.contains(&key.as_str()));
        let mut parts = Vec::new();
        if !now.is_empty() {
            parts.push(format!("changed now: {}", now.join(", ")));
        }
        if !later.is_empty() {
            parts.push(format!("not before the recorder is started again: {}", later.join(", ")));
        }
        if parts.is_empty() {
            parts.push("nothing has changed".to_owned());
        }
        News {
            log: has(&BOUNDS).then_some(new),
            words: format!("the options in {file} were read again; {}", parts.join("; ")),
            metrics: has(&METRICS).then_some(options),
        }
    }
}

/// The first paragraph of a text of clap.
fn sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
