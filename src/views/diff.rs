// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings against each other: cubic and bbr, before and after.
//!
//! Connections of two recordings are paired (`align`), and each number of a pair is compared. For the
//! pairs of one role (`align::Role`) the table has medians, the median of the differences with an
//! interval that assumes nothing of their distribution, and Cliff's delta (`statistics`). With repeats
//! (several recordings on a side) the recordings are compared, not their connections. Nothing is stated
//! that a few pairs or repeats cannot show.

pub(crate) mod align;
mod render;
pub(crate) mod statistics;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::views::report::{Connection, Overview};

pub use align::{Align, Pair, align};
pub use render::{DiffHints, render, table};
pub use values::{Quantity, quantities};

use align::Role;
use statistics::Contrast;

/// One side of a comparison: a recording, or repeats of one.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its label; empty if it has no other name than its recordings.
    pub label: &'a str,
    /// Names of the recordings.
    pub names: &'a [String],
    /// The recordings, in the same order.
    pub recordings: &'a [Overview],
}

/// Two sides, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// How connections were paired; nothing is paired if there are repeats.
    pub align: Align,
    /// The first side.
    pub a: Name,
    /// The second.
    pub b: Name,
    /// What differs between the recordings themselves.
    pub facts: Vec<Fact>,
    /// The pairs, of two recordings.
    pub pairs: Vec<Pair>,
    /// Connections of the first side without a counterpart.
    pub only_a: Vec<Lone>,
    /// Connections of the second without a counterpart.
    pub only_b: Vec<Lone>,
    /// Comparisons, by role.
    pub roles: Vec<RoleDiff>,
}

impl Diff {
    /// More than one recording stands on a side: values are means over recordings.
    pub fn has_repeats(&self) -> bool {
        self.a.recordings.len() > 1 || self.b.recordings.len() > 1
    }
}

/// The name of a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// Its label; empty if it has none.
    pub label: String,
    /// Its recordings.
    pub recordings: Vec<String>,
}

/// A connection without a counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lone {
    /// Place of its recording among those of its side, from 0.
    pub recording: usize,
    /// Its number.
    pub conn_id: u64,
}

/// A fact that is not the same in all recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Name: of a sysctl, or as in a report.
    pub name: String,
    /// In each recording of the first side; null where it is not known.
    pub a: Vec<Option<String>>,
    /// In each of the second.
    pub b: Vec<Option<String>>,
}

/// All connections of one role.
#[derive(Clone, Debug, Serialize)]
pub struct RoleDiff {
    /// In words.
    pub role: String,
    /// Connections of it in the first side that are compared; of two recordings, pairs.
    pub connections_a: usize,
    /// Those in the second.
    pub connections_b: usize,
    /// Words of the connections (congestion control and such), with how often each comes in both.
    pub words: Vec<Word>,
    /// Numbers, those that differ notably first.
    pub numbers: Vec<Number>,
}

/// How often a word comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Word {
    /// The name of the fact.
    pub name: &'static str,
    /// Words of the first recording's connections, with their numbers.
    pub a: BTreeMap<String, usize>,
    /// The same for the second side.
    pub b: BTreeMap<String, usize>,
}

impl Word {
    /// A word is not as frequent on both sides.
    fn differs(&self) -> bool {
        let of = |words: &BTreeMap<String, usize>, word| words.get(word).copied().unwrap_or(0);
        let all = |words: &BTreeMap<String, usize>| words.values().sum::<usize>();
        let (all_a, all_b) = (all(&self.a), all(&self.b));
        let mut words = self.a.keys().chain(self.b.keys());
        words.any(|word| of(&self.a, word) * all_b != of(&self.b, word) * all_a)
    }

    /// Rows are not complete: what is compared may be too low on both sides.
    fn is_incomplete(&self) -> bool {
        let mut words = self.a.keys().chain(self.b.keys());
        self.name == "completeness" && words.any(|word| word != "complete")
    }
}

/// A number of all connections of a role.
#[derive(Clone, Debug, Serialize)]
pub struct Number {
    /// The variable, or a figure of connections.parquet.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    #[serde(skip)]
    is_figure: bool,
    /// The result.
    #[serde(flatten)]
    pub contrast: Contrast,
}

/// Compares two sides: of two recordings the pairs of connections, of more the recordings.
pub fn diff(a: Side<'_>, b: Side<'_>, align: Align) -> Diff {
    let name =
        |side: Side<'_>| Name { label: side.label.to_owned(), recordings: side.names.to_vec() };
    let facts = facts(a.recordings, b.recordings);
    let mut diff = Diff {
        align,
        a: name(a),
        b: name(b),
        facts,
        pairs: Vec::new(),
        only_a: Vec::new(),
        only_b: Vec::new(),
        roles: Vec::new(),
    };
    match (a.recordings, b.recordings) {
        ([a], [b]) => of_pairs(a, b, &mut diff),
        (a, b) => of_repeats(a, b, &mut diff),
    }
    diff
}

