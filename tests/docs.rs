// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The written documentation is what the schema says. `BLESS=1 cargo test --test docs` renews it.

use std::fs;
use std::path::Path;

use estats::manual;

#[allow(dead_code, reason = "reads the page, and states nothing")]
#[path = "support/trust.rs"]
mod trust;

#[track_caller]
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).expect("docs can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/{name} is not what the schema says; renew it with BLESS=1 cargo test --test docs"
    );
}

#[test]
fn variables() {
    check("variables.md", &manual::variables_markdown());
}

#[test]
fn tables() {
    check("tables.md", &manual::tables_markdown());
}

#[test]
fn sockets() {
    check("sockets.md", &manual::sockets_markdown());
}

/// A row of docs/trust.md stays only as long as a test states it.
#[test]
fn every_condition_of_the_trust_page_is_stated_by_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/trust.md")).expect("docs/trust.md");
    let mut seen = std::collections::BTreeSet::new();
    for row in trust::rows(&text) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [condition, _, test] = cells[..] else { panic!("three cells: {row}") };
        assert!(seen.insert(condition.to_owned()), "{condition:?} has two rows");
        let test = fs::read_to_string(root.join(test.trim_matches('`'))).expect("the test's file");
        assert!(test.contains(condition), "no test states {condition:?}; remove its row");
    }
}
