// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One flow: its ends, how it began and ended, and what went each way.

use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU64;

use super::connections::Owner;
use super::content::Wire;
use super::sequence::{Sequence, SequenceOrder};
use super::tally::{FlowSpan, Moments, PacketTotals, Recent, Reported, Tally};
use crate::engine::packets::after;
use crate::wire::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};
use crate::wire::{Direction, Packet, TcpFields};

const SECOND_NS: u64 = 1_000_000_000;

/// When flows are over that do not end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Idle time after which a flow that was answered is over.
    pub answered_ns: u64,
    /// The same for one that was not, and for ICMP.
    pub unanswered_ns: u64,
    /// How long a TCP flow that was closed waits for what still belongs to it.
    pub closed_ns: u64,
}

impl Default for Timeouts {
    /// The first two as ePPing has them; then the length of Linux' TIME-WAIT.
    fn default() -> Self {
        Self {
            answered_ns: 300 * SECOND_NS,
            unanswered_ns: 30 * SECOND_NS,
            closed_ns: 60 * SECOND_NS,
        }
    }
}

/// Where a flow was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// At a socket of the host.
    Socket,
    /// At an interface, by its index if that is known: no socket of the host had the packets.
    Interface(Option<u32>),
}

/// The ends of a flow. The first is the local one; where neither or both may be, the one that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Addresses of the first and the second end.
    pub addresses: [IpAddr; 2],
    /// Their ports, for protocols that have them.
    pub ports: [Option<u16>; 2],
    /// The identifier of an ICMP echo.
    pub echo_id: Option<u16>,
}

/// What distinguishes a flow from others at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    pub netns: Option<u32>,
    pub point: Point,
    pub protocol: u8,
    pub ends: Ends,
}

/// What the first packet of a flow was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A SYN.
    Syn,
    /// A SYN-ACK: the SYN was not seen.
    SynAck,
    /// Any other packet.
    FirstPacket,
}

impl Opening {
    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::SynAck => "syn_ack",
            Self::FirstPacket => "first_packet",
        }
    }
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Both ends sent a FIN.
    Fin,
    /// An end sent a RST.
    Rst,
    /// Nothing came for long.
    Timeout,
    /// The same ends began another.
    Replaced,
    /// The recording ended.
    EndOfRecording,
}

impl Closing {
    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Replaced => "replaced",
            Self::EndOfRecording => "end_of_recording",
        }
    }
}

/// One direction of a flow.
#[derive(Clone, Debug, Default)]
pub struct FlowSide {
    /// Its counts.
    pub tally: Tally,
    /// Time of its first packet.
    pub first_ns: Option<u64>,
    /// Time of its last packet.
    pub last_ns: u64,
    /// Link addresses and VLAN of its last packet that was seen with a link header.
    pub src_mac: Option<[u8; 6]>,
    /// Destination link address of the last packet that had one.
    pub dst_mac: Option<[u8; 6]>,
    /// Id of the outermost VLAN tag of the last packet that had one.
    pub vlan: Option<u16>,
    /// Interface nearest to the wire at which its last packet was seen.
    pub interface: Option<u32>,
    /// Initial sequence number, from a SYN.
    pub isn: Option<u32>,
    /// Time of its first FIN.
    pub fin_ns: Option<u64>,
    recent: Moments,
    sequence: Sequence,
    /// A SYN-ACK was seen.
    answered: bool,
    /// SYNs that began it, and what they carried, which no socket has unless it is acknowledged with
    /// them (Fast Open).
    in_syns: Recent,
    /// Something else came since: a SYN is now for the connection.
    after_syn: bool,
    /// It was.
    fast: bool,
    /// The highest acknowledgment it carried.
    acked: Option<u32>,
}

