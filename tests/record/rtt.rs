// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Passive RTT of live packets on the emulated link, against the RTTs printed by the programs at its
//! ends: `ping`, `dig`, a QUIC that spins; and against the link's own delay.
//!
//! Every recording is of the client's namespace, at its sockets, so that what is measured is what the
//! program there waited for, less its own work.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::SUITE;
use crate::run::{Finished, Recorder};
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::netns::Netns;
use crate::support::pair::{Family, Pair};
use crate::support::table::Row;

const NS_PER_MS: f64 = 1e6;

fn link(one_way: Duration) -> Pair {
    Pair::symmetric(Impairment { delay: one_way, ..Impairment::default() })
}

fn record(netns: &Netns) -> Recorder {
    Recorder::start(&["--all", "--packets", "--netns", netns.name()])
}

/// RTTs of one method in milliseconds, in order: of what the recorded end sent, as the peer answered.
fn rtts(finished: &Finished, method: &str) -> Vec<f64> {
    assert_eq!(finished.lost(), 0, "{}", finished.stderr);
    let of = |row: &Row| row.text("method") == method && row.flag("forward");
    let rows = finished.table("rtt");
    rows.iter().filter(|row| of(row)).map(|row| row.int("rtt_ns") as f64 / NS_PER_MS).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The times that `ping` prints, in milliseconds.
fn ping(netns: &Netns, address: &str, count: u32) -> Vec<f64> {
    let output = netns
        .command("ping")
        .args(["-n", "-i", "0.02", "-W", "5", "-c", &count.to_string(), address])
        .output()
        .expect("ping runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let times: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.strip_suffix(" ms")?.parse().ok())
        .collect();
    assert_eq!(times.len(), count as usize, "{text}");
    times
}

#[test]
fn rtts_of_echoes_equal_those_of_ping() {
    let needs = Needs { programs: &["ping"], ..Needs::BPF };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    for family in [Family::V4, Family::V6] {
        let pair = link(Duration::from_millis(2));
        let recorder = record(&pair.client);
        let printed = ping(&pair.client, &pair.server_address(family).to_string(), 50);
        let ours = rtts(&recorder.stop(), "icmp_echo");
        assert_eq!(ours.len(), printed.len());
        let more: Vec<f64> = printed.iter().zip(&ours).map(|(p, o)| p - o).collect();
        println!("{family:?}: ping prints {:.3} ms more in the median", median(&more));
        // ping reads its clock before it sends and takes the kernel's time of the reply: what it
        // prints is longer by the way into the kernel, and cut to a hundredth of a millisecond.
        // The kernel's time is taken when the reply comes in, ours when the socket gets it, and a
        // host may stop in between: two of fifty were met.
        let shorter = more.iter().filter(|ms| **ms < -0.011).count();
        assert!(shorter <= more.len() / 10, "{more:?}");
        // That way takes tens of microseconds; a busy host may stop ping in it, but not usually.
        assert!(median(&more) < 0.3, "{more:?}");
    }
}

/// `count` requests of a hundred bytes, each answered at once.
fn exchange(pair: &Pair, port: u16, count: usize) {
    let address = SocketAddr::new(pair.server_address(Family::V4), port);
    let listener = pair.server.run(|| TcpListener::bind(address).expect("a listener"));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            socket.set_nodelay(true).expect("an option");
            let mut request = [0; 100];
            while socket.read_exact(&mut request).is_ok() {
                socket.write_all(&request).expect("an answer");
            }
        });
        let mut socket = pair.client.run(|| TcpStream::connect(address).expect("connected"));
        socket.set_nodelay(true).expect("an option");
        let mut answer = [0; 100];
        for _ in 0..count {
            socket.write_all(&[7; 100]).expect("a request");
            socket.read_exact(&mut answer).expect("an answer");
        }
    });
}

#[test]
fn tcp_over_twenty_milliseconds_is_twenty_milliseconds() {
    let needs = Needs { programs: &["ping"], ..Needs::BPF };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    let pair = link(Duration::from_millis(10));
    let recorder = record(&pair.client);
    // What the emulation adds (its thread wakes up late, twice on the way), measured at the same time by
    // an independent program.
    let printed = std::thread::scope(|scope| {
        let client = &pair.client;
        let pings = scope.spawn(|| ping(client, "10.77.0.2", 80));
        exchange(&pair, 5201, 100);
        pings.join().expect("ping")
    });
    let finished = recorder.stop();
    let added = median(&printed) - 20.0;
    println!("the emulation adds {added:.3} ms by ping");
    for (method, least) in [("tcp_timestamps", 90), ("tcp_sequence", 90), ("tcp_handshake", 1)] {
        let ours = rtts(&finished, method);
        let middle = median(&ours);
        println!("{method}: {} samples, median {middle:.3} ms", ours.len());
        assert!(ours.len() >= least, "{method}: {}", ours.len());
        assert!(ours.iter().all(|ms| *ms >= 20.0), "{method}: less than the link's delay");
        // A handshake is one sample, which a busy host may delay; a median it cannot easily.
        if least > 1 {
            assert!((middle - 20.0 - added).abs() < 0.3, "{method}: {middle} ms; {added} ms added");
        }
    }
    // The kernel's own samples, and ours, of the same connection.
    let compared = finished_compare(&finished);
    let [connection] = &compared[..] else { panic!("{compared:?}") };
    for way in ["timestamps", "sequence", "kernel"] {
        let ms = connection[way]["median_ns"].as_f64().expect("a median") / NS_PER_MS;
        println!("compare: {way} {ms:.3} ms");
        assert!((ms - 20.0 - added).abs() < 0.3, "{way}: {ms} ms; {added} ms added");
    }
}

