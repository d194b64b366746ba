// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections out of packets: how they begin and end, what belongs to which, and what each segment
//! means for the variables of its end.

mod dropped;
mod handshake;
mod rare;

use crate::common::capture::*;
use estats::engine::estats::{
    Bits, ConnectionRows, Ended, Engine, Interval, Plan, Polled, RuleOptions, Sample,
};
use estats::engine::packets::{PacketCounts, Tracker};
use estats::engine::time::timeline::Timeline;
use estats::schema::{Hook, Var};
use estats::wire::{Checksum, Direction, Packet};

const A: (&str, u16) = ("192.0.2.1", 40_000);
const B: (&str, u16) = ("198.51.100.2", 80);
/// MSS 1460, window scale 7, SACK permitted, timestamps.
const OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
const TIMESTAMP: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

/// What came out for one connection.
#[derive(Debug)]
struct Row {
    opened_by: &'static str,
    closed_by: &'static str,
    reason: Option<&'static str>,
    end_state: Option<&'static str>,
    completeness: &'static str,
    lost: u64,
    begin_ns: u64,
    values: Vec<Option<u64>>,
}

impl Row {
    fn get(&self, var: Var) -> Option<u64> {
        self.values[var.index()]
    }

    #[track_caller]
    fn has(&self, expected: &[(Var, u64)]) {
        for (var, value) in expected {
            assert_eq!(self.get(*var), Some(*value), "{}", var.name());
        }
    }
}

#[derive(Debug, Default)]
struct Rows(Vec<(u64, Row)>);