/// A flow that is open, or has just ended.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its number, in order of the first packets, from 1.
    pub number: u64,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// Where it was seen.
    pub point: Point,
    /// IP protocol number.
    pub protocol: u8,
    /// Its ends.
    pub ends: Ends,
    /// What its first packet was.
    pub opening: Opening,
    /// Whether the first end sent that.
    pub opened_forward: bool,
    /// Time of the first packet.
    pub first_ns: u64,
    /// Time of the last packet.
    pub last_ns: u64,
    /// From the first end to the second.
    pub forward: FlowSide,
    /// From the second end to the first.
    pub backward: FlowSide,
    /// The first RST: its time, and whether the first end sent it.
    pub reset: Option<(u64, bool)>,
    /// Why it is over; none while it is open.
    pub closing: Option<Closing>,
    /// Packets that came too late to be put in order.
    pub late: u64,
    /// Packets that seem to be in an imported capture twice, and are counted twice.
    pub copies: u64,
    /// Whether the direction of its packets was recorded; if not, the first end is a guess.
    pub directed: bool,
    /// The connection that it is.
    pub owner: Option<Owner>,
    /// What has been reported of it in rows of intervals.
    reported: Reported,
    /// A SYN of the peer began it: the child that it makes is yet to come.
    pub(super) awaits_child: bool,
    pub(super) armed_ns: u64,
}

impl Flow {
    pub(super) fn new(number: u64, key: &FlowKey, packet: &Packet, forward: bool) -> Self {
        let opening = match TcpFields::of(packet) {
            Some(t) if t.syn && t.ack => Opening::SynAck,
            Some(t) if t.syn => Opening::Syn,
            Some(_) | None => Opening::FirstPacket,
        };
        Self {
            number,
            netns: key.netns,
            point: key.point,
            protocol: key.protocol,
            ends: key.ends,
            opening,
            opened_forward: forward,
            first_ns: packet.ts_ns,
            last_ns: packet.ts_ns,
            forward: FlowSide::default(),
            backward: FlowSide::default(),
            reset: None,
            closing: None,
            late: 0,
            copies: 0,
            directed: packet.direction != Direction::Unknown,
            owner: None,
            reported: Reported::default(),
            awaits_child: opening == Opening::Syn && !forward,
            armed_ns: 0,
        }
    }

    pub(super) fn key(&self) -> FlowKey {
        FlowKey { netns: self.netns, point: self.point, protocol: self.protocol, ends: self.ends }
    }

    /// A direction.
    pub const fn side(&self, forward: bool) -> &FlowSide {
        if forward { &self.forward } else { &self.backward }
    }

    pub(super) const fn side_mut(&mut self, forward: bool) -> &mut FlowSide {
        if forward { &mut self.forward } else { &mut self.backward }
    }

