// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The generated documentation agrees with the schema. `make docs` renews it.

mod messages;
mod pages;

use std::fs;
use std::path::Path;

use crate::support::trust;
use estats::engine::audit::relations;
use estats::schema::Var;
use estats::views::manual;

#[track_caller]
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).expect("docs can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/{name} differs from the schema; renew it with make docs");
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

/// Pages that somebody wrote, and that count by hand what the schema has.
const COUNTING: [&str; 6] = [
    "README.md",
    "docs/introduction.md",
    "docs/read.md",
    "docs/packets.md",
    "docs/trust.md",
    "docs/faq.md",
];

#[test]
fn the_numbers_of_written_pages_are_those_of_the_schema() {
    let read = |name| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    let text = COUNTING.map(|name| read(name).expect("a page")).join("\n");
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
    assert!(found.iter().all(|n| *n >= 2), "the pages state them in other words: {found:?}");
}

/// A row of docs/trust.md or docs/limits.md stays only as long as a test states it.
#[test]
fn every_condition_of_a_page_is_written_by_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [trust::TRUST, trust::LIMITS] {
        let text = page.text();
        let mut seen = std::collections::BTreeSet::new();
        for cells in page.cells(&text) {
            let (condition, test) = (cells[0], cells[cells.len() - 1]);
            assert!(seen.insert(condition.to_owned()), "{condition:?} has two rows");
            let test = fs::read_to_string(root.join(test.trim_matches('`'))).expect("a file");
            assert!(test.contains(condition), "no test states {condition:?}; remove its row");
        }
        assert!(!seen.is_empty(), "{} has no conditions", page.path);
    }
}

/// Files whose text names tests: documents, and what starts tests.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "RELEASING.md",
        "Makefile",
        "deny.toml",
        "Cargo.toml",
    ]
    .map(|name| root.join(name))
    .into_iter()
    .chain(
        [
            "docs",
            "scripts",
            "scripts/guest",
            "scripts/clang",
            "bpf",
            "testdata",
            "testdata/web10g",
            "testdata/reference",
        ]
        .iter()
        .flat_map(|dir| {
            let entries = fs::read_dir(root.join(dir)).expect("a directory");
            entries.map(|entry| entry.expect("an entry").path())
        }),
    )
    .filter(|path| path.is_file())
    .collect();
    paths.sort();
    let text = |path| (format!("{path:?}"), fs::read_to_string(&path).unwrap_or_default());
    paths.into_iter().map(text).collect()
}

/// The names of tests are those of their files: a name that is gone would mislead a reader.
#[test]
fn files_of_tests_that_texts_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for (from, text) in texts() {
        for (at, _) in text.match_indices("tests/") {
            let before = text[..at].chars().next_back();
            let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "/_.".contains(c)));
            let name = text[at..].split_at(end.unwrap_or(text.len() - at)).0;
            let name = name.trim_end_matches(['.', '/']);
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || "/_-".contains(c)) {
                continue;
            }
            assert!(root.join(name).exists(), "{from} names {name}, which is not there");
            found += 1;
        }
    }
    assert!(found > 50, "{found}");
}

/// A filter that no test's name has would let nothing run, and nothing fail.
#[test]
fn modules_of_tests_that_commands_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = 0;
    for (from, text) in
        texts().iter().filter(|(from, _)| from.contains("Makefile") || from.contains(".sh"))
    {
        let names = text.split_whitespace().filter_map(|word| word.strip_suffix("::"));
        for name in names {
            let there = ["offline", "live", "record", "guest"]
                .iter()
                .any(|kind| root.join(kind).join(format!("{name}.rs")).exists());
            assert!(there, "{from}: there is no module {name}");
            found += 1;
        }
    }
    assert!(found >= 8, "{found}");
}
