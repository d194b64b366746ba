// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which connection of the recording is which of the reference.
//!
//! Addresses and ports are those of one end, so the two ends of a connection are apart. Where a
//! 4-tuple was used again, the lives that overlap most belong together. `web10g-readvars` prints no
//! addresses: its rows are found by both initial sequence numbers.

use super::{Connection, DumpRow};
use crate::schema::Var;

/// A connection on both sides, by its places in the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Ours.
    pub ours: usize,
    /// The reference's.
    pub reference: usize,
    /// Microseconds between the two lives; 0 if they overlap, or if one is not known.
    pub apart_us: u64,
}

/// Connections that belong together, and those without a counterpart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// In the order of the reference.
    pub matched: Vec<Match>,
    /// In the order of the recording.
    pub only_ours: Vec<usize>,
    /// In the order of the reference.
    pub only_reference: Vec<usize>,
}

/// How far two candidates are from being the same: less is better.
type Distance = (u64, u64);

/// Finds the pairs.
pub fn pair(ours: &[Connection], reference: &[DumpRow]) -> Pairs {
    let mut by_tuple: std::collections::BTreeMap<_, Vec<usize>> = std::collections::BTreeMap::new();
    let mut by_sequence: std::collections::BTreeMap<_, Vec<usize>> =
        std::collections::BTreeMap::new();
    for (i, connection) in ours.iter().enumerate() {
        by_tuple.entry((connection.local, connection.remote)).or_default().push(i);
        if let Some(initial) = initial(&connection.values) {
            by_sequence.entry(initial).or_default().push(i);
        }
    }
    let mut candidates: Vec<(Distance, usize, usize)> = Vec::new();
    for (j, row) in reference.iter().enumerate() {
        let found = match row.addresses {
            Some(tuple) => by_tuple.get(&tuple),
            None => initial(&row.values).and_then(|initial| by_sequence.get(&initial)),
        };
        for &i in found.into_iter().flatten() {
            candidates.push((distance(&ours[i], row), i, j));
        }
    }
    candidates.sort_unstable();
    let mut taken = (vec![false; ours.len()], vec![false; reference.len()]);
    let mut pairs = Pairs::default();
    for ((apart_us, _), i, j) in candidates {
        if !taken.0[i] && !taken.1[j] {
            (taken.0[i], taken.1[j]) = (true, true);
            pairs.matched.push(Match { ours: i, reference: j, apart_us });
        }
    }
    pairs.matched.sort_unstable_by_key(|m| m.reference);
    let free = |taken: Vec<bool>| -> Vec<usize> {
        taken.into_iter().enumerate().filter_map(|(i, taken)| (!taken).then_some(i)).collect()
    };
    (pairs.only_ours, pairs.only_reference) = (free(taken.0), free(taken.1));
    pairs
}

/// Both initial sequence numbers: no two connections of a recording share them but by chance.
fn initial(values: &super::Values) -> Option<(i128, i128)> {
    Some((values.get(Var::SndInitial)?, values.get(Var::RecInitial)?))
}

fn distance(ours: &Connection, row: &DumpRow) -> Distance {
    let (Some(begin), Some(end), Some((row_begin, row_end))) =
        (ours.begin_us, ours.end_us, row.life())
    else {
        return (0, 0);
    };
    let apart = begin.saturating_sub(row_end).max(row_begin.saturating_sub(end));
    // A socket that was made early overlaps the connection before it too: the ends distinguish them.
    (apart, end.abs_diff(row_end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::compare::Values;

    fn ours(conn_id: u64, life: (u64, u64)) -> Connection {
        Connection {
            begin_us: Some(life.0),
            end_us: Some(life.1),
            ..Connection::new(
                conn_id,
                "10.0.0.1:4000".parse().unwrap(),
                "10.0.0.2:80".parse().unwrap(),
            )
        }
    }

    fn row(local: &str, remote: &str, life: Option<(u64, u64)>) -> DumpRow {
        let mut values = Values::default();
        if let Some((begin, end)) = life {
            values.set(Var::StartTimeStamp, i128::from(begin));
            values.set(Var::ElapsedSecs, i128::from((end - begin) / 1_000_000));
            values.set(Var::ElapsedMicroSecs, i128::from((end - begin) % 1_000_000));
        }
        let addresses = Some((local.parse().unwrap(), remote.parse().unwrap()));
        DumpRow { addresses, values, ..DumpRow::default() }
    }

    #[test]
    fn the_two_ends_of_a_connection_are_distinguished() {
        let here = [ours(1, (0, 10))];
        let there =
            [row("10.0.0.2:80", "10.0.0.1:4000", None), row("10.0.0.1:4000", "10.0.0.2:80", None)];
        let pairs = pair(&here, &there);
        assert_eq!(pairs.matched, [Match { ours: 0, reference: 1, apart_us: 0 }]);
        assert_eq!((pairs.only_ours, pairs.only_reference), (vec![], vec![0]));
    }

    #[test]
    fn a_reused_4_tuple_is_matched_by_time() {
        let s = 1_000_000;
        let here =
            [ours(1, (10 * s, 12 * s)), ours(2, (13 * s, 20 * s)), ours(3, (30 * s, 31 * s))];
        let tuple = ("10.0.0.1:4000", "10.0.0.2:80");
        // The socket of the second was made while the first still lived.
        let there = [
            row(tuple.0, tuple.1, Some((11 * s, 20 * s))),
            row(tuple.0, tuple.1, Some((9 * s, 12 * s))),
        ];
        let pairs = pair(&here, &there);
        assert_eq!(pairs.matched.iter().map(|m| m.ours).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(pairs.only_ours, [2]);
        let late = pair(&here[2..], &there[1..]);
        assert_eq!(late.matched[0].apart_us, 18 * s);
    }

    #[test]
    fn rows_without_addresses_go_by_sequence_numbers() {
        let mut here = [ours(1, (0, 1)), ours(2, (0, 1))];
        here[1].values.set(Var::SndInitial, 77);
        here[1].values.set(Var::RecInitial, 88);
        let values =
            |snd, rec| [(Var::SndInitial, snd), (Var::RecInitial, rec)].into_iter().collect();
        let there = [
            DumpRow { values: values(77, 88), ..DumpRow::default() },
            DumpRow { values: values(77, 89), ..DumpRow::default() },
        ];
        let pairs = pair(&here, &there);
        assert_eq!(pairs.matched, [Match { ours: 1, reference: 0, apart_us: 0 }]);
        assert_eq!((pairs.only_ours, pairs.only_reference), (vec![0], vec![1]));
    }
}
