// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recorder in a time namespace: its CLOCK_MONOTONIC is not that of the hooks.

use serde_json::Value as Json;

use crate::SUITE;
use crate::run::{Finished, Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::{listen, open, talk};

/// The host's CLOCK_MONOTONIC: the tests themselves are in no time namespace.
fn monotonic_ns() -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// Numbers below these keys anywhere in a JSON value.
fn numbers(of: &Json, keys: &[&str], found: &mut Vec<i64>) {
    match of {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value.as_i64().filter(|_| keys.contains(&name.as_str())) {
                    Some(n) => found.push(n),
                    None => numbers(value, keys, found),
                }
            }
        }
        Json::Array(list) => list.iter().for_each(|value| numbers(value, keys, found)),
        _ => {}
    }
}

/// Every time of the recording lies between these two.
fn assert_times(finished: &Finished, begun_ns: i64, ended_ns: i64) {
    let within = |what: &str, ns: i64| {
        assert!((begun_ns..=ended_ns).contains(&ns), "{what}: {begun_ns} {ns} {ended_ns}");
    };
    let mut times = Vec::new();
    numbers(&finished.manifest(), &["monotonic_ns", "since_ns"], &mut times);
    assert!(times.len() >= 3, "beginning, end, and an interface: {times:?}");
    times.into_iter().for_each(|ns| within("manifest", ns));
    let tables: [(&str, &[&str]); 5] = [
        ("connections", &["begin_ns", "end_ns"]),
        ("sockets", &["ts_ns"]),
        ("series", &["ts_ns"]),
        ("ledger", &["ts_ns", "since_ns"]),
        ("flows", &["begin_ns", "end_ns"]),
    ];
    for (table, columns) in tables {
        let rows = finished.table(table);
        assert!(!rows.is_empty(), "{table}");
        for column in columns {
            let mut seen = rows.iter().filter_map(|row| row.number(column)).peekable();
            assert!(seen.peek().is_some() || *column == "since_ns", "{table}.{column}");
            seen.for_each(|ns| within(&format!("{table}.{column}"), ns));
        }
    }
}

#[test]
fn times_in_a_time_namespace_are_the_hosts() {
    let needs = Needs { programs: &["perl", "unshare"], ..Needs::BPF };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    if !std::path::Path::new("/proc/self/timens_offsets").exists() {
        return gate::skip(SUITE, "this kernel has no time namespaces".to_owned());
    }
    let netns = Netns::new("timens");
    let listener = listen(&netns);
    // Not below zero, which no clock of a namespace may be.
    let back = format!("-{}", monotonic_ns() / 1_000_000_000 - 1);
    for offset in ["100000", back.as_str()] {
        let begun_ns = monotonic_ns();
        let mut recorder = Recorder::under(
            &["unshare", "--time", "--monotonic", offset],
            &["--snapshots", "50ms", "--packets", "--interface", "lo", "--netns", netns.name()],
        );
        let kept = open(&netns, &listener);
        kept.upload(100_000);
        let local = talk(&netns, &listener, 300_000);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        let finished = recorder.stop();
        let ended_ns = monotonic_ns();
        finished.assert_code(0);
        finished.assert_account();
        assert_times(&finished, begun_ns, ended_ns);
        let rows = finished.connections();
        assert_eq!(rows.len(), 4, "{rows:?}");
        for row in &rows {
            assert_eq!(row.identity.int("late_records"), 0, "{row:?}");
        }
        let row = rows.iter().find(|row| row.local() == local).expect("the one that was closed");
        assert_eq!(row.completeness(), "complete");
        // SYN and FIN count.
        assert_eq!(row.values.int("HCThruOctetsAcked"), 300_002);
        let offset_ns = offset.parse::<i64>().unwrap() * 1_000_000_000;
        assert_eq!(finished.manifest()["host"]["time_offset_ns"], Json::from(offset_ns));
        let info = String::from_utf8(analyze(&["info"], &finished.dir).stdout).expect("UTF-8");
        assert!(info.contains("time namespace"), "{info}");
        // Deadlines are kept, and a command is followed to its end.
        let begun = std::time::Instant::now();
        recorder = Recorder::under(
            &["unshare", "--time", "--monotonic", offset],
            &["--duration", "300ms", "--", "sleep", "20"],
        );
        recorder.wait();
        assert!(begun.elapsed().as_secs() < 15);
        trust::says(
            "time namespace",
            &format!(
                "every time is the host's, on one clock with the hooks ({}); the manifest keeps the \
                 offset, `info` says it",
                row.completeness()
            ),
        );
    }
}
