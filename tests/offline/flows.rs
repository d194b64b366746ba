// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Flows: packets beside hooks, and captures against other programs' counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{self, options, read, replay, value};
use crate::support::gate::{self, Needs};
use crate::support::trust;
use estats::engine::flows::lines::Line;
use estats::log::Recording;
use estats::recordings::import;
use estats::replay::ReplayOptions;
use estats::schema::Hook;
use estats::views::traffic;

const SUITE: &str = "tests of flows against other programs";

fn column(run: &Path, table: &str, name: &str) -> Vec<String> {
    let batches = read(&run.join("tables").join(format!("{table}.parquet")));
    let rows = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |row| (b, row)));
    rows.map(|(batch, row)| value(batch, name, row)).collect()
}

/// A recording with packets beside hooks, replayed.
fn recorded(dir: &Path, lost: Option<Hook>, wrong: bool) -> std::path::PathBuf {
    let run = dir.join("run");
    common::with_packets(&run, lost, wrong);
    replay(&run, &ReplayOptions::default());
    run
}

#[test]
fn packets_beside_hooks_make_flows_of_the_same_connections() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path(), None, false);
    let flows = |name| column(&run, "flows", name);
    assert_eq!(flows("direction"), ["out", "in"]);
    assert_eq!(flows("conn_id"), ["1", "1"]);
    assert_eq!(flows("observed_at"), ["socket", "socket"]);
    // SYN, ACK, ten with data, one of them again, RST; SYN-ACK and RST.
    assert_eq!(flows("packets"), ["14", "2"]);
    assert_eq!(flows("retransmitted_segments"), ["1", "0"]);
    assert_eq!(flows("l3_bytes"), [(14 * 40 + 1100).to_string(), "80".to_owned()]);
    assert_eq!(
        (flows("l2_packets"), flows("l2_bytes")),
        (vec!["2".into(), "1".into()], vec!["108".into(), "54".to_owned()])
    );
    assert_eq!(flows("src_mac"), ["02:00:00:00:00:01"; 2]);
    assert_eq!(
        (flows("open_reason"), flows("opened_by")),
        (vec!["syn".to_owned(); 2], vec!["source".into(), "destination".to_owned()])
    );
    assert_eq!(
        (flows("close_reason"), flows("closed_by")),
        (vec!["rst".to_owned(); 2], vec!["destination".into(), "source".to_owned()])
    );
    assert_eq!(flows("comm"), ["curl"; 2]);
    assert_eq!(flows("container_id")[0].len(), 64);
    assert_eq!(flows("completeness"), ["complete"; 2]);
    assert_eq!(column(&run, "connections", "completeness"), ["complete"]);
}

#[test]
fn losses_of_packets_and_of_records_are_distinguished() {
    for (hook, flow, connection) in
        [(Hook::SocketOut, "lossy", "complete"), (Hook::TcpProbe, "complete", "lossy")]
    {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded(dir.path(), Some(hook), false);
        assert_eq!(column(&run, "flows", "completeness"), [flow; 2], "{hook}");
        assert_eq!(column(&run, "connections", "completeness"), [connection], "{hook}");
        let packets = column(&run, "audit", "packets");
        let heard = packets.iter().any(|cell| cell != "NULL");
        assert_eq!(heard, flow == "complete", "{hook}: incomplete packets are not compared");
    }
}

/// The rows of the audit with packets: variable, packets, verdict.
fn heard(run: &Path) -> Vec<(String, String, String)> {
    let audit = |name| column(run, "audit", name);
    let rows = audit("variable").into_iter().zip(audit("packets")).zip(audit("verdict"));
    let rows = rows.map(|((variable, packets), verdict)| (variable, packets, verdict));
    rows.filter(|(_, packets, _)| packets != "NULL").collect()
}

#[test]
fn packets_are_the_audits_third_witness() {
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path(), None, false);
    let expected = [
        row("SegsOut", "13", "equal"),
        row("SegsRetrans", "1", "equal"),
        row("SegsIn", "2", "equal"),
        row("HCDataOctetsIn", "0", "equal"),
    ];
    assert_eq!(heard(&run), expected);
    // The kernel and the tables agree; packets differ.
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path(), None, true);
    let expected = [
        row("SegsOut", "12", "differs"),
        row("SegsRetrans", "0", "differs"),
        row("SegsIn", "2", "equal"),
        row("HCDataOctetsIn", "0", "equal"),
    ];
    assert_eq!(heard(&run), expected);
    let audit = analyze(&["audit", run.to_str().unwrap()]);
    assert_eq!(audit.status.code(), Some(1));
    let said = String::from_utf8(audit.stdout).unwrap();
    assert!(said.contains("13 in the tables, 13 in the kernel, 12 in packets"), "{said}");
    // A report has the same result.
    let page = dir.path().join("report.html");
    let report = analyze(&["report", run.to_str().unwrap(), "-o", page.to_str().unwrap()]);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let counts = said.lines().find_map(|line| line.strip_prefix("audit: ")).unwrap();
    assert!(counts.ends_with("2 DIFFER"), "{counts}");
    assert!(std::fs::read_to_string(page).unwrap().contains(counts), "{counts}");
}

