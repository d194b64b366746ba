// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections at rest, in the back-off of a timeout, and before a closed window: at any instant the
//! series has the kernel's values of the socket at that instant, within the resolution.
//!
//! A hook runs before the kernel handles what called it, and slow values are thinned; so the record
//! of the last hook is behind, and no hook comes while nothing happens. What is tested is the look
//! that the recorder has taken after that (bpf/rest.bpf.h).

use std::net::SocketAddr;
use std::time::Duration;

use estats::schema::Var;

use crate::SUITE;
use crate::recording::Recorder;
use crate::scenario::clean;
use crate::support::audit::{self, Audit};
use crate::support::flow::Flow;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction;
use crate::support::pair::{Family, Pair};
use crate::support::table::Row;
use crate::support::tcp::{Options, Stream};
use crate::support::tcp_info::TcpInfo;

/// How much later than the resolution a look may be: until a thread whose time has come gets a CPU.
/// With eleven others wanting two CPUs the latest of some 200 readings was 31 ms; the recorder itself
/// takes more than 100 ms for late (src/capture/drain.rs).
const SCHEDULING: Duration = Duration::from_millis(100);

/// Comparisons for each reading on any kernel: 23 equalities (tests/live/scenario.rs), and PipeSize.
const COMPARED: usize = 24;

/// `tcp_info` of one end, and between which times it was read (CLOCK_MONOTONIC).
struct Reading {
    from_ns: i64,
    to_ns: i64,
    info: TcpInfo,
}

fn now_ns() -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

fn read(stream: &Stream) -> Reading {
    let from_ns = now_ns();
    let info = stream.info();
    Reading { from_ns, to_ns: now_ns(), info }
}

/// Instants that repeat: a linear congruential generator (Knuth's MMIX).
struct Instants(u64);

impl Instants {
    /// Lets up to `longest` pass.
    fn wait(&mut self, longest: Duration) {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let share = (self.0 >> 40) as f64 / (1u64 << 24) as f64;
        std::thread::sleep(longest.mul_f64(share));
    }
}

/// The compared values, from tcp_info.
fn stands(info: &TcpInfo) -> Vec<Option<u64>> {
    let more = ["tcpi_unacked", "tcpi_sacked", "tcpi_lost", "tcpi_retrans"].map(|f| info.get(f));
    Var::ALL.iter().map(|var| audit::expected(*var, info)).chain(more).collect()
}

/// All variables that equal `tcp_info` by the schema, and octets in flight (RFC 6675's pipe).
fn compare(row: &Row, info: &TcpInfo) -> Audit {
    let mut audit = audit::equalities(row, info);
    let field = |name| info.must(name) as i64;
    let segments = field("tcpi_unacked") - field("tcpi_sacked") - field("tcpi_lost");
    let pipe = (segments + field("tcpi_retrans")) * field("tcpi_snd_mss");
    audit.compared += 1;
    if row.number("PipeSize") != Some(pipe) {
        let got = row.number("PipeSize");
        audit.findings.push(format!("PipeSize: {got:?} in the table, {pipe} in the kernel"));
    }
    audit
}

/// Holds readings of one end against the series of that end. How late the latest value was that
/// agrees, beyond the time of the reading, in nanoseconds.
fn assert_fresh(what: &str, rows: &[Row], readings: &[Reading], resolution: Duration) -> i64 {
    let patience_ns = (resolution + SCHEDULING).as_nanos() as i64;
    let mut latest = 0;
    for (i, reading) in readings.iter().enumerate() {
        let until = reading.to_ns + patience_ns;
        let begun = rows.partition_point(|row| row.int("ts_ns") <= reading.from_ns);
        let ended = rows.partition_point(|row| row.int("ts_ns") <= until);
        let candidates = &rows[begun.saturating_sub(1)..ended];
        assert!(!candidates.is_empty(), "{what}, reading {i}: no row until then");
        let compare = |row: &Row| compare(row, &reading.info);
        let agrees = candidates.iter().find(|row| compare(row).findings.is_empty());
        let Some(row) = agrees else {
            // As it stands when a resolution has passed.
            compare(candidates.last().expect("just tested")).assert(
                &format!("{what}, reading {i} of {} at {}", readings.len(), reading.from_ns),
                COMPARED,
            );
            unreachable!("the last candidate does not agree");
        };
        compare(row).assert(what, COMPARED);
        latest = latest.max(row.int("ts_ns") - reading.to_ns);
    }
    latest
}

