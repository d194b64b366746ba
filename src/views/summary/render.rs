// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections as text for a person: a table that fits the terminal, what limited each, totals.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr as _;

use super::Line;
use super::figures::{bit_rate, bytes, count, millis, seconds};
use super::groups::{Group, Groups, together};
use super::keys::SummaryKey;
use super::table::{Head, fitting};
use super::totals;
use crate::util::visible::visible;

/// How a text is to look, where colours can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// Names of columns.
    Heading,
    /// A row of which records are missing.
    Warning,
    /// Text that explains a row.
    Faint,
}

/// Lines of text, each without its end.
pub type Text = Vec<(Style, String)>;

/// The choice of what is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The most connections.
    pub top: usize,
    /// Characters in a line; `None` if there is no end.
    pub width: Option<usize>,
    /// The key by which rows are sorted, if one was given: its column is shown at every width.
    pub sort: Option<SummaryKey>,
    /// How to see what is not shown.
    pub hints: Hints,
}

/// How to see what is not shown, in the words of the program that shows the rest; empty where it cannot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// More connections.
    pub connections: &'static str,
    /// More groups.
    pub groups: &'static str,
    /// Columns for which there is no room.
    pub columns: &'static str,
}

/// A note on what is not shown, and how to see it.
fn with_hint(note: String, hint: &str) -> String {
    if hint.is_empty() { note } else { format!("{note}: {hint}") }
}

/// A column, the keys whose values are in it, and what is in it.
type Column = (Head, &'static [&'static str], fn(&Line) -> String);

fn columns() -> [Column; 15] {
    let (text, number) = (Head::text, Head::number);
    [
        (number("ID", 0), &["id"], |l| l.conn_id.to_string()),
        (text("LOCAL", 11), &["local", "local_port"], |l| shown(l.local.as_deref())),
        (text("", 11), &[], |l| arrow(l).to_owned()),
        (text("REMOTE", 0), &["remote", "remote_port"], |l| shown(l.remote.as_deref())),
        (text("OWNER", 10), &["process", "pid"], |l| shown(l.owner.as_deref())),
        (text("CC", 12), &["cc"], |l| shown(l.congestion_control.as_deref())),
        (number("SECONDS", 6), &["duration"], |l| seconds(l.duration_s)),
        (number("ACKED", 3), &["acked"], |l| bytes(l.octets_acked)),
        (number("RECEIVED", 4), &["received"], |l| bytes(l.octets_received)),
        (number("RATE", 2), &["rate"], |l| bit_rate(l.rate())),
        (number("THROUGHPUT", 13), &["throughput"], |l| bit_rate(l.throughput())),
        (number("RETRANS", 7), &["retrans"], |l| count(l.segs_retrans)),
        (number("RTT ms min/smooth", 8), &["min_rtt", "rtt"], |l| {
            format!("{}/{}", millis(l.min_rtt_us), millis(l.smoothed_rtt_us))
        }),
        (text("END", 9), &["end", "closed_by"], end),
        (text("COMPLETENESS", 1), &["completeness"], |l| shown(l.completeness.as_deref())),
    ]
}

/// The columns, those that have the key's values at every width. A key without a column gets one.
fn heads_and_cells(lines: &[&Line], sort: Option<SummaryKey>) -> (Vec<Head>, Vec<Vec<String>>) {
    let columns = columns();
    let mut heads: Vec<Head> = Vec::new();
    let mut found = false;
    for (head, keys, _) in &columns {
        let is_sorted_by = sort.is_some_and(|key| keys.contains(&key.name));
        found |= is_sorted_by;
        let rank = if is_sorted_by { 0 } else { head.rank };
        heads.push(Head { rank, ..head.clone() });
    }
    let mut cells: Vec<Vec<String>> =
        lines.iter().map(|line| columns.iter().map(|(_, _, cell)| cell(line)).collect()).collect();
    if let Some(key) = sort.filter(|_| !found) {
        // Behind the names of the connection.
        let at = 1 + heads.iter().position(|head| head.name == "REMOTE").unwrap_or(0);
        let name = key.name.to_uppercase();
        let head = if key.unit().is_some() { Head::number(&name, 0) } else { Head::text(&name, 0) };
        heads.insert(at, head);
        for (row, line) in cells.iter_mut().zip(lines) {
            row.insert(at, visible(&key.shown(key.of(line))).into_owned());
        }
    }
    (heads, cells)
}

fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| visible(text).into_owned())
}

fn arrow(line: &Line) -> &'static str {
    match line.opened_by.as_deref() {
        Some("local") => "->",
        Some("remote") => "<-",
        _ => "--",
    }
}

fn end(line: &Line) -> String {
    match (&line.close_reason, line.closed_by.as_deref()) {
        (Some(reason), Some(by @ ("local" | "remote"))) => format!("{reason} ({by})"),
        (reason, _) => shown(reason.as_deref()),
    }
}

