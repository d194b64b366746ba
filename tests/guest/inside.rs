// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The part of the tests that runs in a guest: all recorders at once, every scenario once.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use crate::capabilities;
use crate::disturb;
use crate::facts::{
    CraftedConnection, CraftedFacts, FILE, Facts, FlowFacts, Output, PermissionFacts, SocketFacts,
};
use crate::path::Path;
use crate::recorder::{Recorder, check};
use crate::rows;
use crate::scenario::{self, SCENARIOS, Scenario, Shape};
use crate::sets::{self, HookSet};
use crate::sock_diag;
use crate::support::crafted::{Played, SCRIPTS};
use crate::support::flow::{Flow, Settled};
use crate::support::mib::Mib;
use crate::support::peer::Peer;
use crate::support::tcp::{Listener, Stream};

/// Environment variable with the kernel series; set in guests only.
pub const SERIES: &str = "ESTATS_GUEST_SERIES";
/// Set in guests of another architecture: they replay the recordings too.
pub const REPLAY: &str = "ESTATS_GUEST_REPLAY";
/// Directory that leaves the guest.
const OUT: &str = "/out";
/// A port without a listener.
const NOBODY: u16 = 9;

/// Not a test of its own: the command that the others run in their guests.
#[test]
#[ignore = "runs in a guest, started by the tests of the kernels"]
fn inside() {
    let series = std::env::var(SERIES).unwrap_or_else(|_| panic!("{SERIES} is set in guests only"));
    let sets = sets::of(&series);
    let out = FilePath::new(OUT);
    // All at once: the kernel takes most of the time, to verify programs, on one processor for each.
    let checks = at_once(sets, |set| sets::is_checked(&series, set).then(|| check(set)));
    let recorders = at_once(sets, |set| Recorder::start(out, set));
    // Connections that stay open until the recordings have ended, and their paths.
    let mut kept = Vec::new();
    let mut paths = Vec::new();
    let mut scenarios = Vec::new();
    let chosen = scenario::chosen();
    for scenario in chosen.clone().unwrap_or_else(|| SCENARIOS.iter().collect()) {
        let begun = Instant::now();
        let path = Path::new(scenario.number());
        // One that cannot be carried out is a result like any other.
        let done = catch_unwind(AssertUnwindSafe(|| carry_out(scenario, &path, &mut kept)));
        let (flows, failure) = match done {
            Ok(flows) => (flows, None),
            Err(panic) => (Vec::new(), Some(words(panic.as_ref()))),
        };
        let seconds = begun.elapsed().as_secs_f64();
        println!("guest: {}, {seconds:.1} s", scenario.name);
        scenarios.push(Facts {
            scenario: scenario.name.to_owned(),
            seconds,
            failure,
            flows,
            client_mib: Mib::of(&path.client).counters().clone(),
            server_mib: Mib::of(&path.server).counters().clone(),
        });
        paths.push(path);
    }
    let (crafted, kept_peers) = if chosen.is_none() { play_scripts() } else { Default::default() };
    let recorders = recorders.into_iter().zip(checks).map(|(r, check)| r.stop(check)).collect();
    for (flow, settled) in &kept {
        flow.assert_still(settled);
    }
    drop(kept_peers);
    let replays = if std::env::var_os(REPLAY).is_some() {
        sets.iter().map(|set| (set.name.to_owned(), digest(&out.join(set.name)))).collect()
    } else {
        BTreeMap::new()
    };
    let begun = Instant::now();
    let disturbed = sets::DISTURBED.contains(&series.as_str()).then(|| disturb::record(out));
    if disturbed.is_some() {
        println!("guest: disturbed recording, {:.1} s", begun.elapsed().as_secs_f64());
    }
    let output = Output { scenarios, crafted, recorders, disturbed, replays };
    leave(&output);
}

/// Only what disturbs, to try it: `scripts/guest/run.sh --file` with this program.
#[test]
#[ignore = "runs in a guest"]
fn disturbed() {
    let disturbed = disturb::record(FilePath::new(OUT));
    println!("{disturbed:?}");
}

