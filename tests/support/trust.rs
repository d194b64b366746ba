// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The table of conditions in docs/trust.md. A test tries a condition and states what the row of the
//! tables says under it; the document has to say the same. `BLESS=1` writes the document's row.

use std::fs;
use std::panic::Location;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The table stands between these two lines.
const BEGIN: &str = "<!-- conditions -->";
const END: &str = "<!-- end of conditions -->";
const HEAD: &str = "| condition | what the recording and its rows say | test |\n|---|---|---|\n";

/// Tests of one binary run at the same time.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// States what the program reported under a condition, in the words of docs/trust.md. Build `says`
/// from what the program really reported, so that the document cannot differ from it.
///
/// # Panics
/// If the document says something else, or has no such row.
#[track_caller]
pub fn says(condition: &str, says: &str) {
    let file = Location::caller().file();
    for text in [condition, says] {
        assert!(!text.contains(['|', '\n']), "no cell of a table: {text:?}");
    }
    let row = format!("| {condition} | {says} | `{file}` |");
    let _guard = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trust.md");
    let mut text = fs::read_to_string(&path).expect("docs/trust.md");
    if std::env::var_os("BLESS").is_some() {
        let mut rows: Vec<String> = rows(&text).map(str::to_owned).collect();
        rows.retain(|r| !r.starts_with(&format!("| {condition} |")));
        rows.push(row.clone());
        rows.sort();
        let (before, rest) = text.split_once(BEGIN).expect("the table's begin");
        let (_, after) = rest.split_once(END).expect("the table's end");
        let table = rows.iter().fold(HEAD.to_owned(), |t, row| t + row + "\n");
        text = format!("{before}{BEGIN}\n\n{table}\n{END}{after}");
        fs::write(&path, &text).expect("docs/trust.md can be written");
    }
    assert!(
        rows(&text).any(|r| r == row),
        "docs/trust.md does not have this row; BLESS=1 writes it:\n{row}"
    );
}

/// The rows of the table, without its head.
pub fn rows(text: &str) -> impl Iterator<Item = &str> {
    let table = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    table.map_or("", |(table, _)| table).lines().filter(|l| l.starts_with("| ")).skip(1)
}
