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
    packets: Vec<Seen>,
    ended: Vec<Flow>,
    spans: Vec<(u64, Span)>,
}

impl Run {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let flows = Flows::new(options);
        Self { flows, ns: 0, packets: Vec::new(), ended: Vec::new(), spans: Vec::new() }
    }

    /// A microsecond after the one before.
    fn see(&mut self, packet: Packet) {
        self.ns += 1_000;
        self.flows.packet(Packet { ts_ns: self.ns, ..packet }, false);
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

    fn flows(mut self) -> (Vec<Flow>, Vec<Seen>) {
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
fn a_packet_at_its_socket_a_vlan_and_a_device_is_one() {
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

#[test]
fn what_is_sent_again_is_another_packet_at_every_point() {
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
fn loopback_goes_out_and_comes_in() {
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
fn what_is_forwarded_has_a_flow_at_each_interface() {
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
fn network_namespaces_are_worlds_apart() {
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
fn fragments_of_what_a_socket_has_whole_are_one_packet() {
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
fn fragments_of_what_is_forwarded_stay_with_their_flow() {
    let mut run = Run::new();
    let mut pieces = fragments(&udp(false, 2980, 7), 7);
    pieces.swap(0, 2);
    pieces.into_iter().for_each(|p| run.see(p));
    let flow = run.one();
    assert_eq!(flow.ends.ports, [Some(1000), Some(80)]);
    assert_eq!((flow.backward.tally.packets, flow.backward.tally.payload_bytes), (3, 2980));
}

#[test]
fn fragments_of_an_echo_are_of_its_flow() {
    let mut run = Run::new();
    let header = [8, 0, 0, 0, 0, 7, 0, 1];
    let whole = Packet { src_port: None, dst_port: None, ..packet(1, false, &header, 2980) };
    fragments(&whole, 9).into_iter().for_each(|p| run.see(p));
    let flow = run.one();
    assert_eq!((flow.ends.echo_id, flow.backward.tally.packets), (Some(7), 3));
}

#[test]
fn a_datagram_for_several_sockets_is_one() {
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

#[test]
fn how_tcp_flows_begin_and_end() {
    let mut run = Run::new();
    run.see(tcp(true, 100, 0, SYN, 0));
    run.see(tcp(false, 900, 101, SYN | ACK, 0));
    run.see(tcp(true, 101, 901, ACK, 0));
    run.see(tcp(false, 901, 101, FIN | ACK, 0));
    run.see(tcp(true, 101, 902, FIN | ACK, 0));
    run.see(tcp(false, 902, 102, ACK, 0));
    // A leftover, and then the same ends again: another initial sequence number.
    run.see(tcp(false, 901, 101, FIN | ACK, 0));
    run.see(tcp(true, 5000, 0, SYN, 0));
    run.see(tcp(true, 5000, 0, SYN, 0));
    run.see(tcp(false, 0, 5001, RST | ACK, 0));
    run.see(tcp(true, 6000, 0, SYN, 0));
    run.see(tcp(true, 7000, 0, SYN, 0));
    // Its SYN was lost.
    run.wait(31_000 * MS);
    run.see(tcp(false, 1, 7001, SYN | ACK, 0));
    let (flows, _) = run.flows();
    let rows: Vec<_> = flows
        .iter()
        .map(|f| {
            let packets = f.forward.tally.packets + f.backward.tally.packets;
            (f.opening, f.opened_forward, f.closing.unwrap(), f.closed_forward(), packets)
        })
        .collect();
    assert_eq!(
        rows,
        [
            (Opening::Syn, true, Closing::Fin, Some(false), 7),
            (Opening::Syn, true, Closing::Rst, Some(false), 3),
            (Opening::Syn, true, Closing::Replaced, None, 1),
            (Opening::Syn, true, Closing::Timeout, None, 1),
            (Opening::SynAck, false, Closing::EndOfRecording, None, 1),
        ]
    );
    assert_eq!(flows[0].backward.tally.retransmitted_segments, 1, "the second FIN");
    assert_eq!(flows.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn leftovers_that_no_socket_got_are_of_the_flow_that_was_closed() {
    let mut run = Run::new();
    // One that a firewall drops is not: the socket's flow is what the socket got.
    run.see(at_interface(&tcp(false, 901, 101, ACK, 10), 2, None));
    run.see(tcp(true, 101, 901, RST | ACK, 0));
    run.see(at_interface(&tcp(false, 911, 101, ACK, 10), 2, None));
    run.see(at_interface(&tcp(false, 5000, 0, SYN, 0), 2, None));
    let (flows, _) = run.flows();
    let rows: Vec<_> = flows
        .iter()
        .map(|f| (f.point, f.forward.tally.packets, f.backward.tally.packets, f.opening))
        .collect();
    let interface = Point::Interface(Some(2));
    assert_eq!(
        rows,
        [
            (interface, 0, 1, Opening::FirstPacket),
            (Point::Socket, 1, 1, Opening::FirstPacket),
            (interface, 0, 1, Opening::Syn),
        ]
    );
}

#[test]
fn idle_flows_are_over_after_their_time() {
    let mut run = Run::new();
    run.see(udp(true, 10, 1));
    run.wait(29_000 * MS);
    run.see(udp(true, 10, 2));
    run.wait(29_000 * MS);
    // Answered: from now on it may be idle for longer.
    run.see(udp(false, 10, 3));
    run.wait(299_000 * MS);
    run.see(udp(true, 10, 4));
    run.wait(301_000 * MS);
    assert_eq!(run.ended.len(), 1, "without a packet");
    run.see(udp(true, 10, 5));
    let (flows, _) = run.flows();
    let packets: Vec<_> = flows.iter().map(|f| f.forward.tally.packets).collect();
    assert_eq!(packets, [3, 1]);
    assert_eq!(flows[0].closing, Some(Closing::Timeout));
}

#[test]
fn echoes_are_told_apart_by_their_id() {
    let mut run = Run::new();
    for id in [7, 8] {
        let request = Packet {
            src_port: None,
            dst_port: None,
            ..packet(1, true, &[8, 0, 0, 0, 0, id, 0, 1], 56)
        };
        let reply = Packet {
            src_port: None,
            dst_port: None,
            ..packet(1, false, &[0, 0, 0, 0, 0, id, 0, 1], 56)
        };
        run.see(request);
        run.see(reply);
    }
    run.wait(31_000 * MS);
    assert_eq!(run.ended.len(), 2, "an answered one is over after 30 s too");
    let ids: Vec<_> = run.ended.iter().map(|f| f.ends.echo_id).collect();
    assert_eq!(ids, [Some(7), Some(8)]);
    assert!(run.ended.iter().all(Flow::answered));
}

#[test]
fn keepalives_and_what_is_overtaken() {
    let mut run = Run::new();
    run.see(tcp(true, 100, 1, ACK, 10));
    run.see(tcp(false, 1, 110, ACK, 0));
    run.see(tcp(true, 109, 1, ACK, 1));
    run.see(tcp(true, 109, 1, ACK, 0));
    run.see(tcp(false, 51, 110, ACK, 50));
    run.see(tcp(false, 1, 110, ACK, 50));
    let flow = run.one();
    assert_eq!(flow.forward.tally.retransmitted_segments, 0);
    let t = flow.backward.tally;
    assert_eq!((t.out_of_order_segments, t.retransmitted_segments), (1, 0));
}

#[test]
fn flows_are_the_connections_of_their_sockets() {
    let mut run = Run::new();
    // The peer opened it: its SYN comes before the child.
    run.see(tcp(false, 900, 0, SYN, 0));
    run.see(tcp(true, 100, 901, SYN | ACK, 0));
    run.see(tcp(false, 901, 101, ACK, 0));
    let mut open = lifecycle(Event::Open, run.ns, 7);
    (open.active, open.established) = (2, 1);
    assert_eq!(run.flows.lifecycle(3, &open).map(|a| a.received.packets), Some(2));
    run.see(tcp(true, 101, 901, RST | ACK, 0));
    let account = run.flows.lifecycle(3, &lifecycle(Event::Close, run.ns, 7)).unwrap();
    assert_eq!((account.sent.packets, account.received.packets), (2, 2));
    // We open the next one between the same ends: its record comes before its SYN.
    run.ns += 1_000;
    assert_eq!(run.flows.lifecycle(4, &lifecycle(Event::Open, run.ns, 8)), None);
    run.see(tcp(true, 5000, 0, SYN, 0));
    // Nothing ends it, and it lives: however long it is idle.
    run.wait(1_000_000 * MS);
    let (flows, _) = run.flows();
    let ids: Vec<_> = flows.iter().map(|f| f.owner.as_ref().map(|o| o.conn_id)).collect();
    assert_eq!(ids, [Some(3), Some(4)]);
    assert_eq!(flows[1].closing, Some(Closing::EndOfRecording));
}

/// It was looked at once for each of its timeouts in between.
#[test]
fn a_clock_that_jumps_by_centuries_takes_one_step() {
    let timeouts = Timeouts { answered_ns: 1, unanswered_ns: 1, ..Timeouts::default() };
    let mut run = Run::with(Options { timeouts, ..Options::default() });
    run.flows.lifecycle(3, &lifecycle(Event::Open, run.ns, 7));
    run.see(tcp(true, 100, 0, SYN, 0));
    run.wait(u64::MAX / 2);
    assert_eq!(run.one().closing, Some(Closing::EndOfRecording), "it lives");
}

#[test]
fn a_cookie_finds_the_connection_behind_nat() {
    let mut run = Run::new();
    let mut open = lifecycle(Event::Open, 500, 7);
    open.local_port = 4242;
    run.flows.lifecycle(1, &open);
    run.see(Packet { cookie: Some(7), ..tcp(true, 100, 0, SYN, 0) });
    assert_eq!(run.one().owner.map(|o| o.conn_id), Some(1));
}

#[test]
fn memory_follows_what_is_open() {
    let mut run = Run::new();
    for i in 0..20_000_u32 {
        let mut out = udp(true, 10, i);
        out.src_port = Some((i % 60_000) as u16);
        run.see(out);
        run.wait(10 * MS);
    }
    // 30 s of 10 ms each are open at once.
    assert!(run.flows.table.slots() <= 3_100, "{} slots", run.flows.table.slots());
    assert!(run.flows.sightings.len() <= 12, "{}", run.flows.sightings.len());
}

#[test]
fn intervals_add_up_to_the_flow() {
    let interval = std::num::NonZeroU64::new(100 * MS);
    let mut run = Run::with(Options { interval, ..Options::default() });
    run.ns = 5_000 * MS;
    for (i, gap) in [10, 60, 60, 250, 1, 0].into_iter().enumerate() {
        run.see(udp(true, 100, i as u32));
        run.see(at_interface(&udp(true, 100, i as u32), 2, None));
        run.wait(gap * MS);
    }
    run.see(udp(false, 9, 0));
    run.flows.flush();
    run.steps();
    run.flows.finish();
    run.steps();
    let rows: Vec<_> = run
        .spans
        .iter()
        .map(|(_, s)| (s.interval_ns.unwrap() / MS, s.forward.packets, s.backward.packets))
        .collect();
    assert_eq!(rows, [(5_000, 3, 0), (5_100, 1, 0), (5_300, 2, 1)]);
    let bytes: u64 = run.spans.iter().map(|(_, s)| s.forward.l2_bytes).sum();
    assert_eq!(bytes, run.ended[0].forward.tally.l2_bytes);
    assert_eq!(bytes, 6 * 142);
}

#[test]
fn the_syn_ack_of_a_simultaneous_open_is_no_retransmission() {
    let mut run = Run::new();
    run.see(tcp(true, 100, 0, SYN, 0));
    run.see(tcp(false, 900, 0, SYN, 0));
    run.see(tcp(true, 100, 901, SYN | ACK, 0));
    run.see(tcp(false, 900, 101, SYN | ACK, 0));
    run.see(tcp(false, 900, 101, SYN | ACK, 0));
    let flow = run.one();
    assert_eq!(flow.forward.tally.retransmitted_segments, 0);
    assert_eq!(flow.backward.tally.retransmitted_segments, 1, "the second one is");
}

#[test]
fn a_reset_that_answers_another_connection_ends_nothing() {
    let mut run = Run::new();
    run.see(tcp(true, 100, 0, SYN, 0));
    run.see(tcp(false, 7000, 333_000, ACK, 0));
    run.see(tcp(true, 333_000, 0, RST, 0));
    run.see(tcp(true, 100, 0, SYN, 0));
    run.see(tcp(false, 900, 101, SYN | ACK, 0));
    run.see(tcp(true, 101, 901, ACK, 10));
    let flow = run.one();
    assert_eq!((flow.forward.tally.packets, flow.closing), (4, Some(Closing::EndOfRecording)));
    // The one that a scanner's kernel sends does: it has the number after the SYN.
    let mut run = Run::new();
    run.see(tcp(true, 100, 0, SYN, 0));
    run.see(tcp(false, 900, 101, SYN | ACK, 0));
    run.see(tcp(true, 101, 0, RST, 0));
    assert_eq!(run.one().closing, Some(Closing::Rst));
}
