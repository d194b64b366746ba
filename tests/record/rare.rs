// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections that begin or end in a rare way, as the real kernel makes them: their rows against
//! TCP_INFO of the same sockets, the audit and the packets' witness, and against the rows of a capture
//! of the same packets.

mod counted;
mod lab;
mod options;
mod segments;

use std::net::SocketAddr;
use std::time::Duration;

use lab::{End, Lab, SAME, Seen, delayed};

use crate::SUITE;
use crate::run::Connection;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction;
use crate::support::mib::Mib;
use crate::support::pair::Pair;
use crate::support::table::Value;
use crate::support::tcp::{Options, Stream};
use crate::support::trust;

/// Client and server close, the client first; the kernel's values of both.
fn close(client: &Stream, server: &Stream, ends: (SocketAddr, SocketAddr)) -> [End; 2] {
    client.finish();
    server.receive_end();
    server.finish();
    client.receive_end();
    std::thread::sleep(Duration::from_millis(300));
    [End::of("client", client, ends), End::of("server", server, (ends.1, ends.0))]
}

fn number(row: &Connection, name: &str) -> i64 {
    row.values.int(name)
}

/// What a row says, for the page of conditions.
fn said(row: &Connection, names: &[&str]) -> String {
    let values: Vec<_> = names.iter().map(|n| format!("{n} {}", number(row, n))).collect();
    let word = |column: &str| match row.identity.get(column) {
        Some(Value::Text(text)) => text.clone(),
        _ => "NULL".to_owned(),
    };
    let close = word("close_reason");
    format!("completeness {}, close_reason {close}, {}", word("completeness"), values.join(", "))
}

/// Bits of net.ipv4.tcp_fastopen: client, server, no cookie asked for at either, every listener.
const FAST_BOTH: &str = "1543";
const FAST_CLIENT: &str = "5";

fn fast_open(server: &str, forward: Impairment, backward: Impairment) -> (Seen, [End; 2]) {
    let pair = Pair::new(forward, backward);
    pair.client.sysctl("ipv4/tcp_fastopen", FAST_CLIENT);
    pair.server.sysctl("ipv4/tcp_fastopen", server);
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.fast_open(ends.1, 500);
    let accepted = listener.accept();
    accepted.receive(500);
    accepted.send(3000);
    client.receive(3000);
    client.send(1500);
    accepted.receive(1500);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    (seen, closed)
}

#[test]
fn fast_open_accepted() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let (seen, [client, server]) = fast_open(FAST_BOTH, delayed(), delayed());
    let sender = seen.live(client.local, client.remote).remove(0);
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert_eq!(number(&sender, "SegsRetrans"), 0, "the data was taken with the SYN");
    for row in [&sender, &receiver] {
        assert!(row.identity.flag("established"));
    }
    assert_eq!(number(&receiver, "HCDataOctetsIn"), 2000);
    assert_eq!(number(&receiver, "DataSegsIn"), 3);
    let names = ["DataSegsIn", "HCDataOctetsIn", "SegsRetrans"];
    trust::says("Fast Open accepted, the end that accepts", &said(&receiver, &names));
}

#[test]
fn fast_open_refused() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let (seen, [client, server]) = fast_open("0", delayed(), delayed());
    let sender = seen.live(client.local, client.remote).remove(0);
    assert_eq!((number(&sender, "SegsRetrans"), number(&sender, "OctetsRetrans")), (1, 500));
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert_eq!(number(&receiver, "HCDataOctetsIn"), 2000);
    let names = ["DataSegsIn", "HCDataOctetsOut", "SegsRetrans"];
    trust::says("Fast Open refused, the end that asks", &said(&sender, &names));
}

