// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The connection as a witness of its own recording: RCV.NXT, which the kernel moves by itself, against
//! the payload that hooks counted.
//!
//! A recorder that compares both (`bpf/witness.bpf.h`) has counted what lies between and reported
//! it, so nothing is found here. Left are recordings made before it did, and records that were
//! lost on their way.

use super::slot::Slot;
use crate::schema::{Hook, Op, Var};
use crate::wire::Operation;

/// RFC 4898 states in which the peer's FIN may have been received: closed, finWait1, finWait2,
/// closeWait, lastAck, closing, timeWait. It has a sequence number and no octet. In finWait1 and
/// finWait2 tcp_fin() sends the acknowledgment of the FIN before it changes the state (Linux 5.8 to
/// 6.18).
const PEER_MAY_HAVE_FINISHED: [u64; 7] = [1, 6, 7, 8, 9, 10, 11];

/// The sequence space that one connection received, and the octets that were counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    rcv_nxt: Option<u32>,
    /// Octets counted less the advance of RCV.NXT since both were last known to agree: what is
    /// out of order or was sent twice.
    surplus: i64,
    /// A hook of received segments has run: what came with the handshake is counted from then on.
    begun: bool,
    /// Octets have been counted.
    counted: bool,
    /// RCV.NXT and octets count from the same beginning.
    even: bool,
    finished: bool,
}

/// The facts of one record that this needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    initial: Option<u32>,
    rcv_nxt: Option<u32>,
    octets: Option<u64>,
}

impl Reading {
    /// Takes an operation of the record.
    pub(super) fn take(&mut self, operation: &Operation) {
        let Operation { var, op, value } = *operation;
        if var == Var::RcvNxt && op == Op::Set {
            self.rcv_nxt = Some(value as u32);
        } else if var == Var::RecInitial && op == Op::Set {
            self.initial = Some(value as u32);
        } else if var == Var::HCDataOctetsIn && op == Op::Add {
            self.octets = Some(self.octets.unwrap_or(0).saturating_add(value));
        }
    }
}

impl Received {
    /// Takes a record whose operations have been applied to `slot`. Octets that RCV.NXT has
    /// passed and no hook saw, if there are any.
    pub(super) fn record(&mut self, hook: Hook, reading: Reading, slot: &Slot) -> Option<u64> {
        let received = hook.is_received();
        self.begun |= received;
        // Before the handshake is over RCV.NXT has no meaning. A baseline repeats the beginning of the
        // numbers: what came between it and the baseline was counted before, if at all.
        if let Some(initial) = reading.initial
            && !hook.is_baseline()
            && !self.begun
            && !self.counted
        {
            // Data may have come before the handshake was over (Fast Open): RCV.NXT stands behind it
            // by now, and its octets are counted with the next segment.
            let now = slot.get(Var::RcvNxt).map_or(initial, |value| value as u32);
            let early = i64::from(now.wrapping_sub(initial) as i32).max(0);
            self.rcv_nxt = Some(initial.wrapping_add(early as u32));
            self.surplus = -early;
            self.even = true;
        }
        self.counted |= reading.octets.is_some();
        let octets = i64::try_from(reading.octets.unwrap_or(0)).unwrap_or(i64::MAX);
        self.surplus = self.surplus.saturating_add(octets);
        if let Some(now) = reading.rcv_nxt
            && let Some(before) = self.rcv_nxt.replace(now)
        {
            // Signed: records may come late.
            let step = i64::from(now.wrapping_sub(before) as i32);
            self.surplus = self.surplus.saturating_sub(step);
        }
        // Both are read together, with the slow values.
        if !self.begun || (reading.octets.is_none() && reading.rcv_nxt.is_none()) {
            return None;
        }
        let may_have_finished =
            slot.get(Var::State).is_some_and(|state| PEER_MAY_HAVE_FINISHED.contains(&state));
        if self.surplus < 0 && may_have_finished && !self.finished {
            self.finished = true;
            self.surplus += 1;
        }
        let short = u64::try_from(self.surplus.saturating_neg()).ok();
        let short = short.filter(|&short| short > 0 && self.even);
        // Before a segment is processed all that came earlier has been. What was counted and is
        // neither behind RCV.NXT nor waiting was received twice, or refused.
        if received && slot.get(Var::CurReasmQueue) == Some(0) {
            self.surplus = 0;
            self.even = true;
        }
        self.surplus = self.surplus.max(0);
        short
    }
}
