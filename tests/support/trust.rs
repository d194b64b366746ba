// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The tables of conditions in docs/trust.md and docs/limits.md. A test tries a condition and states the
//! contents of the row under it; the document must have the same. `BLESS=1` writes the row.

use std::fs;
use std::panic::Location;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The table stands between these two lines.
const BEGIN: &str = "<!-- conditions -->";
const END: &str = "<!-- end of conditions -->";

/// Tests of one binary run at the same time: no one reads the document while another one writes it.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// A document with a table of conditions. The first column is the condition, and the last the test.
pub struct Page {
    /// Relative to the package.
    pub path: &'static str,
    columns: &'static [&'static str],
}

/// The contents of the recording and its rows under a condition.
pub const TRUST: Page = Page {
    path: "docs/trust.md",
    columns: &["condition", "what the recording and its rows say", "test"],
};

/// Which cause a sender is limited by, and the share of the connection's life that it has at least.
pub const LIMITS: Page =
    Page { path: "docs/limits.md", columns: &["condition", "limited_by", "at least", "test"] };

/// States what the program reported under a condition, in the words of docs/trust.md. Build `says`
/// from what the program really reported, so that the document cannot differ from it.
///
/// # Panics
/// If the document has something else, or no such row.
#[track_caller]
pub fn says(condition: &str, says: &str) {
    TRUST.says(condition, &[says]);
}

impl Page {
    /// The same with a cell for each column between the condition and the test.
    ///
    /// # Panics
    /// If the document has something else, or no such row.
    #[track_caller]
    pub fn says(&self, condition: &str, cells: &[&str]) {
        let file = Location::caller().file();
        let test = format!("`{file}`");
        let cells: Vec<&str> =
            [condition].into_iter().chain(cells.iter().copied()).chain([&*test]).collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        for text in &cells {
            assert!(!text.contains(['|', '\n']), "no cell of a table: {text:?}");
        }
        let row = line(&cells);
        let _guard = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.path);
        let mut text = fs::read_to_string(&path).expect(self.path);
        if std::env::var_os("BLESS").is_some() {
            let mut all: Vec<String> = rows(&text).map(str::to_owned).collect();
            all.retain(|r| !r.starts_with(&format!("| {condition} |")));
            all.push(row.clone());
            all.sort();
            let (before, rest) = text.split_once(BEGIN).expect("the table's begin");
            let (_, after) = rest.split_once(END).expect("the table's end");
            let head = format!("{}\n|{}\n", line(self.columns), "---|".repeat(self.columns.len()));
            let table = all.iter().fold(head, |t, row| t + row + "\n");
            text = format!("{before}{BEGIN}\n\n{table}\n{END}{after}");
            fs::write(&path, &text).expect("the document can be written");
        }
        assert!(
            rows(&text).any(|r| r == row),
            "{} does not have this row; BLESS=1 writes it:\n{row}",
            self.path
        );
    }

    /// The document.
    pub fn text(&self) -> String {
        let _guard = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.path);
        fs::read_to_string(path).expect(self.path)
    }

    /// The cells of each row.
    ///
    /// # Panics
    /// If a row has more or fewer cells than there are columns.
    pub fn cells<'a>(&self, text: &'a str) -> Vec<Vec<&'a str>> {
        let cells = |row: &'a str| -> Vec<&'a str> {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), self.columns.len(), "{row}");
            cells
        };
        rows(text).map(cells).collect()
    }
}

fn line(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The rows of the table, without its head.
fn rows(text: &str) -> impl Iterator<Item = &str> {
    let table = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    table.map_or("", |(table, _)| table).lines().filter(|l| l.starts_with("| ")).skip(1)
}
