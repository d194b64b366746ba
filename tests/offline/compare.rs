// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `compare`: a small recording against the values that a Web10G kernel would have.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::synthetic;
use estats::schema::Var;
use serde_json::{Value, json};

/// Cookie 1 of the synthetic recording as KIS 0.13 would show it: milliseconds, and its faults.
fn download() -> Value {
    json!({
        "cid": 3, "af": 4, "laddr": "10.0.0.1", "lport": 40001, "raddr": "10.0.0.2", "rport": 443,
        "read_time": 1_767_225_601.5,
        "perf": {
            "SegsOut": 51, "SegsIn": 51, "SegsRetrans": 1, "HCDataOctetsIn": 72_400,
            "DataOctetsIn": 72_400, "StartTimeStamp": 1_767_225_600_000_700_u64, "CurRTO": 210,
            "CurMSS": 1448, "CongSignals": 1, "CurCwnd": 85_432, "Timeouts": 0,
            "MaxRwinSent": 65_536, "ZeroRwinSent": 3, "CurRwinRcvd": 64_240
        },
        "path": {
            "MaxRTT": 10, "MinRTT": 10, "SumRTT": 500, "HCSumRTT": 500, "CountRTT": 50,
            "MaxRTO": 210, "MinRTO": 210, "IpTtl": 64, "CERcvd": 0, "ECESent": 0,
            "PostCongCountRTT": 0
        },
        "stack": {
            "ActiveOpen": 1, "State": 1, "MSSSent": 1448, "WinScaleSent": 7, "TimeStamps": 1,
            "ECN": 3, "Nagle": 2, "FastRetran": 1, "MaxMSS": 1448, "MinMSS": 524,
            "SndInitial": 0xffff_f000_u32, "SubsequentTimeouts": 0, "AbruptTimeouts": 0,
            "MaxReasmQueue": 0
        },
        "app": {"HCThruOctetsAcked": 70_953, "ThruOctetsAcked": 70_953}
    })
}

/// Cookie 2, accepted through an IPv6 socket.
fn accepted() -> Value {
    json!({
        "cid": 4, "af": 6, "laddr": "::ffff:192.0.2.1", "lport": 443,
        "raddr": "::ffff:192.0.2.9", "rport": 51_000, "read_time": 1_767_225_601.5,
        "perf": {"SegsOut": 12, "CurMSS": 1400, "SndLimTransSnd": 1},
        "stack": {"ActiveOpen": 2, "State": 1, "MinMSS": 1400, "MaxMSS": 1400}
    })
}

fn compare(run: &Path, reference: &str, more: &[&str]) -> Output {
    let file = run.with_extension("reference");
    fs::write(&file, reference).unwrap();
    Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("compare")
        .arg(run)
        .arg("--reference")
        .arg(&file)
        .args(more)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Where all is explained: the recording lost records, as every command on it reports.
const EXPLAINED: Option<i32> = Some(3);

struct Recording {
    _dir: tempfile::TempDir,
    run: std::path::PathBuf,
}

fn recording() -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    Recording { _dir: dir, run }
}

/// The verdicts as JSON, and the exit status.
fn verdicts(run: &Path, reference: &str) -> (Value, Option<i32>) {
    let output = compare(run, reference, &["--json"]);
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    (json, output.status.code())
}

