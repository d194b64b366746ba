// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Hooks that never fired although the connection's counters moved: what only they could see is not
//! known of it, whatever the recorder believed when it started.

use super::slot::Slot;
use crate::schema::{Hook, Var};

/// Hooks of a connection that were silent against the evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silent(u64);

impl Silent {
    /// Whether all hooks that had something to see were heard.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The hooks.
    pub fn hooks(self) -> impl Iterator<Item = Hook> {
        Hook::ALL.iter().copied().filter(move |&hook| self.0 & bit(hook) != 0)
    }
}

const fn bit(hook: Hook) -> u64 {
    1 << hook as u8
}

/// Counters of the kernel that only move when segments do. All are read together.
#[derive(Clone, Copy, Debug)]
struct Counters {
    segments_out: u64,
    data_segments_in: u64,
    octets_received: u64,
    octets_acked: u64,
}

impl Counters {
    /// None as long as the kernel's counters are not known.
    fn of(slot: &Slot) -> Option<Self> {
        Some(Self {
            segments_out: slot.get(Var::SegsOut)?,
            data_segments_in: slot.get(Var::DataSegsIn)?,
            octets_received: slot.get(Var::HCThruOctetsReceived)?,
            octets_acked: slot.get(Var::HCThruOctetsAcked)?,
        })
    }
}

/// The hooks that reported a connection, and the counters with which this is compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Bit per hook.
    hooks: u64,
    /// The counters when the connection was established, or when it was first seen so. The
    /// handshake's own segments, which not every hook sees, are in them.
    since: Option<Counters>,
}

impl Heard {
    /// A record of a hook has been applied.
    pub fn record(&mut self, hook: Hook, slot: &Slot) {
        self.hooks |= bit(hook);
        if self.since.is_none() && slot.established {
            self.since = Counters::of(slot);
        }
    }

    /// A baseline made of an earlier part of the recording has been applied. Which hooks reported in
    /// that part is not known, and they may have nothing more to report.
    pub const fn carried(&mut self) {
        self.hooks = u64::MAX;
    }

    /// The hooks of those attached that were silent. The first segment that a hook sees always makes
    /// a record: its TTL, or its TOS octet, is new.
    pub fn silent(&self, attached: &[Hook], slot: &Slot) -> Silent {
        let Some(now) = Counters::of(slot) else { return Silent::default() };
        let mut silent = 0;
        let mut note = |hooks: &[Hook]| {
            for &hook in hooks.iter().filter(|&&hook| attached.contains(&hook)) {
                silent |= bit(hook) & !self.hooks;
            }
        };
        // Before ESTABLISHED, a connection that we open has sent its SYN.
        let sent = self.since.map_or(0, |since| since.segments_out);
        let egress = attached.contains(&Hook::Egress);
        if now.segments_out > sent && egress && self.hooks & bit(Hook::Egress) == 0 {
            // The others are of the same cgroup: what it does not have, they do not see.
            note(&[Hook::Egress, Hook::Handshake]);
            if !attached.contains(&Hook::StateProcess) {
                note(&[Hook::ParseHdr]);
            }
        }
        // A segment whose acknowledgment or in-order data was accepted has passed all checks, and so one
        // of the two hooks that every segment passes in its state.
        let accepted = self.since.is_some_and(|since| {
            now.octets_acked > since.octets_acked
                || (now.data_segments_in > since.data_segments_in
                    && now.octets_received > since.octets_received)
        });
        let receive = [Hook::TcpProbe, Hook::ParseHdr];
        let both = receive.iter().all(|hook| attached.contains(hook));
        if accepted && both && receive.iter().all(|&hook| self.hooks & bit(hook) == 0) {
            note(&receive);
        }
        Silent(silent)
    }
}
