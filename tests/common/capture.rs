// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Captures, written by the book: TCP segments, link headers, pcap and pcapng.

use std::net::IpAddr;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;
pub const ECE: u8 = 64;
pub const CWR: u8 = 128;

/// A TCP segment in IP.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub src: (IpAddr, u16),
    pub dst: (IpAddr, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: usize,
    pub ttl: u8,
    pub tos: u8,
    /// Identification of IPv4.
    pub id: u16,
}

impl Tcp {
    pub fn new(src: (&str, u16), dst: (&str, u16)) -> Self {
        let end = |(addr, port): (&str, u16)| (addr.parse().expect("an address"), port);
        Self {
            src: end(src),
            dst: end(dst),
            seq: 1000,
            ack: 0,
            flags: ACK,
            window: 500,
            options: Vec::new(),
            payload: 0,
            ttl: 64,
            tos: 0,
            id: 0x1234,
        }
    }

    fn tcp(&self) -> Vec<u8> {
        let mut b = Vec::new();
        b.extend(self.src.1.to_be_bytes());
        b.extend(self.dst.1.to_be_bytes());
        b.extend(self.seq.to_be_bytes());
        b.extend(self.ack.to_be_bytes());
        assert!(self.options.len().is_multiple_of(4));
        b.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        b.extend(self.window.to_be_bytes());
        b.extend([0; 4]);
        b.extend(&self.options);
        b.extend((0..self.payload).map(|i| i as u8));
        b
    }

    /// As an IP packet, with what stands between IP and TCP (IPv6: first its number).
    pub fn ip_with(&self, extension: (u8, &[u8])) -> Vec<u8> {
        let tcp = self.tcp();
        let mut b = Vec::new();
        match (self.src.0, self.dst.0) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                b.extend([0x45, self.tos]);
                b.extend((20 + tcp.len() as u16).to_be_bytes());
                b.extend(self.id.to_be_bytes());
                b.extend([0x40, 0, self.ttl, 6, 0, 0]);
                b.extend(src.octets());
                b.extend(dst.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let class = u32::from(self.tos) << 20;
                b.extend((0x6000_0000 | class | 0xabcde).to_be_bytes());
                b.extend(((extension.1.len() + tcp.len()) as u16).to_be_bytes());
                b.extend([extension.0, self.ttl]);
                b.extend(src.octets());
                b.extend(dst.octets());
                b.extend(extension.1);
            }
            (src, dst) => panic!("{src} and {dst} are of two families"),
        }
        b.extend(tcp);
        b
    }

    pub fn ip(&self) -> Vec<u8> {
        self.ip_with((6, &[]))
    }

    pub fn ether_type(&self) -> [u8; 2] {
        if self.src.0.is_ipv4() { [8, 0] } else { [0x86, 0xdd] }
    }

    pub fn ethernet(&self) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &self.ether_type(), &self.ip()].concat()
    }
}

/// A frame of a capture.
#[derive(Clone, Debug)]
pub struct Frame {
    pub ns: u64,
    pub bytes: Vec<u8>,
    /// How much of it was captured.
    pub kept: usize,
}

impl Frame {
    pub fn new(ns: u64, bytes: Vec<u8>) -> Self {
        let kept = bytes.len();
        Self { ns, bytes, kept }
    }
}

/// Little or big endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub big: bool,
}

impl Order {
    pub fn u16(self, v: u16) -> [u8; 2] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
    pub fn u32(self, v: u32) -> [u8; 4] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
    pub fn u64(self, v: u64) -> [u8; 8] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
}

pub fn pcap(order: Order, nanoseconds: bool, link_type: u32, frames: &[Frame]) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(order.u32(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    b.extend(order.u16(2));
    b.extend(order.u16(4));
    for field in [0, 0, 262_144, link_type] {
        b.extend(order.u32(field));
    }
    for f in frames {
        let rest = (f.ns % 1_000_000_000) as u32;
        b.extend(order.u32((f.ns / 1_000_000_000) as u32));
        b.extend(order.u32(if nanoseconds { rest } else { rest / 1000 }));
        b.extend(order.u32(f.kept as u32));
        b.extend(order.u32(f.bytes.len() as u32));
        b.extend(&f.bytes[..f.kept]);
    }
    b
}

/// The usual little-endian pcap of Ethernet with microseconds.
pub fn simple(frames: &[Frame]) -> Vec<u8> {
    pcap(Order { big: false }, false, 1, frames)
}

/// A block of pcapng.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let mut b = Vec::new();
    b.extend(order.u32(kind));
    b.extend(order.u32(12 + padded as u32));
    b.extend(body);
    b.resize(8 + padded, 0);
    b.extend(order.u32(12 + padded as u32));
    b
}

fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut b = [order.u16(code), order.u16(value.len() as u16)].concat();
    b.extend(value);
    b.resize(4 + value.len().next_multiple_of(4), 0);
    b
}

pub fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(u64::MAX)];
    block(order, 0x0a0d_0d0a, &body.concat())
}

/// An interface whose times are `resolution` units, as option if_tsresol has it.
pub fn interface(order: Order, link_type: u16, name: &str, resolution: u8) -> Vec<u8> {
    let body = [
        &order.u16(link_type)[..],
        &order.u16(0),
        &order.u32(0),
        &option(order, 2, name.as_bytes()),
        &option(order, 9, &[resolution]),
        &option(order, 0, &[]),
    ];
    block(order, 1, &body.concat())
}

/// An enhanced packet; `flags` as option epb_flags has them.
pub fn enhanced(order: Order, interface: u32, units: u64, frame: &Frame, flags: u32) -> Vec<u8> {
    let mut data = frame.bytes[..frame.kept].to_vec();
    data.resize(data.len().next_multiple_of(4), 0);
    let body = [
        &order.u32(interface)[..],
        &order.u32((units >> 32) as u32),
        &order.u32(units as u32),
        &order.u32(frame.kept as u32),
        &order.u32(frame.bytes.len() as u32),
        &data,
        &option(order, 2, &order.u32(flags)),
        &option(order, 0, &[]),
    ];
    block(order, 6, &body.concat())
}

/// An obsolete Packet Block, with `drops` packets dropped before it.
pub fn obsolete(order: Order, interface: u16, drops: u16, units: u64, frame: &Frame) -> Vec<u8> {
    let mut data = frame.bytes[..frame.kept].to_vec();
    data.resize(data.len().next_multiple_of(4), 0);
    let body = [
        &order.u16(interface)[..],
        &order.u16(drops),
        &order.u32((units >> 32) as u32),
        &order.u32(units as u32),
        &order.u32(frame.kept as u32),
        &order.u32(frame.bytes.len() as u32),
        &data,
        &option(order, 2, &order.u32(2)),
        &option(order, 0, &[]),
    ];
    block(order, 2, &body.concat())
}

/// Statistics with `dropped` packets dropped by the interface.
pub fn statistics(order: Order, interface: u32, dropped: u64) -> Vec<u8> {
    let body = [
        &order.u32(interface)[..],
        &order.u64(0),
        &option(order, 5, &order.u64(dropped)),
        &option(order, 0, &[]),
    ];
    block(order, 5, &body.concat())
}

pub fn pcapng(order: Order, link_type: u16, frames: &[Frame]) -> Vec<u8> {
    let mut b = [section(order), interface(order, link_type, "eth0", 9)].concat();
    for f in frames {
        b.extend(enhanced(order, 0, f.ns, f, 0));
    }
    b
}