#[test]
fn fast_open_with_a_lost_syn_or_syn_ack() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lost = || Impairment { drop: vec![1], ..delayed() };
    let (seen, [client, server]) = fast_open(FAST_BOTH, lost(), delayed());
    let sender = seen.live(client.local, client.remote).remove(0);
    assert!(number(&sender, "SegsRetrans") > 0);
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert_eq!(number(&receiver, "HCDataOctetsIn"), 2000);
    let (seen, [_, server]) = fast_open(FAST_BOTH, delayed(), lost());
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert!(number(&receiver, "SegsRetrans") > 0);
    assert_eq!(number(&receiver, "HCThruOctetsReceived"), 2001);
}

#[test]
fn lost_syn_ack() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new(delayed(), Impairment { drop: vec![1], ..delayed() });
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(100);
    accepted.receive(100);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let receiver = seen.live(ends.1, ends.0).remove(0);
    assert!(number(&receiver, "SegsRetrans") > 0);
    assert_eq!(number(&receiver, "Timeouts"), 0, "the timer was the listener's");
    trust::says("a lost SYN-ACK, the end that accepts", &said(&receiver, &["Timeouts"]));
}

/// The request comes with what is in effect the handshake's last segment, and the server has closed
/// before anything else comes.
#[test]
fn request_after_a_lost_ack() {
    const REQUEST: u64 = 18;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new(Impairment { drop: vec![2], ..delayed() }, delayed());
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    client.send(REQUEST);
    let accepted = listener.accept();
    accepted.receive(REQUEST);
    accepted.send(50);
    drop(accepted);
    client.receive(50);
    client.receive_end();
    client.finish();
    let seen = lab.check(&[]);
    let server = seen.live(ends.1, ends.0).remove(0);
    assert_eq!(number(&server, "HCDataOctetsIn"), REQUEST as i64);
    let captured = seen.captured(ends.1, ends.0).remove(0);
    for name in SAME {
        assert_eq!(server.values.number(name), captured.values.number(name), "{name}");
    }
    trust::says(
        "a request that comes after the handshake's last ACK was lost",
        &said(&server, &["HCDataOctetsIn", "HCThruOctetsReceived"]),
    );
}

#[test]
fn simultaneous_open() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(Impairment {
        delay: Duration::from_millis(100),
        ..Impairment::default()
    }));
    let ends = (lab.client(40_000), lab.server(50_000));
    let a = lab.socket(40_000);
    let b = Stream::unconnected(&lab.pair.server, Some(ends.1), true, Options::default())
        .expect("a socket");
    a.begin(ends.1);
    b.begin(ends.0);
    a.wait_connected();
    b.wait_connected();
    a.send(300);
    b.receive(300);
    b.send(40);
    a.receive(40);
    let closed = close(&a, &b, ends);
    let seen = lab.check(&closed);
    let rows = [seen.live(ends.0, ends.1).remove(0), seen.live(ends.1, ends.0).remove(0)];
    for row in &rows {
        row_is_active(row);
        assert_eq!(number(row, "SegsRetrans"), 0);
    }
    trust::says("simultaneous open", &said(&rows[0], &["SegsRetrans", "HCDataOctetsIn"]));
}

fn row_is_active(row: &Connection) {
    assert_eq!(row.identity.text("opened_by"), "local", "{:?}", row.identity);
}

#[test]
fn connected_to_itself() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let own: SocketAddr = "127.0.0.1:40000".parse().expect("an address");
    let socket = Stream::unconnected(&lab.pair.client, Some(own), true, Options::default())
        .expect("a socket");
    socket.reconnect(own).expect("connect to itself");
    socket.send(300);
    socket.receive(300);
    std::thread::sleep(Duration::from_millis(300));
    let end = End::of("itself", &socket, (own, own));
    let seen = lab.check(&[end]);
    let row = seen.live(own, own).remove(0);
    row_is_active(&row);
    let names = ["SegsRetrans", "HCDataOctetsIn", "HCDataOctetsOut"];
    trust::says("a socket connected to itself", &said(&row, &names));
}