#[test]
fn the_bytes_do_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    common::with_packets(&run, None, false);
    let digest = |n| {
        let mut options = options(n, &dir.path().join(format!("tables-{n}")));
        options.flows.interval = std::num::NonZeroU64::new(10_000_000);
        let report = replay(&run, &options);
        let flows = report.tables.files.iter().find(|f| f.file == "flows.parquet").unwrap();
        assert!(flows.rows > 4, "one for each interval");
        report.tables.digest
    };
    assert_eq!(digest(1), digest(2));
}

fn analyze(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_estats-analyze")).args(arguments).output().unwrap()
}

#[test]
fn the_command_prints_tables_lists_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    common::with_packets(&run, None, false);
    let run = run.to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = analyze(&[&["flows", run], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        said(&["--sort", "packets"]),
        "PROTOCOL SOURCE                DESTINATION           PACKETS BYTES\n\
         TCP      10.0.0.1:40001        10.0.0.2:443          14      108 B\n\
         TCP      10.0.0.2:443          10.0.0.1:40001        2       54 B\n"
    );
    assert!(
        said(&["--connections"])
            .contains("Connection started: 2026-01-01 00:00:00, duration: 49 ms\n")
    );
    assert_eq!(said(&["--interval", "10ms"]).matches("PROTOCOL").count(), 4);
    let lines: serde_json::Value = serde_json::from_str(&said(&["--json"])).unwrap();
    assert_eq!(lines[0]["payload_bytes"], 1100);
    // Without packets the error has what to do.
    let bare = dir.path().join("bare");
    common::synthetic(&bare, 0);
    let output = analyze(&["flows", bare.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--packets"));
}

/// Packets and bytes of a conversation, from its first end to its second and back.
type Counts = [u64; 4];

/// `tshark -z conv,tcp`: 4-tuple (ends in order of the text) -> counts. Frames have link headers.
fn tshark(capture: &Path) -> BTreeMap<(String, String), Counts> {
    let output = Command::new("tshark")
        .args(["-n", "-q", "-z", "conv,tcp", "-o", "tcp.analyze_sequence_numbers:FALSE", "-r"])
        .arg(capture)
        .output()
        .expect("tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("<->")) {
        // 10.0.0.1:1 <-> 10.0.0.2:2  frames bytes unit (<-)  frames bytes unit (->) ...
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap_or_else(|e| panic!("{line}: {e}"));
        let bytes = |at: usize| {
            let unit = match words[at + 1] {
                "bytes" => 1,
                "kB" => 1_000,
                "MB" => 1_000_000,
                other => panic!("{line}: unit {other}"),
            };
            number(at) * unit
        };
        let backward = (number(3), bytes(4), words[5]);
        let forward = (number(6), bytes(7), words[8]);
        let (mut a, mut b) = (words[0].to_owned(), words[2].to_owned());
        let mut counts = [forward.0, forward.1, backward.0, backward.1];
        if a > b {
            std::mem::swap(&mut a, &mut b);
            counts = [counts[2], counts[3], counts[0], counts[1]];
        }
        let sum: &mut Counts = all.entry((a, b)).or_default();
        for (sum, n) in sum.iter_mut().zip(counts) {
            *sum += n;
        }
    }
    all
}

fn ours(lines: &[Line]) -> BTreeMap<(String, String), Counts> {
    let mut all = BTreeMap::new();
    for line in lines.iter().filter(|line| line.protocol == "TCP") {
        let (a, b) = (line.source.clone(), line.destination.clone());
        let bytes = line.l2_bytes.expect("a capture shows the link");
        let (key, counts) = if a <= b {
            ((a, b), [line.packets, bytes, 0, 0])
        } else {
            ((b, a), [0, 0, line.packets, bytes])
        };
        let sum: &mut Counts = all.entry(key).or_default();
        for (sum, n) in sum.iter_mut().zip(counts) {
            *sum += n;
        }
    }
    all
}

/// tshark rounds to kB from 10,000 bytes on, and to MB from 10,000,000.
fn agree(ours: u64, theirs: u64) -> bool {
    let unit = if theirs < 10_000 {
        1
    } else if theirs < 10_000_000 {
        1_000
    } else {
        1_000_000
    };
    ours.abs_diff(theirs) < unit
}

#[test]
fn captures_have_the_packets_and_bytes_that_tshark_counts() {
    let Some(_turn) =
        gate::enter(SUITE, Needs { programs: &["tshark", "zstd"], ..Needs::PROGRAMS })
    else {
        return;
    };
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference");
    let dir = tempfile::tempdir().unwrap();
    let mut conversations = 0;
    let mut captures: Vec<_> = fs::read_dir(&reference)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|path| [path.join("A.pcap.zst"), path.join("B.pcap.zst")])
        .collect();
    captures.sort();
    assert_eq!(captures.len(), 18, "nine scenarios, two ends");
    for (i, capture) in captures.iter().enumerate() {
        let plain = dir.path().join("plain.pcap");
        let status =
            Command::new("zstd").args(["-dqf"]).arg(capture).arg("-o").arg(&plain).status();
        assert!(status.unwrap().success());
        let run = dir.path().join(format!("run-{i}"));
        import::import(capture, &run, &import::ImportOptions::default()).unwrap();
        let lines =
            traffic::recording(&Recording::open(&run).unwrap(), &ReplayOptions::default()).unwrap();
        let (ours, theirs) = (ours(&lines), tshark(&plain));
        let name = capture.display();
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        for (ends, theirs) in &theirs {
            let ours = &ours[ends];
            assert_eq!((ours[0], ours[2]), (theirs[0], theirs[2]), "{name}: packets of {ends:?}");
            for at in [1, 3] {
                assert!(agree(ours[at], theirs[at]), "{name}: {ours:?} and {theirs:?} of {ends:?}");
            }
            conversations += 1;
        }
        fs::remove_dir_all(&run).unwrap();
    }
    assert!(conversations >= 18, "{conversations}");
}

/// A capture of these segments, a second apart, imported for A's end and replayed.
fn imported(dir: &Path, segments: Vec<common::capture::Tcp>) -> std::path::PathBuf {
    let frames = segments.iter().zip(1_700_000_000u64..);
    let frames: Vec<_> = frames
        .map(|(tcp, s)| common::capture::Frame::new(s * 1_000_000_000, tcp.ethernet()))
        .collect();
    let (file, run) = (dir.join("capture"), dir.join("run"));
    fs::write(&file, common::capture::simple(&frames)).unwrap();
    let local = vec!["192.0.2.1".parse().unwrap()];
    let options = import::ImportOptions { local, ..import::ImportOptions::default() };
    import::import(&file, &run, &options).unwrap();
    replay(&run, &ReplayOptions::default());
    run
}

#[test]
fn a_flow_belongs_to_the_connection_of_its_syn() {
    use common::capture::{ACK, RST, SYN, Tcp};
    const A: (&str, u16) = ("192.0.2.1", 40_000);
    const B: (&str, u16) = ("198.51.100.2", 80);
    let out = |seq, ack, flags, payload| Tcp { seq, ack, flags, payload, ..Tcp::new(A, B) };
    let back = |seq, ack, flags, payload| Tcp { seq, ack, flags, payload, ..Tcp::new(B, A) };
    let cases = [
        // The first is not answered; the second takes its ends.
        (
            vec![
                out(1000, 0, SYN, 0),
                out(500_000, 0, SYN, 0),
                back(9000, 500_001, SYN | ACK, 0),
                out(500_001, 9001, ACK, 700),
            ],
            vec!["1", "2", "2"],
        ),
        // The peer forgets the first and begins another with the same ends: our kernel still has
        // the old one, which the peer then resets.
        (
            vec![
                back(5000, 0, SYN, 0),
                out(1000, 5001, SYN | ACK, 0),
                back(5001, 1001, ACK, 10),
                back(90_000, 0, SYN, 0),
                out(1001, 5011, ACK, 0),
                back(5011, 0, RST, 0),
                back(90_000, 0, SYN, 0),
                out(70_000, 90_001, SYN | ACK, 0),
                back(90_001, 70_001, ACK, 20),
            ],
            vec!["1", "1", "2", "2"],
        ),
        // Both open at once, and the peer's SYN is seen first.
        (
            vec![
                back(5000, 0, SYN, 0),
                out(1000, 0, SYN, 0),
                out(1000, 5001, SYN | ACK, 0),
                back(5000, 1001, SYN | ACK, 0),
                out(1001, 5001, ACK, 30),
            ],
            vec!["1", "1"],
        ),
    ];
    for (segments, owners) in cases {
        let dir = tempfile::tempdir().unwrap();
        let run = imported(dir.path(), segments);
        assert_eq!(column(&run, "flows", "conn_id"), owners);
    }
}

#[test]
fn packets_after_the_end_are_reported() {
    use common::capture::{ACK, RST, SYN, Tcp};
    const A: (&str, u16) = ("192.0.2.1", 40_000);
    const B: (&str, u16) = ("198.51.100.2", 80);
    let out = |seq, ack, flags| Tcp { seq, ack, flags, ..Tcp::new(A, B) };
    let back = |seq, ack, flags, payload| Tcp { seq, ack, flags, payload, ..Tcp::new(B, A) };
    let dir = tempfile::tempdir().unwrap();
    let segments = vec![
        out(1000, 0, SYN),
        back(5000, 1001, SYN | ACK, 0),
        out(1001, 5001, ACK),
        out(1001, 0, RST),
        back(5001, 1001, ACK, 1000),
        out(1001, 6001, ACK),
    ];
    let run = imported(dir.path(), segments);
    assert_eq!(column(&run, "connections", "completeness"), ["lossy"]);
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("replay")
        .arg(&run)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("2 packets came after their connection had ended with a reset"),
        "{said}"
    );
    trust::says(
        "a capture in which a connection goes on after its reset",
        &format!("the row is lossy; \"{}\"", said.trim().trim_start_matches("estats-analyze: ")),
    );
}
