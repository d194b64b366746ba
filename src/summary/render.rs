// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections as text for a person: a table that fits the terminal, what limited each, totals.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr as _;

use super::Line;
use super::figures::{bit_rate, bytes, count, millis, seconds};
use super::groups::{Group, Groups};
use super::table::{Head, fitting};
use super::totals;
use crate::visible::visible;

/// How a text is to look, where colours can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// Names of columns.
    Heading,
    /// A row of which records are missing.
    Warning,
    /// What explains a row.
    Faint,
}

/// Lines of text, each without its end.
pub type Text = Vec<(Style, String)>;

/// What is shown of the connections.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The most connections.
    pub top: usize,
    /// Characters in a line; `None` if there is no end.
    pub width: Option<usize>,
}

/// A column, and what is in it.
type Column = (Head, fn(&Line) -> String);

fn columns() -> [Column; 14] {
    let (text, number) = (Head::text, Head::number);
    [
        (number("ID", 0), |l| l.conn_id.to_string()),
        (text("LOCAL", 11), |l| shown(l.local.as_deref())),
        (text("", 11), |l| arrow(l).to_owned()),
        (text("REMOTE", 0), |l| shown(l.remote.as_deref())),
        (text("OWNER", 10), |l| shown(l.owner.as_deref())),
        (text("CC", 12), |l| shown(l.congestion_control.as_deref())),
        (number("SECONDS", 6), |l| seconds(l.duration_s)),
        (number("ACKED", 3), |l| bytes(l.octets_acked)),
        (number("RECEIVED", 4), |l| bytes(l.octets_received)),
        (number("RATE", 2), |l| bit_rate(l.rate())),
        (number("RETRANS", 7), |l| count(l.segs_retrans)),
        (number("RTT ms min/smooth", 8), |l| {
            format!("{}/{}", millis(l.min_rtt_us), millis(l.smoothed_rtt_us))
        }),
        (text("END", 9), end),
        (text("COMPLETENESS", 1), |l| shown(l.completeness.as_deref())),
    ]
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
    let columns = columns();
    let heads = columns.each_ref().map(|(head, _)| head.clone());
    let cells = rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)).collect());
    let (table, left_out) = fitting(&heads, &cells.collect::<Vec<_>>(), view.width);
    let mut out = Text::new();
    for (i, row) in table.into_iter().enumerate() {
        let line = i.checked_sub(1).and_then(|i| rows.get(i));
        let style = match line {
            None => Style::Heading,
            Some(line) if line.completeness.as_deref() == Some("lossy") => Style::Warning,
            Some(_) => Style::Plain,
        };
        out.push((style, row));
        // Of one that only received there is nothing to say: its sender is elsewhere.
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
        let note = format!(
            "{} connections, {} shown: --top N shows more, --json all",
            lines.len(),
            rows.len()
        );
        out.push((Style::Plain, note));
    }
    no_room(&left_out, view.width, &mut out);
    out
}

/// Names the columns that are not shown.
fn no_room(left_out: &[String], width: Option<usize>, out: &mut Text) {
    if !left_out.is_empty() {
        let note = format!("no room for {}: --width 0 shows all", left_out.join(", "));
        wrap(&note, width, (Style::Plain, ""), out);
    }
}

/// In lines that fit, each with this indentation.
fn wrap(text: &str, width: Option<usize>, (style, indent): (Style, &str), out: &mut Text) {
    let room = width.map_or(usize::MAX, |width| width.max(40) - indent.len());
    let mut line = String::new();
    for word in text.split(' ') {
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
        bytes(of.iter().map(|line| octets(line)).sum::<Option<i64>>())
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
    let heads = [
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
    let shown: Vec<Vec<String>> = groups.groups.iter().take(view.top).map(cells).collect();
    let (rows, left_out) = fitting(&heads, &shown, view.width);
    let style = |i| if i == 0 { Style::Heading } else { Style::Plain };
    let mut out: Text = rows.into_iter().enumerate().map(|(i, row)| (style(i), row)).collect();
    if groups.groups.len() > view.top {
        let note =
            format!("{} groups, {} shown: --top N shows more", groups.groups.len(), view.top);
        out.push((Style::Plain, note));
    }
    no_room(&left_out, view.width, &mut out);
    out
}
