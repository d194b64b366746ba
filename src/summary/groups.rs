// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections put together by one of their values: by remote address, port, process, ...

use std::collections::BTreeMap;

use serde::Serialize;

use super::Line;
use super::keys::{self, Key, Value};
use super::totals::{percentile, retransmitted, sorted, sum};

/// Connections with one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The value; none of connections of which it is not known.
    pub name: Option<String>,
    /// Connections.
    pub connections: usize,
    /// Those of them that are lossy.
    pub lossy: usize,
    /// Payload bytes that the peers acknowledged, over the connections of which it is known.
    pub octets_acked: Option<i64>,
    /// Payload bytes received, likewise.
    pub octets_received: Option<i64>,
    /// Share of all octets sent that were retransmissions.
    pub retransmitted_share: Option<f64>,
    /// Median of the connections' rates.
    pub median_rate_bit_per_s: Option<f64>,
    /// Median of the connections' smoothed RTTs.
    pub median_rtt_s: Option<f64>,
    /// The limit with the largest share of the connections' lives together.
    pub limited_by: Option<&'static str>,
}

/// All groups.
#[derive(Clone, Debug)]
pub struct Groups {
    /// What they are made by.
    pub key: Key,
    /// Those with the most payload first.
    pub groups: Vec<Group>,
}

impl Groups {
    /// Puts connections together.
    pub fn of(lines: &[&Line], key: Key) -> Self {
        let mut by_name: BTreeMap<Option<String>, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            let name = key.of(line).map(|value| match value {
                Value::Number(n) => n.to_string(),
                Value::Text(text) => text,
            });
            by_name.entry(name).or_default().push(line);
        }
        let mut groups: Vec<(i64, Group)> = by_name
            .into_iter()
            .map(|(name, of)| (of.iter().filter_map(|l| keys::octets(l)).sum(), group(name, &of)))
            .collect();
        groups.sort_by_key(|(octets, _)| std::cmp::Reverse(*octets));
        Self { key, groups: groups.into_iter().map(|(_, group)| group).collect() }
    }
}

fn group(name: Option<String>, lines: &[&Line]) -> Group {
    let median = |name| {
        let key = Key::parse(name).ok()?;
        percentile(&sorted(lines, &key), 0.5)
    };
    Group {
        name,
        connections: lines.len(),
        lossy: lines.iter().filter(|l| l.completeness.as_deref() == Some("lossy")).count(),
        octets_acked: sum(lines, |l| l.octets_acked),
        octets_received: sum(lines, |l| l.octets_received),
        retransmitted_share: retransmitted(lines),
        median_rate_bit_per_s: median("rate"),
        median_rtt_s: median("rtt"),
        limited_by: limited_by(lines),
    }
}

/// Shares count by the time that they are shares of. An end that sent nothing was limited by nothing.
fn limited_by(lines: &[&Line]) -> Option<&'static str> {
    let senders = || lines.iter().filter(|l| l.octets_sent.is_some_and(|n| n > 0));
    let time = |limit: crate::limits::Limit| -> f64 {
        let of = |l: &&Line| Some(l.duration_s? * l.why.limited[limit as usize]?);
        senders().filter_map(of).sum()
    };
    let times = crate::limits::Limit::ALL.iter().map(|&limit| (time(limit), limit.name()));
    let largest = times.max_by(|a, b| a.0.total_cmp(&b.0));
    largest.filter(|(time, _)| *time > 0.0).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limit;
    use crate::tables::Figures;

    fn line(remote: Option<&str>, acked: i64, limit: Limit, seconds: f64) -> Line {
        let mut why = Figures { retransmitted_share: Some(0.1), ..Figures::default() };
        why.limited[limit as usize] = Some(1.0);
        Line {
            remote_address: remote.map(str::to_owned),
            octets_acked: Some(acked),
            octets_received: Some(0),
            octets_sent: Some(acked),
            duration_s: Some(seconds),
            why,
            ..Line::default()
        }
    }

    #[test]
    fn groups_add_up_and_the_largest_is_first() {
        let lines = [
            line(Some("a"), 1_000, Limit::Network, 1.0),
            line(Some("b"), 5_000, Limit::Receiver, 1.0),
            line(Some("a"), 2_000, Limit::Application, 9.0),
            line(None, 1, Limit::Network, 1.0),
        ];
        let lines: Vec<&Line> = lines.iter().collect();
        let groups = Groups::of(&lines, Key::parse("remote").unwrap()).groups;
        let names: Vec<_> = groups.iter().map(|g| g.name.as_deref()).collect();
        assert_eq!(names, [Some("b"), Some("a"), None]);
        let a = &groups[1];
        assert_eq!(
            (a.connections, a.octets_acked, a.limited_by),
            (2, Some(3_000), Some("application"))
        );
        assert_eq!(a.median_rate_bit_per_s, Some(2_000.0 * 8.0 / 9.0));
        assert!((a.retransmitted_share.unwrap() - 0.1).abs() < 1e-9);
    }
}