impl ConnectionRows for Rows {
    type Error = std::convert::Infallible;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), Self::Error> {
        let row = Row {
            opened_by: ended.identity.opened_by().name(),
            closed_by: ended.identity.closed_by().name(),
            reason: ended.identity.close_reason().map(|r| r.name()),
            end_state: ended.identity.end_state(),
            completeness: ended.completeness().name(),
            lost: ended.lost_records,
            begin_ns: ended.begin_ns,
            values: Var::ALL.iter().map(|v| ended.row.get(*v)).collect(),
        };
        self.0.push((ended.conn_id, row));
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The packets of A's end: a microsecond apart.
#[derive(Debug, Default)]
struct Script {
    packets: Vec<Packet>,
    ns: u64,
}

impl Script {
    /// We are A: what has A as its source was sent.
    fn add(&mut self, tcp: Tcp) {
        self.ns += 1_000;
        let direction = if tcp.src.0.to_string() == A.0 { Direction::Out } else { Direction::In };
        let ip = tcp.ip();
        let header = 20 + tcp.options.len();
        self.packets.push(Packet {
            ts_ns: self.ns,
            seq: self.packets.len() as u64,
            cpu: 0,
            hook: Hook::Capture,
            direction,
            interface: None,
            netns: None,
            cookie: None,
            src_mac: None,
            dst_mac: None,
            vlan: None,
            wire_len: ip.len() as u32,
            captured_len: ip.len() as u32,
            src_addr: tcp.src.0,
            dst_addr: tcp.dst.0,
            ttl: tcp.ttl,
            tos: tcp.tos,
            ip_id: Some((self.ns / 1_000 % 0xffff) as u32 + 1),
            fragment_offset: 0,
            more_fragments: false,
            flow_label: None,
            ip_len: ip.len() as u32,
            protocol: 6,
            src_port: Some(tcp.src.1),
            dst_port: Some(tcp.dst.1),
            payload_len: tcp.payload as u32,
            segments: 1,
            wrong_checksum: None,
            is_copy: false,
            header: ip[20..20 + header].to_vec(),
            payload: Vec::new(),
        });
    }

    fn out(&mut self, seq: u32, ack: u32, flags: u8, payload: usize) {
        self.add(Tcp { seq, ack, flags, payload, options: options(flags), ..Tcp::new(A, B) });
    }

    fn input(&mut self, seq: u32, ack: u32, flags: u8, payload: usize) {
        let options = options(flags);
        self.add(Tcp { seq, ack, flags, payload, options, ttl: 55, ..Tcp::new(B, A) });
    }

    /// Our SYN 1000, the peer's 5000.
    fn connect(&mut self) {
        self.out(1000, 0, SYN, 0);
        self.input(5000, 1001, SYN | ACK, 0);
        self.out(1001, 5001, ACK, 0);
    }

    /// The peer's SYN 5000, ours 1000.
    fn accept(&mut self) {
        self.input(5000, 0, SYN, 0);
        self.out(1000, 5001, SYN | ACK, 0);
        self.input(5001, 1001, ACK, 0);
    }

    fn rows(&self) -> (Vec<Row>, PacketCounts) {
        let timeline = Timeline::default();
        let recorded: Bits =
            Var::ALL.iter().copied().filter(|v| v.def().packets.is_some()).collect();
        let plan = Plan::new(&recorded, RuleOptions::default());
        let interval = Interval::Every(std::num::NonZeroU64::MAX);
        let mut engine = Engine::new(&plan, &timeline, interval, Rows::default());
        let mut tracker = Tracker::default();
        for packet in &self.packets {
            tracker.packet(&mut engine, packet, false).expect("infallible");
        }
        let counts = tracker.finish(&mut engine).expect("infallible");
        let (mut rows, _) = engine.finish().expect("infallible");
        rows.0.sort_by_key(|(conn_id, _)| *conn_id);
        (rows.0.into_iter().map(|(_, row)| row).collect(), counts)
    }

    #[track_caller]
    fn one(&self) -> Row {
        let (rows, _) = self.rows();
        let [row] = <[Row; 1]>::try_from(rows).expect("one connection");
        row
    }
}

fn options(flags: u8) -> Vec<u8> {
    if flags & SYN != 0 { OPTIONS.to_vec() } else { TIMESTAMP.to_vec() }
}

#[test]
fn a_connection_we_opened() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, ACK, 1448);
    s.out(2449, 5001, ACK, 552);
    s.input(5001, 3001, ACK, 100);
    s.out(3001, 5101, FIN | ACK, 0);
    s.input(5101, 3002, FIN | ACK, 0);
    s.out(3002, 5102, ACK, 0);
    s.input(5101, 3002, FIN | ACK, 0);
    let (rows, counts) = s.rows();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.opened_by, row.closed_by, row.reason), ("local", "local", Some("fin")));
    assert_eq!((row.end_state, row.completeness), (Some("finWait2"), "complete"));
    assert_eq!(row.begin_ns, 1_000);
    assert_eq!(counts.after_end, 1, "the second FIN meets TIME-WAIT");
    row.has(&[
        (Var::SegsOut, 6),
        (Var::SegsIn, 3),
        (Var::DataSegsOut, 2),
        (Var::HCDataOctetsOut, 2000),
        (Var::DataOctetsOut, 2000),
        (Var::HCDataOctetsIn, 100),
        (Var::SegsRetrans, 0),
        (Var::HCThruOctetsAcked, 2002),
        (Var::HCThruOctetsReceived, 101),
        (Var::SndInitial, 1001),
        (Var::RecInitial, 5001),
        (Var::SndUna, 3002),
        (Var::SndMax, 3002),
        (Var::RcvNxt, 5102),
        (Var::MaxRetxQueue, 2000),
        (Var::CurMSS, 1448),
        (Var::MSSSent, 1460),
        (Var::MSSRcvd, 1460),
        (Var::WinScaleSent, 7),
        (Var::TimeStamps, 1),
        (Var::WillUseSACK, 1),
        (Var::ECN, 2),
        (Var::ActiveOpen, 1),
        (Var::IpTtl, 55),
        (Var::CurRwinSent, 500 << 7),
        (Var::MaxRwinRcvd, 500 << 7),
        (Var::State, 1),
    ]);
    for var in [Var::CurCwnd, Var::SampleRTT, Var::Nagle, Var::EarlyRetrans, Var::LimMSS] {
        assert_eq!(row.get(var), None, "{}: packets do not show it", var.name());
    }
}

#[test]
fn a_connection_the_peer_opened() {
    let mut s = Script::default();
    s.input(5000, 0, SYN, 0);
    s.out(1000, 5001, SYN | ACK, 0);
    s.out(1000, 5001, SYN | ACK, 0);
    s.input(5001, 1001, ACK, 0);
    s.input(5001, 1001, FIN | ACK, 0);
    s.out(1001, 5002, FIN | ACK, 0);
    s.input(5002, 1002, ACK, 0);
    let row = s.one();
    assert_eq!((row.opened_by, row.closed_by, row.reason), ("remote", "remote", Some("fin")));
    assert_eq!(row.begin_ns, 4_000, "the child is made by the ACK");
    row.has(&[
        (Var::SegsIn, 4),
        (Var::SegsOut, 1),
        (Var::SegsRetrans, 1),
        (Var::OctetsRetrans, 0),
        (Var::HCThruOctetsAcked, 1),
        (Var::HCThruOctetsReceived, 1),
        (Var::SndLimTimeStartup, 0),
    ]);
}

