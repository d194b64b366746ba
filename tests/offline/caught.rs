// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A wrong value is caught: a copy of a recording in which only one operation, or one packet, is
//! changed. The copy is whole (`verify` finds nothing), so only the comparison of values can find it.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use estats::log::{PacketRow, Recording, RecordingWriter, WriterOptions};
use estats::recordings::import;
use estats::schema::{Op, Var};
use estats::views::compare;
use estats::wire::{Direction, Event, Header, Operation, Packet};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// 2 MB through 1 to 2 % of loss, with tcp_info beside the final values.
const GOLDEN: &str = "testdata/loss-audited/run";
/// iperf3 through 2 % of loss, from beginning to end, with function hooks.
const WHOLE: &str = "testdata/function-hooks/run";

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn analyze(arguments: &[&str], run: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    let (action, rest) = arguments.split_first().expect("a command");
    command.arg(action).arg(run).args(rest).output().expect("estats-analyze can be started")
}

#[track_caller]
fn text(output: &Output, status: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}{said}");
    text
}

/// Copies a recording of hooks; `edit` may change the operations of each record.
fn copy(run: &Path, to: &Path, mut edit: impl FnMut(&Header, &mut Vec<Operation>)) {
    let recording = Recording::open(run).expect("a recording");
    let mut writer =
        RecordingWriter::create(to, recording.manifest(), WriterOptions::default()).expect("new");
    let mut lifecycles = recording.lifecycles().map(|row| row.expect("lifecycle"));
    let mut sockets = recording.sockets().map(|row| row.expect("snapshot")).peekable();
    for batch in recording.hooks(NonZeroUsize::MIN) {
        let batch = batch.expect("hook records");
        for i in 0..batch.len() {
            let header = batch.header(i);
            if header.hook != estats::schema::Hook::Drain {
                let mut ops = batch.ops(i).collect();
                edit(&header, &mut ops);
                writer.hook(&header, &ops).expect("hook");
                continue;
            }
            // A mark is in all streams, with all that was recorded before it.
            for row in lifecycles.by_ref().take_while(|row| row.event != Event::Drain) {
                writer.lifecycle(&row).expect("lifecycle");
            }
            while let Some(row) = sockets.next_if(|row| row.header.ts_ns < header.ts_ns) {
                writer.snapshot(row).expect("snapshot");
            }
            writer.drained(header.ts_ns).expect("mark");
        }
    }
    lifecycles.for_each(|row| writer.lifecycle(&row).expect("lifecycle"));
    sockets.for_each(|row| writer.snapshot(row).expect("snapshot"));
    recording
        .capture_stats()
        .for_each(|row| writer.capture_stat(&row.expect("ledger")).expect("ledger"));
    writer.finish(recording.manifest()).expect("finish");
}

/// Copies a recording of packets; `edit` may change each.
fn copy_packets(run: &Path, to: &Path, mut edit: impl FnMut(&mut Packet)) {
    let recording = Recording::open(run).expect("a recording");
    let mut writer =
        RecordingWriter::create(to, recording.manifest(), WriterOptions::default()).expect("new");
    for row in recording.packets() {
        match row.expect("packet") {
            PacketRow::Packet(mut packet) => {
                edit(&mut packet);
                writer.packet(packet).expect("packet");
            }
            PacketRow::Drained(ts_ns) => writer.drained(ts_ns).expect("mark"),
        }
    }
    recording
        .capture_stats()
        .for_each(|row| writer.capture_stat(&row.expect("ledger")).expect("ledger"));
    writer.finish(recording.manifest()).expect("finish");
}

/// Position of the last operation of that sort, by its record's time, and the cookie it is of: the
/// sender's, which is the one that retransmits.
fn last(run: &Path, var: Var, op: Op, cookie: Option<u64>) -> (Header, Operation) {
    let recording = Recording::open(run).expect("a recording");
    let mut found = None;
    for batch in recording.hooks(NonZeroUsize::MIN) {
        let batch = batch.expect("hook records");
        for i in 0..batch.len() {
            let header = batch.header(i);
            let of = |o: &Operation| o.var == var && o.op == op;
            if cookie.is_none_or(|c| c == header.cookie)
                && let Some(operation) = batch.ops(i).find(of)
                && operation.value > 0
                && found.as_ref().is_none_or(|(h, _): &(Header, _)| h.ts_ns <= header.ts_ns)
            {
                found = Some((header, operation));
            }
        }
    }
    found.unwrap_or_else(|| panic!("no {} of {}", op.name(), var.name()))
}

