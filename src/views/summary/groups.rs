// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections put together by one of their values: by remote address, port, process, ...

use std::collections::BTreeMap;

use serde::Serialize;

use super::Line;
use super::keys::{self, SummaryKey, Unit, Value};
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
    /// Payload bytes received; none if not known of any connection.
    pub octets_received: Option<i64>,
    /// Share of all octets sent that were retransmissions.
    pub retransmitted_share: Option<f64>,
    /// Median of the connections' rates.
    pub median_rate_bit_per_s: Option<f64>,
    /// Median of the connections' smoothed RTTs.
    pub median_rtt_s: Option<f64>,
    /// The limit with the largest share of the connections' lives together.
    pub limited_by: Option<&'static str>,
    /// The value that the groups are in the order of, in the unit of its key; none by payload.
    pub sorted_by: Option<Value>,
}

/// All groups.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The key by which they are made.
    pub key: SummaryKey,
    /// Those with the most payload first, or as they were asked for.
    pub groups: Vec<Group>,
}

/// How groups are compared: the sum of counts and bytes, the median of rates, times and shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    Sum,
    Median,
}

/// How the values of a group are put together. None if they cannot be: numbers that name something have
/// no sum, and texts have neither.
fn way(key: SummaryKey) -> Option<Together> {
    match (key.name, key.unit()?) {
        ("id" | "local_port" | "remote_port" | "port" | "pid" | "mptcp", _) => None,
        ("inflation", _) | (_, Unit::BitRate | Unit::Seconds | Unit::Share) => {
            Some(Together::Median)
        }
        (_, Unit::Count | Unit::Bytes) => Some(Together::Sum),
    }
}

/// Name of a column with the key's values of groups.
pub fn together(key: SummaryKey) -> Option<String> {
    Some(match way(key)? {
        Together::Sum => key.name.to_owned(),
        Together::Median => format!("median {}", key.name),
    })
}

impl Groups {
    /// Puts connections together.
    pub fn of(lines: &[&Line], key: SummaryKey) -> Self {
        let mut by_name: BTreeMap<Option<String>, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            by_name.entry(name(key, line)).or_default().push(line);
        }
        let octets = |of: &[&Line]| {
            of.iter().filter_map(|line| keys::octets(line)).fold(0, i64::saturating_add)
        };
        let mut groups: Vec<(i64, Group)> =
            by_name.into_iter().map(|(name, of)| (octets(&of), group(name, &of))).collect();
        groups.sort_by_key(|(octets, _)| std::cmp::Reverse(*octets));
        Self { key, groups: groups.into_iter().map(|(_, group)| group).collect() }
    }

    /// Puts connections together, in the order of what the members of a group come to.
    ///
    /// # Errors
    /// A sentence, if groups cannot be sorted by the key.
    pub fn sorted(
        lines: &[&Line],
        key: SummaryKey,
        sort: SummaryKey,
        is_reverse: bool,
    ) -> Result<Self, String> {
        if sort != key && way(sort).is_none() && sort.name != "limited_by" {
            return Err(format!("groups by {} have no {} to be sorted by", key.name, sort.name));
        }
        let mut groups = Self::of(lines, key);
        let mut members: BTreeMap<Option<String>, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            members.entry(name(key, line)).or_default().push(line);
        }
        for group in &mut groups.groups {
            let of = members.get(&group.name).map(Vec::as_slice).unwrap_or_default();
            group.sorted_by = if sort == key {
                of.first().and_then(|line| key.of(line))
            } else if sort.name == "limited_by" {
                group.limited_by.map(|limit| Value::Text(limit.to_owned()))
            } else if sort.name == "retransmitted" {
                group.retransmitted_share.map(Value::Number)
            } else {
                let values = sorted(of, &sort);
                match way(sort) {
                    Some(Together::Median) => percentile(&values, 0.5).map(Value::Number),
                    _ => values.iter().copied().reduce(|a, b| a + b).map(Value::Number),
                }
            };
        }
        // Stable: among equals those with the most payload are first.
        groups.groups.sort_by(|a, b| keys::order(&a.sorted_by, &b.sorted_by, is_reverse));
        Ok(groups)
    }
}