#[test]
fn failed_handshakes_have_the_right_close_reason() {
    // The peer's never become a connection, as in the kernel.
    let mut scan = Script::default();
    scan.input(5000, 0, SYN, 0);
    scan.out(1000, 5001, SYN | ACK, 0);
    scan.input(5001, 0, RST, 0);
    let (rows, _) = scan.rows();
    assert!(rows.is_empty(), "{rows:?}");

    let mut refused = Script::default();
    refused.out(1000, 0, SYN, 0);
    refused.input(0, 1001, RST | ACK, 0);
    let row = refused.one();
    assert_eq!((row.reason, row.closed_by), (Some("refused"), "remote"));
    row.has(&[(Var::SegsOut, 1), (Var::SegsIn, 1)]);

    let mut unanswered = Script::default();
    for _ in 0..3 {
        unanswered.out(1000, 0, SYN, 0);
    }
    let row = unanswered.one();
    assert_eq!((row.completeness, row.end_state), ("ended_after", Some("synSent")));
    row.has(&[(Var::SegsOut, 3), (Var::SegsRetrans, 2), (Var::OctetsRetrans, 0)]);
}

#[test]
fn resets() {
    let mut received = Script::default();
    received.connect();
    received.input(9999, 0, RST, 0);
    received.input(5001, 0, RST, 0);
    let row = received.one();
    assert_eq!((row.reason, row.closed_by), (Some("reset_received"), "remote"));
    row.has(&[(Var::SegsIn, 3)]);

    let mut sent = Script::default();
    sent.accept();
    sent.out(1001, 5001, RST | ACK, 0);
    sent.input(5001, 1001, ACK, 10);
    let (rows, counts) = sent.rows();
    assert_eq!((rows[0].reason, rows[0].closed_by), (Some("reset_sent"), "local"));
    assert_eq!((rows.len(), counts.after_end), (1, 1));
}

#[test]
fn the_same_ends_again_are_another_connection() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, FIN | ACK, 0);
    s.input(5001, 1002, FIN | ACK, 0);
    s.out(1002, 5002, ACK, 0);
    s.out(77_000, 0, SYN, 0);
    s.input(88_000, 77_001, SYN | ACK, 0);
    s.out(77_001, 88_001, ACK, 0);
    // While the second one still lives here, a third one begins: the second was given up unseen.
    s.out(99_000, 0, SYN, 0);
    let (rows, _) = s.rows();
    let ends: Vec<_> = rows.iter().map(|r| (r.reason, r.completeness)).collect();
    assert_eq!(ends, [(Some("fin"), "complete"), (None, "complete"), (None, "ended_after")]);
    let initials: Vec<_> = rows.iter().map(|r| r.get(Var::SndInitial)).collect();
    assert_eq!(initials, [Some(1001), Some(77_001), Some(99_001)]);
}

#[test]
fn a_connection_with_unseen_beginning_is_begun_before() {
    let mut s = Script::default();
    s.out(4_294_967_000, 5001, ACK, 500);
    s.input(5001, 204, ACK, 300);
    let row = s.one();
    assert_eq!((row.completeness, row.opened_by), ("begun_before", "unknown"));
    row.has(&[
        (Var::SegsOut, 1),
        (Var::HCDataOctetsOut, 500),
        (Var::HCThruOctetsAcked, 500),
        (Var::HCThruOctetsReceived, 300),
    ]);
    for var in [Var::CurRwinSent, Var::CurRwinRcvd, Var::MSSRcvd, Var::SndInitial, Var::ECN] {
        assert_eq!(row.get(var), None, "{}: only the handshake shows it", var.name());
    }
}

#[test]
fn gaps_in_a_capture_mark_rows_lossy() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, ACK, 100);
    // Acknowledges 100 octets more than were seen, and we 200 that never came.
    s.input(5001, 1201, ACK, 0);
    s.out(1201, 5201, ACK, 0);
    let (rows, counts) = s.rows();
    assert_eq!((rows[0].completeness, rows[0].lost, counts.missed), ("lossy", 2, 2));
    rows[0].has(&[(Var::HCThruOctetsReceived, 200), (Var::SndMax, 1201)]);
}