#[test]
fn closed_in_repair_mode() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(100);
    accepted.receive(100);
    std::thread::sleep(Duration::from_millis(300));
    client.repair();
    drop(client);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(Mib::of(&lab.pair.client).must("Tcp.OutRsts"), 0);
    let seen = lab.check(&[]);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(row.identity.text("close_reason"), "aborted");
    trust::says("closed in repair mode (TCP_REPAIR)", &said(&row, &["HCDataOctetsOut"]));
}

/// The SYN-ACK takes longer than the first timeout.
#[test]
fn syn_repeated_before_its_answer_came() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let slow = Impairment { delay: Duration::from_millis(1200), ..Impairment::default() };
    let lab = Lab::new(Pair::new(delayed(), slow));
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    lab.pair.link().impair(Direction::Backward, delayed());
    let accepted = listener.accept();
    client.send(100);
    accepted.receive(100);
    std::thread::sleep(Duration::from_millis(1500));
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(number(&row, "SegsRetrans"), 1);
    trust::says("a SYN repeated before its SYN-ACK came", &said(&row, &["SegsRetrans"]));
}

/// The peer has a connection that this end has forgotten: its challenge is answered with a reset, and
/// the SYN goes out again (RFC 9293, figure 9).
#[test]
fn half_open_recovery() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let forgotten = lab.socket(40_000);
    forgotten.reconnect(ends.1).expect("connect");
    let old = listener.accept();
    forgotten.send(100);
    old.receive(100);
    std::thread::sleep(Duration::from_millis(300));
    forgotten.repair();
    drop(forgotten);
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(200);
    accepted.receive(200);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let (here, there) = (seen.live(ends.0, ends.1), seen.live(ends.1, ends.0));
    assert_eq!((here.len(), there.len()), (2, 2));
    assert_eq!(number(&here[1], "SegsRetrans"), 1);
    assert_eq!(there[0].identity.text("close_reason"), "reset_received");
    let captured = seen.captured(ends.0, ends.1);
    assert_eq!(captured.len(), 2);
    trust::says(
        "half-open recovery (RFC 9293, figure 9), the end that restarted",
        &said(&here[1], &["SegsRetrans"]),
    );
}

/// The ends of an unanswered SYN are used again.
#[test]
fn ends_used_again_while_unanswered() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let nothing = Impairment { loss: 1.0, ..delayed() };
    let lab = Lab::new(Pair::new(nothing, delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let given_up = lab.socket(40_000);
    given_up.begin(ends.1);
    std::thread::sleep(Duration::from_millis(100));
    drop(given_up);
    lab.pair.link().impair(Direction::Forward, delayed());
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(700);
    accepted.receive(700);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let rows = seen.live(ends.0, ends.1);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].identity.text("close_reason"), "abandoned");
    let flows = seen.finished.table("flows");
    let with_data =
        flows.iter().filter(|f| f.int("payload_bytes") == 700 && f.text("direction") == "out");
    let owners: Vec<_> = with_data.map(|f| f.int("conn_id")).collect();
    assert_eq!(owners, [rows[1].identity.int("conn_id")]);
    trust::says(
        "the same addresses and ports used again before the first SYN was answered",
        &said(&rows[1], &["DataSegsOut"]),
    );
}

