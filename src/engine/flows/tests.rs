// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Sightings of packets, and what flows make of them.

use std::net::IpAddr;

use super::*;
use crate::schema::Hook;
use crate::testing::lifecycle;
use crate::wire::{Direction, Event};

const MS: u64 = 1_000_000;
const NETNS: u32 = 4_026_531_840;
const A: (&str, u16) = ("10.0.0.1", 1000);
const B: (&str, u16) = ("10.0.0.2", 80);
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet as a socket of A's host sees it.
fn packet(protocol: u8, out: bool, header: &[u8], payload: u32) -> Packet {
    let (src, dst) = if out { (A, B) } else { (B, A) };
    let ip_len = 20 + header.len() as u32 + payload;
    Packet {
        ts_ns: 0,
        seq: 0,
        cpu: 0,
        hook: if out { Hook::SocketOut } else { Hook::SocketIn },
        direction: if out { Direction::Out } else { Direction::In },
        interface: Some(2),
        netns: Some(NETNS),
        cookie: None,
        src_mac: None,
        dst_mac: None,
        vlan: None,
        wire_len: ip_len,
        captured_len: ip_len,
        src_addr: addr(src.0),
        dst_addr: addr(dst.0),
        ttl: 64,
        tos: 0,
        ip_id: Some(0),
        fragment_offset: 0,
        more_fragments: false,
        flow_label: None,
        ip_len,
        protocol,
        src_port: Some(src.1),
        dst_port: Some(dst.1),
        payload_len: payload,
        segments: 1,
        wrong_checksum: None,
        is_copy: false,
        header: header.to_vec(),
        payload: Vec::new(),
    }
}

fn tcp(out: bool, seq: u32, ack: u32, flags: u8, payload: u32) -> Packet {
    let (src, dst) = if out { (A.1, B.1) } else { (B.1, A.1) };
    let mut header = Vec::from(src.to_be_bytes());
    header.extend(dst.to_be_bytes());
    header.extend(seq.to_be_bytes());
    header.extend(ack.to_be_bytes());
    header.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    packet(6, out, &header, payload)
}

fn udp(out: bool, payload: u32, id: u32) -> Packet {
    let (src, dst) = if out { (A.1, B.1) } else { (B.1, A.1) };
    let mut header = Vec::from(src.to_be_bytes());
    header.extend(dst.to_be_bytes());
    header.extend((payload as u16 + 8).to_be_bytes());
    header.extend([0, 0]);
    Packet { ip_id: Some(id), ..packet(17, out, &header, payload) }
}

/// The same packet at an interface, with an Ethernet header.
fn at_interface(packet: &Packet, interface: u32, vlan: Option<u16>) -> Packet {
    let out = packet.direction == Direction::Out;
    Packet {
        hook: if out { Hook::InterfaceOut } else { Hook::InterfaceIn },
        interface: Some(interface),
        cookie: None,
        src_mac: Some([2, 0, 0, 0, 0, interface as u8]),
        dst_mac: Some([2, 0, 0, 0, 0, 99]),
        vlan,
        wire_len: packet.ip_len + if vlan.is_some() { 18 } else { 14 },
        ..packet.clone()
    }
}

/// The steps that came out.
struct Run {
    flows: Flows,
    ns: u64,
    packets: Vec<FlowPacket>,
    ended: Vec<Flow>,
    spans: Vec<(u64, FlowSpan)>,
}

impl Run {
    fn new() -> Self {
        Self::with(FlowOptions::default())
    }

    fn with(options: FlowOptions) -> Self {
        let flows = Flows::new(options);
        Self { flows, ns: 0, packets: Vec::new(), ended: Vec::new(), spans: Vec::new() }
    }

    /// A microsecond after the one before.
    fn see(&mut self, packet: Packet) {
        self.ns += 1_000;
        self.flows.packet(Box::new(Packet { ts_ns: self.ns, ..packet }), false);
        self.steps();
    }

    fn steps(&mut self) {
        while let Some(step) = self.flows.step() {
            match step {
                Step::Packet(seen) => self.packets.push(seen),
                Step::Interval { slot, span } => {
                    self.spans.push((self.flows.flow(slot).unwrap().number, span));
                }
                Step::Ended { flow, span, .. } => {
                    self.spans.push((flow.number, span));
                    self.ended.push(*flow);
                }
            }
        }
    }

