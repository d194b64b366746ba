// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Events that two readings of a socket do not show, or that happen without an open socket.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use super::delayed;
use super::segments::{ACK, Made};
use crate::SUITE;
use crate::run::{Connection, Recorder, scratch};
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::{DEVICE, Direction};
use crate::support::mib::Mib;
use crate::support::packet_socket::PacketSocket;
use crate::support::pair::{Family, Pair};
use crate::support::stall::Stall;
use crate::support::tcp::{Listener, Options, Stream};

const CWR: u8 = 0x80;

/// Connects from client to server; both ends, with the addresses of the client's.
fn connect(pair: &Pair) -> (Stream, Stream, SocketAddr, SocketAddr) {
    let address = SocketAddr::new(pair.server_address(Family::V4), 0);
    let listener = Listener::bind(&pair.server, address, Options::default());
    let client = Stream::connect(&pair.client, listener.address(), Options::default())
        .expect("a listener is there");
    let server = listener.accept();
    let (local, remote) = (client.local(), client.remote());
    (client, server, local, remote)
}

/// The row of the end with this address.
fn row_at(rows: Vec<Connection>, local: SocketAddr) -> Connection {
    rows.into_iter().find(|row| row.local() == local).expect("a row of this end")
}

#[test]
fn wrong_checksums_are_soft_errors() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(delayed());
    pair.sysctl("ipv4/tcp_timestamps", "0");
    let recorder = Recorder::start(&["--netns", pair.client.name()]);
    let (client, server, local, remote) = connect(&pair);
    server.send(100);
    client.receive(100);
    std::thread::sleep(Duration::from_millis(100));
    let (seq, ack) = (server.write_seq(), client.write_seq());
    let beyond = seq.wrapping_add(70_000_000);
    // Up to 76 octets, the kernel verifies the checksum before it looks up the socket; for a segment
    // beyond the window the checksum fails first.
    for (seq, payload) in [(seq, 0), (seq, 10), (seq, 300), (beyond, 300), (seq, 1000)] {
        let made = Made { payload, damage: 1, ..Made::new(seq, ack, ACK) };
        pair.link().inject(Direction::Backward, &made.packet(remote, local));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(Mib::of(&pair.client).must("Tcp.InCsumErrors"), 5);
    client.finish();
    server.receive_end();
    server.finish();
    client.receive_end();
    let finished = recorder.stop();
    let row = row_at(finished.connections(), local);
    assert_eq!(row.values.int("SoftErrors"), 5);
    assert_eq!(row.values.text("SoftErrorReason"), "dataCheckSum");
}

#[test]
fn merged_acks_are_counted_one_by_one() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::symmetric(delayed());
    pair.sysctl("ipv4/tcp_timestamps", "0");
    let recorder = Recorder::start(&["--netns", pair.client.name()]);
    let (client, server, local, remote) = connect(&pair);
    // The data that the stalled readers read.
    server.send(2);
    std::thread::sleep(Duration::from_millis(100));
    let (seq, una) = (server.write_seq(), client.write_seq());
    let inject = |acks: &[u32]| {
        // While a reader holds the socket, segments wait, and pure ACKs become one.
        Stall::receive(client.as_raw_fd(), || {
            for ack in acks {
                let made = Made::new(seq, *ack, ACK);
                pair.link().inject(Direction::Backward, &made.packet(remote, local));
            }
        });
        std::thread::sleep(Duration::from_millis(100));
    };
    let merged = || Mib::of(&pair.client).must("TcpExt.TCPBacklogCoalesce");
    inject(&[una; 5]);
    assert_eq!(merged(), 4);
    pair.link().impair(Direction::Forward, Impairment { loss: 1.0, ..delayed() });
    client.send(100);
    // Only the first of these acknowledges nothing new.
    inject(&[una, una.wrapping_add(50)]);
    assert_eq!(merged(), 5);
    client.reset();
    let finished = recorder.stop();
    let row = row_at(finished.connections(), local);
    assert_eq!(row.values.int("DupAcksIn"), 6);
    assert_eq!(row.values.text("SoftErrorReason"), "none");
}

/// Segments with payload and the flag CWR in a capture of raw IPv4 packets.
fn count_cwr(file: &Path) -> i64 {
    let bytes = std::fs::read(file).expect("a capture");
    let mut rest = &bytes[24..];
    let mut count = 0;
    while let Some((header, after)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(header[8..12].try_into().expect("four octets")) as usize;
        let (packet, after) = after.split_at(length);
        rest = after;
        let tcp = &packet[usize::from(packet[0] & 15) * 4..];
        let payload = tcp.len() > usize::from(tcp[12] >> 4) * 4;
        count += i64::from(payload && tcp[13] & CWR != 0);
    }
    count
}

#[test]
fn a_mark_on_the_segment_with_cwr_is_echoed_too() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // Every segment is marked, so that with CWR too.
    let pair = Pair::new(Impairment { mark_ce: 1.0, ..delayed() }, delayed());
    pair.sysctl("ipv4/tcp_ecn", "1");
    let scratch = scratch();
    let file = scratch.path().join("server.pcap");
    let capture = PacketSocket::start(&pair.server, DEVICE, &file);
    let recorder = Recorder::start(&["--netns", pair.server.name()]);
    let (client, server, _, remote) = connect(&pair);
    std::thread::scope(|scope| {
        scope.spawn(|| client.send(300_000));
        server.receive(300_000);
    });
    client.finish();
    server.receive_end();
    server.finish();
    client.receive_end();
    let finished = recorder.stop();
    capture.stop();
    let answers = count_cwr(&file);
    assert!(answers > 2, "{answers} segments with CWR");
    let row = row_at(finished.connections(), remote);
    // The first mark, and each that came with CWR.
    assert_eq!(row.values.int("ECESent"), 1 + answers);
}
