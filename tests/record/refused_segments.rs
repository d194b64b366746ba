// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that the host itself refuses: its device has a queue that is soon full, so that
//! `tcp_transmit_skb()` returns an error and the segment is never sent.

use std::net::SocketAddr;

use crate::SUITE;
use crate::run::Recorder;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::{DEVICE, Direction};
use crate::support::pair::{Family, Pair};
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::trust;

const OCTETS: u64 = 400_000;
/// Needed for a queue that refuses.
const TC: Needs = Needs { lab: true, bpf: true, programs: &["tc"] };

#[test]
fn segments_refused_by_the_host_are_not_counted_as_sent() {
    let Some(_turn) = gate::enter(SUITE, TC) else { return };
    let pair = Pair::symmetric(Impairment::default());
    // Or the queue would cut a packet into segments, refuse some of them, and call it sent.
    pair.client.ip(&["link", "set", DEVICE, "gso_max_segs", "1"]);
    // Three segments wait at most, the fourth is refused.
    pair.client.tc(&format!("qdisc add dev {DEVICE} root tbf rate 20mbit burst 1600 limit 6000"));
    let listener = Listener::bind(
        &pair.server,
        SocketAddr::new(pair.server_address(Family::V4), 0),
        Options::default(),
    );
    let recorder = Recorder::start(&["--netns", pair.client.name()]);
    let client = Stream::connect(&pair.client, listener.address(), Options::default())
        .expect("nothing is in the way yet");
    let server = listener.accept();
    std::thread::scope(|scope| {
        scope.spawn(|| client.send(OCTETS));
        server.receive(OCTETS);
    });
    client.finish();
    server.receive_end();
    server.finish();
    client.receive_end();
    let info = client.info();
    let finished = recorder.stop();
    let row = &finished.connections()[0];
    // Packets that the queue accepted came out of the device.
    let transmitted = pair.link().counters(Direction::Forward).offered_octets;
    let counted = info.must("tcpi_bytes_sent");
    assert!(counted > transmitted, "none was refused: {counted} of {transmitted}");
    assert_eq!(row.values.int("HCDataOctetsOut") as u64, transmitted);
    assert_eq!(row.values.int("DataOctetsOut") as u64, transmitted);
    assert_eq!(row.values.int("OctetsRetrans") as u64, transmitted - OCTETS);
    let audit = finished.table("audit");
    let differs: Vec<_> = audit.iter().filter(|row| row.text("verdict") == "differs").collect();
    assert!(differs.is_empty(), "{differs:#?}");
    trust::says(
        "the host refuses segments (the queue of its device is full)",
        "`HCDataOctetsOut` and `OctetsRetrans` are what left the host",
    );
}
