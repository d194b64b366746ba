// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What packets the kernel dropped: a line per connection that has some, and one for all others.

use std::collections::BTreeMap;
use std::path::Path;

use super::Columns;
use crate::output::sink::SinkError;

/// Lines of connections, at most: of a flood the table has all.
const MOST: usize = 10;

/// A row of the table.
#[derive(Debug, Default)]
struct Row {
    conn_id: Option<i64>,
    direction: String,
    reason: Option<String>,
    packets: i64,
    lost: i64,
}

/// Lines about the packets of TCP that the kernel dropped, in order of the connections' numbers; `dir` has the
/// tables.
///
/// # Errors
/// [`SinkError`] if the table is missing or cannot be read.
pub fn dropped(dir: &Path) -> Result<Vec<String>, SinkError> {
    let names = ["conn_id", "direction", "reason", "packets", "lost_records"];
    let columns = Columns::read(&dir.join("drops.parquet"), &names)?;
    let (directions, reasons) = (columns.texts("direction"), columns.texts("reason"));
    let (packets, lost) = (columns.ints("packets"), columns.ints("lost_records"));
    let rows = columns.ints("conn_id").into_iter().enumerate().map(|(i, conn_id)| Row {
        conn_id,
        direction: directions[i].clone().unwrap_or_default(),
        reason: reasons[i].clone(),
        packets: packets[i].unwrap_or_default(),
        lost: lost[i].unwrap_or_default(),
    });
    Ok(lines(rows))
}

/// Packets of one connection, or of none, by direction and reason.
type Counts = BTreeMap<(String, Option<String>), i64>;

fn lines(rows: impl Iterator<Item = Row>) -> Vec<String> {
    let mut of: BTreeMap<i64, Counts> = BTreeMap::new();
    let mut without = Counts::new();
    let mut lost = 0;
    for row in rows {
        lost = lost.max(row.lost);
        if row.packets == 0 {
            continue; // there only for the lost records
        }
        let counts = row.conn_id.map_or(&mut without, |conn_id| of.entry(conn_id).or_default());
        let count = counts.entry((row.direction, row.reason)).or_default();
        *count = count.saturating_add(row.packets);
    }
    if of.is_empty() && without.is_empty() && lost == 0 {
        return Vec::new();
    }
    let mut lines = vec!["packets that the kernel dropped (table drops):".to_owned()];
    for (conn_id, counts) in of.iter().take(MOST) {
        lines.push(format!("  connection {conn_id}: {}", text(counts)));
    }
    if let Some(more) = of.len().checked_sub(MOST).filter(|&more| more > 0) {
        lines.push(format!("  and of {more} connections more"));
    }
    if !without.is_empty() {
        lines.push(format!("  of no connection: {}", text(&without)));
    }
    if lost > 0 {
        lines.push("  records of dropped packets were lost: there may have been more".to_owned());
    }
    lines
}

fn text(counts: &Counts) -> String {
    let each = counts.iter().map(|((direction, reason), packets)| {
        format!("{packets} {direction} ({})", reason.as_deref().unwrap_or("no reason known"))
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(conn_id: Option<i64>, direction: &str, reason: Option<&str>, packets: i64) -> Row {
        let (direction, reason) = (direction.to_owned(), reason.map(str::to_owned));
        Row { conn_id, direction, reason, packets, lost: 0 }
    }

    #[test]
    fn connections_have_a_line_each_and_the_rest_one() {
        let rows = [
            row(Some(4), "sent", Some("QDISC_DROP"), 3),
            row(Some(4), "received", Some("TCP_CSUM"), 1),
            row(None, "received", Some("NO_SOCKET"), 2),
            row(None, "received", Some("NO_SOCKET"), 5),
            row(Some(1), "received", None, 1),
        ];
        assert_eq!(
            lines(rows.into_iter()),
            [
                "packets that the kernel dropped (table drops):",
                "  connection 1: 1 received (no reason known)",
                "  connection 4: 1 received (TCP_CSUM), 3 sent (QDISC_DROP)",
                "  of no connection: 7 received (NO_SOCKET)",
            ]
        );
        assert_eq!(lines([].into_iter()), [""; 0]);
        let none = Row { lost: 4, ..row(None, "", None, 0) };
        let [_, lost] = &lines([none].into_iter())[..] else { panic!("a heading and a line") };
        assert!(lost.contains("were lost"), "{lost}");
    }

    #[test]
    fn many_connections_are_counted_and_lost_records_are_reported() {
        let rows = (0..12).map(|n| Row {
            lost: i64::from(n == 3),
            ..row(Some(n), "sent", Some("QDISC_DROP"), 1)
        });
        let lines = lines(rows);
        assert_eq!(lines.len(), 1 + MOST + 2);
        assert_eq!(lines[MOST + 1], "  and of 2 connections more");
        assert!(lines[MOST + 2].contains("may have been more"), "{lines:?}");
    }
}
