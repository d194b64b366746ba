// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets that a capture has more than once.
//!
//! A mirror port gives a packet once for each mirrored port that it passes. A capture of all interfaces
//! without their numbers (cooked v1) gives it at the bridge and at its port. Such copies are made by the
//! capture. They would count as retransmissions if they stayed. A network that duplicates packets makes
//! copies too, and the host really received those. But they are few, while a mirror copies nearly every
//! packet between two addresses. So copies are recognised for all packets from one address to another,
//! by a first reading. If these are too few, all packets of the capture decide. A sender that repeats
//! packets endlessly is not a mirror.
//!
//! Only an identification (IPv4, not 0) distinguishes a copy from another packet of the same bytes.
//! Datagrams of one size whose checksum the interface still has to fill in are equal, and so are
//! duplicate ACKs. Packets without identification are never left out. But an end repeats few of its
//! segments bit by bit and at once, ACKs included. If most of them are in the capture twice, there is a
//! mirror, and the second ones are marked ([`Likeness::Alike`]).
//!
//! A packet that one interface gets and another sends as it came passes a bridge: neither way is the
//! recorded end's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::wire::protocol::TCP;
use crate::wire::{Direction, Packet};

/// How far apart copies are at most. A mirror's queue adds microseconds; an end sends nothing again
/// so soon.
pub const WINDOW_NS: u64 = 1_000_000;
/// This many of ten packets from one address to another have a copy if a mirror makes them.
const OF_TEN: u64 = 8;
/// This many packets from one address to another are enough to decide for these addresses alone.
const TELLING: u64 = 3;
/// This many segments without identification, most with a copy, show a mirror.
const UNPROVEN: u64 = 4;
/// Ports that may be mirrored at once, and that a packet passes.
const MOST: usize = 4;
/// This many packets of two addresses must have passed a bridge: one may be chance.
const BRIDGED: u64 = 3;

/// All that is the same in copies of a packet: everything that was captured of it from IP on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Content {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    ttl: u8,
    tos: u8,
    id: Option<u32>,
    fragment: (u16, bool),
    flow_label: Option<u32>,
    length: u32,
    /// With its checksum, which is the payload's too.
    header: Vec<u8>,
    /// Hash of the payload, as far as it was captured.
    payload: u64,
}

impl Content {
    /// None for a packet that cannot be distinguished from others of the same size.
    fn of(packet: &Packet) -> Option<Self> {
        (!packet.header.is_empty()).then(|| Self {
            src: packet.src_addr,
            dst: packet.dst_addr,
            protocol: packet.protocol,
            ttl: packet.ttl,
            tos: packet.tos,
            id: packet.ip_id,
            fragment: (packet.fragment_offset, packet.more_fragments),
            flow_label: packet.flow_label,
            length: packet.ip_len,
            header: packet.header.clone(),
            payload: {
                let mut hasher = DefaultHasher::new();
                packet.payload.hash(&mut hasher);
                hasher.finish()
            },
        })
    }
}

/// Whether two packets with the same bytes must be one packet: a sender gives the next one another
/// identification (RFC 6864; ip_select_ident_segs() of Linux 6.18), if it gives any.
fn is_identified(packet: &Packet) -> bool {
    let is_fragment = packet.fragment_offset > 0 || packet.more_fragments;
    packet.src_addr.is_ipv4() && !is_fragment && packet.ip_id.is_some_and(|id| id != 0)
}

/// A sighting: where, which way, when.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    interface: Option<u32>,
    direction: Direction,
    ts_ns: u64,
    is_copy: bool,
}

/// The packets of the last window.
#[derive(Debug, Default)]
struct Window {
    contents: FxHashMap<Content, Vec<Sighting>>,
    order: VecDeque<(u64, Content)>,
}

/// The relation of a packet to those before it.
struct CopyVerdict {
    /// The same interface has it already.
    is_copy: bool,
    /// And more often than a mirror gives it.
    too_often: bool,
    /// How often it has it already.
    before: usize,
    /// Another interface had it going the other way.
    turned: bool,
    /// The first interface that had it, if that is another.
    elsewhere: Option<u32>,
}

impl Window {
    fn see(&mut self, packet: &Packet) -> Option<CopyVerdict> {
        let content = Content::of(packet)?;
        let now = packet.ts_ns;
        let is_near = |ts_ns: u64| ts_ns.abs_diff(now) <= WINDOW_NS;
        while let Some((_, old)) = self.order.pop_front_if(|(ts_ns, _)| !is_near(*ts_ns)) {
            if let Some(sightings) = self.contents.get_mut(&old) {
                sightings.retain(|s| is_near(s.ts_ns));
                if sightings.is_empty() {
                    self.contents.remove(&old);
                }
            }
        }
        let (interface, direction) = (packet.interface, packet.direction);
        self.order.push_back((now, content.clone()));
        let sightings = self.contents.entry(content).or_default();
        let near = || sightings.iter().filter(|s| is_near(s.ts_ns));
        let is_turned = |s: &Sighting| {
            let both = [s.direction, direction];
            s.interface != interface
                && both.contains(&Direction::In)
                && both.contains(&Direction::Out)
        };
        let here = || near().filter(|s| s.interface == interface);
        // Close to the first, so that endlessly repeated packets are not all copies.
        let is_copy = here().any(|s| !s.is_copy);
        let before = here().count();
        let seen = CopyVerdict {
            is_copy,
            too_often: is_copy && before >= MOST,
            before,
            turned: near().any(is_turned),
            elsewhere: near().next().map(|s| s.interface).filter(|i| *i != interface).flatten(),
        };
        sightings.push(Sighting { interface, direction, ts_ns: now, is_copy });
        Some(seen)
    }
}

type Pair = (IpAddr, IpAddr);