/// The connections in this order, what limited each, and what they come to together.
pub fn connections(lines: &[&Line], view: View) -> Text {
    let rows: Vec<&Line> = lines.iter().copied().take(view.top).collect();
    let (heads, cells) = heads_and_cells(&rows, view.sort);
    let (table, left_out) = fitting(&heads, &cells, view.width);
    let mut out = Text::new();
    for (i, row) in table.into_iter().enumerate() {
        let line = i.checked_sub(1).and_then(|i| rows.get(i));
        let style = match line {
            None => Style::Heading,
            Some(line) if line.completeness.as_deref() == Some("lossy") => Style::Warning,
            Some(_) => Style::Plain,
        };
        out.push((style, row));
        // A connection that only received has no such line: its sender is elsewhere.
        if let Some(line) = line.filter(|line| line.octets_sent.is_some_and(|n| n > 0)) {
            let why = line.why.to_string();
            if !why.is_empty() {
                wrap(&why, view.width, (Style::Faint, "    "), &mut out);
            }
        }
    }
    for line in subflows(lines).iter().take(view.top) {
        wrap(line, view.width, (Style::Plain, ""), &mut out);
    }
    if lines.len() > 1 {
        wrap(&totals::sums(lines), view.width, (Style::Plain, ""), &mut out);
        let percentiles = totals::percentiles(lines, view.width);
        out.extend(percentiles.into_iter().map(|line| (Style::Plain, line)));
    }
    if lines.len() > rows.len() {
        let note = format!("{} connections, {} shown", lines.len(), rows.len());
        out.push((Style::Plain, with_hint(note, view.hints.connections)));
    }
    no_room(&left_out, view, &mut out);
    out
}

/// Names the columns that are not shown.
fn no_room(left_out: &[String], view: View, out: &mut Text) {
    if !left_out.is_empty() {
        let note = with_hint(format!("no room for {}", left_out.join(", ")), view.hints.columns);
        wrap(&note, view.width, (Style::Plain, ""), out);
    }
}

/// In lines that fit, each with this indentation. What stands behind a digit, such as a unit, stays in
/// the line of its number.
fn wrap(text: &str, width: Option<usize>, (style, indent): (Style, &str), out: &mut Text) {
    let room = width.map_or(usize::MAX, |width| width.max(40) - indent.len());
    let mut line = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ends = rest.match_indices(' ').map(|(at, _)| at);
        let end = ends.into_iter().find(|&at| !rest[..at].ends_with(|c: char| c.is_ascii_digit()));
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.strip_prefix(' ').unwrap_or(behind);
        if !line.is_empty() && line.width() + 1 + word.width() > room {
            out.push((style, format!("{indent}{line}")));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push((style, format!("{indent}{line}")));
}

/// A line for each MPTCP connection: its subflows, and what they carried together.
fn subflows(lines: &[&Line]) -> Vec<String> {
    let mut tokens: BTreeMap<i64, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        if let Some(token) = line.mptcp_id {
            tokens.entry(token).or_default().push(line);
        }
    }
    let mut groups: Vec<_> = tokens.into_iter().collect();
    for (_, of) in &mut groups {
        of.sort_by_key(|line| line.conn_id);
    }
    groups.sort_by_key(|(_, of)| of.first().map(|line| line.conn_id));
    let together = |of: &[&Line], octets: fn(&Line) -> Option<i64>| {
        // One that is not known leaves the sum unknown.
        bytes(of.iter().try_fold(0_i64, |sum, line| Some(sum.saturating_add(octets(line)?))))
    };
    let line = |(token, of): (i64, Vec<&Line>)| {
        let ids: Vec<String> = of.iter().map(|line| line.conn_id.to_string()).collect();
        let acked = together(&of, |line| line.octets_acked);
        let received = together(&of, |line| line.octets_received);
        let are = if of.len() == 1 { "connection" } else { "connections" };
        let ids = ids.join(", ");
        format!("MPTCP {token}: {are} {ids}: {acked} acked, {received} received")
    };
    groups.into_iter().map(line).collect()
}

/// Groups, those with the most payload first.
pub fn groups(groups: &Groups, view: View) -> Text {
    let mut heads = vec![
        Head::text(&groups.key.name.to_uppercase(), 0),
        Head::number("CONNECTIONS", 1),
        Head::number("LOSSY", 2),
        Head::number("ACKED", 3),
        Head::number("RECEIVED", 3),
        Head::number("RETRANSMITTED", 4),
        Head::number("MEDIAN RATE", 5),
        Head::number("MEDIAN RTT ms", 6),
        Head::text("LIMITED BY", 7),
    ];
    let cells = |group: &Group| {
        vec![
            shown(group.name.as_deref()),
            group.connections.to_string(),
            group.lossy.to_string(),
            bytes(group.octets_acked),
            bytes(group.octets_received),
            super::figures::share(group.retransmitted_share),
            bit_rate(group.median_rate_bit_per_s),
            group.median_rtt_s.map_or_else(|| "-".to_owned(), |s| format!("{:.3}", s * 1e3)),
            shown(group.limited_by),
        ]
    };
    let mut shown: Vec<Vec<String>> = groups.groups.iter().take(view.top).map(cells).collect();
    // The sort key is shown after the name, unless a column has it.
    let (key, column) = (groups.key.name, |name| match name {
        "connections" => Some(1),
        "acked" => Some(3),
        "received" => Some(4),
        "retransmitted" => Some(5),
        "rate" => Some(6),
        "rtt" => Some(7),
        "limited_by" => Some(8),
        _ => None,
    });
    if let Some(sort) = view.sort.filter(|sort| sort.name != key) {
        if let Some(at) = column(sort.name) {
            heads[at].rank = 0;
        } else if let Some(words) = together(sort) {
            heads.insert(1, Head::number(&words.to_uppercase(), 0));
            for (row, group) in shown.iter_mut().zip(&groups.groups) {
                row.insert(1, sort.shown(group.sorted_by.clone()));
            }
        }
    }
    let (rows, left_out) = fitting(&heads, &shown, view.width);
    let style = |i| if i == 0 { Style::Heading } else { Style::Plain };
    let mut out: Text = rows.into_iter().enumerate().map(|(i, row)| (style(i), row)).collect();
    if groups.groups.len() > view.top {
        let note = format!("{} groups, {} shown", groups.groups.len(), view.top);
        out.push((Style::Plain, with_hint(note, view.hints.groups)));
    }
    no_room(&left_out, view, &mut out);
    out
}
