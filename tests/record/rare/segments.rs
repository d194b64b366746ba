// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments made by hand, given to the kernel as if the peer had sent them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::lab::{End, Lab, delayed};
use super::{close, said};
use crate::SUITE;
use crate::support::audit;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction;
use crate::support::mib::Mib;
use crate::support::pair::Pair;
use crate::support::trust;

const SYN: u8 = 2;
const RST: u8 = 4;
pub const ACK: u8 = 16;
const FIN: u8 = 1;

/// A segment made by hand, in IPv4.
pub struct Made {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: usize,
    /// Added to the checksum.
    pub damage: u8,
}

impl Made {
    pub fn new(seq: u32, ack: u32, flags: u8) -> Self {
        Self { seq, ack, flags, window: 256, options: Vec::new(), payload: 0, damage: 0 }
    }

    pub fn packet(&self, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (from.ip(), to.ip()) else { panic!("IPv4") };
        let mut tcp = Vec::new();
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&self.options);
        tcp.resize(tcp.len() + self.payload, b'x');
        let length = tcp.len() as u16;
        let pseudo = [&src.octets()[..], &dst.octets(), &[0, 6], &length.to_be_bytes()].concat();
        let sum = checksum(&[pseudo, tcp.clone()].concat());
        tcp[16..18].copy_from_slice(&sum.wrapping_add(u16::from(self.damage)).to_be_bytes());
        let mut ip = vec![0x45, 0];
        ip.extend((20 + length).to_be_bytes());
        ip.extend([0, 9, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(src.octets());
        ip.extend(dst.octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        [ip, tcp].concat()
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |w: &[u8]| u32::from(u16::from_be_bytes([w[0], w.get(1).copied().unwrap_or(0)]));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !sum as u16
}

impl Lab {
    /// Gives the client a segment as if the server had sent it.
    fn inject(&self, (client, server): (SocketAddr, SocketAddr), made: &Made) {
        self.pair.link().inject(Direction::Backward, &made.packet(server, client));
    }
}

/// Segments that the kernel drops or challenges, each given to a connection of its own.
#[test]
fn segments_that_do_not_belong() {
    type Case = (&'static str, fn(u32, u32) -> Made);
    const BEYOND: &str = "acknowledges what was not sent";
    const LONG_AGO: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];
    // The peer's next number, and ours.
    let cases: [Case; 13] = [
        ("a SYN", |seq, _| Made::new(seq.wrapping_add(70_000_000), 0, SYN)),
        ("a SYN in the window", |seq, _| Made::new(seq.wrapping_add(10), 0, SYN)),
        ("the SYN-ACK once more", |seq, ack| {
            Made::new(seq.wrapping_sub(101), ack.wrapping_sub(50), SYN | ACK)
        }),
        ("a SYN with a FIN", |seq, ack| Made::new(seq, ack, SYN | FIN | ACK)),
        ("a reset in the window", |seq, _| Made::new(seq.wrapping_add(10), 0, RST)),
        ("a reset before it", |seq, _| Made::new(seq.wrapping_sub(1), 0, RST)),
        ("a reset far off", |seq, _| Made::new(seq.wrapping_add(70_000_000), 0, RST)),
        ("an octet of garbage", |seq, ack| Made {
            payload: 1,
            ..Made::new(seq.wrapping_sub(1), ack, ACK)
        }),
        (BEYOND, |seq, ack| Made::new(seq, ack.wrapping_add(1000), ACK)),
        ("acknowledges the past", |seq, ack| Made::new(seq, ack.wrapping_sub(1_000_000_000), ACK)),
        ("data without an acknowledgment", |seq, _| Made { payload: 9, ..Made::new(seq, 0, 0) }),
        ("data beyond the window", |seq, ack| Made {
            payload: 9,
            ..Made::new(seq.wrapping_add(70_000_000), ack, ACK)
        }),
        ("data of long ago", |seq, ack| Made {
            payload: 9,
            options: LONG_AGO.to_vec(),
            ..Made::new(seq, ack, ACK)
        }),
    ];
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let mut closed = Vec::new();
    for ((what, made), port) in cases.into_iter().zip(40_000..) {
        let ends = (lab.client(port), lab.server(7000));
        // With timestamps, here without a random offset, those of long ago are refused.
        let stamped = !made(1 << 31, 1 << 31).options.is_empty();
        lab.pair.sysctl("ipv4/tcp_timestamps", if stamped { "2" } else { "0" });
        let client = lab.socket(port);
        client.reconnect(ends.1).expect("connect");
        let server = listener.accept();
        client.send(50);
        server.receive(50);
        server.send(100);
        client.receive(100);
        std::thread::sleep(Duration::from_millis(100));
        let made = made(server.write_seq(), client.write_seq());
        lab.inject(ends, &made);
        std::thread::sleep(Duration::from_millis(100));
        let [mut client, _] = close(&client, &server, ends);
        client.what = what;
        closed.push(client);
    }
    // A capture that lacks what we sent shows the same: its row is marked.
    let at = closed.iter().position(|end| end.what == BEYOND).expect("a case");
    let beyond = closed.remove(at);
    let seen = lab.check(&closed);
    let row = seen.live(beyond.local, beyond.remote).remove(0);
    audit::equalities(&row.values, beyond.info.as_ref().expect("read")).assert(BEYOND, 23);
    let captured = &seen.captured(beyond.local, beyond.remote)[0];
    assert_eq!(captured.completeness(), "lossy");
    for end in &closed {
        assert_eq!(seen.live(end.local, end.remote)[0].completeness(), row.completeness());
    }
    let says = format!(
        "{}, and equal to the kernel; {} where the capture could also have lost the segment",
        row.completeness(),
        captured.completeness()
    );
    trust::says("segments that the kernel drops or challenges", &says);
}

/// CLOCK_MONOTONIC in milliseconds: what Linux counts timestamps in, without a random offset.
fn clock() -> u32 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to what it is given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    assert_eq!(failed, 0);
    (now.tv_sec * 1000 + now.tv_nsec / 1_000_000) as u32
}

/// SACK blocks of duplicate ACKs with an old timestamp: those that PAWS drops are in no count.
#[test]
fn acknowledgments_that_are_late() {
    // Milliseconds before the last one, the window (that of the server is between these), and whether
    // packets show it.
    let cases: [(u32, u16, bool); 4] =
        [(0, 1, true), (100, 1, true), (100, 0xffff, true), (100_000, 1, false)];
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    lab.pair.sysctl("ipv4/tcp_timestamps", "2");
    let listener = lab.listener(7000);
    let refused = || {
        let mib = Mib::of(&lab.pair.client);
        mib.must("TcpExt.PAWSEstab") + mib.get("TcpExt.PAWSOldAck").unwrap_or(0)
    };
    let mut closed = Vec::new();
    for ((age, window, is_known), port) in cases.into_iter().zip(40_000..) {
        let ends = (lab.client(port), lab.server(7000));
        let client = lab.socket(port);
        client.reconnect(ends.1).expect("connect");
        let server = listener.accept();
        server.send(100);
        client.receive(100);
        // Its acknowledgment is the last one with the window.
        let before_it = clock();
        client.send(50);
        server.receive(50);
        let after_it = clock();
        std::thread::sleep(Duration::from_millis(100));
        let (seq, ack, before) = (server.write_seq(), client.write_seq(), refused());
        // The last timestamp that the server has heard is between these two.
        let stamp = if age == 0 { after_it } else { before_it.wrapping_sub(age) };
        let block = [ack.wrapping_sub(50), ack].map(u32::to_be_bytes).concat();
        let options =
            [&[1, 1, 8, 10][..], &stamp.to_be_bytes(), &[0; 4], &[1, 1, 5, 10], &block].concat();
        lab.inject(ends, &Made { window, options, ..Made::new(seq, ack, ACK) });
        std::thread::sleep(Duration::from_millis(50));
        let taken = 1 - (refused() - before) as i64;
        let [client, _] = close(&client, &server, ends);
        closed.push((client, is_known.then_some(taken)));
    }
    let ends: Vec<_> = closed.iter().map(|(end, _)| (end.local, end.remote)).collect();
    let kernel: Vec<_> = closed.iter().map(|(_, taken)| *taken).collect();
    assert_eq!(kernel, [Some(1), Some(1), Some(0), None], "the kernel itself");
    let seen = lab.check(&[]);
    for ((local, remote), taken) in ends.into_iter().zip(kernel) {
        let captured = seen.captured(local, remote).remove(0);
        assert_eq!(captured.values.number("SACKsRcvd"), taken, "{local}");
        let expected = if taken.is_some() { "complete" } else { "lossy" };
        assert_eq!(captured.completeness(), expected, "{local}");
    }
}

/// Effects of damage: these segments count only as received.
#[test]
fn damaged_segments() {
    type Case = (&'static str, usize, fn(&mut Vec<u8>));
    let tcp: fn(&mut Vec<u8>) = |packet| *packet.last_mut().expect("octets") ^= 1;
    let cases: [Case; 4] = [
        ("a short segment with a wrong checksum", 36, tcp),
        ("a longer one", 37 + 20, tcp),
        ("a wrong checksum of IP", 100, |packet| packet[8] -= 1),
        ("a packet longer than its frame", 100, |packet| packet.truncate(139)),
    ];
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    lab.pair.sysctl("ipv4/tcp_timestamps", "0");
    let listener = lab.listener(7000);
    let mut closed = Vec::new();
    for ((what, payload, damage), port) in cases.into_iter().zip(40_000..) {
        let ends = (lab.client(port), lab.server(7000));
        let client = lab.socket(port);
        client.reconnect(ends.1).expect("connect");
        let server = listener.accept();
        client.send(50);
        server.receive(50);
        server.send(100);
        client.receive(100);
        std::thread::sleep(Duration::from_millis(100));
        let made = Made { payload, ..Made::new(server.write_seq(), client.write_seq(), ACK) };
        let mut packet = made.packet(ends.1, ends.0);
        damage(&mut packet);
        lab.pair.link().inject(Direction::Backward, &packet);
        std::thread::sleep(Duration::from_millis(100));
        let [mut client, _] = close(&client, &server, ends);
        client.what = what;
        closed.push(client);
    }
    let wrong = Mib::of(&lab.pair.client).must("Tcp.InCsumErrors");
    assert_eq!(wrong, 2, "the kernel has dropped both");
    let seen = lab.check(&closed);
    let segments = |end: &End| seen.live(end.local, end.remote)[0].values.int("SegsIn");
    let said: Vec<_> = closed.iter().map(segments).collect();
    assert_eq!([said[0], said[2], said[3]], [said[1] - 1; 3], "the longer one alone is counted");
    trust::says(
        "segments with wrong checksums, and longer than their frame",
        &format!(
            "rows of the capture equal to the kernel's: SegsIn counts what is checked after the \
             socket was found (more than 76 octets of TCP), {}, and nothing else does, {}",
            said[1], said[0]
        ),
    );
}

/// Gives the client a reset with this number, as the stack of the peer might.
fn reset(lab: &Lab, ends: (SocketAddr, SocketAddr), seq: u32) {
    lab.inject(ends, &Made::new(seq, 0, RST));
}

#[test]
fn reset_with_the_fins_own_number() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    accepted.finish();
    client.receive_end();
    std::thread::sleep(Duration::from_millis(300));
    let end = accepted.write_seq();
    reset(&lab, ends, end.wrapping_sub(1));
    std::thread::sleep(Duration::from_millis(100));
    let client = End::of("client", &client, ends);
    let seen = lab.check(&[client]);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(row.identity.text("close_reason"), "reset_received");
    trust::says("a reset with the number of the FIN before it", &said(&row, &["SegsIn"]));
}

#[test]
fn reset_at_the_right_edge_of_the_last_sack() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // The server's first data segment is lost, again and again.
    let drop_data = [vec![1], (4..40).collect()].concat();
    let lab = Lab::new(Pair::new(delayed(), Impairment { drop_data, ..delayed() }));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    accepted.send(3 * 1448);
    std::thread::sleep(Duration::from_millis(100));
    reset(&lab, ends, accepted.write_seq());
    std::thread::sleep(Duration::from_millis(100));
    let client = End::of("client", &client, ends);
    let seen = lab.check(&[client]);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(row.identity.text("close_reason"), "reset_received");
    trust::says("a reset at the right edge of the last SACK", &said(&row, &["SegsIn"]));
}