fn variable<'a>(matched: &'a Value, name: &str) -> &'a Value {
    let all = matched["variables"].as_array().unwrap();
    all.iter().find(|v| v["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn explained_differences_keep_the_recordings_exit_status() {
    let r = recording();
    let (found, status) = verdicts(&r.run, &json!({"A": [download(), accepted()]}).to_string());
    assert_eq!(status, EXPLAINED, "{found:#}");
    let one = &found["matched"][0];
    assert_eq!((&one["side"], &one["cid"]), (&json!("A"), &json!(3)));
    for (name, class) in [
        ("SegsIn", "exact"),
        ("CurRTO", "unit_rounded"),
        ("HCSumRTT", "unit_rounded"),
        ("MinRTT", "exact"),
        ("StartTimeStamp", "bounded"),
        ("ZeroRwinSent", "known_fault"),
        ("MSSSent", "known_fault"),
        ("IpTtl", "exact"),
        ("MaxReasmQueue", "exact"),
        // The recording does not show whether the peer answered.
        ("WinScaleSent", "not_comparable"),
        // NULL here; not in the file; not exported by any Web10G kernel.
        ("RcvRTT", "not_comparable"),
        ("SegsOut", "exact"),
        ("DupAcksIn", "not_comparable"),
        ("Limstate", "not_comparable"),
    ] {
        assert_eq!(variable(one, name)["class"], class, "{:#}", variable(one, name));
    }
    let mapped = &found["matched"][1];
    assert_eq!(mapped["local"], "192.0.2.1:443");
    assert_eq!(variable(mapped, "SegsOut")["class"], "exact");
    // Approximate by this recording's manifest: never equal without a mark.
    let limited = variable(mapped, "SndLimTransSnd");
    assert_eq!(limited["class"], "not_comparable");
    assert!(limited["reason"].as_str().unwrap().contains("approximate"), "{limited:#}");

    let faults: Vec<_> = found["faults"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert!(faults.iter().any(|f| f.as_str().unwrap().contains("zero window")), "{faults:?}");
    assert_eq!(found["only_reference"], json!([]));
    assert_eq!(found["only_here"].as_array().unwrap().len(), 4);
    let classes = ["exact", "unit_rounded", "bounded", "known_fault", "not_comparable", "differs"];
    let sum: u64 = classes.iter().map(|class| found["counts"][class].as_u64().unwrap()).sum();
    assert_eq!(sum, 2 * Var::COUNT as u64, "each variable has one class");
}

#[test]
fn an_unexplained_difference_is_named_and_gives_exit_status_1() {
    let r = recording();
    let mut wrong = download();
    wrong["perf"]["SegsIn"] = json!(50);
    let output = compare(&r.run, &json!([wrong, accepted()]).to_string(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("unexplained in connection 2: SegsIn\n"), "{shown}");
    let line = shown.lines().find(|l| l.trim_start().starts_with("SegsIn")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words, ["SegsIn", "differs", "51", "50", "expected", "=", "SegsIn"]);
    assert!(shown.contains("every segment with a zero window counts"), "{shown}");
}

#[test]
fn a_violated_relation_is_reported_as_differs() {
    for (table, name, value) in [
        // More than the floors of 50 samples can take, other than the MSS less 12, fewer segments
        // than transitions, a sum that is not ours.
        ("path", "HCSumRTT", 449),
        ("stack", "MSSSent", 1447),
        ("perf", "ZeroRwinSent", 0),
        ("perf", "CurRTO", 211),
        ("stack", "SubsequentTimeouts", 1),
    ] {
        let r = recording();
        let mut wrong = download();
        wrong[table][name] = json!(value);
        let (found, status) = verdicts(&r.run, &wrong.to_string());
        assert_eq!(status, Some(1), "{name}");
        assert_eq!(variable(&found["matched"][0], name)["class"], "differs", "{name}");
    }
}

#[test]
fn a_reading_of_an_open_connection_is_compared_with_our_values_at_that_moment() {
    let r = recording();
    // Cookie 3: 900 segments at the start of the recording, 905 from 645 ms on.
    let live = |seconds: f64, segs: u64| {
        json!([{
            "cid": 9, "laddr": "10.0.0.1", "lport": 40003, "raddr": "10.0.0.2", "rport": 443,
            "read_time": seconds, "perf": {"SegsOut": segs}, "stack": {"State": 5}
        }])
        .to_string()
    };
    let (found, status) = verdicts(&r.run, &live(1_767_225_600.3, 900));
    let one = &found["matched"][0];
    assert_eq!((status, &one["in_flight"]), (EXPLAINED, &json!(true)));
    assert_eq!(variable(one, "SegsOut")["class"], "exact");
    assert_eq!(variable(one, "State")["class"], "exact", "established then, closed later");
    let (found, _) = verdicts(&r.run, &live(1_767_225_600.6, 903));
    let segs = variable(&found["matched"][0], "SegsOut").clone();
    assert_eq!(segs["class"], "bounded");
    assert!(segs["reason"].as_str().unwrap().ends_with("from 900 to 905"), "{segs:#}");
    // It never was this value; but its beginning was not seen.
    let (found, _) = verdicts(&r.run, &live(1_767_225_600.6, 906));
    let segs = variable(&found["matched"][0], "SegsOut").clone();
    assert_eq!(segs["class"], "not_comparable");
    assert_eq!(segs["reason"], "it began before the recording");
}

#[test]
fn the_userland_texts() {
    let r = recording();
    let logger = "Time, CID, SrcIp, SrcPort, DstIp, DstPort,SegsIn, State\n\
                  1767225601.500000,3,10.0.0.1,40001,10.0.0.2,443,51,1\n\
                  1767225601.500000,8,10.0.0.1,40001,10.9.9.9,443,51,1\n";
    let (found, status) = verdicts(&r.run, logger);
    assert_eq!((status, &found["form"]), (EXPLAINED, &json!("logger")));
    assert_eq!(variable(&found["matched"][0], "SegsIn")["class"], "exact");
    assert_eq!(found["only_reference"][0]["remote"], "10.9.9.9:443");
    assert_eq!(found["only_reference"][0]["place"], "line 3");
}

#[test]
fn incomparable_recordings_give_exit_status_2_and_one_sentence() {
    let r = recording();
    let mut other = download();
    other["laddr"] = json!("10.0.0.77");
    for (reference, says) in [
        (other.to_string(), "none of the 1 connections"),
        ("garbage".to_owned(), "is not in a known reference format"),
        ("[{\"laddr\":".to_owned(), "reference: line 1, column 10: EOF while parsing a value\n"),
        (String::new(), "contains no connections"),
    ] {
        let output = compare(&r.run, &reference, &["--json"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let own: Vec<_> = said.lines().filter(|l| !l.contains("records were lost")).collect();
        assert!(said.contains(says) && own.len() == 1, "{said}");
    }
    let nowhere = compare(&r.run.join("nowhere"), "", &[]);
    assert_eq!(nowhere.status.code(), Some(2));
}
