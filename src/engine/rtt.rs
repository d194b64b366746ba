// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Passive RTT: how long a packet's answer took to come by, from the place where both were seen.
//!
//! Packets of a flow come in their order, and a matcher per protocol ([`Matcher`], one file each, listed
//! in [`MATCHERS`]) finds which of them answers which. State belongs to a flow and is bounded. There is
//! no clock, no sampling and no ageing beyond [`RttOptions::horizon_ns`]. Samples are left out
//! afterwards ([`sampling`]), so that the effect can be measured.

use std::fmt;

use crate::engine::packets::segment::Segment;
use crate::wire::protocol::{ICMP, ICMPV6, TCP, UDP};
use crate::wire::{Direction, Packet};

pub mod aggregate;
pub mod sampling;

mod dns;
mod icmp_echo;
mod open;
mod quic_spin;
mod tcp_handshake;
mod tcp_sequence;
mod tcp_timestamps;

/// Which end of a flow sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Way {
    /// The end that the flow names first.
    Forth = 0,
    /// The other end.
    Back = 1,
}

impl Way {
    /// As an index into what is kept for both.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The opposite one.
    pub const fn other(self) -> Self {
        match self {
            Self::Forth => Self::Back,
            Self::Back => Self::Forth,
        }
    }
}

/// Declares the methods: `enum Method`, `Method::ALL` and names.
macro_rules! methods {
    ($( $(#[doc = $doc:literal])+ $variant:ident $name:literal )+) => {
        /// The rule by which one packet is the answer to another.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Method { $( $(#[doc = $doc])+ $variant, )+ }

        impl Method {
            /// All methods, in the order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The word in the tables.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// The packets that it matches, for documents.
            pub const fn doc(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc,)+), )+ }
            }
        }
    };
}

methods! {
    /// TCP: the first packet with a TSval and the first that echoes it (RFC 7323), by ePPing's rules.
    TcpTimestamps "tcp_timestamps"
    /// TCP: a segment and the first acknowledgment of exactly its end, if nothing was repeated (Karn).
    TcpSequence "tcp_sequence"
    /// TCP: a segment and the first SACK block that has it.
    TcpSack "tcp_sack"
    /// TCP: SYN and SYN-ACK, SYN-ACK and ACK, if neither was repeated.
    TcpHandshake "tcp_handshake"
    /// ICMP and ICMPv6: echo request and reply of one identifier and sequence number.
    IcmpEcho "icmp_echo"
    /// QUIC: an edge of the spin bit and the edge that follows it from the other end.
    QuicSpin "quic_spin"
    /// QUIC: an edge of the spin bit and the next of the same end, where the other is not seen.
    QuicSpinPeriod "quic_spin_period"
    /// DNS: query and response of one id, over UDP or TCP.
    Dns "dns"
}

impl Method {
    /// IP protocol numbers of what it matches.
    pub const fn protocols(self) -> &'static [u8] {
        match self {
            Self::TcpTimestamps | Self::TcpSequence | Self::TcpSack | Self::TcpHandshake => &[TCP],
            Self::IcmpEcho => &[ICMP, ICMPV6],
            Self::QuicSpin | Self::QuicSpinPeriod => &[UDP],
            Self::Dns => &[UDP, TCP],
        }
    }
}

/// Parameters of the matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttOptions {
    /// Whether SYN and SYN-ACK count for [`Method::TcpTimestamps`]: ePPing's --include-SYN.
    pub include_syn: bool,
    /// How long a packet may wait for its answer.
    pub horizon_ns: u64,
}

impl Default for RttOptions {
    /// The horizon is that of a flow in ePPing, 300 s. Its own of a packet (10 s, or eight times the
    /// RTT) is a matter of its table's size, and too short where a queue grows.
    fn default() -> Self {
        Self { include_syn: false, horizon_ns: 300_000_000_000 }
    }
}

/// A packet on its way to the matchers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservedPacket<'a> {
    pub packet: &'a Packet,
    /// The same, if it is a TCP segment with a whole header.
    pub segment: Option<&'a Segment>,
    pub way: Way,
    /// Bytes that each end has sent where it was seen, this packet included: whole frames.
    pub frames: [u64; 2],
}

/// What a matcher found: that the packet answers one of the other end's (the same end's, for
/// [`Method::QuicSpinPeriod`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub method: Method,
    pub rtt_ns: u64,
    pub pipe: Option<Pipe>,
}

