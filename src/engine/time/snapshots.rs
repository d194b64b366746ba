// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Snapshots of sockets in order of time.

use super::{Reorder, SLACK_NS, key};
use crate::log::{LogError, Recording};
use crate::wire::Snapshot;

/// All snapshots of a recording, sorted by (time, CPU, sequence number).
///
/// # Errors
/// Those of reading, each once, and nothing after it.
pub fn snapshots(recording: &Recording) -> impl Iterator<Item = Result<Snapshot, LogError>> {
    Sorted::new(recording.sockets())
}

/// Sorts what is nearly sorted already: all snapshots come through one ring, in which one stands
/// behind another of later time only if its program was preempted between reading the clock and
/// handing over, for which 100 ms are allowed as everywhere. One later than that is given out as
/// it comes.
#[derive(Debug)]
struct Sorted<I> {
    rows: I,
    held: Reorder<Snapshot>,
    newest_ns: u64,
    over: bool,
}

impl<I> Sorted<I> {
    const fn new(rows: I) -> Self {
        Self { rows, held: Reorder::new(), newest_ns: 0, over: false }
    }
}

impl<E, I: Iterator<Item = Result<Snapshot, E>>> Iterator for Sorted<I> {
    type Item = Result<Snapshot, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.over {
                return self.held.pop().map(Ok);
            }
            // One that is older than the newest by the slack has nothing to wait for.
            let before_ns = self.newest_ns.checked_sub(SLACK_NS).map_or(0, |ns| ns + 1);
            if let Some(row) = self.held.before(before_ns) {
                return Some(Ok(row));
            }
            match self.rows.next() {
                None => self.over = true,
                Some(Err(e)) => {
                    self.over = true;
                    return Some(Err(e));
                }
                Some(Ok(row)) => {
                    self.newest_ns = self.newest_ns.max(row.header.ts_ns);
                    self.held.hold(key(&row.header), row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_out_of_order_by_less_than_the_slack_are_sorted() {
        let row = |ts_ns, seq| {
            let mut row = crate::testing::snapshot(ts_ns, 1);
            row.header.seq = seq;
            Ok::<_, LogError>(row)
        };
        let ms = |n: u64| n * 1_000_000;
        let rows = [(300, 0), (250, 1), (420, 2), (200, 3), (500, 4)];
        let rows = rows.into_iter().map(|(at, seq)| row(ms(at), seq));
        let times: Vec<_> = Sorted::new(rows).map(|r| r.unwrap().header.ts_ns / ms(1)).collect();
        // 200 is later than is allowed for: 250 and 300 are out already.
        assert_eq!(times, [250, 300, 200, 420, 500]);
    }
}
