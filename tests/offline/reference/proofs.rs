// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The part of docs/validation.md that names the test which proves that a variable can be other than
//! zero, and the tests that compare this list with the variables and the tests.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use estats::schema::Var;
use estats::views::compare::Class;

use super::cases;
use crate::support::proved::{self, NOT_PROVED, NOTES, PROOFS};

const HEAD: &str = "\
## Each variable, proved other than zero

A variable that is 0 in every test would pass most comparisons. Each test named here has a value that
is not 0. (For an enumeration, it is not the first word. For a time, it is an interval that the test read from the
clock.) The test compares it with a figure in which the recorder has no part: what a scripted peer did segment by
segment (`crafted`), the packets, `tcp_info`, MIB counters, or a Web10G kernel. The tests themselves fail if
they do not prove what this table lists (`tests/support/proved.rs`).

| variable | proved non-zero by |
|---|---|
";

/// The section.
pub fn section(out: &mut String) {
    out.push_str(HEAD);
    for var in Var::ALL {
        let name = var.name();
        let place =
            |file: &str| file.trim_start_matches("tests/").trim_end_matches(".rs").to_owned();
        let mut by: Vec<String> =
            proved::of(name).map(|p| format!("{}: `{}`", place(p.file), p.test)).collect();
        by.extend(
            NOT_PROVED
                .iter()
                .filter(|(of, _)| *of == name)
                .map(|(_, why)| format!("not proved: {why}")),
        );
        let note = NOTES.iter().find(|(of, _)| *of == name);
        let note = note.map_or_else(String::new, |(_, note)| format!(" ({note})"));
        let _ = writeln!(out, "| {name} | {}{note} |", by.join(", "));
    }
    out.push('\n');
}

/// A variable has a proof, or stands among the few that have none; not both.
#[test]
fn every_variable_is_proved_or_excepted() {
    for var in Var::ALL {
        let excepted =
            NOT_PROVED.iter().filter(|(name, why)| *name == var.name() && !why.is_empty());
        let (proofs, excepted) = (proved::of(var.name()).count(), excepted.count());
        assert!(
            (proofs > 0) != (excepted == 1) && excepted <= 1,
            "{}: {proofs} proofs, {excepted} exceptions",
            var.name()
        );
    }
    assert!(NOT_PROVED.len() < 10, "a short list");
    let names = PROOFS
        .iter()
        .flat_map(|proof| proof.variables)
        .chain(NOT_PROVED.iter().chain(NOTES).map(|(n, _)| n));
    for name in names {
        assert!(Var::by_name(name).is_some(), "{name} is not a variable");
    }
}

/// The tests that the list names are there, once each.
#[test]
fn every_proof_is_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = BTreeSet::new();
    for proof in PROOFS {
        assert!(seen.insert((proof.file, proof.test)), "{} twice", proof.test);
        assert!(!proof.variables.is_empty(), "{} proves nothing", proof.test);
        let text = std::fs::read_to_string(root.join(proof.file)).expect(proof.file);
        let function = format!("#[test]\nfn {}()", proof.test);
        assert!(text.contains(&function), "{} has no test {}", proof.file, proof.test);
        // It has to hold the list against what it does.
        let checks = ["proved::assert", "measure("];
        assert!(checks.iter().any(|c| text.contains(c)), "{} checks no proof", proof.file);
    }
}

/// Variables that packets alone prove against a Web10G kernel: values other than 0 that are equal.
#[test]
fn equal_to_a_web10g_kernel() {
    let mut equal = BTreeSet::new();
    for case in cases() {
        for compared in case.comparison.matched.iter().flat_map(|matched| &matched.variables) {
            let something = compared.ours.is_some_and(|n| n != 0);
            if something
                && compared.ours == compared.reference
                && compared.verdict.class == Class::Exact
            {
                equal.insert(compared.name.to_owned());
            }
        }
    }
    proved::assert_all("tests/offline/reference/proofs.rs", "equal_to_a_web10g_kernel", &equal);
}
