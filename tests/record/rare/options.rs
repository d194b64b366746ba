// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The negotiation of options, by the kernel at both ends, and by the packets alone.

use super::lab::{Lab, delayed};
use super::{End, close};
use crate::SUITE;
use crate::support::gate::{self, Needs};
use crate::support::pair::Pair;
use crate::support::table::Value;
use crate::support::trust;

const NEGOTIATED: [&str; 4] = ["TimeStamps", "WillSendSACK", "WillUseSACK", "ECN"];

/// net.ipv4.tcp_timestamps, tcp_sack and tcp_ecn of a namespace.
type Settings = [&'static str; 3];

/// The options of a connection between these two: for each end the values of the kernel and of the
/// capture.
fn came_to(client: Settings, server: Settings) -> [[(Option<Value>, Option<Value>); 4]; 2] {
    let lab = Lab::new(Pair::symmetric(delayed()));
    for (netns, settings) in [(&lab.pair.client, client), (&lab.pair.server, server)] {
        for (name, value) in ["tcp_timestamps", "tcp_sack", "tcp_ecn"].iter().zip(settings) {
            netns.sysctl(&format!("ipv4/{name}"), value);
        }
    }
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let socket = lab.socket(40_000);
    socket.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    socket.send(50);
    accepted.receive(50);
    let closed = close(&socket, &accepted, ends);
    let seen = lab.check(&closed);
    closed.map(|end: End| {
        let live = seen.live(end.local, end.remote).remove(0);
        let captured = seen.captured(end.local, end.remote).remove(0);
        NEGOTIATED.map(|name| (live.values.get(name).cloned(), captured.values.get(name).cloned()))
    })
}

#[test]
fn a_negotiated_option_is_the_kernels_value_or_unknown() {
    const ON: Settings = ["1", "1", "1"];
    const USUAL: Settings = ["1", "1", "2"];
    const OFF: Settings = ["0", "0", "0"];
    // Variables that the capture of the accepting end lacks.
    let cases: [(&str, Settings, Settings, [bool; 4]); 5] = [
        ("both", ON, ON, [false; 4]),
        ("as usual", USUAL, USUAL, [false, false, false, true]),
        ("the opener has none", OFF, USUAL, [true; 4]),
        ("neither has any", OFF, OFF, [true; 4]),
        // Not even a SYN cookie: these have no window scale either.
        ("the other has none", ON, OFF, [false; 4]),
    ];
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for (what, client, server, unknown) in cases {
        let [opener, acceptor] = came_to(client, server);
        for ((name, (live, captured)), is_unknown) in
            NEGOTIATED.into_iter().zip(acceptor).zip(unknown)
        {
            assert!(live.is_some(), "{what}: {name}");
            let expected = if is_unknown { None } else { live };
            assert_eq!(captured, expected, "{what}: {name} of the end that accepts");
        }
        for (name, (live, captured)) in NEGOTIATED.into_iter().zip(opener) {
            assert_eq!(captured, live, "{what}: {name} of the opener");
        }
    }
    trust::says(
        "an option that one end alone has, in a capture",
        "TimeStamps, WillSendSACK, WillUseSACK and ECN equal to the kernel's at the end that opens; at \
         the other too, or NULL where its setting shows in no packet",
    );
}