    fn wait(&mut self, ns: u64) {
        self.ns += ns;
        self.flows.reached(self.ns);
        self.steps();
    }

    fn flows(mut self) -> (Vec<Flow>, Vec<FlowPacket>) {
        self.flows.flush();
        self.steps();
        self.flows.finish();
        self.steps();
        (self.ended, self.packets)
    }

    #[track_caller]
    fn one(self) -> Flow {
        let (flows, _) = self.flows();
        let [flow] = <[Flow; 1]>::try_from(flows).expect("one flow");
        flow
    }
}

#[test]
fn a_packet_seen_at_socket_vlan_and_device_counts_once() {
    let mut run = Run::new();
    for seq in [100, 200] {
        let out = tcp(true, seq, 1, ACK, 100);
        run.see(out.clone());
        run.see(at_interface(&out, 5, None));
        run.see(at_interface(&out, 2, Some(7)));
        let back = tcp(false, 1, seq + 100, ACK, 0);
        run.see(at_interface(&back, 2, Some(7)));
        run.see(at_interface(&back, 5, None));
        run.see(back);
    }
    let flow = run.one();
    assert_eq!(flow.point, Point::Socket);
    for (side, mac) in [(&flow.forward, 2), (&flow.backward, 2)] {
        let l3 = side.tally.l3_bytes;
        assert_eq!((side.tally.packets, side.tally.segments), (2, 2));
        assert_eq!((side.tally.l2_packets, side.tally.l2_bytes), (2, l3 + 2 * 18));
        assert_eq!((side.vlan, side.interface), (Some(7), Some(2)), "nearest to the wire");
        assert_eq!(side.src_mac.map(|m| m[5]), Some(mac));
    }
    assert_eq!(flow.forward.tally.l3_bytes, 2 * 140);
    assert_eq!(flow.forward.tally.payload_bytes, 200);
}

#[test]
fn a_capture_of_several_interfaces_shows_a_packet_once() {
    let mut run = Run::new();
    for interface in [1, 4] {
        let captured = at_interface(&tcp(true, 100, 1, ACK, 100), interface, None);
        run.see(Packet { hook: Hook::Capture, direction: Direction::Unknown, ..captured });
    }
    let (flows, seen) = run.flows();
    assert_eq!((flows.len(), seen.len(), flows[0].forward.tally.packets), (1, 1, 1));
    assert_eq!((flows[0].directed, flows[0].forward.interface), (false, Some(1)));
}

/// Without contents, until a second place comes, and with them from the first packet on.
#[test]
fn what_waits_when_a_second_place_comes_is_joined_as_if_contents_were_known() {
    let mut random = 1_u64;
    let mut below = |n: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % n
    };
    let mut joined = 0;
    for alone in 0..40 {
        let packets: Vec<_> = (0..60)
            .map(|n| {
                let of_datagram = below(4);
                let packet = if of_datagram == 0 {
                    let more = below(2) == 0;
                    let offset = if more { 0 } else { 100 };
                    let id = below(3) as u32;
                    Packet { more_fragments: more, fragment_offset: offset, ..udp(true, 800, id) }
                } else {
                    tcp(true, 100 + 100 * below(3) as u32, 1, ACK, 100)
                };
                let interface = if n < alone { 1 } else { 1 + below(2) as u32 };
                (at_interface(&packet, interface, None), below(8) == 0)
            })
            .collect();
        let [found, expected] = [false, true].map(|has_contents| {
            let mut run = Run::new();
            if has_contents {
                run.flows.sightings.with_contents();
            }
            for (packet, waits) in &packets {
                run.see(packet.clone());
                if *waits {
                    run.wait(WINDOW_NS / 3);
                }
            }
            run.flows()
        });
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{alone} at one interface");
        joined += packets.len() - found.1.len();
    }
    assert!(joined > 100, "{joined}");
}

