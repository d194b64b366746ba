// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that the kernel refuses after an end has closed: sockops is called after the checks that refuse them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::SUITE;
use crate::run::{Connection, Recorder};
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction;
use crate::support::pair::{Family, Pair};
use crate::support::segment::{ACK, Choices, RST, SYN, Segment};
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::trust;

const SETTLE: Duration = Duration::from_millis(300);

/// A segment of the server that the client's kernel refuses: offsets to the numbers that it expects.
#[derive(Clone, Copy, Debug)]
struct Refused {
    seq: u32,
    flags: u8,
    payload: usize,
    /// TSval, if it has timestamps.
    stamp: Option<u32>,
}

const OLD: u32 = 0_u32.wrapping_sub(4_000);
const PLAIN: Refused = Refused { seq: 0, flags: ACK, payload: 0, stamp: None };

/// Old ACKs that acknowledge nothing new, and data far beyond the window: four soft errors.
const OUT_OF_WINDOW: &[Refused] = &[
    Refused { seq: OLD, ..PLAIN },
    Refused { seq: OLD, ..PLAIN },
    Refused { seq: OLD, ..PLAIN },
    Refused { seq: 700_000_000, payload: 700, ..PLAIN },
];

/// A reset and a SYN that are challenged, and data without an acknowledgment: no soft errors.
const CHALLENGED: &[Refused] = &[
    Refused { seq: 100, flags: RST, ..PLAIN },
    Refused { flags: SYN, ..PLAIN },
    Refused { flags: 0, payload: 9, ..PLAIN },
];

/// A segment without any flag, with an old number: it is dropped before its number is looked at.
const NO_FLAGS: &[Refused] = &[Refused { seq: OLD, flags: 0, payload: 9, ..PLAIN }];

/// Data with timestamps of long ago.
const LATE: &[Refused] = &[
    Refused { payload: 9, stamp: Some(1), ..PLAIN },
    Refused { payload: 9, stamp: Some(2), ..PLAIN },
];

/// How the connection ends after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The server's FIN comes: a hook sees a segment after the refused ones.
    Fin,
    /// The server's reset comes: no hook behind the checks sees anything more.
    Reset,
}

/// The client's row: it has closed first if `closed`, then gets these segments, and the end.
fn row(family: Family, closed: bool, segments: &[Refused], end: End, more: &[&str]) -> Connection {
    let pair = Pair::symmetric(Impairment::default());
    let stamped = segments.iter().any(|s| s.stamp.is_some());
    // 2: without a random offset, so that these timestamps are of long ago.
    pair.sysctl("ipv4/tcp_timestamps", if stamped { "2" } else { "0" });
    let arguments = [&["--netns", pair.client.name()], more].concat();
    let recorder = Recorder::start(&arguments);
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
    for refused in segments {
        let segment = Segment {
            from: client.remote(),
            to: client.local(),
            ttl: 64,
            tos: 0,
            seq: server.write_seq().wrapping_add(refused.seq),
            // Its FIN is in it.
            ack: client.write_seq(),
            flags: refused.flags,
            ae: false,
            window: 256,
            options: Choices { stamps: refused.stamp.map(|now| (now, 0)), ..Choices::default() },
            payload: refused.payload,
        };
        pair.link().inject(Direction::Backward, &segment.packet());
        std::thread::sleep(Duration::from_millis(20));
    }
    if !closed {
        client.finish();
        server.receive_end();
    }
    match end {
        End::Fin => {
            server.finish();
            client.receive_end();
        }
        End::Reset => server.reset(),
    }
    std::thread::sleep(SETTLE);
    recorder.stop().connections().remove(0)
}

/// SoftErrors as a document has it.
fn soft_errors(row: &Connection) -> String {
    row.values.number("SoftErrors").map_or_else(|| "NULL".to_owned(), |n| n.to_string())
}