/// The recording with this one operation of its sender changed by `by`, and what its value was.
fn wrong(golden: &str, dir: &TempDir, var: Var, op: Op, by: i64) -> (PathBuf, u64) {
    let (run, to) = (top(golden), dir.path().join("wrong"));
    let sender = last(&run, Var::SegsRetrans, Op::Set, None).0.cookie;
    let (at, right) = last(&run, var, op, Some(sender));
    let mut changed = 0;
    copy(&run, &to, |header, ops| {
        if (header.ts_ns, header.cpu, header.seq) == (at.ts_ns, at.cpu, at.seq) {
            let operation = ops.iter_mut().find(|o| o.var == var && o.op == op).expect("it");
            operation.value = operation.value.wrapping_add_signed(by);
            changed += 1;
        }
    });
    assert_eq!(changed, 1);
    (to, right.value)
}

#[test]
fn a_copy_without_a_change_is_the_same() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let to = dir.path().join("same");
    copy(&top(GOLDEN), &to, |_, _| {});
    let digest = |run: &Path, name: &str| {
        let out = dir.path().join(name);
        text(&analyze(&["replay", "-o", out.to_str().expect("UTF-8")], run), 0)
            .lines()
            .find(|line| line.starts_with("digest"))
            .expect("a digest")
            .to_owned()
    };
    assert_eq!(digest(&to, "copied"), digest(&top(GOLDEN), "golden"));
    let audited = text(&analyze(&["audit"], &to), 0);
    assert!(!audited.contains("DIFFER"), "{audited}");
    // Not the same as nothing to compare.
    assert!(audited.contains(" x 2 connections: "), "{audited}");
}

#[test]
fn the_audit_names_connection_variable_and_both_values() {
    // A counter and a gauge of the kernel that are off by one, and an event that never was.
    for (var, op, by, relation) in [
        (Var::SegsRetrans, Op::Set, 1, "SegsRetrans = tcpi_total_retrans"),
        (Var::SegsRetrans, Op::Set, -1, "SegsRetrans = tcpi_total_retrans"),
        (Var::HCThruOctetsAcked, Op::Set, 1 << 33, "HCThruOctetsAcked = tcpi_bytes_acked"),
        (Var::CurRTO, Op::Set, 1, "CurRTO = tcpi_rto"),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (run, right) = wrong(GOLDEN, &dir, var, op, by);
        text(&analyze(&["verify"], &run), 0);
        let said = text(&analyze(&["audit"], &run), 1);
        let value = right.wrapping_add_signed(by);
        let line = said.lines().find(|line| line.contains(&format!("differs: {relation}:")));
        let line = line.unwrap_or_else(|| panic!("no line of {relation}:\n{said}"));
        assert!(line.starts_with("connection "), "{line}");
        assert!(line.contains(" -> "), "{line}");
        assert!(line.ends_with(&format!("{value} in the tables, {right} in the kernel")), "{line}");
        // Nothing but that, and what is computed of it.
        let others = said.lines().filter(|l| l.contains(" differs: ") && !l.contains(var.name()));
        assert_eq!(others.count(), 0, "{said}");

        let json = text(&analyze(&["audit", "--json"], &run), 1);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["counts"]["differs"], 1, "{json:#}");
        // The one-line result, where it is seen without a request for the audit.
        let summary = text(&analyze(&["summary"], &run), 0);
        assert!(
            summary.lines().any(|l| l.starts_with("audit: ") && l.ends_with("1 DIFFER")),
            "{summary}"
        );
        let replayed = text(&analyze(&["replay"], &run), 0);
        assert!(replayed.lines().any(|l| l.ends_with("1 DIFFER")), "{replayed}");
    }
}