fn name(key: SummaryKey, line: &Line) -> Option<String> {
    key.of(line).map(|value| match value {
        Value::Number(n) => n.to_string(),
        Value::Text(text) => text,
    })
}

fn group(name: Option<String>, lines: &[&Line]) -> Group {
    let median = |name| {
        let key = SummaryKey::parse(name).ok()?;
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
        sorted_by: None,
    }
}

/// Shares count by the time that they are shares of. An end that sent nothing was limited by nothing.
fn limited_by(lines: &[&Line]) -> Option<&'static str> {
    let senders = || lines.iter().filter(|l| l.octets_sent.is_some_and(|n| n > 0));
    let time = |limit: crate::engine::limits::LimitCause| -> f64 {
        let of = |l: &&Line| Some(l.duration_s? * l.why.limited[limit as usize]?);
        senders().filter_map(of).sum()
    };
    let times =
        crate::engine::limits::LimitCause::ALL.iter().map(|&limit| (time(limit), limit.name()));
    let largest = times.max_by(|a, b| a.0.total_cmp(&b.0));
    largest.filter(|(time, _)| *time > 0.0).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limits::LimitCause;
    use crate::output::tables::Figures;

    fn line(remote: Option<&str>, acked: i64, limit: LimitCause, seconds: f64) -> Line {
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
            line(Some("a"), 1_000, LimitCause::Network, 1.0),
            line(Some("b"), 5_000, LimitCause::Receiver, 1.0),
            line(Some("a"), 2_000, LimitCause::Application, 9.0),
            line(None, 1, LimitCause::Network, 1.0),
        ];
        let lines: Vec<&Line> = lines.iter().collect();
        let groups = Groups::of(&lines, SummaryKey::parse("remote").unwrap()).groups;
        let names: Vec<_> = groups.iter().map(|g| g.name.as_deref()).collect();
        assert_eq!(names, [Some("b"), Some("a"), None]);
        let a = &groups[1];
        assert_eq!(
            (a.connections, a.octets_acked, a.limited_by),
            (2, Some(3_000), Some("application"))
        );
        // The mean of the two, as everyone's median.
        assert_eq!(a.median_rate_bit_per_s, Some(f64::midpoint(8_000.0, 2_000.0 * 8.0 / 9.0)));
        assert!((a.retransmitted_share.unwrap() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn groups_are_sorted_by_sums_of_counts_and_medians_of_rates() {
        let lines = [
            line(Some("a"), 1_000, LimitCause::Network, 1.0),
            line(Some("b"), 1_500, LimitCause::Receiver, 3.0),
            line(Some("a"), 1_000, LimitCause::Network, 1.0),
        ];
        let lines: Vec<&Line> = lines.iter().collect();
        let names = |sort: &str, is_reverse| -> Vec<Option<String>> {
            let (key, sort) =
                (SummaryKey::parse("remote").unwrap(), SummaryKey::parse(sort).unwrap());
            let groups = Groups::sorted(&lines, key, sort, is_reverse).unwrap().groups;
            groups.into_iter().map(|g| g.name).collect()
        };
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(names("bytes", false), [a.clone(), b.clone()]);
        assert_eq!(names("duration", false), [b.clone(), a.clone()]);
        assert_eq!(names("duration", true), [a.clone(), b.clone()]);
        assert_eq!(names("connections", false), [a.clone(), b.clone()]);
        assert_eq!(names("remote", true), [b, a]);
        let (remote, pid) =
            (SummaryKey::parse("remote").unwrap(), SummaryKey::parse("pid").unwrap());
        assert!(Groups::sorted(&lines, remote, pid, false).is_err());
    }
}
