// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Two recordings against each other: cubic and bbr, before and after.
//!
//! Connections are paired ([`align`]), and each number of a pair is compared. Of the pairs of one role
//! ([`align::Role`]) the table has medians, the median of the differences with an interval that assumes
//! nothing of their distribution, and Cliff's delta ([`statistics`]). What a few pairs cannot say is
//! left unsaid.

pub mod align;
mod render;
pub mod statistics;
mod values;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::Overview;

pub use align::{Align, Pair};
pub use render::{render, table};
pub use values::{Quantity, quantities};

use align::Role;
use statistics::Contrast;

/// Two recordings, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// How connections were paired.
    pub align: Align,
    /// The pairs.
    pub pairs: Vec<Pair>,
    /// Connections of the first without a counterpart.
    pub only_a: Vec<u64>,
    /// Connections of the second without a counterpart.
    pub only_b: Vec<u64>,
    /// What differs between the recordings themselves.
    pub facts: Vec<Fact>,
    /// Comparisons, by role.
    pub roles: Vec<RoleDiff>,
}

/// A fact that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Name: of a sysctl, or as in a report.
    pub name: String,
    /// In the first; absent if it is not known there.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

/// All pairs of one role.
#[derive(Clone, Debug, Serialize)]
pub struct RoleDiff {
    /// In words.
    pub role: String,
    /// Pairs.
    pub pairs: usize,
    /// Words of the connections (congestion control and such), with how often each comes in both.
    pub words: Vec<Word>,
    /// Numbers, those that differ notably first.
    pub numbers: Vec<Number>,
}

/// How often a word comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Word {
    /// What it says.
    pub name: &'static str,
    /// Words of the first recording's connections, with their numbers.
    pub a: BTreeMap<String, usize>,
    /// Of the second's.
    pub b: BTreeMap<String, usize>,
}

/// A number of all pairs.
#[derive(Clone, Debug, Serialize)]
pub struct Number {
    /// The variable, or a figure of connections.parquet.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub contrast: Contrast,
}

/// Compares two recordings.
pub fn diff(a: &Overview, b: &Overview, align: Align) -> Diff {
    let aligned = align::align(&a.connections, &b.connections, align);
    let mut by_role: BTreeMap<&Role, Vec<&Pair>> = BTreeMap::new();
    for pair in &aligned.pairs {
        by_role.entry(&pair.role).or_default().push(pair);
    }
    let roles = by_role.iter().map(|(role, pairs)| compare(role, pairs, a, b)).collect();
    Diff {
        align,
        facts: facts(a, b),
        roles,
        pairs: aligned.pairs,
        only_a: aligned.only_a,
        only_b: aligned.only_b,
    }
}

fn compare(role: &Role, pairs: &[&Pair], a: &Overview, b: &Overview) -> RoleDiff {
    let find = |overview: &Overview, id: u64| {
        let at = overview.connections.binary_search_by_key(&id, |c| c.conn_id());
        at.ok().and_then(|at| overview.connections.get(at).cloned())
    };
    let both: Vec<_> =
        pairs.iter().filter_map(|pair| Some((find(a, pair.a)?, find(b, pair.b)?))).collect();
    let mut numbers: Vec<Number> = quantities()
        .filter_map(|quantity| {
            let values: Vec<(f64, f64)> =
                both.iter().filter_map(|(a, b)| Some((quantity.of(a)?, quantity.of(b)?))).collect();
            let contrast = Contrast::of(&values)?;
            Some(Number { name: quantity.name, unit: quantity.unit, contrast })
        })
        .collect();
    // Stable, so that equals stay in the order of the list.
    numbers.sort_by(|x, y| y.contrast.rank().partial_cmp(&x.contrast.rank()).expect("no NaN"));
    let words = values::words()
        .map(|(name, of)| {
            let mut word = Word { name, a: BTreeMap::new(), b: BTreeMap::new() };
            for (a, b) in &both {
                let count = |words: &mut BTreeMap<String, usize>, text: Option<&str>| {
                    *words.entry(text.unwrap_or("not known").to_owned()).or_default() += 1;
                };
                count(&mut word.a, of(&a.line));
                count(&mut word.b, of(&b.line));
            }
            word
        })
        .filter(|word| word.a != word.b)
        .collect();
    RoleDiff { role: role.to_string(), pairs: pairs.len(), words, numbers }
}

/// Facts that differ; of those of many lines (sysctls, qdiscs), the lines.
fn facts(a: &Overview, b: &Overview) -> Vec<Fact> {
    // Of these it is no news that they differ.
    const OWN: [&str; 6] =
        ["begun", "duration", "recording", "connections", "audit", "records lost"];
    let lines = |overview: &Overview| {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        let facts = overview.facts.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        for (name, value) in facts {
            match name.as_str() {
                "sysctls" => lines.extend(value.lines().filter_map(|line| {
                    line.split_once(" = ").map(|(name, value)| (name.to_owned(), value.to_owned()))
                })),
                _ => {
                    lines.insert(name.clone(), value.clone());
                }
            }
        }
        lines
    };
    let (a, b) = (lines(a), lines(b));
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .map(|name| Fact { name: name.clone(), a: a.get(name).cloned(), b: b.get(name).cloned() })
        .filter(|fact| fact.a != fact.b)
        .collect()
}
