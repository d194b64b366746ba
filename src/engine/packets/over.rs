// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A connection that was reset, while its own end may show that it was not.
//!
//! A reset that stands in a capture need not have had an effect: a middlebox makes resets up, a
//! firewall of the host drops one before the socket sees it. Packets then come after the end of the
//! row. They are in no counter of it, so it must not count as whole: the row waits until nothing
//! more can come of these ends, and lacks as many packets as came after it.

use super::connection::{Closed, Connection};
use super::segment::{Segment, after};
use crate::engine::time::SLACK_NS;
use crate::engine::time::order::Consumer;
use crate::schema::Hook;
use crate::wire::{Header, Lifecycle, Operation};

/// The end of a connection, which is not reported yet.
#[derive(Debug)]
pub struct Over {
    record: Lifecycle,
    late: bool,
    /// It was established and then reset.
    reset: bool,
    /// The reset was the peer's: a segment of ours may have crossed it.
    by_peer: bool,
    rcv_nxt: Option<u32>,
    /// Packets since.
    packets: u64,
    /// Our end went on.
    went_on: bool,
}

impl Over {
    /// A connection that was closed, by this record.
    pub fn new(record: Lifecycle, late: bool, connection: &Connection, closed: Closed) -> Self {
        let by_peer = closed.errno != 0;
        let reset = connection.established && (by_peer || connection.sent_reset);
        let rcv_nxt = connection.rcv_nxt();
        Self { record, late, reset, by_peer, rcv_nxt, packets: 0, went_on: false }
    }

    /// Whether packets can show that it was none.
    pub const fn may_go_on(&self) -> bool {
        self.reset
    }

    /// A packet of these ends after it.
    pub fn leftover(&mut self, s: &Segment, sent: bool) {
        self.packets += 1;
        if !sent || s.rst || s.syn {
            return;
        }
        // Only a socket acknowledges what came since, and sends data.
        let news = s.ack && self.rcv_nxt.is_some_and(|nxt| after(s.ack_seq, nxt));
        let crossed = self.by_peer && s.ts_ns < self.record.header.ts_ns.saturating_add(SLACK_NS);
        self.went_on |= news || s.payload > 0 && !crossed;
    }

    /// Reports the end. Returns how many packets the row lacks.
    ///
    /// # Errors
    /// The consumer's.
    pub fn end<C: Consumer>(self, consumer: &mut C) -> Result<u64, C::Error> {
        let lacks = if self.went_on { self.packets } else { 0 };
        let header = &self.record.header;
        if lacks > 0 {
            consumer.missed(header, lacks);
        }
        consumer.lifecycle(&self.record, self.late)?;
        let gone = Header { hook: Hook::Destroy, ..*header };
        consumer.hook(&gone, std::iter::empty::<Operation>(), self.late)?;
        Ok(lacks)
    }
}