#[test]
fn a_retransmission_is_a_separate_packet_at_every_point() {
    let mut run = Run::new();
    // Byte for byte the same, and both sightings at the socket before those at the interface.
    let out = tcp(true, 100, 1, ACK, 100);
    run.see(out.clone());
    run.see(out.clone());
    run.see(at_interface(&out, 2, None));
    run.see(at_interface(&out, 2, None));
    // The interface sees a third one, which no socket of this host has sent.
    run.see(at_interface(&out, 2, None));
    let (flows, _) = run.flows();
    let counts: Vec<_> = flows.iter().map(|f| (f.point, f.forward.tally.packets)).collect();
    assert_eq!(counts, [(Point::Socket, 2), (Point::Interface(Some(2)), 1)]);
    assert_eq!(flows[0].forward.tally.retransmitted_segments, 1);
    assert_eq!(flows[0].forward.tally.l2_packets, 2);
}

#[test]
fn the_same_content_out_of_the_window_is_another_packet() {
    let mut run = Run::new();
    let out = tcp(true, 100, 1, ACK, 100);
    run.see(out.clone());
    run.wait(WINDOW_NS - 1_000);
    run.see(at_interface(&out, 2, None));
    run.wait(1_000);
    run.see(at_interface(&out, 3, None));
    let (flows, _) = run.flows();
    assert_eq!(flows.len(), 2, "{flows:?}");
    assert_eq!(flows[0].forward.tally.l2_packets, 1);
}

#[test]
fn loopback_makes_a_flow_for_each_socket() {
    let mut run = Run::new();
    for (seq, payload) in [(100, 10), (110, 20)] {
        let out = Packet { cookie: Some(1), ..tcp(true, seq, 1, ACK, payload) };
        run.see(out.clone());
        // It comes in for the other socket, with the same addresses.
        run.see(Packet { hook: Hook::SocketIn, direction: Direction::In, cookie: Some(2), ..out });
    }
    let (flows, _) = run.flows();
    assert_eq!(flows.len(), 2, "a flow for each socket");
    assert_eq!(flows[0].ends.ports, [Some(1000), Some(80)]);
    assert_eq!(flows[1].ends.ports, [Some(80), Some(1000)]);
    assert_eq!((flows[0].forward.tally.packets, flows[0].backward.tally.packets), (2, 0));
    assert_eq!((flows[1].forward.tally.packets, flows[1].backward.tally.packets), (0, 2));
}

#[test]
fn a_forwarded_packet_has_a_flow_at_each_interface() {
    let mut run = Run::new();
    let request = tcp(true, 100, 0, SYN, 0);
    let input = Packet { direction: Direction::In, ..request.clone() };
    run.see(at_interface(&input, 2, None));
    run.see(Packet { ttl: 63, ..at_interface(&request, 3, None) });
    let reply = tcp(false, 900, 101, SYN | ACK, 0);
    run.see(at_interface(&reply, 3, None));
    let out = Packet { direction: Direction::Out, ttl: 63, ..reply };
    run.see(at_interface(&out, 2, None));
    let (flows, seen) = run.flows();
    assert_eq!(flows.len(), 2);
    for (flow, interface) in flows.iter().zip([2, 3]) {
        assert_eq!(flow.point, Point::Interface(Some(interface)));
        assert_eq!((flow.forward.tally.packets, flow.backward.tally.packets), (1, 1));
        assert_eq!(flow.opening, Opening::Syn);
    }
    // At 2 the opener is the far end, at 3 the near one.
    assert_eq!((flows[0].opened_forward, flows[1].opened_forward), (false, true));
    let times: Vec<_> = seen.iter().map(|s| s.packet.ts_ns).collect();
    assert_eq!(times, [1_000, 2_000, 3_000, 4_000], "in order, though they waited");
}

#[test]
fn flows_of_different_namespaces_do_not_mix() {
    let mut run = Run::new();
    let out = tcp(true, 100, 1, ACK, 100);
    run.see(out.clone());
    run.see(Packet { netns: Some(NETNS + 1), ..out });
    assert_eq!(run.flows().0.len(), 2);
}

/// Fragments of a datagram of 2980 octets, at an interface.
fn fragments(whole: &Packet, id: u32) -> Vec<Packet> {
    let piece = |offset: u16, payload: u32, header: &[u8], more| Packet {
        ip_id: Some(id),
        ip_len: 20 + header.len() as u32 + payload,
        fragment_offset: offset,
        more_fragments: more,
        payload_len: payload,
        header: header.to_vec(),
        src_port: whole.src_port.filter(|_| offset == 0),
        dst_port: whole.dst_port.filter(|_| offset == 0),
        ..whole.clone()
    };
    [piece(0, 1472, &whole.header, true), piece(185, 1480, &[], true), piece(370, 28, &[], false)]
        .iter()
        .map(|p| at_interface(p, 2, None))
        .collect()
}

