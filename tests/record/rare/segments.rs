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
    pub options: Vec<u8>,
    pub payload: usize,
    /// Added to the checksum.
    pub damage: u8,
}

impl Made {
    pub fn new(seq: u32, ack: u32, flags: u8) -> Self {
        Self { seq, ack, flags, options: Vec::new(), payload: 0, damage: 0 }
    }

    pub fn packet(&self, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (from.ip(), to.ip()) else { panic!("IPv4") };
        let mut tcp = Vec::new();
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags, 1, 0, 0, 0, 0, 0]);
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
        "{}, and equal to the kernel; where a capture cannot tell from what it lacks: {}",
        row.completeness(),
        captured.completeness()
    );
    trust::says("segments that the kernel drops or challenges", &says);
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