    /// Whether it is of TCP.
    pub const fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }

    /// Name of the protocol, or its number.
    pub fn protocol_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.protocol {
            ICMP => "ICMP",
            TCP => "TCP",
            UDP => "UDP",
            ICMPV6 => "ICMPv6",
            SCTP => "SCTP",
            number => return Cow::Owned(number.to_string()),
        })
    }

    /// Its beginning was not seen; of protocols that have none, the first packet is.
    pub fn begun_before(&self) -> bool {
        self.protocol == TCP && self.opening == Opening::FirstPacket
    }

    /// Whether packets went both ways.
    pub const fn answered(&self) -> bool {
        self.forward.first_ns.is_some() && self.backward.first_ns.is_some()
    }

    /// Whether TCP has closed it: it was reset, or both ends sent a FIN.
    pub const fn closed(&self) -> bool {
        self.closed_ns().is_some()
    }

    /// When TCP closed it.
    pub(super) const fn closed_ns(&self) -> Option<u64> {
        match (self.reset, self.forward.fin_ns, self.backward.fin_ns) {
            (Some((reset_ns, _)), ..) => Some(reset_ns),
            (None, Some(a), Some(b)) => Some(if a > b { a } else { b }),
            (None, ..) => None,
        }
    }

    /// Which end closed it: whose FIN came first, else who reset it; true for the first end.
    pub fn closed_forward(&self) -> Option<bool> {
        match (self.forward.fin_ns, self.backward.fin_ns) {
            (Some(a), Some(b)) => Some(a <= b),
            (Some(_), None) => Some(true),
            (None, Some(_)) => Some(false),
            (None, None) => self.reset.map(|(_, forward)| forward),
        }
    }

    /// How TCP closed it, if it did.
    pub(super) fn closed_how(&self) -> Option<Closing> {
        match (self.forward.fin_ns, self.backward.fin_ns) {
            (Some(_), Some(_)) => Some(Closing::Fin),
            _ => self.reset.map(|_| Closing::Rst),
        }
    }

    /// The idle time after which it is over.
    pub(super) const fn timeout_ns(&self, timeouts: &Timeouts) -> u64 {
        if self.closed() {
            timeouts.closed_ns
        } else if self.answered() && self.protocol != ICMP && self.protocol != ICMPV6 {
            timeouts.answered_ns
        } else {
            timeouts.unanswered_ns
        }
    }

    /// From when to when a packet between its ends would have been counted to it, seen or not. Before
    /// the first, where that need not have been the first; and after the last, until it was over.
    pub fn reach(&self, timeouts: &Timeouts) -> (u64, u64) {
        let timeout_ns = self.timeout_ns(timeouts);
        let from_ns = match (self.protocol, self.opening) {
            (TCP, Opening::FirstPacket | Opening::SynAck) => 0,
            (TCP, Opening::Syn) => self.first_ns,
            _ => self.first_ns.saturating_sub(timeout_ns),
        };
        let to_ns = match self.closing {
            Some(Closing::EndOfRecording) => u64::MAX,
            Some(Closing::Replaced | Closing::Timeout | Closing::Fin | Closing::Rst) | None => {
                self.last_ns.saturating_add(timeout_ns)
            }
        };
        (from_ns, to_ns)
    }

    /// Whether a packet of these ends begins another flow: a SYN with another initial sequence
    /// number than the one before.
    pub(super) fn is_over_before(&self, packet: &Packet, forward: bool) -> bool {
        let Some(tcp) = TcpFields::of(packet).filter(|t| t.syn) else { return false };
        // The kernel gives a SYN to the socket that has these ends, which challenges it.
        let lives = self.owner.as_ref().is_some_and(|owner| owner.lives);
        if !forward && packet.hook.is_socket() && lives && !self.closed() {
            return false;
        }
        match self.side(forward).isn {
            Some(isn) => isn != tcp.seq,
            // Its own SYN was not seen, or is this one: of a simultaneous open, or the answer.
            None => self.closed() || self.side(forward).first_ns.is_some() && !tcp.ack,
        }
    }

    /// Counts a packet.
    pub(super) fn count(&mut self, packet: &Packet, forward: bool, wire: &Wire, late: bool) {
        self.last_ns = self.last_ns.max(packet.ts_ns);
        self.late += u64::from(late);
        self.copies += u64::from(packet.is_copy);
        let acked = self.side(!forward).acked;
        let side = self.side_mut(forward);
        side.first_ns.get_or_insert(packet.ts_ns);
        side.last_ns = side.last_ns.max(packet.ts_ns);
        let segments = u64::from(packet.segments.max(1));
        let tally = &mut side.tally;
        tally.packets += 1;
        tally.segments += segments;
        tally.data_segments += if packet.payload_len > 0 { segments } else { 0 };
        tally.l3_bytes += u64::from(packet.ip_len);
        tally.payload_bytes += u64::from(packet.payload_len);
        tally.ecn[usize::from(packet.tos & 3)] += 1;
        side.recent.advance(packet.ts_ns);
        let recent = &mut side.recent.counts[0];
        recent.segments += segments;
        recent.data_segments += if packet.payload_len > 0 { segments } else { 0 };
        recent.payload_bytes += u64::from(packet.payload_len);
        side.rewire(&Wire::default(), wire);
        if let Some(tcp) = TcpFields::of(packet) {
            if tcp.syn && !tcp.ack && !side.after_syn {
                side.in_syns.segments += segments;
                side.in_syns.data_segments += if packet.payload_len > 0 { segments } else { 0 };
                side.in_syns.payload_bytes += u64::from(packet.payload_len);
            }
            side.after_syn |= !tcp.syn;
            let stray = side.is_stray_reset(&tcp);
            side.tcp(&tcp, packet, segments, acked);
            let other = self.side_mut(!forward);
            let data = other.isn.is_some_and(|isn| after(tcp.ack_seq, isn.wrapping_add(1)));
            other.fast |= tcp.syn && tcp.ack && data;
            if tcp.rst && !stray && !self.closed() {
                self.reset = Some((packet.ts_ns, forward));
            }
        }
    }

    /// The part not reported yet, if a packet of this time is in another interval.
    pub(super) fn interval_over(&mut self, ts_ns: u64, interval: NonZeroU64) -> Option<FlowSpan> {
        let begin_ns = ts_ns - ts_ns % interval;
        if begin_ns <= self.reported.interval_ns {
            return None;
        }
        let span = self.rest(true);
        self.reported = Reported {
            forward: self.forward.tally,
            backward: self.backward.tally,
            interval_ns: begin_ns,
        };
        (span.forward.packets + span.backward.packets > 0).then_some(span)
    }

    /// All that went through it so far.
    pub const fn so_far(&self) -> FlowSpan {
        FlowSpan { interval_ns: None, forward: self.forward.tally, backward: self.backward.tally }
    }

    /// The part not reported yet: without intervals the whole flow.
    pub(super) fn rest(&self, intervals: bool) -> FlowSpan {
        FlowSpan {
            interval_ns: intervals.then_some(self.reported.interval_ns),
            forward: self.forward.tally.since(&self.reported.forward),
            backward: self.backward.tally.since(&self.reported.backward),
        }
    }

    pub(super) const fn totals(&self, now_ns: u64) -> PacketTotals {
        PacketTotals {
            sent: self.forward.tally,
            received: self.backward.tally,
            recent: self.backward.recent.at(now_ns),
            opening: self.opening,
            opened_here: self.opened_forward,
            first_ns: self.first_ns,
            point: self.point,
            late: self.late,
            in_syns: self.backward.in_syns,
            fast_open: self.backward.fast,
        }
    }
}

