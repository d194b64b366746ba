// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How flows begin, end, and belong to connections.

use super::*;

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
fn late_packets_after_close_belong_to_the_closed_flow() {
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
fn echoes_are_distinguished_by_their_id() {
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
fn keepalives_and_reordered_segments_are_not_retransmissions() {
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
    let totals = run.flows.lifecycle(3, &lifecycle(Event::Close, run.ns, 7)).unwrap();
    assert_eq!((totals.sent.packets, totals.received.packets), (2, 2));
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
    let mut run = Run::with(FlowOptions { timeouts, ..FlowOptions::default() });
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
fn memory_follows_the_open_flows() {
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
    let mut run = Run::with(FlowOptions { interval, ..FlowOptions::default() });
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
fn the_syn_ack_of_a_simultaneous_open_is_not_a_retransmission() {
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