/// The values that a reference kernel without faults would have had, in its units.
fn reference(run: &Path, vars: &[Var]) -> Value {
    let dump =
        compare::Dump { form: compare::Form::Json, rows: Vec::new(), unknown_names: Vec::new() };
    let recording = Recording::open(run).expect("a recording");
    let rows = compare::ours::replay(&recording, &dump).expect("replay");
    let rows = rows.iter().map(|c| {
        let mut tables: Map<String, Value> = Map::new();
        for var in vars {
            let table = tables.entry(var.def().table.name()).or_insert_with(|| json!({}));
            table[var.name()] = json!(c.values.get(*var).expect("a value") as i64);
        }
        let mut row = json!({
            "laddr": c.local.ip(), "lport": c.local.port(), "raddr": c.remote.ip(), "rport": c.remote.port(),
        });
        row.as_object_mut().expect("an object").append(&mut tables);
        row
    });
    json!(rows.collect::<Vec<_>>())
}

#[test]
fn compare_names_connection_and_variable() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (run, right) = wrong(WHOLE, &dir, Var::SegsRetrans, Op::Set, -1);
    let file = dir.path().join("reference.json");
    let vars = [Var::SegsRetrans, Var::SegsOut, Var::SegsIn, Var::SACKsRcvd, Var::State];
    fs::write(&file, reference(&top(WHOLE), &vars).to_string()).expect("a file");
    let arguments = ["compare", "--reference", file.to_str().expect("UTF-8")];
    let said = text(&analyze(&arguments, &top(WHOLE)), 0);
    assert!(said.contains(" 0 differs"), "{said}");
    let said = text(&analyze(&arguments, &run), 1);
    assert!(said.contains(" 1 differs"), "{said}");
    let line = said.lines().find(|l| l.starts_with("unexplained in connection "));
    assert!(line.is_some_and(|l| l.ends_with(": SegsRetrans")), "{said}");
    let words = |l: &str| l.split_whitespace().take(4).map(str::to_owned).collect::<Vec<_>>();
    let expected = ["SegsRetrans", "differs", &(right - 1).to_string(), &right.to_string()];
    assert!(said.lines().any(|l| words(l) == expected), "{said}");
}

/// Against the true words of the reference kernel: a packet of which one fact is wrong.
#[test]
fn a_wrong_packet_is_found_by_the_reference_kernels_words() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (run, to) = (dir.path().join("run"), dir.path().join("wrong"));
    let capture = top("testdata/reference/b_loss/A.pcap.zst");
    import::import(&capture, &run, &import::ImportOptions::default()).expect("import");
    let file = top("testdata/reference/b_loss/estats.json");
    let arguments = ["compare", "--reference", file.to_str().expect("UTF-8")];
    text(&analyze(&arguments, &run), 0);
    let recording = Recording::open(&run).expect("a recording");
    let received =
        |row: &PacketRow| matches!(row, PacketRow::Packet(p) if p.direction == Direction::In);
    let all = recording.packets().filter(|row| row.as_ref().is_ok_and(received)).count();
    let mut left = all;
    copy_packets(&run, &to, |packet| {
        if packet.direction == Direction::In {
            left -= 1;
            // The last that was received, as if it had crossed one router more.
            packet.ttl -= u8::from(left == 0);
        }
    });
    assert_eq!((all > 1000, left), (true, 0));
    let said = text(&analyze(&arguments, &to), 1);
    assert!(said.ends_with("unexplained in connection 1: IpTtl\n"), "{said}");
    assert!(said.contains(" 1 differs"), "{said}");
}

/// The values of a Web10G kernel after the close, unpacked.
fn words(scenario: &str, dir: &TempDir) -> PathBuf {
    let packed = fs::read(top("testdata/web10g").join(scenario).join("final.json.zst"));
    let to = dir.path().join("final.json");
    let json = zstd::decode_all(&packed.expect("a reference")[..]).expect("zstd");
    fs::write(&to, json).expect("a file");
    to
}

