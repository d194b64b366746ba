// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One packet seen at several points is one packet.
//!
//! A host shows one and the same packet at its socket and at an interface, or at several interfaces
//! one upon the other (a VLAN and its device, a bridge and its port). These sightings are put
//! together by their content, one to one and in order: the k-th sighting of a content at one point
//! is the k-th at another, if both are in the same network namespace, went the same way, and lie no
//! more than [`WINDOW_NS`] apart. Its socket's sighting is the packet; those at interfaces add what
//! the link shows, of which the one nearest to the wire holds. What no socket had within the window
//! is a packet of the interface nearest to the wire.
//!
//! So loopback stays two packets (out and in), as does what is forwarded (in at one interface, out
//! at another). What NAT or a tunnel changes between two points stays two packets too. Fragments of
//! a datagram that a socket sent or got whole are sightings of it. Super-packets are the same at all
//! points, as the kernel cuts and merges them next to the device; pieces that a stacked device has
//! cut are not recognised.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;

use super::content::{Content, Datagram, Selector, Wire};
use super::flow::Point;
use crate::engine::time::SLACK_NS;
use crate::wire::{Direction, Packet};

/// How far apart two sightings of a packet may be. Between two points the packet is handed on within one
/// system call or softirq; those may be preempted, for which 100 ms are allowed as everywhere. A packet
/// that waits longer for its neighbour's link address, or for a late fragment, is reported twice.
pub const WINDOW_NS: u64 = SLACK_NS;

/// Slot and number of a flow, and which way.
pub type CountedIn = (u32, u64, bool);

/// A packet to be counted.
#[derive(Debug)]
pub struct Sighting {
    pub id: u64,
    pub packet: Box<Packet>,
    pub late: bool,
    pub wire: Wire,
    pub point: Point,
    pub selector: Selector,
}

/// The link shows something else of a packet that was counted.
#[derive(Debug)]
pub struct Rewire {
    pub flow: CountedIn,
    pub old: Wire,
    pub new: Wire,
}

/// What is known of a datagram in fragments.
#[derive(Debug, Default)]
struct Fragments {
    /// Entries of its fragments that still wait.
    waiting: Vec<u64>,
    /// Fragments in the line.
    count: usize,
    selector: Selector,
    /// The entry of the packet that a socket had whole.
    whole: Option<u64>,
}

/// Where a sighting was made: hooks of sockets are one point for each socket, since a packet for
/// several (multicast) is still one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeenAt {
    Socket(Option<u64>),
    Interface(Option<u32>),
}

impl SeenAt {
    fn of(packet: &Packet) -> Self {
        if packet.hook.is_socket() {
            Self::Socket(packet.cookie)
        } else {
            Self::Interface(packet.interface)
        }
    }
}

/// What came of a packet so far.
#[derive(Clone, Copy, Debug)]
enum SightingState {
    /// It waits for a socket's sighting.
    Waits,
    /// Given out to be counted.
    Given,
    /// Counted.
    Counted(CountedIn),
    /// A fragment: part of another entry's packet.
    Part(u64),
}

#[derive(Debug)]
struct PendingPacket {
    first_ns: u64,
    /// None while one interface alone has seen packets.
    content: Option<Content>,
    ip_len: u32,
    datagram: Option<Datagram>,
    /// The next entry of the same content.
    next: Option<u64>,
    wire: Wire,
    state: SightingState,
    /// While it waits.
    packet: Option<(Box<Packet>, bool)>,
}

/// The entries of one content, oldest first, and the last one that each place has seen.
#[derive(Debug)]
struct Chain {
    head: u64,
    tail: u64,
    seen: Vec<(SeenAt, u64)>,
}

impl Chain {
    fn mark_seen(&mut self, place: SeenAt, id: u64) {
        match self.seen.iter_mut().find(|(p, _)| *p == place) {
            Some((_, last)) => *last = id,
            None => self.seen.push((place, id)),
        }
    }
}

/// Where packets were seen so far. As long as one interface has seen them all, as in most captures, no packet
/// can be another's second sighting. Then contents are neither made nor compared. Interfaces of one place
/// ([`Sightings::set_places`]) are several here.
#[derive(Clone, Copy, Debug, Default)]
enum PlacesSoFar {
    #[default]
    None,
    One(Option<u32>),
    Several,
}