/// Reads both ends at random instants. What is kept stood still until a look must have come: of a
/// connection that moves, what the kernel shows between two records need not be the value of either.
fn watch(
    flow: &Flow,
    times: usize,
    longest: Duration,
    resolution: Duration,
    between: impl Fn(usize),
) -> [Vec<Reading>; 2] {
    let mut instants = Instants(20);
    let mut readings = [Vec::new(), Vec::new()];
    for i in 0..times {
        instants.wait(longest);
        let found = [read(&flow.client), read(&flow.server)];
        std::thread::sleep(resolution + SCHEDULING);
        let after = [flow.client.info(), flow.server.info()];
        for ((reading, after), kept) in found.into_iter().zip(after).zip(&mut readings) {
            if stands(&reading.info) == stands(&after) {
                kept.push(reading);
            }
        }
        between(i);
    }
    let least = readings.iter().map(Vec::len).min().unwrap_or(0);
    assert!(least >= times / 3, "{least} of {times} readings stood still");
    readings
}

/// Records one connection with these readings, and holds each end's against its series.
fn measure(
    name: &str,
    resolution: Duration,
    options: (Options, Options),
    traffic: impl FnOnce(&Pair, &Flow, Duration) -> [Vec<Reading>; 2],
) -> [Vec<Row>; 2] {
    let pair = Pair::symmetric(clean());
    let resolution_text = format!("{}us", resolution.as_micros());
    let recorder = Recorder::with(&pair, &["--resolution", &resolution_text]);
    let flow = Flow::open_with(&pair, Family::V4, options.0, options.1);
    let ends: (SocketAddr, SocketAddr) = (flow.client.local(), flow.client.remote());
    let readings = traffic(&pair, &flow, resolution);
    let recording = recorder.stop();
    let rows = [recording.series(ends.0, ends.1), recording.series(ends.1, ends.0)];
    for (end, (rows, readings)) in ["client", "server"].iter().zip(rows.iter().zip(&readings)) {
        let what = format!("{name} at {resolution_text}, {end}");
        let latest = assert_fresh(&what, rows, readings, resolution);
        println!("{what}: {} readings, the latest value {latest} ns later", readings.len());
    }
    drop(flow);
    rows
}

const RESOLUTIONS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(30)];

#[test]
fn a_connection_that_rests_is_not_stale() {
    gate::record(SUITE, Needs::BPF, || {
        for resolution in RESOLUTIONS {
            let mut rests_from = 0;
            let rows = measure("at rest", resolution, Default::default(), |_, flow, still| {
                flow.upload(3_000_000);
                let readings = watch(flow, 10, Duration::from_millis(40), still, |_| ());
                flow.settle();
                rests_from = now_ns();
                std::thread::sleep(Duration::from_millis(500));
                readings
            });
            // A connection at rest costs nothing: the next row is that of the end.
            for rows in rows {
                let since = rows.iter().filter(|row| row.int("ts_ns") > rests_from).count();
                assert!(since <= 2, "{since} rows of a connection that rests");
            }
        }
    });
}

#[test]
fn the_back_off_of_a_timeout_is_not_stale() {
    gate::record(SUITE, Needs::BPF, || {
        for resolution in RESOLUTIONS {
            measure("in back-off", resolution, Default::default(), |pair, flow, still| {
                flow.upload(50_000);
                flow.settle();
                let all = Impairment { loss: 1.0, ..clean() };
                pair.link().impair(Direction::Forward, all);
                flow.client.send(100_000);
                let readings = watch(flow, 40, Duration::from_millis(150), still, |_| ());
                let retransmits = readings[0].last().unwrap().info.must("tcpi_retransmits");
                assert!(retransmits >= 3, "{retransmits} retransmissions make no back-off");
                readings
            });
        }
    });
}

#[test]
fn a_connection_that_waits_for_a_window_is_not_stale() {
    gate::record(SUITE, Needs::BPF, || {
        let sends = Options { send_buffer: Some(1 << 20), ..Options::default() };
        let reads = Options { receive_buffer: Some(16_384), ..Options::default() };
        for resolution in RESOLUTIONS {
            measure("before a closed window", resolution, (sends, reads), |_, flow, still| {
                // More than the buffer takes, and the application does not read.
                flow.client.send(100_000);
                let readings = watch(flow, 40, Duration::from_millis(60), still, |i| {
                    // Into the queue: nothing is sent for it.
                    if i % 3 == 0 {
                        flow.client.send(3_000);
                    }
                });
                let last = &readings[0].last().unwrap().info;
                assert!(last.must("tcpi_notsent_bytes") > 30_000, "the window is open");
                assert!(last.must("tcpi_probes") + last.must("tcpi_backoff") > 0, "no probes");
                readings
            });
        }
    });
}
