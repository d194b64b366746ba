// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The packets of `--packets` and `--interface`.

use super::{follow::ALL, interface::Attach};

/// Which packets are recorded, and how much of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    /// As the sockets of this host get and give them.
    pub sockets: bool,
    /// As these interfaces get and give them: names, or "all".
    pub interfaces: Vec<String>,
    /// How to get at interfaces, or none for the best that the kernel has.
    pub attach: Option<Attach>,
    /// Bytes after IP that are kept at least, if a packet has them; its headers are in any case.
    pub digest_bytes: u32,
    /// Bytes of each CPU's ring; a power of two.
    pub ring_bytes: u32,
}

impl Packets {
    /// Whether interfaces are looked for in every network namespace.
    pub(super) fn all_interfaces(&self) -> bool {
        self.interfaces.iter().any(|name| name == ALL)
    }
}

/// The most that [`Packets::digest_bytes`] may ask for: what an Ethernet frame carries. It is less
/// than what a record holds by the longest headers before it.
pub const DIGEST_MAX: u32 = 1500;
