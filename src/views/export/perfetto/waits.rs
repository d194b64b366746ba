// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The states of the sender, as stretches of time.
//!
//! Replay decides such a stretch when it is over, and finds later whether it was the path's: after timeouts
//! that followed each other ([`Limits::counted_until`]). So stretches are given out once they are final.

use crate::engine::limits::{Limits, SenderState};

/// A stretch: from, to, and what was waited for.
pub type Stretch = (u64, u64, SenderState);

/// The stretches of one connection.
#[derive(Debug, Default)]
pub struct Waits {
    decided_ns: Option<u64>,
    startup_ns: u64,
    dead_ns: u64,
    /// Decided, and not final.
    held: Vec<Stretch>,
}

impl Waits {
    /// Takes what was decided since the last time; gives what has become final, in order.
    pub fn take(&mut self, limits: &Limits) -> Vec<Stretch> {
        let (Some(decided), Some(counted)) = (limits.decided_until(), limits.counted_until())
        else {
            return Vec::new();
        };
        let startup_ns = limits.ns()[SenderState::Startup as usize];
        // The handshake is settled by a lifecycle record, which no sample follows.
        let startup = startup_ns.saturating_sub(self.startup_ns);
        let from = self.decided_ns.unwrap_or_else(|| {
            let all = limits.ns().iter().copied().fold(0, u64::saturating_add);
            counted.saturating_sub(all)
        });
        let between = from.saturating_add(startup).min(decided);
        self.hold(from, between, SenderState::Startup);
        if let Some(state) = limits.state() {
            self.hold(between, decided, state);
        }
        let dead_ns = limits.ns()[SenderState::PathDead as usize];
        let mut dead = dead_ns.saturating_sub(self.dead_ns);
        self.decided_ns = Some(decided);
        self.startup_ns = startup_ns;
        self.dead_ns = dead_ns;
        let mut given = Vec::new();
        let count = self.held.iter().take_while(|(_, to, _)| *to <= counted).count();
        for (from, to, state) in self.held.drain(..count) {
            // Time that became the path's is settled first, and as a whole.
            let length = to - from;
            let is_dead = dead > 0 && length <= dead;
            dead = dead.saturating_sub(length);
            given.push((from, to, if is_dead { SenderState::PathDead } else { state }));
        }
        given
    }

    fn hold(&mut self, from: u64, to: u64, state: SenderState) {
        if to > from {
            self.held.push((from, to, state));
        }
    }
}
