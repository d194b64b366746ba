// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The other end of a connection, where it is in the same recording: two sockets whose initial
//! sequence numbers and ports are each other's. Addresses are not compared, since they may be
//! translated on the way.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::Slot;
use crate::schema::Var;

/// How many ended connections are kept for the rows of their other ends.
const KEPT: usize = 4096;

/// Initial sequence numbers sent and received, local and remote port.
pub(super) type PeerKey = (u64, u64, u64, u64);

/// Where the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// In this slot.
    Live(u32),
    /// Over, with the time in which its application was behind with reading.
    Over(u64),
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    ends: FxHashMap<PeerKey, Peer>,
    over: VecDeque<PeerKey>,
}

/// What identifies a connection to its other end; none before the handshake is over.
pub(super) fn ends_of(slot: &Slot, local_port: u16, remote_port: u16) -> Option<PeerKey> {
    let initial = (slot.get(Var::SndInitial)?, slot.get(Var::RecInitial)?);
    Some((initial.0, initial.1, local_port.into(), remote_port.into()))
}

impl Peers {
    /// A connection has these ends now; those that it had before no longer find it.
    pub(super) fn live(&mut self, before: Option<PeerKey>, ends: PeerKey, index: u32) {
        if let Some(before) = before.filter(|before| *before != ends)
            && self.ends.get(&before) == Some(&Peer::Live(index))
        {
            self.ends.remove(&before);
        }
        self.ends.insert(ends, Peer::Live(index));
    }

    /// A connection is over whose ends are not known any more.
    pub(super) fn forget(&mut self, ends: PeerKey) {
        if matches!(self.ends.get(&ends), Some(Peer::Live(_))) {
            self.ends.remove(&ends);
        }
    }

    /// The other end of this one.
    pub(super) fn of(&self, (sent, received, local, remote): PeerKey) -> Option<Peer> {
        self.ends.get(&(received, sent, remote, local)).copied()
    }

    /// This end is over.
    pub(super) fn over(&mut self, ends: PeerKey, behind_ns: u64) {
        if self.ends.insert(ends, Peer::Over(behind_ns)).is_none_or(|p| p != Peer::Over(behind_ns))
        {
            self.over.push_back(ends);
        }
        if self.over.len() > KEPT
            && let Some(oldest) = self.over.pop_front()
            && matches!(self.ends.get(&oldest), Some(Peer::Over(_)))
        {
            self.ends.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_has_the_numbers_the_other_way_round() {
        let mut peers = Peers::default();
        peers.live(None, (1, 2, 80, 5000), 7);
        assert_eq!(peers.of((2, 1, 5000, 80)), Some(Peer::Live(7)));
        assert_eq!(peers.of((1, 2, 80, 5000)), None);
        peers.over((1, 2, 80, 5000), 9);
        assert_eq!(peers.of((2, 1, 5000, 80)), Some(Peer::Over(9)));
    }

    #[test]
    fn the_number_of_kept_ends_is_bounded() {
        let mut peers = Peers::default();
        for n in 0..2 * KEPT as u64 {
            peers.live(None, (n, n, 1, 2), 0);
            peers.over((n, n, 1, 2), 0);
        }
        assert_eq!((peers.ends.len(), peers.over.len()), (KEPT, KEPT));
        assert_eq!(peers.of((0, 0, 2, 1)), None);
    }

    #[test]
    fn a_connection_with_changed_sequence_numbers_has_one_entry() {
        let mut peers = Peers::default();
        let mut before = None;
        for n in 0..100 {
            peers.live(before.replace((n, 0, 1, 2)), (n, 0, 1, 2), 7);
        }
        assert_eq!(peers.ends.len(), 1);
        peers.forget((99, 0, 1, 2));
        assert_eq!(peers.ends.len(), 0);
    }
}