#[test]
fn loss_at_the_receiver() {
    let mut s = Script::default();
    s.accept();
    s.input(5101, 1001, ACK, 100);
    s.input(5201, 1001, ACK, 100);
    s.input(5001, 1001, ACK, 100);
    s.input(5001, 1001, ACK, 100);
    // The window of our SYN-ACK ends at 5501.
    s.input(5401, 1001, ACK, 100);
    s.input(5501, 1001, ACK, 100);
    let row = s.one();
    row.has(&[
        (Var::DupAcksOut, 3),
        (Var::DupAckEpisodes, 2),
        (Var::MaxReasmQueue, 300),
        (Var::CurReasmQueue, 200),
        (Var::RcvNxt, 5301),
        (Var::HCThruOctetsReceived, 300),
        (Var::HCDataOctetsIn, 600),
        (Var::DataSegsIn, 6),
    ]);
}

#[test]
fn loss_at_the_sender() {
    let mut s = Script::default();
    s.connect();
    for i in 0..3 {
        s.out(1001 + i * 100, 5001, ACK, 100);
    }
    let sack = |ack, blocks: &[(u32, u32)]| {
        let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (start, end) in blocks {
            options.extend(start.to_be_bytes());
            options.extend(end.to_be_bytes());
        }
        Tcp { seq: 5001, ack, options, ..Tcp::new(B, A) }
    };
    s.add(sack(1001, &[(1101, 1201)]));
    s.add(sack(1001, &[(1101, 1301)]));
    s.out(1001, 5001, ACK, 100);
    s.add(sack(1301, &[(1001, 1101)]));
    let row = s.one();
    row.has(&[
        (Var::DupAcksIn, 2),
        (Var::SACKsRcvd, 3),
        (Var::SACKBlocksRcvd, 3),
        (Var::DSACKDups, 1),
        (Var::SegsRetrans, 1),
        (Var::OctetsRetrans, 100),
        (Var::CurRetxQueue, 0),
        (Var::MaxRetxQueue, 300),
    ]);
}

#[test]
fn windows_and_probes() {
    let mut s = Script::default();
    s.connect();
    let window = |window, seq, ack| Tcp { seq, ack, window, ..Tcp::new(B, A) };
    s.add(window(0, 5001, 1001));
    s.out(1001, 5001, ACK, 100);
    s.add(window(0, 5001, 1101));
    // An old segment that comes late must not open the window again.
    s.add(window(900, 4900, 1050));
    // A probe: no data, one below what is acknowledged.
    s.out(1100, 5001, ACK, 0);
    s.add(window(7, 5001, 1101));
    s.add(window(0, 5002, 1101));
    let row = s.one();
    row.has(&[
        (Var::ZeroRwinRcvd, 2),
        (Var::CurRwinRcvd, 0),
        (Var::SegsRetrans, 0),
        (Var::MaxRwinRcvd, 7 << 7),
    ]);
}

#[test]
fn ecn() {
    let mut s = Script::default();
    let syn = |flags, src, dst, seq, ack| Tcp {
        seq,
        ack,
        flags,
        options: OPTIONS.to_vec(),
        ..Tcp::new(src, dst)
    };
    s.add(syn(SYN | ECE | CWR, B, A, 5000, 0));
    s.add(syn(SYN | ACK | ECE, A, B, 1000, 5001));
    s.input(5001, 1001, ACK, 0);
    let data = |seq, flags, tos| Tcp { seq, ack: 1001, flags, tos, payload: 100, ..Tcp::new(B, A) };
    s.add(data(5001, ACK, 2));
    s.add(data(5101, ACK, 3));
    s.add(data(5201, ACK, 3));
    s.add(data(5201, ACK, 3));
    s.add(data(5301, ACK | CWR, 3));
    s.add(data(5401, ACK | ECE, 2));
    let row = s.one();
    row.has(&[
        (Var::ECN, 1),
        (Var::CERcvd, 3),
        (Var::ECESent, 2),
        (Var::ECNsignals, 1),
        (Var::IpTosIn, 2),
    ]);
}

#[test]
fn super_segments_count_as_their_segments() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, ACK, 14_480);
    s.input(5001, 15_481, ACK, 2000);
    let row = s.one();
    row.has(&[(Var::SegsOut, 12), (Var::DataSegsOut, 10), (Var::DataSegsIn, 2), (Var::SegsIn, 3)]);
}

#[test]
fn ends_are_forgotten_after_four_minutes() {
    let mut s = Script::default();
    s.connect();
    s.out(1001, 5001, RST | ACK, 0);
    s.input(5001, 1001, ACK, 10);
    s.ns += 500_000_000_000;
    // Any packet makes time go on; the leftover's end is a new one then.
    s.add(Tcp { flags: SYN, ..Tcp::new(A, ("203.0.113.1", 1)) });
    s.input(5011, 1001, ACK, 10);
    let (rows, counts) = s.rows();
    assert_eq!((rows.len(), counts.after_end), (3, 1));
}