/// Ways to use and to end a connection, each with ports of its own in one recording.
#[test]
fn other_lives_and_ends() {
    type Life = fn(&Stream, Stream);
    const PAUSE: Duration = Duration::from_millis(150);
    let lives: [(&str, Life, &[&str]); 9] = [
        (
            "urgent data",
            |client, server| {
                client.send(10);
                client.urgent();
                server.receive(10);
                client.finish();
                server.receive_end();
                server.finish();
                client.receive_end();
            },
            &[],
        ),
        (
            "both close at once",
            |client, server| {
                client.finish();
                server.finish();
                client.receive_end();
                server.receive_end();
            },
            &[],
        ),
        (
            "half-closed",
            |client, server| {
                client.finish();
                server.receive_end();
                std::thread::sleep(PAUSE);
                server.send(5000);
                client.receive(5000);
                server.finish();
                client.receive_end();
            },
            &[],
        ),
        (
            "the server closes first, and altogether",
            |client, server| {
                server.send(300);
                client.receive(300);
                drop(server);
                client.receive_end();
                std::thread::sleep(PAUSE);
                client.finish();
            },
            &[],
        ),
        (
            "closed with data unread",
            |client, server| {
                client.send(100);
                std::thread::sleep(PAUSE);
                drop(server);
                client.receive_error();
            },
            // The final values are read before the reset goes out.
            &["SegsOut"],
        ),
        (
            "data after the close",
            |client, server| {
                drop(server);
                client.receive_end();
                std::thread::sleep(PAUSE);
                client.send(100);
                std::thread::sleep(PAUSE);
            },
            &["SegsOut"],
        ),
        (
            "data that crosses the close",
            |client, server| {
                drop(server);
                client.send(100);
                std::thread::sleep(PAUSE);
            },
            &["SegsOut"],
        ),
        (
            "reset by linger",
            |client, server| {
                client.send(100);
                server.receive(100);
                server.reset();
                client.receive_error();
            },
            &["SegsOut"],
        ),
        (
            "probed while idle",
            |client, server| {
                client.keep_alive(1);
                std::thread::sleep(Duration::from_millis(2500));
                client.finish();
                server.receive_end();
                server.finish();
                client.receive_end();
            },
            &[],
        ),
    ];
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    for ((_, life, _), port) in lives.iter().zip(40_000..) {
        let client = lab.socket(port);
        client.reconnect(listener.address()).expect("connect");
        life(&client, listener.accept());
        std::thread::sleep(PAUSE);
    }
    let (server, addr) = (lab.server(7000), lab.client(0).ip());
    let seen = lab.check(&[]);
    let mut findings = Vec::new();
    for ((what, _, but), port) in lives.into_iter().zip(40_000..) {
        let client = SocketAddr::new(addr, port);
        for (local, remote) in [(client, server), (server, client)] {
            let end = End { what, local, remote, info: None };
            let rows = seen.live(local, remote);
            assert_eq!((rows.len(), seen.captured(local, remote).len()), (1, 1), "{what}");
            let differences = seen.differences(&end, &rows[0], but);
            findings.extend(differences.into_iter().map(|d| format!("{what}, {local}: {d}")));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The same ends again: the peer's socket is in TIME-WAIT.
#[test]
fn ends_of_time_wait_used_again() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let mut closed = Vec::new();
    for octets in [100, 200] {
        let client = lab.socket(40_000);
        client.reconnect(ends.1).expect("connect");
        let server = listener.accept();
        client.send(octets);
        server.receive(octets);
        server.finish();
        client.receive_end();
        client.finish();
        server.receive_end();
        std::thread::sleep(Duration::from_millis(300));
        closed =
            vec![End::of("client", &client, ends), End::of("server", &server, (ends.1, ends.0))];
    }
    let seen = lab.check(&closed);
    for (local, remote) in [ends, (ends.1, ends.0)] {
        assert_eq!(seen.live(local, remote).len(), 2);
        assert_eq!(seen.captured(local, remote).len(), 2);
    }
}

/// The end that accepts has answered and closed before the handshake is over.
#[test]
fn fast_open_that_is_over_before_it_is_established() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let pair = Pair::new(delayed(), Impairment { drop: vec![1], ..delayed() });
    pair.sysctl("ipv4/tcp_fastopen", FAST_BOTH);
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.fast_open(ends.1, 400);
    let accepted = listener.accept();
    accepted.receive(400);
    accepted.send(50);
    accepted.finish();
    client.receive(50);
    client.receive_end();
    client.finish();
    accepted.receive_end();
    std::thread::sleep(Duration::from_millis(300));
    let server = End::of("server", &accepted, (ends.1, ends.0));
    let client = End::of("client", &client, ends);
    let seen = lab.check(&[client, server]);
    let row = seen.live(ends.1, ends.0).remove(0);
    assert_eq!(number(&row, "HCDataOctetsIn"), 400);
}