fn of_pairs(a: &Overview, b: &Overview, diff: &mut Diff) {
    let aligned = align::align(&a.connections, &b.connections, diff.align);
    let mut by_role: BTreeMap<&Role, Vec<(&Connection, &Connection)>> = BTreeMap::new();
    let find = |overview: &'_ Overview, id: u64| {
        overview.connections.binary_search_by_key(&id, Connection::conn_id).ok()
    };
    for pair in &aligned.pairs {
        let (at_a, at_b) = (find(a, pair.a), find(b, pair.b));
        let both = at_a.and_then(|at| a.connections.get(at));
        if let Some(both) = both.zip(at_b.and_then(|at| b.connections.get(at))) {
            by_role.entry(&pair.role).or_default().push(both);
        }
    }
    for (role, pairs) in by_role {
        let (of_a, of_b): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let contrast = |quantity: &Quantity| {
            let both =
                |(a, b): &(&Connection, &Connection)| Some((quantity.of(a)?, quantity.of(b)?));
            Contrast::of_pairs(&pairs.iter().filter_map(both).collect::<Vec<_>>())
        };
        diff.roles.push(compare(role, (&of_a, &of_b), contrast));
    }
    let lone = |ids: &[u64]| ids.iter().map(|&conn_id| Lone { recording: 0, conn_id }).collect();
    (diff.only_a, diff.only_b) = (lone(&aligned.only_a), lone(&aligned.only_b));
    diff.pairs = aligned.pairs;
}

/// Connections of one role, by recording.
type Members<'a> = Vec<Vec<&'a Connection>>;

fn by_role(recordings: &[Overview]) -> BTreeMap<Role, Members<'_>> {
    let mut by_role: BTreeMap<Role, Members<'_>> = BTreeMap::new();
    for (at, recording) in recordings.iter().enumerate() {
        let roles = align::roles(&recording.connections);
        for (role, connection) in roles.into_iter().zip(&recording.connections) {
            let members = by_role.entry(role);
            members.or_insert_with(|| vec![Vec::new(); recordings.len()])[at].push(connection);
        }
    }
    by_role
}

/// Moves the roles that both sides have.
fn take<'a>(
    left_a: &mut BTreeMap<Role, Members<'a>>,
    left_b: &mut BTreeMap<Role, Members<'a>>,
    both: &mut BTreeMap<Role, [Members<'a>; 2]>,
) {
    let is_in_both = |role: &&Role| left_b.contains_key(role);
    let roles: Vec<Role> = left_a.keys().filter(is_in_both).cloned().collect();
    for role in roles {
        if let Some((a, b)) = left_a.remove(&role).zip(left_b.remove(&role)) {
            both.insert(role, [a, b]);
        }
    }
}

/// A recording has one value of a number: the median over its connections of the role. Connections of
/// one run share its path and its minute, so they are not repeats.
fn of_repeats(a: &[Overview], b: &[Overview], diff: &mut Diff) {
    let (mut left_a, mut left_b) = (by_role(a), by_role(b));
    let mut both: BTreeMap<Role, [Members<'_>; 2]> = BTreeMap::new();
    take(&mut left_a, &mut left_b, &mut both);
    // Another program before than after, or another name of the same.
    let (mut left_a, mut left_b) = (of_anyone(left_a, a.len()), of_anyone(left_b, b.len()));
    take(&mut left_a, &mut left_b, &mut both);
    let lone = |left: BTreeMap<Role, Members<'_>>| {
        let of = |(recording, of): (usize, Vec<&Connection>)| {
            let lone = |c: &Connection| Lone { recording, conn_id: c.conn_id() };
            of.into_iter().map(lone).collect::<Vec<_>>()
        };
        let all =
            left.into_values().flat_map(|members| members.into_iter().enumerate().flat_map(of));
        let mut all: Vec<Lone> = all.collect();
        all.sort_unstable_by_key(|lone| (lone.recording, lone.conn_id));
        all
    };
    (diff.only_a, diff.only_b) = (lone(left_a), lone(left_b));
    for (role, [of_a, of_b]) in both {
        let medians = |quantity: &Quantity, of: &Members<'_>| -> Vec<f64> {
            let median = |of: &Vec<&Connection>| {
                let mut values: Vec<f64> = of.iter().filter_map(|c| quantity.of(c)).collect();
                values.sort_by(f64::total_cmp);
                statistics::median(&values)
            };
            of.iter().filter_map(median).collect()
        };
        let contrast = |quantity: &Quantity| {
            Contrast::of_repeats(&medians(quantity, &of_a), &medians(quantity, &of_b))
        };
        diff.roles.push(compare(&role, (&of_a.concat(), &of_b.concat()), contrast));
    }
}

