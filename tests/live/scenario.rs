// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What all scenarios with one connection have in common: record it, replay it, and compare both of its
//! rows with all values of the kernel and of the link.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::panic::Location;
use std::path::Path;

use estats::engine::limits::LimitCause;

use crate::recording::{Connection, Recorder, Recording};
use crate::support::audit;
use crate::support::flow::{Flow, Settled};
use crate::support::impair::Impairment;
use crate::support::link::Direction::{Backward, Forward};
use crate::support::mib::Mib;
use crate::support::netns::Netns;
use crate::support::pair::{Family, Pair};
use crate::support::proved;
use crate::support::table::{Row, Value};
use crate::support::tcp::Options;

/// One-way delay of the link in all scenarios, microseconds.
pub const DELAY_US: i64 = 10_000;

/// Comparisons that can be made on any kernel the recorder supports, so that none falls out
/// unnoticed. The schema has 24 equalities, of which Linux 6.1 lacks the field of one
/// (tcpi_rcv_wnd).
const EQUALITIES: usize = 23;
/// The same without those that need a newer field, an open connection or an RTT sample.
const RELATIONS: usize = 24;
const MIBS: usize = 6;

/// 10 ms and 50 Mbit/s, without faults.
pub fn clean() -> Impairment {
    Impairment {
        delay: std::time::Duration::from_micros(DELAY_US as u64),
        rate: Some(50_000_000),
        ..Impairment::default()
    }
}

/// How the connection stands when the recording ends. The first shows gauges in use, the second
/// the counters at the change to CLOSE; both are exact, because nothing moves between the reading
/// of `tcp_info` and that of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Open and at rest.
    Open,
    /// Both FINs exchanged and acknowledged, the client's first.
    Closed,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Open, Self::Closed];
}

/// A recorded connection.
#[derive(Debug)]
pub struct Measured {
    /// Row of the end that connected.
    pub client: Connection,
    /// Row of the end that accepted.
    pub server: Connection,
    /// `tcp_info` of both.
    pub settled: Settled,
    /// Where it was, for the counters of link and namespaces.
    pub pair: Pair,
}

/// Records one connection with this traffic and checks all that holds for any. What the calling test is
/// listed to prove must have been proved.
#[track_caller]
pub fn measure(
    pair: Pair,
    family: Family,
    options: (Options, Options),
    end: End,
    traffic: impl FnOnce(&Flow),
) -> Measured {
    let caller = Location::caller().file();
    let recorder = Recorder::on(&pair);
    let flow = Flow::open_with(&pair, family, options.0, options.1);
    let (local, remote) = (flow.client.local(), flow.client.remote());
    traffic(&flow);
    let mut settled = flow.settle();
    if end == End::Closed {
        settled = flow.finish();
    }
    let recording = recorder.stop();
    flow.assert_still(&settled);
    let clamps = [flow.client.window_clamp(), flow.server.window_clamp()];
    let client = recording.one(local, remote).clone();
    let server = recording.one(remote, local).clone();
    assert_eq!(recording.all().count(), 2, "one connection has two ends, and there was no other");
    let measured = Measured { client, server, settled, pair };
    measured.check_identity(end);
    measured.check_options([options.0, options.1], clamps);
    let mut proved = BTreeSet::new();
    measured.check_tcp_info(&mut proved);
    measured.check_mib(&mut proved);
    measured.check_link(&mut proved);
    measured.check_limits();
    let test = std::thread::current();
    let test = test.name().expect("tests run on threads with their names");
    proved::assert_all(caller, test.rsplit("::").next().expect("a name"), &proved);
    measured
}

impl Measured {
    fn check_identity(&self, end: End) {
        let (completeness, by_client, by_server) = match end {
            End::Open => ("ended_after", "none", "none"),
            End::Closed => ("complete", "local", "remote"),
        };
        for (connection, netns, opened, closed) in [
            (&self.client, &self.pair.client, "local", by_client),
            (&self.server, &self.pair.server, "remote", by_server),
        ] {
            connection.assert_identity(&[
                ("opened_by", opened),
                ("closed_by", closed),
                ("completeness", completeness),
            ]);
            if end == End::Closed {
                connection.assert_identity(&[("close_reason", "fin")]);
            }
            assert_owner(&connection.identity, netns);
        }
    }

    /// The socket options that were set, as the kernel keeps them.
    fn check_options(&self, options: [Options; 2], clamps: [libc::c_int; 2]) {
        let rows = [&self.client, &self.server];
        for ((connection, options), clamp) in rows.into_iter().zip(options).zip(clamps) {
            let row = &connection.values;
            assert_eq!(row.int("LimRwin"), i64::from(clamp), "TCP_WINDOW_CLAMP");
            assert_eq!(row.get("Nagle"), Some(&Value::Bool(!options.nodelay)), "TCP_NODELAY");
        }
    }

