// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A comparison for a person: as text, and as the table of a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::util::visible::visible;
use crate::views::summary::{Head, fitting};

use super::statistics::Contrast;
use super::{Align, Diff, Name, Number, RoleDiff};

/// How to see what is not shown, in the words of the program that shows it; empty where it cannot.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiffHints {
    /// Numbers that do not differ notably.
    pub numbers: &'static str,
    /// Columns for which there is no room.
    pub columns: &'static str,
    /// How a side has several recordings.
    pub repeats: &'static str,
}

fn in_brackets(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!(" ({hint})") }
}

/// As text; for each role the notable numbers, or with `all` every number that differs. Tables have at
/// most `width` characters in a line, if possible.
pub fn render(diff: &Diff, all: bool, width: Option<usize>, hints: DiffHints) -> String {
    let mut out = format!("A: {}\nB: {}\n", side(&diff.a), side(&diff.b));
    for fact in &diff.facts {
        let _ = writeln!(out, "{}: {} | {}", visible(&fact.name), each(&fact.a), each(&fact.b));
    }
    if diff.facts.is_empty() {
        out.push_str("no difference in kernel, sysctls, qdiscs, hooks and command is known\n");
    }
    let _ = writeln!(out, "{}", counterparts(diff));
    for role in &diff.roles {
        let n = match (diff.has_repeats(), role.connections_a) {
            (true, a) => format!("connections: {a} in A, {} in B", role.connections_b),
            (false, 1) => "1 pair".to_owned(),
            (false, n) => format!("{n} pairs"),
        };
        let _ = writeln!(out, "\n{} ({n})", visible(&role.role));
        for word in &role.words {
            let _ = writeln!(out, "  {}: {} | {}", word.name, counted(&word.a), counted(&word.b));
        }
        out.push_str(&numbers(role, diff.has_repeats(), all, width, &hints));
    }
    out
}

/// A side, in a line.
fn side(name: &Name) -> String {
    let recordings = name.recordings.join(", ");
    let label = if name.label.is_empty() { String::new() } else { format!("{}: ", name.label) };
    visible(&(label + &recordings)).into_owned()
}

/// The values of a fact: one if it is the same in all.
fn each(values: &[Option<String>]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value.clone().unwrap_or_else(|| "not known".to_owned())).or_default() += 1;
    }
    match counts.len() {
        1 => counted(&counts),
        _ => counts
            .iter()
            .map(|(value, n)| format!("{} ({n} of {})", visible(value), values.len()))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// How connections were put together, in a sentence.
fn counterparts(diff: &Diff) -> String {
    let (a, b) = (diff.only_a.len(), diff.only_b.len());
    if diff.has_repeats() {
        let (n, m) = (diff.a.recordings.len(), diff.b.recordings.len());
        return format!(
            "{n} recordings against {m}, by role (owner, who opened, what it carries, service port); \
             connections only in A: {a}, only in B: {b}"
        );
    }
    let rule = match diff.align {
        Align::Order => {
            "by role (owner, who opened, what it carries, service port; then without owner) and order"
        }
        Align::Tuple => "by addresses and ports",
    };
    let n = match diff.pairs.len() {
        1 => "1 pair".to_owned(),
        n => format!("{n} pairs"),
    };
    format!("{n}, {rule}; only in A: {a}, only in B: {b}")
}

/// The reason why there is no interval.
fn no_interval(has_repeats: bool) -> &'static str {
    if has_repeats {
        "too few different repeats for an interval: it may be chance"
    } else {
        "fewer than six pairs give no interval: the difference may be chance"
    }
}

/// A note on what the interval does not cover.
const ONE_RUN: &str = "intervals are of one run of each: repeats show how runs vary";

fn counted(words: &BTreeMap<String, usize>) -> String {
    match words.iter().next() {
        Some((word, _)) if words.len() == 1 => visible(word).into_owned(),
        _ => {
            let each: Vec<_> =
                words.iter().map(|(word, n)| format!("{n} {}", visible(word))).collect();
            each.join(", ")
        }
    }
}

/// (B - A) / A in percent; there is none if A is 0.
fn change(c: &Contrast) -> String {
    match c.change {
        Some(change) => format!("{:+.0} %", change * 100.0),
        None if c.b == 0.0 => "-".to_owned(),
        None => "new".to_owned(),
    }
}