#[test]
fn segments_refused_after_the_close_are_counted_as_in_established() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let mut says = Vec::new();
    for family in [Family::V4, Family::V6] {
        for (closed, end) in [(false, End::Fin), (true, End::Fin), (true, End::Reset)] {
            let row = row(family, closed, OUT_OF_WINDOW, end, &[]);
            let context = format!("{family:?} closed {closed} {end:?}: {:?}", row.values);
            assert_eq!(row.values.int("SoftErrors"), 4, "{context}");
            assert!(row.values.int("DupAcksIn") >= 3, "{context}");
            assert_eq!(row.values.text("SoftErrorReason"), "aboveDataWindow", "{context}");
            says.push(format!("completeness {}, and SoftErrors counts them", row.completeness()));
        }
    }
    says.dedup();
    trust::says("segments that the kernel refuses after the end has closed", &says.join("; "));
}

#[test]
fn challenged_segments_after_the_close_are_no_soft_errors() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for (segments, closed, end) in [
        (CHALLENGED, false, End::Fin),
        (CHALLENGED, true, End::Fin),
        (CHALLENGED, true, End::Reset),
        (NO_FLAGS, false, End::Fin),
        (NO_FLAGS, true, End::Fin),
    ] {
        let row = row(Family::V4, closed, segments, end, &[]);
        let context = format!("{segments:?} closed {closed} {end:?}: {:?}", row.values);
        assert_eq!(row.values.int("SoftErrors"), 0, "{context}");
        assert_eq!(row.completeness(), "complete", "{context}");
    }
}

#[test]
fn timestamps_of_long_ago_are_refused_after_the_close_too() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for (closed, end) in [(false, End::Fin), (true, End::Fin), (true, End::Reset)] {
        let row = row(Family::V4, closed, LATE, end, &[]);
        let context = format!("closed {closed} {end:?}: {:?}", row.values);
        assert_eq!(row.values.int("SoftErrors"), 2, "{context}");
        assert_eq!(row.values.text("SoftErrorReason"), "belowTSWindow", "{context}");
        assert_eq!(row.completeness(), "complete", "{context}");
    }
}

/// No hook behind the checks sees it. The socket shows that it came, and when.
#[test]
fn a_reset_after_the_close_is_the_last_segment_and_its_ip_header_is_not_known() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for end in [End::Fin, End::Reset] {
        let row = row(Family::V4, true, &[], end, &["--hooks", "tracepoint"]);
        let context = format!("{end:?}: {:?} {:?}", row.identity, row.values);
        assert_eq!(row.completeness(), "complete", "{context}");
        let is_known = end == End::Fin;
        for name in ["IpTtl", "IpTosIn"] {
            assert_eq!(row.values.number(name).is_some(), is_known, "{name} {context}");
        }
        // The end comes SETTLE after the rest.
        let least = SETTLE.as_micros() as i64;
        let elapsed =
            row.values.int("ElapsedSecs") * 1_000_000 + row.values.int("ElapsedMicroSecs");
        assert!(elapsed >= least, "{elapsed} {context}");
    }
}

/// As before Linux 6.11 without hooks on functions.
#[test]
fn segments_that_no_hook_sees_make_the_row_lossy_even_if_nothing_follows_them() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let blind = ["--hooks", "tracepoint", "--without", "segment_drop"];
    let mut says = Vec::new();
    for family in [Family::V4, Family::V6] {
        for end in [End::Fin, End::Reset] {
            let row = row(family, true, OUT_OF_WINDOW, end, &blind);
            says.push(format!(
                "completeness {}; SoftErrors {}",
                row.completeness(),
                soft_errors(&row)
            ));
        }
    }
    says.dedup();
    trust::says(
        "segments that the kernel refuses after the end has closed, where no hook sees them",
        &says.join("; "),
    );
    // Nothing was refused: what ends a connection is no loss.
    for end in [End::Fin, End::Reset] {
        let row = row(Family::V4, true, &[], end, &blind);
        assert_eq!(row.completeness(), "complete", "{end:?}: {:?}", row.values);
    }
}
