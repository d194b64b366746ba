// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which end of each connection is the recorded one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

use crate::wire::protocol::TCP;
use crate::wire::{Direction, Packet};

/// An address, or a prefix of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    addr: IpAddr,
    bits: u8,
}

impl Prefix {
    /// Whether the address is in it.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differ = u32::from(a) ^ u32::from(b);
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differ = u128::from(a) ^ u128::from(b);
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = if self.addr.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            write!(f, "{}", self.addr)
        } else {
            write!(f, "{}/{}", self.addr, self.bits)
        }
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault =
            || format!("{text:?} is not an address like 192.0.2.1 or a prefix like 192.0.2.0/24");
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits.parse::<u8>().map_err(|_| fault())?)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| fault())?;
        let whole = if addr.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(whole);
        if bits > whole { Err(fault()) } else { Ok(Self { addr, bits }) }
    }
}

/// TTLs that hosts set: a packet has one of them until a router forwards it.
const UNTOUCHED: [u8; 3] = [64, 128, 255];

/// The facts of the packets of one address.
#[derive(Debug, Default)]
struct Sender {
    untouched: u64,
    packets: u64,
}

impl Sender {
    /// Not one packet less than nine in ten: a probe with a TTL of its own, or a reset that a
    /// router made up, does not move the host.
    fn is_near(&self) -> bool {
        self.untouched * 10 >= self.packets * 9
    }
}

/// Looks at the TCP packets of a capture for the end at which it was taken.
#[derive(Debug, Default)]
pub struct EndSurvey {
    senders: BTreeMap<IpAddr, Sender>,
    pairs: BTreeSet<(IpAddr, IpAddr)>,
    /// Addresses that every packet has had so far.
    common: Option<BTreeSet<IpAddr>>,
    has_direction: bool,
}

/// The recorded end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedEnd {
    /// Addresses of that end; empty if packets or openers show it.
    pub local: Vec<Prefix>,
    /// How they were found; see the manifest.
    pub by: &'static str,
}

impl EndSurvey {
    /// Takes in a packet.
    pub fn see(&mut self, packet: &Packet) {
        if packet.protocol != TCP {
            return;
        }
        let (src, dst) = (packet.src_addr, packet.dst_addr);
        self.has_direction |= packet.direction != Direction::Unknown;
        let sender = self.senders.entry(src).or_default();
        sender.packets += 1;
        sender.untouched += u64::from(UNTOUCHED.contains(&packet.ttl));
        self.pairs.insert((src, dst));
        match &mut self.common {
            None => self.common = Some(BTreeSet::from([src, dst])),
            Some(common) => common.retain(|a| *a == src || *a == dst),
        }
    }

    /// The recorded end, by the option if there is one.
    pub fn ends(&self, option: &[Prefix]) -> RecordedEnd {
        if !option.is_empty() {
            return RecordedEnd { local: option.to_owned(), by: "option" };
        }
        if self.has_direction {
            return RecordedEnd { local: Vec::new(), by: "capture" };
        }
        let near = |a: &IpAddr| self.senders.get(a).is_some_and(Sender::is_near);
        let far = |a: &IpAddr| self.senders.get(a).is_some_and(|s| !s.is_near());
        let mut local = BTreeSet::new();
        for (a, b) in &self.pairs {
            if near(a) && far(b) {
                local.insert(*a);
            }
        }
        let whole = |addr: IpAddr| Prefix { addr, bits: if addr.is_ipv4() { 32 } else { 128 } };
        if !local.is_empty() {
            return RecordedEnd { local: local.into_iter().map(whole).collect(), by: "ttl" };
        }
        match self.common.iter().flatten().collect::<Vec<_>>()[..] {
            [only] => RecordedEnd { local: vec![whole(*only)], by: "common" },
            _ => RecordedEnd { local: Vec::new(), by: "opener" },
        }
    }
}

impl RecordedEnd {
    /// Which way a packet went, seen from the recorded end.
    pub fn direction(&self, packet: &Packet) -> Direction {
        let local = |a: IpAddr| self.local.iter().any(|p| p.contains(a));
        if self.local.is_empty() {
            return packet.direction;
        }
        match (local(packet.src_addr), local(packet.dst_addr)) {
            (true, false) => Direction::Out,
            (false, true) => Direction::In,
            (true, true) | (false, false) => Direction::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (prefix, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::/0", "ffff::", "192.0.2.1"),
        ] {
            let prefix: Prefix = prefix.parse().unwrap();
            assert!(prefix.contains(inside.parse().unwrap()), "{prefix} {inside}");
            assert!(!prefix.contains(outside.parse().unwrap()), "{prefix} {outside}");
        }
        for bad in ["", "192.0.2", "192.0.2.0/33", "::/129", "192.0.2.0/x", "host"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
