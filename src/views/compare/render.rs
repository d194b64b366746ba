// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A comparison as text for a person.

use std::fmt::Write as _;
use std::net::SocketAddr;

use comfy_table::{CellAlignment, Table, presets};

use super::{Class, Compared, Comparison, Matched, Unmatched, VerdictCounts};

/// Tables for the connections, the faults of the reference that were seen, and the verdict.
pub fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    for m in &comparison.matched {
        connection(&mut out, m);
    }
    unmatched(&mut out, "only in the recording", &comparison.only_here);
    unmatched(&mut out, "only in the reference", &comparison.only_reference);
    if !comparison.unknown_names.is_empty() {
        let names = comparison.unknown_names.join(", ");
        let _ = writeln!(out, "names in the reference that are not variables: {names}\n");
    }
    if !comparison.faults.is_empty() {
        out.push_str("known faults of the reference that were seen:\n");
        for fault in &comparison.faults {
            let variables = fault.variables.join(", ");
            let _ = writeln!(out, "  {}: {variables} ({} values)", fault.name, fault.values);
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "{} connections compared: {}",
        comparison.matched.len(),
        counts(&comparison.counts)
    );
    for m in &comparison.matched {
        let names: Vec<_> = of_class(m, Class::Differs).map(|v| v.name).collect();
        if !names.is_empty() {
            let _ = writeln!(out, "unexplained in connection {}: {}", m.conn_id, names.join(", "));
        }
    }
    out
}

fn of_class(m: &Matched, class: Class) -> impl Iterator<Item = &Compared> {
    m.variables.iter().filter(move |v| v.verdict.class == class)
}

fn counts(counts: &VerdictCounts) -> String {
    [
        (counts.exact, Class::Exact),
        (counts.unit_rounded, Class::UnitRounded),
        (counts.bounded, Class::Bounded),
        (counts.known_fault, Class::KnownFault),
        (counts.not_comparable, Class::NotComparable),
        (counts.differs, Class::Differs),
    ]
    .map(|(n, class)| format!("{n} {}", class.name()))
    .join(", ")
}

fn connection(out: &mut String, m: &Matched) {
    let _ = write!(out, "connection {}: {} -> {}, reference ", m.conn_id, m.local, m.remote);
    match (m.cid, &m.side) {
        (Some(cid), Some(side)) => {
            let _ = write!(out, "CID {cid} ({side})");
        }
        (Some(cid), None) => {
            let _ = write!(out, "CID {cid}");
        }
        (None, _) => out.push_str(&m.place),
    }
    if m.in_flight {
        out.push_str(", read while it lived");
    }
    if m.completeness != "complete" {
        let _ = write!(out, ", {}", m.completeness);
    }
    let _ = writeln!(out, "\n  {}", counts(&m.counts));
    if let Some(apart) = m.apart_s {
        let _ = writeln!(out, "  the two lives are {apart:.3} s apart: perhaps it is not the same");
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["VARIABLE", "CLASS", "HERE", "THERE", "REASON"]);
    for class in [Class::Differs, Class::KnownFault, Class::Bounded, Class::UnitRounded] {
        for v in of_class(m, class) {
            table.add_row(cells(v));
        }
    }
    let (both, one): (Vec<_>, Vec<_>) =
        of_class(m, Class::NotComparable).partition(|v| v.ours.is_some() && v.reference.is_some());
    for v in both {
        table.add_row(cells(v));
    }
    for column in [2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if !table.is_empty() {
        out.push_str(&table.trim_fmt());
        out.push('\n');
    }
    // A value that one side lacks has nothing to show but its name.
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for v in one {
        match reasons.iter_mut().find(|(reason, _)| *reason == v.verdict.reason) {
            Some((_, names)) => names.push(v.name),
            None => reasons.push((&v.verdict.reason, vec![v.name])),
        }
    }
    for (reason, names) in reasons {
        let _ = writeln!(out, " not_comparable, {reason}: {}", names.join(", "));
    }
    out.push('\n');
}

fn cells(v: &Compared) -> [String; 5] {
    let number = |value: Option<i128>| value.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
    [
        v.name.to_owned(),
        v.verdict.class.name().to_owned(),
        number(v.ours),
        number(v.reference),
        v.verdict.reason.clone(),
    ]
}

fn unmatched(out: &mut String, label: &str, connections: &[Unmatched]) {
    if connections.is_empty() {
        return;
    }
    let _ = writeln!(out, "{label}:");
    let text = |a: Option<SocketAddr>| a.map_or_else(|| "?".to_owned(), |a| a.to_string());
    for c in connections {
        let id = c.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let place = if c.place.is_empty() { String::new() } else { format!(" ({})", c.place) };
        let _ = writeln!(out, "  {id:>6}  {} -> {}{place}", text(c.local), text(c.remote));
    }
    out.push('\n');
}
