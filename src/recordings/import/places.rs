// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Interfaces that are one place: what one of them has of a flow belongs to what another has.
//!
//! A tap gives each direction to an interface of its own, and so does a host whose packets leave by
//! another interface than they come by. Files put together give an interface a number for each
//! section. Interfaces stacked upon each other, and ports of a bridge, have the same packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::copies;
use crate::log::ImportedInterface;
use crate::wire::Packet;

/// Flows that are learned from, at most.
const MOST: usize = 1 << 20;

type End = (IpAddr, u16);

/// Looks at the packets of a capture for interfaces that are one place.
#[derive(Debug, Default)]
pub struct PlaceSurvey {
    /// By protocol and ends, the smaller first: the interfaces that had each way.
    flows: BTreeMap<(u8, End, End), [BTreeSet<u32>; 2]>,
    /// First and last time of each interface.
    times: BTreeMap<u32, (u64, u64)>,
}

impl PlaceSurvey {
    /// Takes in a packet.
    pub fn see(&mut self, packet: &Packet) {
        let Some(interface) = packet.interface else { return };
        let time = packet.ts_ns;
        let (first, last) = self.times.entry(interface).or_insert((time, time));
        (*first, *last) = ((*first).min(time), (*last).max(time));
        let (Some(src_port), Some(dst_port)) = (packet.src_port, packet.dst_port) else { return };
        let (src, dst) = ((packet.src_addr, src_port), (packet.dst_addr, dst_port));
        let key = (packet.protocol, src.min(dst), src.max(dst));
        if self.flows.len() < MOST || self.flows.contains_key(&key) {
            let ways = self.flows.entry(key).or_default();
            ways[usize::from(src > dst)].insert(interface);
        }
    }

    /// The places that have more than one interface, each in order.
    pub fn places(
        &self,
        interfaces: &[ImportedInterface],
        copies: &copies::CopySurvey,
    ) -> Vec<Vec<u32>> {
        if self.times.len() < 2 {
            return Vec::new();
        }
        let mut places = Places::default();
        for (i, a) in interfaces.iter().enumerate() {
            for b in &interfaces[..i] {
                if a.name == b.name && a.link_type == b.link_type && self.one_after_the_other(a, b)
                {
                    places.join(a.number, b.number);
                }
            }
        }
        for (a, b) in copies.shared() {
            places.join(a, b);
        }
        let (mut split, mut both) = (BTreeSet::new(), BTreeSet::new());
        for ways in self.flows.values() {
            let [there, back] = ways
                .each_ref()
                .map(|way| way.iter().map(|i| places.of(*i)).collect::<BTreeSet<_>>());
            let pairs = |a: &BTreeSet<u32>, b: &BTreeSet<u32>| {
                let each = a.iter().flat_map(|x| b.iter().map(|y| (*x.min(y), *x.max(y))));
                each.filter(|(x, y)| x != y).collect::<Vec<_>>()
            };
            both.extend(pairs(&there, &there));
            both.extend(pairs(&back, &back));
            if there.is_disjoint(&back) {
                split.extend(pairs(&there, &back));
            }
        }
        for (a, b) in split.difference(&both) {
            places.join(*a, *b);
        }
        places.groups(self.times.keys().copied())
    }

    fn one_after_the_other(&self, a: &ImportedInterface, b: &ImportedInterface) -> bool {
        match (self.times.get(&a.number), self.times.get(&b.number)) {
            (Some(a), Some(b)) => a.1 <= b.0 || b.1 <= a.0,
            (None, _) | (_, None) => false,
        }
    }
}

/// Sets of interfaces, each by its smallest number.
#[derive(Debug, Default)]
struct Places(BTreeMap<u32, u32>);

impl Places {
    fn of(&self, interface: u32) -> u32 {
        let mut at = interface;
        while let Some(&next) = self.0.get(&at) {
            at = next;
        }
        at
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.of(a), self.of(b));
        if a != b {
            self.0.insert(a.max(b), a.min(b));
        }
    }

    fn groups(&self, interfaces: impl Iterator<Item = u32>) -> Vec<Vec<u32>> {
        let mut groups = BTreeMap::<u32, Vec<u32>>::new();
        for interface in interfaces {
            groups.entry(self.of(interface)).or_default().push(interface);
        }
        groups.into_values().filter(|group| group.len() > 1).collect()
    }
}
