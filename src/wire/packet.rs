//! Packet digests: what a hook or a capture saw of one packet.

use std::net::IpAddr;

use crate::schema::Hook;

/// Which way a packet went, seen from the end that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Received by it.
    In = 1,
    /// Sent by it.
    Out = 2,
    /// Not known: neither address is the recorded end's, or both are.
    Unknown = 3,
}

impl Direction {
    /// All directions, by code from 1.
    pub const ALL: &'static [Self] = &[Self::In, Self::Out, Self::Unknown];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Unknown => "unknown",
        }
    }
}

/// The longest transport header that is kept, which is TCP's: 15 words.
pub const HEADER_MAX: usize = 60;

/// One IP packet, or one super-packet that the host has not yet cut, or has already merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// CLOCK_MONOTONIC at the hook; in an imported capture its wall clock, which serves as both.
    pub ts_ns: u64,
    /// Number of the record on its CPU, shared with the other streams.
    pub seq: u64,
    /// CPU on which the hook ran; 0 in an imported capture.
    pub cpu: u16,
    /// Where it was seen.
    pub hook: Hook,
    /// Which way it went.
    pub direction: Direction,
    /// Interface: the index on the host, or its number in the capture.
    pub interface: Option<u32>,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// Socket cookie.
    pub cookie: Option<u64>,
    /// Bytes where it was seen, with the link header if there was one there.
    pub wire_len: u32,
    /// How many of them were there to be read.
    pub captured_len: u32,
    /// Source address.
    pub src_addr: IpAddr,
    /// Destination address.
    pub dst_addr: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class: DSCP and ECN.
    pub tos: u8,
    /// Identification of IPv4, or of the fragment header of IPv6.
    pub ip_id: Option<u32>,
    /// Offset of a fragment in units of 8 bytes; 0 for the first and for whole packets.
    pub fragment_offset: u16,
    /// Whether fragments follow.
    pub more_fragments: bool,
    /// Flow label of IPv6.
    pub flow_label: Option<u32>,
    /// Bytes of the IP packet, header included, as it was sent.
    pub ip_len: u32,
    /// IP protocol number of what follows IP and its extension headers: 6 is TCP.
    pub protocol: u8,
    /// Source port of TCP, UDP and the like.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Bytes after the transport header, as they were sent.
    pub payload_len: u32,
    /// Segments in a super-packet, as the host says; 1 for others, and where nobody says.
    pub segments: u16,
    /// The transport header, as far as it was captured: at most [`HEADER_MAX`] bytes.
    pub header: Vec<u8>,
    /// The beginning of the payload, as far as it was asked for and captured.
    pub payload: Vec<u8>,
}