/// Not a separate test either: sockets that inet_diag reports.
#[test]
#[ignore = "runs in a guest, started by the tests of the kernels"]
fn sockets() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    leave(&SocketFacts { release: release.trim().to_owned(), sockets: sock_diag::capture() });
}

/// Nor this: recorders with few capabilities.
#[test]
#[ignore = "runs in a guest, started by the tests of the kernels"]
fn permissions() {
    let series = std::env::var(SERIES).unwrap_or_else(|_| panic!("{SERIES} is set in guests only"));
    let recordings = capabilities::recordings(&series, FilePath::new(OUT));
    leave(&PermissionFacts { trials: capabilities::trials(&series), recordings });
}

/// Writes what leaves the guest.
fn leave(facts: &impl serde::Serialize) {
    let facts = serde_json::to_vec(facts).expect("facts are plain");
    fs::write(FilePath::new(OUT).join(FILE), facts).expect("the output can be written");
}

fn at_once<T: Send>(
    sets: &'static [HookSet],
    act: impl Fn(&'static HookSet) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = sets.iter().map(|set| scope.spawn(|| act(set))).collect();
        threads.into_iter().map(|t| t.join().expect("a thread that does not panic")).collect()
    })
}

/// The digest of a recording's tables, as this machine makes them; what went wrong otherwise. They do
/// not leave the guest.
fn digest(recording: &FilePath) -> Result<String, String> {
    let tables = std::env::temp_dir().join("replayed");
    let begun = Instant::now();
    let found = rows::replay(recording, Some(&tables));
    println!(
        "guest: replay of {}, {:.1} s: digest {found:?}",
        recording.display(),
        begun.elapsed().as_secs_f64()
    );
    let _ = fs::remove_dir_all(&tables);
    found
}

/// Every script of `support::crafted`. What it has opened stays as it is, with the peers, until the
/// recordings have ended.
///
/// A script demands what the kernel does, such as one timeout and no second. On a busy host the emulated
/// peer answers too late now and then, and the kernel does something else. Then the script is carried out
/// again: what it demands of the recorders stays the same.
fn play_scripts() -> (Vec<CraftedFacts>, Vec<(Vec<Played>, Peer)>) {
    let (mut facts, mut kept) = (Vec::new(), Vec::new());
    for script in SCRIPTS.iter().filter(|script| script.is_for_guests()) {
        let begun = Instant::now();
        let mut tries = 0;
        let (peer, played, failure) = loop {
            tries += 1;
            let peer = Peer::new(script.number());
            match catch_unwind(AssertUnwindSafe(|| (script.play)(&peer))) {
                Ok(played) => break (peer, played, None),
                Err(panic) if tries == TRIES => {
                    break (peer, Vec::new(), Some(words(panic.as_ref())));
                }
                Err(panic) => println!("guest: {} again: {}", script.name, words(panic.as_ref())),
            }
        };
        println!("guest: {}, {:.1} s", script.name, begun.elapsed().as_secs_f64());
        let connections = played.iter().map(|p| CraftedConnection {
            local: p.local,
            remote: p.remote,
            figures: p.figures.clone(),
        });
        let connections = connections.collect();
        facts.push(CraftedFacts { script: script.name.to_owned(), tries, failure, connections });
        kept.push((played, peer));
    }
    (facts, kept)
}

