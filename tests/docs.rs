// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The written documentation is what the schema says. `BLESS=1 cargo test --test docs` renews it.

use std::fs;
use std::path::Path;

use estats::audit::relations;
use estats::manual;
use estats::schema::Var;

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

/// The README counts by hand what the schema has.
#[test]
fn the_numbers_of_the_readme_are_those_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).expect("README.md");
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse::<usize>().ok();
    let of_packets = Var::ALL.iter().filter(|var| var.def().packets.is_some()).count();
    let relations = relations().len();
    let mut found = [0; 3];
    for at in 2..words.len() {
        match words[at - 2..=at] {
            // "the N variables", "all N variables"
            ["the" | "all", count, "variables"] if number(count).is_some() => {
                assert_eq!(number(count), Some(Var::COUNT), "variables");
                found[0] += 1;
            }
            // "N of the M variables": of packets alone
            [count, "of", "the"]
                if number(count).is_some() && words.get(at + 2) == Some(&"variables") =>
            {
                assert_eq!(number(count), Some(of_packets), "variables from packets");
                found[1] += 1;
            }
            ["some", count, "relations"] => {
                let about = number(count).expect("a number of relations");
                assert_eq!(about, (relations + 5) / 10 * 10, "{relations} relations");
                found[2] += 1;
            }
            _ => {}
        }
    }
    assert!(!found.contains(&0), "README.md states them in other words: {found:?}");
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
