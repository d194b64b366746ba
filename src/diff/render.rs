// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A comparison for a person: as text, and as the table of a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::visible::visible;

use super::{Align, Diff, Number, RoleDiff};

const NO_INTERVAL: &str = "of fewer than six pairs no interval can be given";

/// As text; of each role the notable numbers, or all that differ at all.
pub fn render(diff: &Diff, (a, b): (&str, &str), all: bool) -> String {
    let mut out = format!("A: {}\nB: {}\n{}\n", visible(a), visible(b), paired(diff));
    for fact in &diff.facts {
        let side =
            |side: &Option<String>| visible(side.as_deref().unwrap_or("not known")).into_owned();
        let _ = writeln!(out, "{}: {} | {}", fact.name, side(&fact.a), side(&fact.b));
    }
    for role in &diff.roles {
        let plural = if role.pairs == 1 { "pair" } else { "pairs" };
        let _ = writeln!(out, "\n{} ({} {plural})", visible(&role.role), role.pairs);
        for word in &role.words {
            let _ = writeln!(out, "  {}: {} | {}", word.name, counted(&word.a), counted(&word.b));
        }
        out.push_str(&numbers(role, all));
    }
    out
}

/// How connections were paired, in a sentence.
fn paired(diff: &Diff) -> String {
    let rule = match diff.align {
        Align::Order => {
            "by role (owner, who opened, which way the data went, service port; then without owner) and order"
        }
        Align::Tuple => "by addresses and ports",
    };
    let (n, a, b) = (diff.pairs.len(), diff.only_a.len(), diff.only_b.len());
    format!("{n} pairs, {rule}; only in A: {a}, only in B: {b}")
}

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

fn numbers(role: &RoleDiff, all: bool) -> String {
    let differ = |n: &&Number| n.contrast.median_a != n.contrast.median_b;
    let wanted = |n: &&Number| if all { differ(n) } else { n.contrast.notable };
    let shown: Vec<_> = role.numbers.iter().filter(wanted).collect();
    if shown.is_empty() {
        return "  no notable difference\n".to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["", "MEDIAN A", "MEDIAN B", "B - A", "95 %", "CHANGE", "DELTA", "N", "UNIT"]);
    for number in &shown {
        let c = &number.contrast;
        let interval = c.interval.map_or_else(
            || "-".to_owned(),
            |(low, high)| format!("{} to {}", digits(low), digits(high)),
        );
        table.add_row([
            number.name.to_owned(),
            digits(c.median_a),
            digits(c.median_b),
            digits(c.difference),
            interval,
            format!("{:+.0} %", c.relative * 100.0),
            format!("{:+.2}", c.cliffs_delta),
            c.n.to_string(),
            number.unit.to_owned(),
        ]);
    }
    for column in 1..=7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = table.trim_fmt();
    out.push('\n');
    if shown.iter().any(|n| n.contrast.interval.is_none()) {
        let _ = writeln!(out, "  {NO_INTERVAL}: that the medians differ may be chance");
    }
    let rest = role.numbers.iter().filter(differ).count().saturating_sub(shown.len());
    if rest > 0 {
        let _ = writeln!(out, "  {rest} more differ, not notably (--all shows them)");
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
pub fn table(diff: &Diff, (a, b): (&str, &str)) -> Value {
    let column = |name: &str, label: &str, title: &str, number: bool| json!({ "name": name, "label": label, "title": title, "number": number });
    let rows: Vec<Value> = diff
        .roles
        .iter()
        .flat_map(|role| role.numbers.iter().map(move |number| (role, number)))
        .filter(|(_, number)| number.contrast.median_a != number.contrast.median_b)
        .map(|(role, number)| {
            let c = &number.contrast;
            let interval = c.interval.map(|(low, high)| [digits(low), digits(high)].join(" to "));
            json!([
                role.role,
                number.name,
                number.unit,
                c.median_a,
                c.median_b,
                c.difference,
                interval,
                c.relative,
                c.cliffs_delta,
                c.n,
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
        format!(" Interval: {NO_INTERVAL}; then that the medians differ may be chance.")
    } else {
        String::new()
    };
    json!({
        "note": format!(
            "A is {a}, B is {b}. {}. {} Change is of the larger median; delta is Cliff's, from -1 to 1.{small}",
            paired(diff),
            if words.is_empty() { String::new() } else { format!("{}.", words.join("; ")) },
        ),
        "columns": [
            column("role", "Role", "What the connections are for", false),
            column("name", "Variable", "Variable, or column of connections.parquet", false),
            column("unit", "Unit", "", false),
            column("a", "Median A", "", true),
            column("b", "Median B", "", true),
            column("difference", "B − A", "Median of the differences of the pairs", true),
            column("interval", "95 %", "Interval of the median difference, by the sign test", false),
            json!({
                "name": "change", "label": "Change", "number": true, "share": true,
                "title": "Difference of the medians, of the larger",
            }),
            column("delta", "Delta", "Cliff's delta", true),
            column("n", "N", "Pairs in which both are known", true),
            column("notable", "", "Large effect, not small, interval without zero", false),
        ],
        "rows": rows,
    })
}
