// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that the kernel refuses after an end has closed: sockops is called after the checks that refuse them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::SUITE;
use crate::run::Recorder;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction;
use crate::support::pair::{Family, Pair};
use crate::support::segment::{ACK, Choices, Segment};
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::trust;

const SETTLE: Duration = Duration::from_millis(300);

#[test]
fn segments_refused_after_the_close_make_the_row_lossy() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for (family, closed) in
        [(Family::V4, false), (Family::V6, false), (Family::V4, true), (Family::V6, true)]
    {
        let pair = Pair::symmetric(Impairment::default());
        pair.sysctl("ipv4/tcp_timestamps", "0");
        let recorder = Recorder::start(&["--netns", pair.client.name()]);
        let address = SocketAddr::new(pair.server_address(family), 0);
        let listener = Listener::bind(&pair.server, address, Options::default());
        let client = Stream::connect(&pair.client, listener.address(), Options::default())
            .expect("a listener is there");
        let server = listener.accept();
        server.send(5_000);
        client.receive(5_000);
        if closed {
            client.finish();
            server.receive_end();
        }
        std::thread::sleep(SETTLE);
        // Old ACKs that acknowledge nothing new, and data far beyond the window.
        let old = 0_u32.wrapping_sub(4_000);
        for (offset, payload) in [(old, 0), (old, 0), (old, 0), (700_000_000, 700)] {
            let segment = Segment {
                from: client.remote(),
                to: client.local(),
                ttl: 64,
                tos: 0,
                seq: server.write_seq().wrapping_add(offset),
                ack: client.write_seq().wrapping_add(u32::from(closed)),
                flags: ACK,
                ae: false,
                window: 256,
                options: Choices::default(),
                payload,
            };
            pair.link().inject(Direction::Backward, &segment.packet());
            std::thread::sleep(Duration::from_millis(20));
        }
        if !closed {
            client.finish();
            server.receive_end();
        }
        server.finish();
        client.receive_end();
        std::thread::sleep(SETTLE);
        let finished = recorder.stop();
        let row = &finished.connections()[0];
        let context = format!("{family:?} closed {closed}: {:?}", row.values);
        if closed {
            let errors = row.values.number("SoftErrors");
            let errors = errors.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
            trust::says(
                "segments that the kernel refuses after the end has closed",
                &format!("completeness {}; SoftErrors {errors}", row.completeness()),
            );
        } else {
            assert_eq!(row.completeness(), "complete", "{context}");
            assert_eq!(row.values.int("SoftErrors"), 4, "{context}");
            assert!(row.values.int("DupAcksIn") >= 3, "{context}");
            assert_eq!(row.values.text("SoftErrorReason"), "aboveDataWindow", "{context}");
        }
    }
}
