// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets of one flow for unit tests, by the microsecond.

use super::*;
use crate::schema::Hook;
use crate::wire::known_header;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A flow between 192.0.2.1:PORT (which sends `Forth`, and is recorded) and 198.51.100.2:PORT.
#[derive(Debug)]
pub struct Script {
    pub flow: FlowRtt,
    protocol: u8,
    ports: (u16, u16),
    pub samples: Vec<MeasuredRtt>,
}

/// A segment under construction.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: u32,
    pub segments: u16,
    /// TSval and TSecr.
    pub ts: Option<(u32, u32)>,
    pub sack: Vec<(u32, u32)>,
    pub mss: Option<u16>,
    pub body: Vec<u8>,
}

impl Tcp {
    fn header(&self, ports: (u16, u16)) -> Vec<u8> {
        let mut options = Vec::new();
        if let Some(mss) = self.mss {
            options.extend([2, 4]);
            options.extend(mss.to_be_bytes());
        }
        if let Some((value, echo)) = self.ts {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        if !self.sack.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * self.sack.len() as u8]);
            for (start, end) in &self.sack {
                options.extend(start.to_be_bytes());
                options.extend(end.to_be_bytes());
            }
        }
        let mut b = Vec::new();
        b.extend(ports.0.to_be_bytes());
        b.extend(ports.1.to_be_bytes());
        b.extend(self.seq.to_be_bytes());
        b.extend(self.ack.to_be_bytes());
        b.extend([((5 + options.len() / 4) << 4) as u8, self.flags, 1, 0, 0, 0, 0, 0]);
        b.extend(options);
        b
    }
}

impl Script {
    pub fn new(protocol: u8, ports: (u16, u16), options: RttOptions) -> Self {
        Self { flow: FlowRtt::new(options), protocol, ports, samples: Vec::new() }
    }

    pub fn tcp() -> Self {
        Self::new(TCP, (40_000, 80), RttOptions::default())
    }

    /// Gives the flow a packet, and keeps what it answers.
    pub fn packet(&mut self, us: u64, way: Way, header: Vec<u8>, body: Vec<u8>, segments: u16) {
        let packet = digest_of(self.protocol, self.ports, us, way, header, &body, segments);
        self.flow.packet(&packet, way, &mut |sample| self.samples.push(*sample));
    }

    pub fn segment(&mut self, us: u64, way: Way, tcp: &Tcp) {
        let ports = if way == Way::Forth { self.ports } else { (self.ports.1, self.ports.0) };
        let body =
            if tcp.body.is_empty() { vec![0; tcp.payload as usize] } else { tcp.body.clone() };
        self.packet(us, way, tcp.header(ports), body, tcp.segments.max(1));
    }

    /// RTTs in microseconds of one method, in order.
    pub fn rtts(&self, method: Method) -> Vec<u64> {
        self.samples.iter().filter(|s| s.method == method).map(|s| s.rtt_ns / 1000).collect()
    }
}

/// A segment as a packet of a capture.
pub fn digest(tcp: &Tcp, us: u64, way: Way) -> Packet {
    let body = vec![0; tcp.payload as usize];
    digest_of(TCP, (40_000, 80), us, way, tcp.header((40_000, 80)), &body, 1)
}

fn digest_of(
    protocol: u8,
    ports: (u16, u16),
    us: u64,
    way: Way,
    header: Vec<u8>,
    body: &[u8],
    segments: u16,
) -> Packet {
    let (a, b) = ("192.0.2.1", "198.51.100.2");
    let (src, dst, ports, direction) = match way {
        Way::Forth => (a, b, ports, Direction::Out),
        Way::Back => (b, a, (ports.1, ports.0), Direction::In),
    };
    let has_ports = matches!(protocol, TCP | UDP);
    let known = known_header(protocol, Some(ports), body.first().copied());
    Packet {
        ts_ns: us * 1000,
        seq: 0,
        cpu: 0,
        hook: Hook::Capture,
        direction,
        interface: None,
        netns: None,
        cookie: None,
        src_mac: None,
        dst_mac: None,
        vlan: None,
        wire_len: 0,
        captured_len: 0,
        src_addr: src.parse().expect("an address"),
        dst_addr: dst.parse().expect("an address"),
        ttl: 64,
        tos: 0,
        ip_id: None,
        fragment_offset: 0,
        more_fragments: false,
        flow_label: None,
        ip_len: 0,
        protocol,
        src_port: has_ports.then_some(ports.0),
        dst_port: has_ports.then_some(ports.1),
        payload_len: body.len() as u32,
        segments,
        wrong_checksum: None,
        is_copy: false,
        header,
        payload: body[..body.len().min(known)].to_vec(),
    }
}
