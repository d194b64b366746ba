// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `estats-analyze rtt` on a capture: what consumers of ePPing and ppviz read.

use std::path::Path;
use std::process::Command;

use estats::recordings::import::{self, ImportOptions};
use serde_json::Value;

struct Run(tempfile::TempDir);

impl Run {
    fn of(scenario: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference").join(scenario);
        import::import(&file, &dir.path().join("run"), &ImportOptions::default())
            .expect("imported");
        Self(dir)
    }

    fn rtt(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .arg("rtt")
            .arg(self.0.path().join("run"))
            .args(arguments)
            .output()
            .expect("estats-analyze");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        self.rtt(arguments).lines().map(str::to_owned).collect()
    }
}

fn objects(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).expect("an object per line")).collect()
}

#[test]
fn all_formats_have_the_same_samples() {
    let run = Run::of("b_loss/A.pcap.zst");
    let events = objects(&run.lines(&["-F", "jsonl"]));
    let array: Vec<Value> = serde_json::from_str(&run.rtt(&["-F", "json"])).expect("one array");
    assert_eq!(events, array);
    let (rtts, flows): (Vec<&Value>, Vec<&Value>) =
        events.iter().partition(|e| !e["rtt"].is_null());
    assert!(rtts.len() > 300, "{}", rtts.len());
    let told: Vec<_> = flows
        .iter()
        .map(|e| ["flow_event", "reason", "triggered_by", "src_ip"].map(|k| e[k].as_str().unwrap()))
        .collect();
    let (a, b) = ("10.2.1.2", "10.2.2.2");
    assert_eq!(
        told,
        [
            ["opening", "SYN", "dest", b],
            ["opening", "SYN-ACK", "dest", a],
            ["closing", "FIN", "dest", b],
            ["closing", "FIN", "dest", a],
        ]
    );

    let ppviz = run.lines(&["-F", "ppviz"]);
    let pping = run.lines(&["-F", "pping"]);
    assert_eq!((ppviz.len(), pping.len()), (rtts.len(), rtts.len()));
    for ((event, four), seven) in rtts.iter().zip(&ppviz).zip(&pping) {
        // ppviz reads exactly four fields or seven, flow last, time and RTT first.
        let four: Vec<&str> = four.split(' ').collect();
        let seven: Vec<&str> = seven.split(' ').collect();
        assert_eq!((four.len(), seven.len()), (4, 7));
        let ns = |text: &str| text.replace('.', "").parse::<u64>().expect("nine digits");
        assert_eq!(ns(four[0]), event["timestamp"].as_u64().unwrap());
        assert_eq!(ns(four[1]), event["rtt"].as_u64().unwrap());
        assert_eq!(ns(four[2]), event["min_rtt"].as_u64().unwrap());
        assert_eq!(four[3], "10.2.2.2:5001+10.2.1.2:43258");
        assert_eq!(seven[6], four[3]);
        let bytes: Vec<u64> = seven[3..6].iter().map(|n| n.parse().expect("bytes")).collect();
        assert!(bytes[0] > bytes[1] && bytes[2] > 0, "{seven:?}");
    }
    let standard = run.lines(&[]);
    assert_eq!(standard.len(), events.len());
    assert!(standard[1].ends_with("opening due to SYN-ACK from dest"), "{}", standard[1]);
}

#[test]
fn local_response_times_are_excluded_by_default() {
    // The server's end of requests and responses: the client waits for it.
    let run = Run::of("h_rr/B.pcap.zst");
    let outside = objects(&run.lines(&["-F", "jsonl"]));
    let all = objects(&run.lines(&["-F", "jsonl", "-l"]));
    let egress = |events: &[Value], which: bool| {
        events.iter().filter(|e| e["match_on_egress"] == Value::Bool(which)).count()
    };
    assert_eq!(egress(&outside, true), 0);
    assert!(egress(&all, true) > 10, "{}", egress(&all, true));
    assert_eq!(egress(&all, false), egress(&outside, false));
    // Twenty milliseconds of path on one side, the host's own time on the other.
    let median = |which: bool| {
        let of = |e: &&Value| e["match_on_egress"] == Value::Bool(which);
        let mut rtts: Vec<u64> =
            all.iter().filter(of).map(|e| e["rtt"].as_u64().unwrap()).collect();
        rtts.sort_unstable();
        rtts[rtts.len() / 2]
    };
    assert!(median(false) >= 20_000_000 && median(true) < 10_000_000);
}

#[test]
fn sampling_removes_samples_and_shows_its_bias() {
    let run = Run::of("a_clean/A.pcap.zst");
    let rtts = |arguments: &[&str]| -> Vec<(u64, u64)> {
        objects(&run.lines(&[&["-F", "jsonl"], arguments].concat()))
            .iter()
            .filter_map(|e| Some((e["timestamp"].as_u64()?, e["rtt"].as_u64()?)))
            .collect()
    };
    let all = rtts(&[]);
    for arguments in [
        &["-r", "100"][..],
        &["-r", "100", "--burst", "3"],
        &["-R", "1"],
        &["-R", "1", "-t", "smoothed"],
    ] {
        let some = rtts(arguments);
        assert!(some.len() > 5 && some.len() < all.len(), "{arguments:?}: {}", some.len());
        assert!(some.iter().all(|s| all.contains(s)), "{arguments:?}");
        assert_eq!(some[0], all[0]);
    }
    let sent: Vec<u64> = rtts(&["-r", "100"]).iter().map(|(ts, rtt)| ts - rtt).collect();
    assert!(sent.windows(2).all(|w| w[1] - w[0] >= 100_000_000), "{sent:?}");
}

#[test]
fn aggregates_count_everything_once() {
    let run = Run::of("b_loss/A.pcap.zst");
    let lines = objects(&run.lines(&["-F", "jsonl", "-a", "2", "-l"]));
    let sum = |of: &dyn Fn(&Value) -> Option<u64>| lines.iter().filter_map(of).sum::<u64>();
    let packets = sum(&|l| l["protocol_counters"]["TCP"]["packets"].as_u64());
    let kinds = |side: &'static str| {
        move |l: &Value| {
            let of = |kind: &str| l[side][kind]["packets"].as_u64().unwrap_or(0);
            Some(of("TCP_TS") + of("TCP_noTS") + of("other"))
        }
    };
    assert_eq!(packets, 4753, "tshark counts so many");
    assert_eq!((sum(&kinds("rx_stats")), sum(&kinds("tx_stats"))), (packets, packets));
    assert_eq!(sum(&|l| l["ecn_counters"]["no_ECT"].as_u64()), packets);
    let rtts = run.lines(&["-F", "ppviz", "-l"]).len() as u64;
    assert_eq!(sum(&|l| l["count_rtt"].as_u64()), rtts);
    let bins = |l: &Value| Some(l["histogram"].as_array()?.iter().filter_map(Value::as_u64).sum());
    assert_eq!(sum(&bins), rtts);

    let reverse =
        objects(&run.lines(&["-F", "jsonl", "-a", "2", "--aggregate-reverse", "-4", "32"]));
    let with_rtts = reverse.iter().filter(|l| !l["count_rtt"].is_null());
    assert!(with_rtts.clone().count() > 0);
    assert!(with_rtts.clone().all(|l| l["ip_prefix"] == "10.2.1.2/32"));
}

#[test]
fn a_recording_without_packets_is_refused_with_the_reason() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/clean-path/run");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(["rtt", "--format", "json"])
        .arg(run)
        .output()
        .expect("estats-analyze");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("has no packets; record with --packets"), "{error}");
}
