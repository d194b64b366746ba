// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Snapshots of sockets in order of time.

use super::{Reorder, SLACK_NS, key};
use crate::log::{LogError, Recording, SocketRow};
use crate::wire::Snapshot;

/// All snapshots of a recording, sorted by (time, CPU, sequence number).
///
/// # Errors
/// Those of reading, each once, and nothing after it.
pub fn snapshots(recording: &Recording) -> impl Iterator<Item = Result<Snapshot, LogError>> {
    Sorted::new(recording.socket_rows())
}

/// Snapshots that are held back at most. It takes some 50 MB. The recorder writes a mark after at most an eighth
/// of them. But its marks stand still while it polls more sockets than these at once, and before its first mark.
const MOST: usize = 1 << 16;

/// Sorts what is nearly sorted already. The recorder writes a poll by netlink when it has it, and may read
/// the ring with what happened before only a second later, if it is short of CPU time. So a snapshot waits
/// for a mark that says that all of its time have come. Only where too many wait, one that is 100 ms
/// older than the newest goes on. One that comes later than a mark allows is given out as it comes.
#[derive(Debug)]
struct Sorted<I> {
    rows: I,
    /// In boxes: a line has room for up to twice as many as are in it.
    held: Reorder<Box<Snapshot>>,
    newest_ns: u64,
    /// All before it have come.
    marked_ns: u64,
    most: usize,
    over: bool,
}

impl<I> Sorted<I> {
    const fn new(rows: I) -> Self {
        Self { rows, held: Reorder::new(), newest_ns: 0, marked_ns: 0, most: MOST, over: false }
    }
}

impl<E, I: Iterator<Item = Result<SocketRow, E>>> Iterator for Sorted<I> {
    type Item = Result<Snapshot, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.over {
                return self.held.pop().map(|row| Ok(*row));
            }
            let before_ns =
                if self.held.count() > self.most { self.newest_ns } else { self.marked_ns };
            let before_ns = before_ns.max(self.marked_ns).checked_sub(SLACK_NS);
            if let Some(row) = before_ns.and_then(|ns| self.held.before(ns.saturating_add(1))) {
                return Some(Ok(*row));
            }
            match self.rows.next() {
                None => self.over = true,
                Some(Err(e)) => {
                    self.over = true;
                    return Some(Err(e));
                }
                Some(Ok(SocketRow::Snapshot(row))) => {
                    self.newest_ns = self.newest_ns.max(row.header.ts_ns);
                    self.held.hold(key(&row.header), Box::new(row));
                }
                Some(Ok(SocketRow::Marker(ts_ns))) => self.marked_ns = self.marked_ns.max(ts_ns),
                Some(Ok(SocketRow::Unknown)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> u64 {
        n * 1_000_000
    }

    fn row(at_ms: u64, seq: u64) -> Result<SocketRow, LogError> {
        let mut row = crate::testing::snapshot(ms(at_ms), 1);
        row.header.seq = seq;
        Ok(SocketRow::Snapshot(row))
    }

    fn mark(at_ms: u64) -> Result<SocketRow, LogError> {
        Ok(SocketRow::Marker(ms(at_ms)))
    }

    fn times(rows: Vec<Result<SocketRow, LogError>>, most: usize) -> Vec<u64> {
        let sorted = Sorted { most, ..Sorted::new(rows.into_iter()) };
        sorted.map(|row| row.unwrap().header.ts_ns / ms(1)).collect()
    }

    #[test]
    fn a_snapshot_waits_for_a_mark_of_its_time() {
        // A poll is written at 2 s. The ring is read only then: it has what happened from 0.9 s on.
        let rows =
            vec![row(800, 0), mark(850), row(2_000, 1), row(900, 2), row(1_500, 3), mark(2_100)];
        assert_eq!(times(rows, 10), [800, 900, 1_500, 2_000]);
        // Without a mark all are sorted at the end.
        assert_eq!(times(vec![row(2_000, 1), row(900, 2)], 10), [900, 2_000]);
    }

    #[test]
    fn one_later_than_its_mark_is_given_out_as_it_comes() {
        let rows = vec![row(300, 0), row(420, 1), mark(500), row(200, 2), row(600, 3), mark(900)];
        assert_eq!(times(rows, 10), [300, 200, 420, 600]);
    }

    #[test]
    fn where_too_many_wait_the_slack_is_enough() {
        let rows = vec![row(300, 0), row(250, 1), row(420, 2), row(200, 3), row(500, 4)];
        // 200 is later than is allowed for: 250 and 300 are out already.
        assert_eq!(times(rows, 1), [250, 300, 200, 420, 500]);
    }
}