fn numbers(
    role: &RoleDiff,
    has_repeats: bool,
    all: bool,
    width: Option<usize>,
    hints: &DiffHints,
) -> String {
    let differ = |n: &&Number| n.contrast.a != n.contrast.b;
    let wanted = |n: &&Number| if all { differ(n) } else { n.contrast.notable };
    let shown: Vec<_> = role.numbers.iter().filter(wanted).collect();
    let differing = role.numbers.iter().filter(differ).count();
    if shown.is_empty() {
        return match differing {
            0 => "  no difference\n".to_owned(),
            n => format!("  no notable difference; {n} differ{}\n", in_brackets(hints.numbers)),
        };
    }
    let center = if has_repeats { "MEAN" } else { "MEDIAN" };
    let heads = [
        Head::text("", 0),
        Head::number(&format!("{center} A"), 0),
        Head::number(&format!("{center} B"), 0),
        Head::number("B - A", 2),
        Head::number("95 %", 1),
        Head::number("CHANGE", 0),
        Head::number("DELTA", 3),
        Head::number("N", 1),
        Head::text("UNIT", 0),
    ];
    let row = |number: &&Number| {
        let c = &number.contrast;
        let interval = c.interval.map_or_else(
            || "-".to_owned(),
            |(low, high)| format!("{} to {}", digits(low), digits(high)),
        );
        let n = if has_repeats { format!("{}/{}", c.n_a, c.n_b) } else { c.n_a.to_string() };
        vec![
            number.name.to_owned(),
            digits(c.a),
            digits(c.b),
            digits(c.difference),
            interval,
            change(c),
            format!("{:+.2}", c.cliffs_delta),
            n,
            number.unit.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    let (table, left_out) = fitting(&heads, &rows, width);
    let mut out: String = table.into_iter().map(|line| line + "\n").collect();
    if !left_out.is_empty() {
        let hint = in_brackets(hints.columns);
        let _ = writeln!(out, "  no room for {}{hint}", left_out.join(", "));
    }
    if shown.iter().any(|n| n.contrast.interval.is_none()) {
        let _ = writeln!(out, "  {}", no_interval(has_repeats));
    }
    if !has_repeats && shown.iter().any(|n| n.contrast.interval.is_some()) {
        let hint = in_brackets(hints.repeats);
        let _ = writeln!(out, "  {ONE_RUN}{hint}");
    }
    let rest = differing.saturating_sub(shown.len());
    if rest > 0 {
        let hint = in_brackets(hints.numbers);
        let _ = writeln!(out, "  {rest} more differ, not notably{hint}");
    }
    out
}

/// Six significant digits, and no more than there are.
fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let places = 5 - value.abs().log10().floor() as i32;
    let text = format!("{:.*}", places.clamp(0, 9) as usize, value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The table of a page.
pub fn table(diff: &Diff) -> Value {
    let has_repeats = diff.has_repeats();
    let center = if has_repeats { "Mean" } else { "Median" };
    let column = |name: &str, label: &str, title: &str, number: bool| json!({ "name": name, "label": label, "title": title, "number": number });
    let rows: Vec<Value> = diff
        .roles
        .iter()
        .flat_map(|role| role.numbers.iter().map(move |number| (role, number)))
        .filter(|(_, number)| number.contrast.a != number.contrast.b)
        .map(|(role, number)| {
            let c = &number.contrast;
            let interval = c.interval.map(|(low, high)| [digits(low), digits(high)].join(" to "));
            json!([
                role.role,
                number.name,
                number.unit,
                c.a,
                c.b,
                c.difference,
                interval,
                c.change,
                c.cliffs_delta,
                if has_repeats { json!(format!("{}/{}", c.n_a, c.n_b)) } else { json!(c.n_a) },
                if c.notable { "notable" } else { "" },
            ])
        })
        .collect();
    let words: Vec<String> = diff
        .roles
        .iter()
        .flat_map(|role| &role.words)
        .map(|word| format!("{}: {} | {}", word.name, counted(&word.a), counted(&word.b)))
        .collect();
    let small = if rows.iter().any(|row| row[6].is_null()) {
        format!(" {}.", no_interval(has_repeats))
    } else {
        String::new()
    };
    json!({
        "note": format!(
            "A is {}, B is {}. {}. {} Change is (B − A) / A; delta is Cliff's, from -1 to 1.{small}",
            side(&diff.a),
            side(&diff.b),
            counterparts(diff),
            if words.is_empty() { String::new() } else { format!("{}.", words.join("; ")) },
        ),
        "columns": [
            column("role", "Role", "What the connections are for", false),
            column("name", "Variable", "Variable, or column of connections.parquet", false),
            column("unit", "Unit", "", false),
            column("a", &format!("{center} A"), "", true),
            column("b", &format!("{center} B"), "", true),
            column("difference", "B − A", if has_repeats { "Difference of the means" } else { "Median of the differences of the pairs" }, true),
            column("interval", "95 %", if has_repeats { "Interval of the difference, by Welch's t" } else { "Interval of the median difference, by the sign test" }, false),
            json!({
                "name": "change", "label": "Change", "number": true, "share": true,
                "title": "(B − A) / A; none where A is 0",
            }),
            column("delta", "Delta", "Cliff's delta", true),
            column("n", "N", if has_repeats { "Recordings of A and B in which it is known" } else { "Pairs in which both are known" }, !has_repeats),
            column("notable", "", "Large effect, not small, interval without zero", false),
        ],
        "rows": rows,
    })
}
