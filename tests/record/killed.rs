// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recorder that is killed under many short connections: its unmarked rows are right, compared with
//! the sockets themselves.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::SUITE;
use crate::run::{Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::{listen, open};

/// By cookie: data segments sent and received, octets sent, before the first FIN.
type Truth = BTreeMap<u64, [u64; 3]>;

#[test]
fn rows_of_a_killed_recorder_are_right_or_marked() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let (mut complete, mut lossy, mut sentences) = (0, 0, Vec::new());
    for after_ms in [1900, 2350, 2700, 3150] {
        let netns = Netns::new("kill9");
        let recorder = Recorder::start(&["--netns", netns.name(), "--snapshots", "50ms"]);
        let (over, truth) = (AtomicBool::new(false), Mutex::new(Truth::new()));
        let finished = std::thread::scope(|scope| {
            for thread in 0..3_u64 {
                let (netns, over, truth) = (&netns, &over, &truth);
                scope.spawn(move || {
                    let listener = listen(netns);
                    let mut n = thread;
                    while !over.load(Ordering::Relaxed) {
                        n += 1;
                        let both = open(netns, &listener);
                        for _ in 0..1 + n % 5 {
                            both.upload(1000 + n % 7000);
                            std::thread::sleep(Duration::from_millis(n % 3));
                        }
                        for end in [&both.client, &both.server] {
                            let info = end.info();
                            let names =
                                ["tcpi_data_segs_out", "tcpi_data_segs_in", "tcpi_bytes_sent"];
                            let said = names.map(|name| info.must(name));
                            truth.lock().unwrap().insert(end.cookie(), said);
                        }
                        both.finish();
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(after_ms));
            recorder.signal(libc::SIGKILL);
            let finished = recorder.wait();
            over.store(true, Ordering::Relaxed);
            finished
        });
        assert_eq!(finished.signal, Some(libc::SIGKILL));
        let truth = truth.into_inner().unwrap();
        let rows = finished.connections();
        let mut of = BTreeMap::<String, u64>::new();
        for row in &rows {
            *of.entry(row.completeness().to_owned()).or_default() += 1;
            if row.completeness() == "lossy" {
                assert!(row.identity.int("lost_records") > 0);
                continue;
            }
            // None was open before, and none that was open at the end can be vouched for.
            assert_eq!(row.completeness(), "complete", "{:?}", row.identity);
            let cookie = row.identity.int("cookie") as u64;
            let right = truth.get(&cookie).unwrap_or_else(|| panic!("{:?}", row.identity));
            for (name, right) in ["DataSegsOut", "DataSegsIn", "HCDataOctetsOut"].iter().zip(right)
            {
                let found = row.values.number(name);
                // A segment may have been retransmitted afterwards, because its ACK is missing.
                let is_right =
                    found.is_some_and(|n| (*right..=*right + 16_000).contains(&(n as u64)));
                assert!(is_right, "{name} of {cookie}: {found:?} for {right}");
            }
        }
        complete += of.get("complete").copied().unwrap_or(0);
        lossy += of.get("lossy").copied().unwrap_or(0);
        let (code, report) = finished.verify();
        assert_eq!(code, 1);
        for cpu in report["cpus"].as_array().expect("cpus") {
            assert!(cpu["emitted"].as_u64() >= cpu["logged"].as_u64(), "{cpu}");
        }
        for command in ["replay", "info", "summary", "audit"] {
            let output = analyze(&[command], &finished.dir);
            let said = String::from_utf8(output.stderr).expect("UTF-8");
            // In rows that are marked, tcp_info may differ.
            let differs = command == "audit" && output.status.code() == Some(1);
            assert!(differs || output.status.code() == Some(3), "{command}: {said}");
            // Missing records may make a value impossible, which is then discarded in a marked row.
            let (sentence, more) = said.split_once('\n').expect("a line");
            assert!(more.lines().all(|l| l.contains("discarded")), "{command}: {said}");
            sentences.push(sentence.split_once(" was ").expect("a sentence").1.trim().to_owned());
        }
    }
    assert!(complete > 200 && lossy > 0, "{complete} complete, {lossy} lossy");
    eprintln!("{complete} complete and right, {lossy} lossy");
    sentences.dedup();
    let [sentence] = &sentences[..] else { panic!("{sentences:?}") };
    let says = format!("exit 3, \"{sentence}\"; rows that ended before the last mark are complete");
    trust::says("recorder killed (kill -9) under short connections", &says);
}