    fn check_tcp_info(&self, proved: &mut BTreeSet<String>) {
        for (name, connection, info) in [
            ("client", &self.client, &self.settled.client),
            ("server", &self.server, &self.settled.server),
        ] {
            let row = &connection.values;
            let equal = audit::equalities(row, info);
            equal.assert(&format!("{name}, tcp_info"), EQUALITIES);
            let related = audit::relations(row, info);
            related.assert(&format!("{name}, relations"), RELATIONS);
            proved.extend(equal.proved.into_iter().chain(related.proved));
        }
    }

    fn check_mib(&self, proved: &mut BTreeSet<String>) {
        for (name, connection, netns) in [
            ("client", &self.client, &self.pair.client),
            ("server", &self.server, &self.pair.server),
        ] {
            let audit = audit::mib(&connection.values, &Mib::of(netns));
            audit.assert(&format!("{name}, MIB of its namespace"), MIBS);
            proved.extend(audit.proved);
        }
    }

    /// What limited the sender, against the kernel's chronometer: if nothing is unacknowledged or waits,
    /// only the application limits.
    fn check_limits(&self) {
        for connection in [&self.client, &self.server] {
            let known = |column: &str| match connection.identity.get(column) {
                Some(Value::Float(share)) => Some(*share),
                None => None,
                other => panic!("{column}: {other:?}"),
            };
            let share = |column: &str| known(column).unwrap_or_else(|| panic!("{column} is NULL"));
            let shares = LimitCause::ALL.map(|limit| known(limit.column()));
            let sum: f64 = shares.iter().flatten().sum();
            assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
            let idle = 1.0 - share("busy_share");
            let free = share("limited_startup") + share("limited_application");
            let free = free + share("limited_send_buffer");
            // Busy time has steps of a jiffy, of 4 ms here, in a life of 0.8 s and more; measured:
            // idle is never the longer one. The other way round it may be: the queue is empty
            // while what was sent is under way.
            assert!(free > idle - 0.01, "{shares:?}, idle {idle}");
        }
    }

    /// The packets themselves: what one end sent is what entered the link, what the other got is
    /// what left it.
    fn check_link(&self, proved: &mut BTreeSet<String>) {
        self.pair.assert_no_stray_loss();
        let link = self.pair.link();
        let (there, back) = (link.counters(Forward), link.counters(Backward));
        for (name, row, sent, got) in [
            ("client", &self.client.values, there, back),
            ("server", &self.server.values, back, there),
        ] {
            for (variable, octets) in [
                ("HCDataOctetsOut", sent.offered_octets),
                ("HCDataOctetsIn", got.delivered_octets),
                ("DataOctetsIn", got.delivered_octets & 0xffff_ffff),
                ("DataSegsOut", sent.offered_data),
                ("DataSegsIn", got.delivered_data),
            ] {
                let counted = row.int(variable);
                assert_eq!(counted, octets as i64, "{variable} of the {name}, by the link");
                if octets > 0 {
                    proved.insert(variable.to_owned());
                }
            }
            assert_eq!(row.int("IpTtl"), 64, "{name}: Linux's default, and no router between");
        }
        // Octets received in order came in at least once; a FIN counts as one octet but is not one.
        for row in [&self.client.values, &self.server.values] {
            assert!(row.int("HCDataOctetsIn") >= row.int("HCThruOctetsReceived") - 1);
        }
    }

    /// Round-trip times of an end that sent data over the delayed link.
    pub fn assert_round_trips(&self, row: &Row) {
        assert!(row.int("CountRTT") > 0, "no RTT sample");
        // Exact: the link's clock never runs ahead, so no sample can be shorter.
        assert!(row.int("MinRTT") >= 2 * DELAY_US, "MinRTT {} us", row.int("MinRTT"));
        assert!(row.int("SmoothedRTT") >= 2 * DELAY_US);
    }
}

/// The namespace is the one it was made in, the owner this process.
pub fn assert_owner(identity: &Row, netns: &Netns) {
    let path = Path::new("/run/netns").join(netns.name());
    let inode = path.metadata().expect("a named namespace has a file").ino();
    assert_eq!(identity.int("netns"), inode as i64, "netns of {identity:?}");
    assert_eq!(identity.int("pid"), i64::from(std::process::id()), "pid of {identity:?}");
}

/// Both rows of a connection against `tcp_info`; `local` and `remote` as the client sees them.
pub fn assert_equalities(
    recording: &Recording,
    (local, remote): (SocketAddr, SocketAddr),
    settled: &Settled,
) {
    for (name, connection, info) in [
        ("client", recording.one(local, remote), &settled.client),
        ("server", recording.one(remote, local), &settled.server),
    ] {
        let audit = audit::equalities(&connection.values, info);
        audit.assert(&format!("{name}, tcp_info"), EQUALITIES);
    }
}