impl FlowSide {
    /// Whether a reset does not end this flow: an end that has only sent its SYN resets a segment of an
    /// old connection that the other end still has (RFC 9293, figure 9).
    fn is_stray_reset(&self, tcp: &TcpFields) -> bool {
        let after_syn = self.isn.map(|isn| isn.wrapping_add(1));
        let only_syn = after_syn.is_some() && self.sequence.next() == after_syn;
        tcp.rst && !tcp.ack && only_syn && after_syn != Some(tcp.seq)
    }

    fn tcp(&mut self, tcp: &TcpFields, packet: &Packet, segments: u64, acked: Option<u32>) {
        if tcp.rst {
            self.tally.bare_resets += if tcp.ack { 0 } else { segments };
            return;
        }
        let mut answer = false;
        if tcp.syn {
            self.tally.syn_segments += segments;
            let first = tcp.ack && !self.answered;
            // Simultaneous open: the SYN's number again, but not a retransmission of it.
            answer = first && self.isn == Some(tcp.seq);
            self.answered |= tcp.ack;
            self.isn.get_or_insert(tcp.seq);
        }
        if tcp.fin {
            self.fin_ns.get_or_insert(packet.ts_ns);
        }
        if tcp.ack && self.acked.is_none_or(|old| after(tcp.ack_seq, old)) {
            self.acked = Some(tcp.ack_seq);
        }
        let flags = u32::from(tcp.syn) + u32::from(tcp.fin);
        let len = packet.payload_len.saturating_add(flags);
        // A keepalive of old stacks carries one octet that was acknowledged long ago.
        let keepalive = packet.payload_len == 1
            && len == 1
            && acked == Some(tcp.seq.wrapping_add(1))
            && self.sequence.next() == acked;
        if keepalive || answer {
            return;
        }
        match self.sequence.take(tcp.seq, len) {
            SequenceOrder::Next => {}
            SequenceOrder::Again(octets) => {
                self.tally.retransmitted_segments += segments;
                // SYN and FIN take sequence space, but are not octets.
                self.tally.retransmitted_bytes += u64::from(octets.min(packet.payload_len));
            }
            SequenceOrder::Late => self.tally.out_of_order_segments += segments,
        }
    }

    /// Replaces the link data of a packet that was counted.
    pub(super) fn rewire(&mut self, old: &Wire, new: &Wire) {
        let tally = &mut self.tally;
        tally.l2_packets = tally.l2_packets.wrapping_add(new.packets).wrapping_sub(old.packets);
        tally.l2_bytes = tally.l2_bytes.wrapping_add(new.bytes).wrapping_sub(old.bytes);
        if new.packets > 0 {
            self.src_mac = new.src_mac;
            self.dst_mac = new.dst_mac;
            self.vlan = new.vlan;
            self.interface = new.interface;
        }
    }
}