/// How many packets have copies.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    firsts: u64,
    copies: u64,
    too_often: u64,
}

impl Share {
    const fn add(&mut self, seen: &CopyVerdict) {
        if seen.too_often {
            self.too_often += 1;
        } else if seen.is_copy {
            self.copies += 1;
        } else {
            self.firsts += 1;
        }
    }

    const fn is_mirrored(&self) -> bool {
        self.too_often == 0 && self.copies * 10 >= self.firsts * OF_TEN
    }
}

/// How many segments without an identification have copies.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    firsts: u64,
    /// The segments among these with at least one copy.
    repeated: u64,
    /// The segments among those with more copies than a mirror makes: duplicate ACKs, which a mirror may
    /// have doubled.
    too_often: u64,
    copies: u64,
}

impl Alike {
    fn add(&mut self, seen: &CopyVerdict) {
        self.firsts += u64::from(!seen.is_copy);
        self.copies += u64::from(seen.is_copy);
        self.repeated += u64::from(seen.is_copy && seen.before == 1);
        self.too_often += u64::from(seen.is_copy && seen.before == MOST);
    }

    const fn is_mirrored(&self) -> bool {
        // Most, as nothing is left out for it. Without SACK and timestamps a path that reorders doubles
        // some ACKs, too.
        self.repeated.saturating_sub(self.too_often) * 2 > self.firsts
    }
}

/// Looks at the packets of a capture for copies.
#[derive(Debug, Default)]
pub struct CopySurvey {
    window: Window,
    /// From one address to another: packets with an identification seen first, and copies of them.
    pairs: BTreeMap<Pair, Share>,
    all: Share,
    /// The same of TCP segments without an identification.
    unidentified: BTreeMap<Pair, Alike>,
    all_unidentified: Alike,
    /// Packets of two addresses that passed a bridge.
    bridged: BTreeMap<Pair, u64>,
    /// Packets that two interfaces had as they were.
    shared: BTreeMap<(u32, u32), u64>,
}

impl CopySurvey {
    /// Takes in a packet.
    pub fn see(&mut self, packet: &Packet) {
        let Some(seen) = self.window.see(packet) else { return };
        let pair = (packet.src_addr, packet.dst_addr);
        if is_identified(packet) {
            self.pairs.entry(pair).or_default().add(&seen);
            self.all.add(&seen);
        } else if packet.protocol == TCP {
            self.unidentified.entry(pair).or_default().add(&seen);
            self.all_unidentified.add(&seen);
        }
        if seen.turned {
            *self.bridged.entry(unordered(packet)).or_default() += 1;
        }
        if let (Some(a), Some(b)) = (seen.elsewhere, packet.interface) {
            *self.shared.entry((a.min(b), a.max(b))).or_default() += 1;
        }
    }

    /// Interfaces that have the same packets: stacked upon each other, or ports of one bridge.
    pub fn shared(&self) -> impl Iterator<Item = (u32, u32)> {
        self.shared.iter().filter(|(_, n)| **n >= BRIDGED).map(|(pair, _)| *pair)
    }

    /// The copies that were found.
    pub fn copies(self) -> Copies {
        let all = self.all;
        let is_mirrored = |share: &Share| {
            if share.firsts < TELLING { all.is_mirrored() } else { share.is_mirrored() }
        };
        let alike = self.all_unidentified;
        let seems_mirrored = |share: &Alike| {
            if share.firsts < UNPROVEN {
                alike.firsts >= UNPROVEN && alike.is_mirrored() && share.is_mirrored()
            } else {
                share.is_mirrored()
            }
        };
        let suspected = self.unidentified.iter().filter(|(_, share)| seems_mirrored(share));
        let mirrored = self.pairs.into_iter().filter(|(_, share)| is_mirrored(share));
        Copies {
            window: Window::default(),
            unproven: suspected.clone().map(|(_, share)| share.copies).sum(),
            suspected: suspected.map(|(pair, _)| *pair).collect(),
            mirrored: mirrored.map(|(pair, _)| pair).collect(),
            bridged: self
                .bridged
                .into_iter()
                .filter(|(_, n)| *n >= BRIDGED)
                .map(|(pair, _)| pair)
                .collect(),
        }
    }
}

/// The kind of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// One and the same packet, as its identification shows.
    Same,
    /// A segment of TCP without an identification, where a mirror shows in most of them.
    Alike,
}

/// Distinguishes copies from packets.
#[derive(Debug)]
pub struct Copies {
    window: Window,
    mirrored: BTreeSet<Pair>,
    /// Mirrored, as it seems: their segments have no identification.
    suspected: BTreeSet<Pair>,
    bridged: BTreeSet<Pair>,
    unproven: u64,
}

impl Copies {
    /// Segments of TCP without an identification that a mirror seems to have given twice: they are
    /// not left out.
    pub const fn unproven(&self) -> u64 {
        self.unproven
    }

    /// Whether the capture had the packet already; all packets have to come by.
    pub fn see(&mut self, packet: &Packet) -> Option<Likeness> {
        let pair = (packet.src_addr, packet.dst_addr);
        let (pairs, likeness) = if is_identified(packet) {
            (&self.mirrored, Likeness::Same)
        } else {
            (&self.suspected, Likeness::Alike)
        };
        let may_be = likeness == Likeness::Same || packet.protocol == TCP;
        (may_be && pairs.contains(&pair) && self.window.see(packet)?.is_copy).then_some(likeness)
    }

    /// Whether the packet passes a bridge where it was seen.
    pub fn is_bridged(&self, packet: &Packet) -> bool {
        self.bridged.contains(&unordered(packet))
    }
}

fn unordered(packet: &Packet) -> Pair {
    let (a, b) = (packet.src_addr, packet.dst_addr);
    (a.min(b), a.max(b))
}
