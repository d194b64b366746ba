// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! QUIC's latency spin bit (RFC 9000, 17.4; RFC 9312, 3.8.2): edges of the bit.
//!
//! * **Which flows**: UDP, with a long header of a known version (1, 2, a draft, or one reserved to be
//!   refused) seen, or with port 443. Short headers have the fixed bit and not the long one. A flow on
//!   another port whose handshake was not seen gives no samples.
//! * **Who is the client**: the end whose peer has port 443, else who sent the first long header.
//! * **Edges**: the server repeats the value that the client has, the client inverts the server's. Where
//!   both are seen, an edge counts only if it follows the other end's: the client's to `v` while the
//!   server is at `!v`, the server's to `v` while the client is at `v`. What breaks this is a straggler
//!   (packet numbers are encrypted, so reordering shows nowhere else), a gap in what was seen, or noise.
//!   No sample is made over such a place; after three packets in a row the value is taken as it is.
//! * **Hold-down**: an edge sooner than an eighth of the shortest period since the last of the same end
//!   is a straggler's (RFC 9312 leaves the share open).
//! * **Noise**: an endpoint that does not spin may send random values (RFC 9000, 17.4). A flow in which
//!   a quarter of the edges breaks the order gives nothing until it is fewer; one that does not change
//!   has no edges.
//!
//! The RTT contains the replier's own time: QUIC answers when it has something to send.

use super::{Match, Matcher, Method, ObservedPacket, RttOptions, UDP, Way};
use crate::wire::Packet;

const LONG: u8 = 0x80;
const FIXED: u8 = 0x40;
const SPIN: u8 = 0x20;

const HTTPS_PORT: u16 = 443;

/// The longest connection id of the versions that are known (RFC 9000, 17.2).
const MAX_CID: u8 = 20;

/// An edge is held down for this part of the shortest period.
const HOLD_DOWN: u64 = 8;
/// This many packets in a row with the other value are not stragglers.
const RESYNC: u32 = 3;
/// Edges that may break the order before it is asked whether the flow spins.
const GRACE: u32 = 4;
/// If one of this many packets breaks the order, the bit is noise; reordering is rarer.
const NOISE: u32 = 4;

#[derive(Debug, Default)]
struct Sender {
    /// None before the first short header.
    value: Option<bool>,
    /// When it took this value; none if that was not seen, or is in doubt.
    edge_ns: Option<u64>,
    /// When it last did, in doubt or not.
    last_ns: Option<u64>,
    shortest_ns: Option<u64>,
    /// Packets in a row that have the other value and no right to.
    against: u32,
}

#[derive(Debug, Default)]
struct QuicSpin {
    horizon_ns: u64,
    is_quic: bool,
    client: Option<Way>,
    senders: [Sender; 2],
    kept: u32,
    broken: u32,
}

pub fn start(packet: &Packet, options: RttOptions) -> Option<Box<dyn Matcher>> {
    (packet.protocol == UDP)
        .then(|| Box::new(QuicSpin { horizon_ns: options.horizon_ns, ..QuicSpin::default() }) as _)
}

/// A long header of a version that may be meant: first byte, version, length of the id.
fn is_long(payload: &[u8]) -> bool {
    let Some(&[first, a, b, c, d, id]) = payload.first_chunk() else { return false };
    let version = u32::from_be_bytes([a, b, c, d]);
    let known = matches!(version, 1 | 0x6b33_43cf)
        || version >> 8 == 0x00ff_0000
        || version & 0x0f0f_0f0f == 0x0a0a_0a0a;
    first & (LONG | FIXED) == LONG | FIXED && known && id <= MAX_CID
}

impl QuicSpin {
    /// Whether an edge to `value` may follow what was seen of the other end.
    fn in_order(&self, way: Way, value: bool) -> bool {
        match (self.client, self.senders[way.other().index()].value) {
            (Some(client), Some(other)) => other == (value != (client == way)),
            (None, _) | (Some(_), None) => true,
        }
    }

    /// Takes the value of a packet; what follows from it, with the sending end's edge before.
    fn spin(&mut self, way: Way, value: bool, ts_ns: u64) -> Option<Match> {
        let in_order = self.in_order(way, value);
        let sender = &mut self.senders[way.index()];
        let Some(old) = sender.value else {
            sender.value = Some(value);
            return None;
        };
        if old == value {
            sender.against = 0;
            return None;
        }
        let since = sender.last_ns.map(|last| ts_ns.saturating_sub(last));
        if let (Some(since), Some(shortest)) = (since, sender.shortest_ns)
            && since < shortest / HOLD_DOWN
        {
            return None;
        }
        if !in_order {
            sender.against += 1;
            if sender.against == 1 {
                self.broken = self.broken.saturating_add(1);
            } else if sender.against >= RESYNC {
                sender.against = 0;
                sender.value = Some(value);
                sender.last_ns = Some(ts_ns);
            }
            // It is not known which end is next.
            for sender in &mut self.senders {
                sender.edge_ns = None;
            }
            return None;
        }
        self.kept = self.kept.saturating_add(1);
        let before_ns = sender.edge_ns.replace(ts_ns);
        sender.value = Some(value);
        sender.last_ns = Some(ts_ns);
        sender.against = 0;
        if let Some(period) = since {
            sender.shortest_ns = Some(sender.shortest_ns.map_or(period, |s| s.min(period)));
        }
        let other = &self.senders[way.other().index()];
        let (method, from_ns) = match (self.client, other.value) {
            (Some(_), Some(_)) => (Method::QuicSpin, other.edge_ns?),
            (Some(_) | None, None) => (Method::QuicSpinPeriod, before_ns?),
            // Both ends are seen, and it is not known which one inverts.
            (None, Some(_)) => return None,
        };
        let rtt_ns = ts_ns.checked_sub(from_ns)?;
        let noise = self.broken > GRACE && self.broken > self.kept / NOISE;
        (!noise && rtt_ns <= self.horizon_ns).then_some(Match::new(method, rtt_ns))
    }
}

impl Matcher for QuicSpin {
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>) {
        let packet = seen.packet;
        let Some(&first) = packet.payload.first() else { return };
        let to_https = packet.dst_port == Some(HTTPS_PORT);
        let from_https = packet.src_port == Some(HTTPS_PORT);
        if to_https != from_https {
            self.is_quic = true;
            self.client = Some(if to_https { seen.way } else { seen.way.other() });
        }
        if first & LONG != 0 {
            if is_long(&packet.payload) {
                self.is_quic = true;
                self.client.get_or_insert(seen.way);
            }
        } else if self.is_quic && first & FIXED != 0 {
            found.extend(self.spin(seen.way, first & SPIN != 0, packet.ts_ns));
        }
    }
}