/// How often a script is carried out at most.
const TRIES: u32 = 3;

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn carry_out(scenario: &Scenario, path: &Path, kept: &mut Vec<(Flow, Settled)>) -> Vec<FlowFacts> {
    if scenario.ecn {
        path.client.sysctl("ipv4/tcp_ecn", "1");
        path.server.sysctl("ipv4/tcp_ecn", "1");
    }
    if !scenario.offload {
        path.without_segmentation_offload();
    }
    if !scenario.device.is_empty() {
        path.slow_down_client(scenario.device);
    }
    let address = path.server_address(scenario.family);
    let (client, server) = scenario.options;
    let open = || {
        let flow = Flow::between((&path.client, client), (&path.server, server), address);
        // Not before: a lost SYN is retransmitted without ECN (RFC 3168, 6.1.1.1).
        path.forward(scenario.faults);
        flow
    };
    match scenario.shape {
        Shape::Open(traffic) => {
            let flow = open();
            traffic(path, &flow);
            let settled = flow.settle();
            let facts = facts(&flow, &settled);
            kept.push((flow, settled));
            vec![facts]
        }
        Shape::Closed(traffic) => {
            let flow = open();
            traffic(path, &flow);
            flow.settle();
            let facts = facts(&flow, &flow.finish());
            path.client.wait_closed();
            vec![facts]
        }
        Shape::Short(count) => short(scenario, path, count),
        Shape::Waiting(count) => waiting(scenario, path, count),
        Shape::Refused => {
            let nobody = SocketAddr::new(address, NOBODY);
            let error = Stream::connect(&path.client, nobody, client).expect_err("no listener");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let client = SocketAddr::new(path.client_address(scenario.family), 0);
            vec![unread(client, nobody, None)]
        }
        Shape::Reset(octets) => {
            let flow = open();
            flow.upload(octets);
            let before = flow.settle();
            let mut facts = facts(&flow, &before);
            let Flow { client, server } = flow;
            client.reset();
            assert_eq!(server.receive_error().kind(), ErrorKind::ConnectionReset);
            // It is in CLOSE with all its counters; the other end's are gone.
            facts.server_info = server.info().octets().to_vec();
            path.client.wait_closed();
            vec![facts]
        }
    }
}

fn short(scenario: &Scenario, path: &Path, count: u64) -> Vec<FlowFacts> {
    let size = |i: u64| i * 997 % 20_000 + 1;
    let (client, server) = scenario.options;
    let any_port = SocketAddr::new(path.server_address(scenario.family), 0);
    let listener = Listener::bind(&path.server, any_port, server);
    let address = listener.address();
    let flows = std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..count {
                let accepted = listener.accept();
                accepted.receive(size(i));
                accepted.receive_end();
            }
        });
        let one = |i| {
            let stream = Stream::connect(&path.client, address, client)
                .unwrap_or_else(|e| panic!("connection {i}: {e}"));
            stream.send(size(i));
            stream.finish();
            stream.receive_end();
            unread(stream.local(), address, Some(size(i)))
        };
        (0..count).map(one).collect()
    });
    drop(listener);
    path.client.wait_closed();
    path.server.wait_closed();
    flows
}

/// Longer than from one count of the recorder to the next.
const LATE: Duration = Duration::from_millis(1500);

fn waiting(scenario: &Scenario, path: &Path, count: u64) -> Vec<FlowFacts> {
    let octets = 200_000;
    let (client, server) = scenario.options;
    let address = path.server_address(scenario.family);
    let one = || Flow::between((&path.client, client), (&path.server, server), address);
    let flows: Vec<Flow> = (0..count).map(|_| one()).collect();
    std::thread::scope(|scope| {
        for flow in &flows {
            scope.spawn(|| {
                flow.client.send(octets);
                // Whoever enters the function again has left it before.
                flow.client.send(1);
            });
        }
        std::thread::sleep(LATE);
        for flow in &flows {
            scope.spawn(|| flow.server.receive(octets + 1));
        }
    });
    let done = flows.iter().map(|flow| {
        flow.finish();
        unread(flow.client.local(), flow.server.local(), Some(octets + 1))
    });
    let facts = done.collect();
    drop(flows);
    path.client.wait_closed();
    facts
}

fn facts(flow: &Flow, settled: &Settled) -> FlowFacts {
    FlowFacts {
        client_info: settled.client.octets().to_vec(),
        server_info: settled.server.octets().to_vec(),
        client_private: flow.client.cc_info(),
        ..unread(flow.client.local(), flow.server.local(), None)
    }
}

fn unread(client: SocketAddr, server: SocketAddr, octets: Option<u64>) -> FlowFacts {
    FlowFacts {
        client,
        server,
        octets,
        client_info: Vec::new(),
        server_info: Vec::new(),
        client_private: Vec::new(),
    }
}