#[test]
fn fragments_of_a_datagram_that_its_socket_has_whole_are_one_packet() {
    for ipv6 in [false, true] {
        let six = |p: Packet| match ipv6 {
            false => p,
            true => Packet {
                src_addr: addr(if p.direction == Direction::Out { "fd::1" } else { "fd::2" }),
                dst_addr: addr(if p.direction == Direction::Out { "fd::2" } else { "fd::1" }),
                ip_id: None,
                ..p
            },
        };
        let mut run = Run::new();
        for id in [7, 8] {
            let out = six(udp(true, 2980, id));
            run.see(out.clone());
            let pieces = fragments(&out, id);
            pieces.into_iter().for_each(|p| run.see(p));
            let back = six(udp(false, 2980, 100 + id));
            let mut pieces = fragments(&back, 100 + id);
            // The network may turn them round.
            pieces.swap(0, 1);
            pieces.into_iter().for_each(|p| run.see(p));
            run.see(back);
        }
        let flow = run.one();
        for side in [&flow.forward, &flow.backward] {
            let t = side.tally;
            assert_eq!((t.packets, t.payload_bytes, t.l3_bytes), (2, 5960, 2 * 3008));
            let bytes = 2 * (1500 + 1500 + 48 + 3 * 14);
            assert_eq!((t.l2_packets, t.l2_bytes), (6, bytes), "IPv6: {ipv6}");
        }
    }
}

#[test]
fn forwarded_fragments_stay_with_their_flow() {
    let mut run = Run::new();
    let mut pieces = fragments(&udp(false, 2980, 7), 7);
    pieces.swap(0, 2);
    pieces.into_iter().for_each(|p| run.see(p));
    let flow = run.one();
    assert_eq!(flow.ends.ports, [Some(1000), Some(80)]);
    assert_eq!((flow.backward.tally.packets, flow.backward.tally.payload_bytes), (3, 2980));
}

#[test]
fn fragments_of_an_echo_belong_to_its_flow() {
    let mut run = Run::new();
    let header = [8, 0, 0, 0, 0, 7, 0, 1];
    let whole = Packet { src_port: None, dst_port: None, ..packet(1, false, &header, 2980) };
    fragments(&whole, 9).into_iter().for_each(|p| run.see(p));
    let flow = run.one();
    assert_eq!((flow.ends.echo_id, flow.backward.tally.packets), (Some(7), 3));
}

#[test]
fn a_datagram_for_several_sockets_counts_once() {
    let mut run = Run::new();
    let packet = udp(false, 100, 7);
    run.see(at_interface(&packet, 2, None));
    run.see(Packet { cookie: Some(1), ..packet.clone() });
    run.see(Packet { cookie: Some(2), ..packet });
    let flow = run.one();
    assert_eq!((flow.backward.tally.packets, flow.backward.tally.l2_packets), (1, 1));
}

#[test]
fn checksums_may_be_left_to_the_device() {
    let mut run = Run::new();
    let out = tcp(true, 100, 1, ACK, 100);
    run.see(out.clone());
    let mut at = at_interface(&out, 2, None);
    at.header[16] = 0xab;
    run.see(at);
    assert_eq!(run.one().forward.tally.l2_packets, 1);
}

#[test]
fn super_packets_count_their_segments() {
    let mut run = Run::new();
    let big = Packet { segments: 10, ..tcp(true, 100, 1, ACK, 14_480) };
    run.see(big.clone());
    run.see(at_interface(&big, 2, None));
    run.see(Packet { segments: 10, ..big });
    let t = run.one().forward.tally;
    assert_eq!((t.packets, t.segments, t.data_segments), (2, 20, 20));
    assert_eq!((t.l2_packets, t.l2_bytes), (1, 14_480 + 40 + 14), "headers once");
    assert_eq!((t.retransmitted_segments, t.retransmitted_bytes), (10, 14_480));
}

mod lives;