fn of_anyone(left: BTreeMap<Role, Members<'_>>, recordings: usize) -> BTreeMap<Role, Members<'_>> {
    let mut merged: BTreeMap<Role, Members<'_>> = BTreeMap::new();
    for (role, members) in left {
        let all = merged.entry(role.of_anyone()).or_insert_with(|| vec![Vec::new(); recordings]);
        all.iter_mut().zip(members).for_each(|(all, more)| all.extend(more));
    }
    merged
}

fn compare(
    role: &Role,
    (a, b): (&[&Connection], &[&Connection]),
    contrast: impl Fn(&Quantity) -> Option<Contrast>,
) -> RoleDiff {
    let mut numbers: Vec<Number> = quantities()
        .filter_map(|quantity| {
            let mut contrast = contrast(&quantity)?;
            contrast.notable &= contrast.difference.abs() >= quantity.least();
            let is_figure = quantity.is_figure();
            Some(Number { name: quantity.name, unit: quantity.unit, is_figure, contrast })
        })
        .collect();
    // Notable differences come first, and the figures first among them, because many variables with
    // large deltas would hide them. Stable, so that equals stay in the order of the list.
    let rank = |n: &Number| {
        let (notable, delta, change) = n.contrast.rank();
        (notable, notable && n.is_figure, delta, change)
    };
    numbers.sort_by(|x, y| rank(y).partial_cmp(&rank(x)).expect("no NaN"));
    let words = values::words()
        .map(|(name, of)| {
            let counted = |of_side: &[&Connection]| {
                let mut words: BTreeMap<String, usize> = BTreeMap::new();
                for connection in of_side {
                    let word = of(&connection.line).unwrap_or("not known").to_owned();
                    *words.entry(word).or_default() += 1;
                }
                words
            };
            Word { name, a: counted(a), b: counted(b) }
        })
        .filter(|word| word.differs() || word.is_incomplete())
        .collect();
    let (connections_a, connections_b) = (a.len(), b.len());
    RoleDiff { role: role.to_string(), connections_a, connections_b, words, numbers }
}

/// Facts that differ between any two of the recordings, the most likely causes first: the kernel,
/// sysctls, qdiscs. For a fact of many lines (sysctls), the lines that differ.
fn facts(a: &[Overview], b: &[Overview]) -> Vec<Fact> {
    // These always differ.
    const OWN: [&str; 6] =
        ["begun", "duration", "recording", "connections", "audit", "records lost"];
    let of = |overview: &Overview| {
        let mut lines: BTreeMap<(usize, String), String> = BTreeMap::new();
        let facts = overview.facts.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        for (name, value) in facts {
            let rank = match name.as_str() {
                "kernel" => 0,
                "host" => 1,
                "qdiscs" => 3,
                "command" => 5,
                _ => 4,
            };
            if name == "sysctls" {
                lines.extend(value.lines().filter_map(|line| {
                    let (name, value) = line.split_once(" = ")?;
                    Some(((2, name.to_owned()), value.to_owned()))
                }));
                continue;
            }
            // There may be several of a name, such as hooks that are missing.
            let all = lines.entry((rank, name.clone())).or_default();
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(&value.lines().collect::<Vec<_>>().join("; "));
        }
        lines
    };
    let (a, b): (Vec<_>, Vec<_>) = (a.iter().map(of).collect(), b.iter().map(of).collect());
    let names: BTreeSet<_> = a.iter().chain(&b).flat_map(BTreeMap::keys).collect();
    let side = |side: &[BTreeMap<_, String>], name| -> Vec<Option<String>> {
        side.iter().map(|lines| lines.get(name).cloned()).collect()
    };
    names
        .into_iter()
        .map(|name| Fact { name: name.1.clone(), a: side(&a, name), b: side(&b, name) })
        .filter(|fact| fact.a.iter().chain(&fact.b).any(|value| Some(value) != fact.a.first()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_if_their_shares_do() {
        let words = |of: [(&str, usize); 2]| of.map(|(word, n)| (word.to_owned(), n)).into();
        let few = words([("network", 9), ("application", 1)]);
        let word =
            |b| Word { name: "limited_by", a: words([("network", 9), ("application", 1)]), b };
        assert!(!word(few).differs());
        assert!(!word(words([("network", 18), ("application", 2)])).differs());
        assert!(word(words([("network", 1), ("application", 10)])).differs());
    }
}