impl Match {
    pub const fn new(method: Method, rtt_ns: u64) -> Self {
        Self { method, rtt_ns, pipe: None }
    }
}

/// pping's values of the bytes in flight, in bytes of whole frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe {
    /// Bytes that the timed end had sent, with the timed packet.
    pub sent: u64,
    /// The same of the packet that had been matched last when that was sent.
    pub departed: u64,
    /// Bytes that the replier has sent since its last reply that was matched.
    pub replied: u64,
}

/// Matching in one flow, by the rules of one protocol.
pub(crate) trait Matcher: fmt::Debug {
    /// Takes the next packet of the flow and adds the packets that it answers to `found`.
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>);
}

/// Makes a matcher for the flow of this packet, if the protocol is its own.
type Start = fn(&Packet, RttOptions) -> Option<Box<dyn Matcher>>;

/// All matchers; a protocol is a line here.
const MATCHERS: &[Start] = &[
    tcp_timestamps::start,
    tcp_sequence::start,
    tcp_handshake::start,
    icmp_echo::start,
    quic_spin::start,
    dns::start,
];

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets as they were seen: a super-packet is one, as for ePPing.
    pub packets: u64,
    /// Bytes after the transport header.
    pub bytes: u64,
}

/// One measured RTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredRtt {
    /// When the answer was seen.
    pub ts_ns: u64,
    /// The rule by which it is an answer.
    pub method: Method,
    /// The end that sent it: the RTT is of the path to this end and back.
    pub replier: Way,
    /// From the packet to its answer.
    pub rtt_ns: u64,
    /// The smallest so far of this flow, method and replier.
    pub min_rtt_ns: u64,
    /// Whether the answer went out from the recorded end, which is then the time it took to answer
    /// and not that of a path; none where the direction is not known.
    pub match_on_egress: Option<bool>,
    /// Traffic that the end that got the answer had sent by then.
    pub sent: Traffic,
    /// Traffic that the replier had sent by then, with the answer.
    pub received: Traffic,
    /// For pping's format; with [`Method::TcpTimestamps`] only.
    pub pipe: Option<Pipe>,
}

/// Matching in one flow, by all methods of its protocol.
#[derive(Debug)]
pub struct FlowRtt {
    options: RttOptions,
    /// None before the first packet.
    matchers: Option<Vec<Box<dyn Matcher>>>,
    traffic: [Traffic; 2],
    frames: [u64; 2],
    minimum_ns: [[Option<u64>; 2]; Method::ALL.len()],
    found: Vec<Match>,
}

impl FlowRtt {
    /// A flow of which no packet has come.
    pub const fn new(options: RttOptions) -> Self {
        Self {
            options,
            matchers: None,
            traffic: [Traffic { packets: 0, bytes: 0 }; 2],
            frames: [0; 2],
            minimum_ns: [[None; 2]; Method::ALL.len()],
            found: Vec::new(),
        }
    }

    /// Takes the next packet of the flow and gives out what it answers.
    pub fn packet(&mut self, packet: &Packet, way: Way, take: &mut impl FnMut(&MeasuredRtt)) {
        // Only the first fragment has a transport header.
        if packet.fragment_offset > 0 {
            return;
        }
        let segment = Segment::of(packet);
        let traffic = &mut self.traffic[way.index()];
        traffic.packets += 1;
        traffic.bytes += u64::from(packet.payload_len);
        self.frames[way.index()] += u64::from(packet.wire_len);
        let seen = ObservedPacket { packet, segment: segment.as_ref(), way, frames: self.frames };
        let options = self.options;
        let start = |start: &Start| start(packet, options);
        let matchers =
            self.matchers.get_or_insert_with(|| MATCHERS.iter().filter_map(start).collect());
        self.found.clear();
        for matcher in matchers {
            matcher.packet(&seen, &mut self.found);
        }
        for found in &self.found {
            let minimum = &mut self.minimum_ns[found.method as usize][way.index()];
            let min_rtt_ns = minimum.map_or(found.rtt_ns, |min| min.min(found.rtt_ns));
            *minimum = Some(min_rtt_ns);
            take(&MeasuredRtt {
                ts_ns: packet.ts_ns,
                method: found.method,
                replier: way,
                rtt_ns: found.rtt_ns,
                min_rtt_ns,
                match_on_egress: match packet.direction {
                    Direction::Out => Some(true),
                    Direction::In => Some(false),
                    Direction::Unknown => None,
                },
                sent: self.traffic[way.other().index()],
                received: self.traffic[way.index()],
                pipe: found.pipe,
            });
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