/// The variables that a comparison calls unexplained; the exit status says whether there are any.
fn unexplained(run: &Path, file: &Path) -> Vec<String> {
    let arguments = ["compare", "--json", "--reference", file.to_str().expect("UTF-8")];
    let output = analyze(&arguments, run);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut names = Vec::new();
    for matched in said["matched"].as_array().expect("connections") {
        for variable in matched["variables"].as_array().expect("variables") {
            if variable["class"] == "differs" {
                names.push(variable["name"].as_str().expect("a name").to_owned());
            }
        }
    }
    assert_eq!(output.status.code(), Some(i32::from(!names.is_empty())));
    names
}

/// Against the true values of a Web10G kernel: an operation of hooks that is one too large, or one too
/// small.
#[test]
fn a_wrong_operation_is_found_by_the_web10g_kernels_words() {
    let mut missed = Vec::new();
    for (scenario, var, op, by) in [
        ("h_rr", Var::SegsOut, Op::Set, 1),
        ("h_rr", Var::SegsOut, Op::Set, -1),
        ("h_rr", Var::CurRwinSent, Op::Set, -1),
        ("r_ends", Var::MaxSsCwnd, Op::Max, 1),
        ("h_rr", Var::MaxAppRQueue, Op::Max, 1),
        ("h_rr", Var::SndNxt, Op::Set, 1),
        // A SYN and a FIN are two octets there.
        ("h_rr", Var::HCDataOctetsOut, Op::Set, 3),
        ("h_rr", Var::HCDataOctetsOut, Op::Set, -3),
        ("h_rr", Var::SlowStart, Op::Add, 1),
        ("b_loss", Var::SegsRetrans, Op::Set, 1),
        ("b_loss", Var::RackTimeout, Op::Add, 1),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = words(scenario, &dir);
        let run = top("testdata/web10g").join(scenario).join("run");
        let (at, right) = last(&run, var, op, None);
        let to = dir.path().join("wrong");
        copy(&run, &to, |header, ops| {
            if (header.ts_ns, header.cpu, header.seq) == (at.ts_ns, at.cpu, at.seq) {
                let operation = ops.iter_mut().find(|o| o.var == var && o.op == op).expect("it");
                operation.value = right.value.wrapping_add_signed(by);
            }
        });
        let names = unexplained(&to, &file);
        if names.iter().all(|name| name != var.name()) {
            missed.push((scenario, var.name(), by, names));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// The same of what is counted at congestion signals: of 33 recoveries the kernel counted those 28 that
/// an ACK began, so each of these is a sum of its own.
#[test]
fn a_wrong_congestion_signal_is_found_by_the_web10g_kernels_words() {
    let run = top("testdata/web10g/b_loss/run");
    let (at, _) = first_recovery(&run);
    for (var, expected) in [
        // A window of one octet more, a round trip of a millisecond more, a timeout that never was.
        (Var::CurCwnd, "PreCongSumCwnd"),
        (Var::SampleRTT, "PreCongSumRTT"),
        (Var::Timeouts, "CongSignals"),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (file, to) = (words("b_loss", &dir), dir.path().join("wrong"));
        let mut changed = 0;
        copy(&run, &to, |header, ops| {
            if (header.ts_ns, header.cpu, header.seq) != (at.ts_ns, at.cpu, at.seq) {
                return;
            }
            changed += 1;
            match var {
                Var::CurCwnd => ops.insert(0, Operation { var, op: Op::Add, value: 1 }),
                Var::SampleRTT => {
                    let sample = ops.iter_mut().find(|o| o.var == var).expect("a sample");
                    sample.value += 1000;
                }
                _ => ops.insert(0, Operation { var, op: Op::Inc, value: 0 }),
            }
        });
        assert_eq!(changed, 1);
        let names = unexplained(&to, &file);
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    assert_eq!(unexplained(&run, &words("b_loss", &dir)), [""; 0]);
}

/// The record in which the first recovery begins.
fn first_recovery(run: &Path) -> (Header, Operation) {
    let recording = Recording::open(run).expect("a recording");
    for batch in recording.hooks(NonZeroUsize::MIN) {
        let batch = batch.expect("hook records");
        for i in 0..batch.len() {
            if let Some(operation) = batch.ops(i).find(|o| o.var == Var::FastRetran) {
                return (batch.header(i), operation);
            }
        }
    }
    panic!("no recovery")
}