fn finished_compare(finished: &Finished) -> Vec<serde_json::Value> {
    let output = crate::run::analyze(&["rtt", "--compare", "--json"], &finished.dir);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A program that is ended with the test.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn rtts_of_queries_equal_those_of_dig() {
    let needs = Needs { programs: &["dig", "dnsmasq"], ..Needs::BPF };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    let pair = link(Duration::from_millis(5));
    let mut command = pair.server.command("dnsmasq");
    command.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root"]);
    command.args(["--conf-file=/dev/null", "--pid-file=", "--port=53", "--bind-interfaces"]);
    command.args(["--listen-address=10.77.0.2", "--address=/test/192.0.2.7"]);
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _server = Background(server.expect("dnsmasq runs"));
    let begun = Instant::now();
    while !pair.server.listens(53) {
        assert!(begun.elapsed() < Duration::from_secs(20), "dnsmasq does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let recorder = record(&pair.client);
    let dig = |tcp: bool| -> f64 {
        let how = if tcp { "+tcp" } else { "+notcp" };
        let output = pair
            .client
            .command("dig")
            .args(["+tries=1", "+timeout=5", "-u", how, "@10.77.0.2", "a.test"])
            .output()
            .expect("dig runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let time = text.lines().find_map(|line| {
            line.strip_prefix(";; Query time: ")?.strip_suffix(" usec")?.parse::<f64>().ok()
        });
        time.unwrap_or_else(|| panic!("{text}")) / 1000.0
    };
    let printed: Vec<(bool, f64)> = [false, true]
        .iter()
        .flat_map(|&tcp| (0..10).map(move |_| tcp))
        .map(|tcp| (tcp, dig(tcp)))
        .collect();
    let ours = rtts(&recorder.stop(), "dns");
    assert_eq!(ours.len(), printed.len());
    let more: Vec<f64> = printed.iter().zip(&ours).map(|((_, p), o)| p - o).collect();
    println!(
        "dig prints more: UDP {:.3} ms, TCP {:.3} ms in the median",
        median(&more[..10]),
        median(&more[10..])
    );
    assert!(ours.iter().all(|ms| *ms >= 10.0), "{ours:?}");
    assert!(more.iter().all(|ms| *ms > 0.0), "{more:?}");
    // dig's time has its own way through its library and the kernel (over TCP too it begins with the
    // query, not with the connection): a millisecond at most where it is not stopped in it.
    for more in [&more[..10], &more[10..]] {
        assert!(median(more) < 1.0, "{more:?}");
    }
}

/// Where scripts/setup.sh puts a Python that has aioquic.
fn python() -> Option<std::path::PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/quic/bin/python");
    path.exists().then_some(path)
}

/// aioquic (its endpoints spin always, RFC 9000, 17.4) fetches two megabytes. Its own estimate of the
/// RTT is the reference.
#[test]
fn the_spin_bit_of_a_real_quic() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let Some(python) = python() else {
        return gate::skip(SUITE, "aioquic is not installed: run scripts/setup.sh".to_owned());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/quic.py");
    let pair = link(Duration::from_millis(10));
    let python = python.to_str().expect("a path in UTF-8");
    let run = |netns: &Netns, role: &str| {
        let mut command = netns.command(python);
        command.arg(&script).args([role, "10.77.0.2", "4433"]);
        command.stdout(Stdio::piped()).spawn().expect("python runs")
    };
    let mut server = Background(run(&pair.server, "server"));
    let mut ready = [0; 6];
    server
        .0
        .stdout
        .take()
        .expect("piped")
        .read_exact(&mut ready)
        .expect("it says that it is ready");
    let recorder = record(&pair.client);
    let output = run(&pair.client, "client").wait_with_output().expect("the client ends");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("seconds")).collect();
    let [least, smoothed] = told[..] else { panic!("{text}") };
    let (least, smoothed) = (least * 1000.0, smoothed * 1000.0);
    let ours = rtts(&recorder.stop(), "quic_spin");
    println!(
        "{} edges, median {:.3} ms; aioquic: least {least:.3}, smoothed {smoothed:.3} ms",
        ours.len(),
        median(&ours)
    );
    assert!(ours.len() >= 5, "{ours:?}");
    // The server repeats the value with the next packet it sends: no sooner than the link allows, and
    // while it sends without a pause, not much later than its peer's estimate (which has the time of
    // Python at this end in it, while ours has not; max_ack_delay is 25 ms).
    assert!(ours.iter().all(|ms| *ms >= 20.0), "{ours:?}");
    assert!(median(&ours) < smoothed + 25.0, "{ours:?}");
}