/// The packets of the last window.
#[derive(Debug, Default)]
pub struct Sightings {
    first: u64,
    line: VecDeque<PendingPacket>,
    chains: FxHashMap<Content, Chain>,
    datagrams: FxHashMap<Datagram, Fragments>,
    places_so_far: PlacesSoFar,
    /// Interfaces of a place with several, and the one that stands for it.
    places: BTreeMap<u32, u32>,
}

impl Sightings {
    /// Sets the interfaces of each place. Flows treat the interfaces of one place as one.
    pub fn set_places(&mut self, places: &[Vec<u32>]) {
        for place in places {
            let Some(&first) = place.first() else { continue };
            self.places.extend(place.iter().map(|&interface| (interface, first)));
        }
    }

    /// Where flows of an interface are.
    fn point(&self, interface: Option<u32>) -> Point {
        let place = |i| self.places.get(&i).copied().unwrap_or(i);
        Point::Interface(interface.map(place))
    }

    /// Looks contents up from the first packet on.
    #[cfg(test)]
    pub fn with_contents(&mut self) {
        self.places_so_far = PlacesSoFar::Several;
    }

    /// Packets in the window.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.line.len().max(self.chains.len()).max(self.datagrams.len())
    }

    /// Takes in a sighting. Packets that it makes ready are appended; gives what it changes of one
    /// that was counted.
    pub fn see(
        &mut self,
        packet: Box<Packet>,
        late: bool,
        ready: &mut VecDeque<Sighting>,
    ) -> Option<Rewire> {
        let place = SeenAt::of(&packet);
        if self.comes_at_only(place) {
            return self.new_entry(packet, None, place, late, ready);
        }
        let content = Content::of(&packet);
        let found = self.earlier(&content, place, &packet);
        let socket = packet.hook.is_socket();
        let Some(id) = found else {
            return self.new_entry(packet, Some(content), place, late, ready);
        };
        self.mark_seen(&content, place, id);
        let datagram = self.entry(id)?.datagram;
        if socket {
            let entry = self.entry(id)?;
            if matches!(entry.state, SightingState::Waits) {
                let mut wire = entry.wire;
                entry.state = SightingState::Given;
                entry.packet = None;
                if Datagram::of(&packet).is_none()
                    && let Some(datagram) = datagram
                {
                    wire = self.join(&datagram, id, wire);
                }
                let selector = Selector::of(&packet);
                let point = Point::Socket;
                ready.push_back(Sighting { id, packet, late, wire, point, selector });
            }
            return None;
        }
        let piece = Datagram::of(&packet);
        if let (Some(piece), None) = (piece, datagram) {
            // The first fragment of what a socket sent whole.
            let fragments = self.datagrams.entry(piece).or_default();
            fragments.whole = Some(id);
            return self.part(packet, Some(content), place, id);
        }
        self.outermost(id, &packet)
    }

    /// Notes where a packet comes. True if no other place than this interface has seen any. When a second place
    /// comes, what waits gets its content.
    fn comes_at_only(&mut self, place: SeenAt) -> bool {
        match (self.places_so_far, place) {
            (PlacesSoFar::None, SeenAt::Interface(interface)) => {
                self.places_so_far = PlacesSoFar::One(interface);
                true
            }
            (PlacesSoFar::One(one), SeenAt::Interface(interface)) if one == interface => true,
            (PlacesSoFar::Several, _) => false,
            (PlacesSoFar::None | PlacesSoFar::One(_), _) => {
                if let PlacesSoFar::One(one) = self.places_so_far {
                    for id in self.first..self.first + self.line.len() as u64 {
                        self.give_content(id, SeenAt::Interface(one));
                    }
                }
                self.places_so_far = PlacesSoFar::Several;
                false
            }
        }
    }

    /// An entry of an interface waits for its whole window, with its packet.
    fn give_content(&mut self, id: u64, place: SeenAt) {
        let Some(entry) = self.entry(id) else { return };
        let Some((packet, _)) = &entry.packet else { return };
        let content = Content::of(packet);
        entry.content = Some(content.clone());
        self.link(id, content, place);
    }

    /// The packet of this entry was counted.
    pub fn counted(&mut self, id: u64, flow: CountedIn) {
        if let Some(entry) = self.entry(id) {
            entry.state = SightingState::Counted(flow);
        }
    }

    /// Lets go of what is older than the window; what still waits becomes ready.
    pub fn expire(&mut self, now_ns: u64, ready: &mut VecDeque<Sighting>) {
        while let Some(entry) = self.line.front()
            && (now_ns == u64::MAX || entry.first_ns.saturating_add(WINDOW_NS) < now_ns)
        {
            let id = self.first;
            let Some(mut entry) = self.line.pop_front() else { return };
            self.first += 1;
            if let Some((packet, late)) = entry.packet.take()
                && matches!(entry.state, SightingState::Waits)
            {
                let fragments = entry.datagram.and_then(|d| self.datagrams.get(&d));
                let first = fragments.map_or_else(Selector::default, |f| f.selector);
                let selector = Selector::of(&packet).or(first);
                let point = self.point(entry.wire.interface);
                ready.push_back(Sighting { id, packet, late, wire: entry.wire, point, selector });
            }
            self.unlink(id, &entry);
        }
    }

    fn unlink(&mut self, id: u64, entry: &PendingPacket) {
        if let Some(content) = &entry.content {
            match (self.chains.get_mut(content), entry.next) {
                (Some(chain), Some(next)) => chain.head = next,
                (Some(_), None) => {
                    self.chains.remove(content);
                }
                (None, _) => {}
            }
        }
        if let Some(datagram) = entry.datagram
            && let Some(fragments) = self.datagrams.get_mut(&datagram)
        {
            fragments.waiting.retain(|&waiting| waiting != id);
            fragments.count -= 1;
            if fragments.count == 0 {
                self.datagrams.remove(&datagram);
            }
        }
    }

    fn entry(&mut self, id: u64) -> Option<&mut PendingPacket> {
        self.line.get_mut(usize::try_from(id.checked_sub(self.first)?).ok()?)
    }

    fn peek(&self, id: u64) -> Option<&PendingPacket> {
        self.line.get(usize::try_from(id.checked_sub(self.first)?).ok()?)
    }

    /// The first entry of this content that the place has not seen.
    fn earlier(&self, content: &Content, place: SeenAt, packet: &Packet) -> Option<u64> {
        let chain = self.chains.get(content)?;
        let seen = chain.seen.iter().find(|(p, _)| *p == place);
        let mut next = match seen {
            Some(&(_, id)) if id >= self.first => self.peek(id)?.next,
            Some(_) | None => Some(chain.head),
        };
        let fragment = Datagram::of(packet).is_some();
        let mut whole = None;
        while let Some(id) = next {
            let entry = self.peek(id)?;
            if entry.datagram.is_some() == fragment {
                if entry.ip_len == packet.ip_len {
                    return Some(id);
                }
            } else if whole.is_none() {
                // A socket's whole packet against a first fragment, either way.
                let (large, small) = if fragment {
                    (entry.ip_len, packet.ip_len)
                } else {
                    (packet.ip_len, entry.ip_len)
                };
                // A packet that a socket had does not wait. A fragment without its other parts waits.
                let waits = matches!(entry.state, SightingState::Waits);
                let fits = if fragment { !waits } else { waits && packet.hook.is_socket() };
                if fits && large > small {
                    whole = Some(id);
                }
            }
            next = entry.next;
        }
        whole
    }

    fn mark_seen(&mut self, content: &Content, place: SeenAt, id: u64) {
        if let Some(chain) = self.chains.get_mut(content) {
            chain.mark_seen(place, id);
        }
    }

    fn new_entry(
        &mut self,
        packet: Box<Packet>,
        content: Option<Content>,
        place: SeenAt,
        late: bool,
        ready: &mut VecDeque<Sighting>,
    ) -> Option<Rewire> {
        let selector = Selector::of(&packet);
        if packet.hook.is_socket() {
            let id = self.push(&packet, content, place, Wire::default(), SightingState::Given);
            let (wire, point) = (Wire::default(), Point::Socket);
            ready.push_back(Sighting { id, packet, late, wire, point, selector });
            return None;
        }
        if let Some(datagram) = Datagram::of(&packet) {
            let fragments = self.datagrams.entry(datagram).or_default();
            fragments.selector = fragments.selector.or(selector);
            if let Some(whole) = fragments.whole {
                return self.part(packet, content, place, whole);
            }
            let id = self.push(&packet, content, place, Wire::of(&packet), SightingState::Waits);
            self.datagrams.entry(datagram).or_default().waiting.push(id);
            self.entry(id)?.packet = Some((packet, late));
            return None;
        }
        let id = self.push(&packet, content, place, Wire::of(&packet), SightingState::Waits);
        self.entry(id)?.packet = Some((packet, late));
        None
    }

    /// A fragment of a packet that a socket had whole.
    fn part(
        &mut self,
        packet: Box<Packet>,
        content: Option<Content>,
        place: SeenAt,
        whole: u64,
    ) -> Option<Rewire> {
        let piece = Wire::of(&packet);
        self.push(&packet, content, place, piece, SightingState::Part(whole));
        let entry = self.entry(whole)?;
        let old = entry.wire;
        entry.wire = old.with(&piece);
        let (new, state) = (entry.wire, entry.state);
        rewire(state, old, new)
    }

    /// A socket got the datagram of these fragments whole: they are parts of it.
    fn join(&mut self, datagram: &Datagram, whole: u64, mut wire: Wire) -> Wire {
        let Some(fragments) = self.datagrams.get_mut(datagram) else { return wire };
        fragments.whole = Some(whole);
        for id in std::mem::take(&mut fragments.waiting) {
            if id == whole {
                continue;
            }
            if let Some(entry) = self.entry(id) {
                entry.state = SightingState::Part(whole);
                entry.packet = None;
                wire = wire.with(&entry.wire);
            }
        }
        if let Some(entry) = self.entry(whole) {
            entry.wire = wire;
        }
        wire
    }

    /// A further interface has seen a packet. For a sent packet the last interface is nearest to the
    /// wire, for a received packet the first.
    fn outermost(&mut self, id: u64, packet: &Packet) -> Option<Rewire> {
        let entry = self.entry(id)?;
        if entry.wire.packets > 0 && packet.direction != Direction::Out {
            return None;
        }
        let old = entry.wire;
        let new = Wire::of(packet);
        entry.wire = new;
        match entry.state {
            SightingState::Part(whole) => {
                let entry = self.entry(whole)?;
                let (before, state) = (entry.wire, entry.state);
                entry.wire = Wire {
                    bytes: (before.bytes + new.bytes).saturating_sub(old.bytes),
                    packets: before.packets,
                    ..new
                };
                let after = entry.wire;
                rewire(state, before, after)
            }
            state @ (SightingState::Waits | SightingState::Given | SightingState::Counted(_)) => {
                rewire(state, old, new)
            }
        }
    }

    fn push(
        &mut self,
        packet: &Packet,
        content: Option<Content>,
        place: SeenAt,
        wire: Wire,
        state: SightingState,
    ) -> u64 {
        let id = self.first + self.line.len() as u64;
        let datagram = Datagram::of(packet);
        if let Some(datagram) = datagram {
            self.datagrams.entry(datagram).or_default().count += 1;
        }
        if let Some(content) = &content {
            self.link(id, content.clone(), place);
        }
        self.line.push_back(PendingPacket {
            first_ns: packet.ts_ns,
            content,
            ip_len: packet.ip_len,
            datagram,
            next: None,
            wire,
            state,
            packet: None,
        });
        id
    }

    /// An entry becomes the last of its content.
    fn link(&mut self, id: u64, content: Content, place: SeenAt) {
        let (chain, tail) = match self.chains.entry(content) {
            Entry::Occupied(chain) => {
                let chain = chain.into_mut();
                let tail = std::mem::replace(&mut chain.tail, id);
                (chain, Some(tail))
            }
            Entry::Vacant(place) => {
                (place.insert(Chain { head: id, tail: id, seen: Vec::new() }), None)
            }
        };
        chain.mark_seen(place, id);
        if let Some(entry) = tail.and_then(|tail| self.entry(tail)) {
            entry.next = Some(id);
        }
    }
}

fn rewire(state: SightingState, old: Wire, new: Wire) -> Option<Rewire> {
    match state {
        SightingState::Counted(flow) => Some(Rewire { flow, old, new }),
        // Given out in this step: a packet is counted before the next is seen.
        SightingState::Waits | SightingState::Given | SightingState::Part(_) => None,
    }
}
