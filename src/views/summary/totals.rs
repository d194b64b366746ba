// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Totals of many connections: sums, and percentiles.

use super::Line;
use super::figures::{bit_rate, bytes, seconds, share};
use super::keys::SummaryKey;
use super::table::{Head, fitting};

/// From this many connections on, percentiles have a line each.
const MANY: usize = 10;

/// A sum over all connections; `None` if no value is known.
pub fn sum(lines: &[&Line], of: fn(&Line) -> Option<i64>) -> Option<i64> {
    lines.iter().filter_map(|line| of(line)).reduce(i64::saturating_add)
}

/// The share of all octets sent that were retransmissions, over the connections of which it is known.
pub fn retransmitted(lines: &[&Line]) -> Option<f64> {
    let known =
        lines.iter().filter_map(|l| Some((l.octets_sent? as f64, l.why.retransmitted_share?)));
    let (sent, again) =
        known.fold((0.0, 0.0), |(all, again), (sent, share)| (all + sent, again + sent * share));
    (sent > 0.0).then_some(again / sent)
}

/// Values in ascending order.
pub fn sorted(lines: &[&Line], key: &SummaryKey) -> Vec<f64> {
    let mut values: Vec<f64> = lines.iter().filter_map(|line| key.number(line)).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this share of the values lies, in between two of them if need be, as in numpy and
/// pandas. Half is the median. `values` ascend.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = values[at.floor() as usize];
    let above = values[at.ceil() as usize];
    Some(below + (above - below) * at.fract())
}

/// The sum of their data, in a line.
pub fn sums(lines: &[&Line]) -> String {
    let lossy = lines.iter().filter(|l| l.completeness.as_deref() == Some("lossy")).count();
    let unknown = lines.iter().filter(|l| l.octets_acked.is_none()).count();
    let mut first = format!("{} connections", lines.len());
    if lossy > 0 {
        first.push_str(&format!(", {lossy} lossy"));
    }
    first.push_str(&format!(
        ": {} acked, {} received",
        bytes(sum(lines, |l| l.octets_acked)),
        bytes(sum(lines, |l| l.octets_received))
    ));
    if let Some(again) = retransmitted(lines) {
        first.push_str(&format!(", {} of the octets sent retransmitted", share(Some(again))));
    }
    if unknown > 0 {
        first.push_str(&format!(" (octets of {unknown} are not known)"));
    }
    first
}

/// Shares, their names, and the ranks of their columns.
const SHARES: [(f64, &str, u8); 7] = [
    (0.0, "SMALLEST", 1),
    (0.1, "10 %", 4),
    (0.5, "MEDIAN", 0),
    (0.9, "90 %", 2),
    (0.95, "95 %", 4),
    (0.99, "99 %", 3),
    (1.0, "LARGEST", 1),
];

/// A key, its name in the table, and how a value is shown.
type Row = (&'static str, &'static str, fn(f64) -> String);

const ROWS: [Row; 6] = [
    ("rate", "rate", |v| bit_rate(Some(v))),
    ("bytes", "payload", |v| bytes(Some(v as i64))),
    ("duration", "seconds", |v| seconds(Some(v))),
    ("min_rtt", "smallest RTT ms", |v| format!("{:.3}", v * 1e3)),
    ("rtt", "smoothed RTT ms", |v| format!("{:.3}", v * 1e3)),
    ("retransmitted", "retransmitted", |v| share(Some(v))),
];

/// A table of percentiles, if there are many.
pub fn percentiles(lines: &[&Line], width: Option<usize>) -> Vec<String> {
    if lines.len() < MANY {
        return Vec::new();
    }
    let heads = [Head::text("", 0), Head::number("KNOWN", 5)].into_iter();
    let heads = heads.chain(SHARES.iter().map(|(_, name, rank)| Head::number(name, *rank)));
    let row = |&(key, name, show): &Row| {
        let values = sorted(lines, &SummaryKey::parse(key).ok()?);
        let cells = SHARES
            .iter()
            .map(|(share, ..)| percentile(&values, *share).map_or_else(|| "-".to_owned(), show));
        Some([name.to_owned(), values.len().to_string()].into_iter().chain(cells).collect())
    };
    let rows: Vec<Vec<String>> = ROWS.iter().filter_map(row).collect();
    fitting(&heads.collect::<Vec<_>>(), &rows, width).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_numpy() {
        let values: Vec<f64> = (1..=11).map(f64::from).collect();
        for (share, value) in [(0.0, 1.0), (0.25, 3.5), (0.5, 6.0), (0.9, 10.0), (1.0, 11.0)] {
            assert_eq!(percentile(&values, share), Some(value), "{share}");
        }
        assert_eq!(percentile(&[1.0, 3.0], 0.5), Some(2.0), "the median of two");
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn every_row_has_its_key() {
        for (key, ..) in ROWS {
            assert!(SummaryKey::parse(key).is_ok_and(|key| key.unit().is_some()), "{key}");
        }
    }
}
