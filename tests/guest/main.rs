// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder on stock Debian kernels: QEMU boots each under software emulation, all its hook sets
//! record the same traffic at once, and every recording is compared with `tcp_info`, the MIB counters
//! and the other recordings. The guests also give the values of docs/coverage.md.
//!
//! Needs QEMU and the network (for the kernels); without them every test here is counted as
//! skipped on standard error, and with `ESTATS_REQUIRE_LIVE=1` it fails. `ESTATS_GUEST=0` skips
//! them by choice.

#![cfg(feature = "record")]

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod boot;
mod capabilities;
mod connection;
mod coverage;
mod disturb;
mod facts;
mod inside;
mod outcome;
mod path;
mod recorder;
mod results;
mod rows;
mod scenario;
mod sets;
mod sock_diag;
mod summary;
mod verify;
mod visit;

use coverage::{Column, Matrix, Name};

const SUITE: &str = "guest tests";

/// Boots the kernel, and fails with every check that failed.
fn kernel(series: &'static str) {
    let Some(_turn) = visit::enter() else { return };
    let Some(visit) = visit::in_time(series) else { return visit::not_tried(series) };
    let (results, proved) = verify::all(visit);
    results.write(&visit.dir.join("results.jsonl"));
    summary::rows(visit, &results).iter().for_each(|row| println!("{row}"));
    results.assert(series);
    let test = format!("linux_{}", series.replace('.', "_"));
    if visit.output.scenarios.len() == scenario::SCENARIOS.len() {
        support::proved::assert_all(file!(), &test, &proved);
    }
}

#[test]
fn linux_5_10() {
    kernel("5.10");
}

#[test]
fn linux_6_1() {
    kernel("6.1");
}

#[test]
fn linux_6_12() {
    kernel("6.12");
}

#[test]
fn linux_6_18() {
    kernel("6.18");
}

/// The kernel that Debian's users get next: a failure here is the first notice of a change in the
/// kernel.
#[test]
fn linux_newest() {
    kernel(sets::NEWEST);
}

/// Every kernel's own word, and the running kernel's if it lets BPF in.
#[test]
fn coverage_document() {
    let Some(_turn) = visit::enter() else { return };
    let mut matrix = Matrix::default();
    for (series, sets) in sets::GUESTS {
        let Some(visit) = visit::in_time(series) else { continue };
        for set in *sets {
            let column = Column::in_guest(visit, set.name);
            let column = column.unwrap_or_else(|why| panic!("{} on {series}: {why}", set.name));
            matrix.0.insert(Name::new(series, set.name), column);
        }
    }
    for set in sets::HERE {
        // A guest's column counts: the running kernel need not be a stock one.
        if let Some((series, column)) = here(set) {
            matrix.0.entry(Name::new(&series, set.name)).or_insert(column);
        }
    }
    coverage::check(&matrix);
}

/// What a recorder with few capabilities can do on each kernel, and that its recordings are right.
#[test]
#[ignore = "a quarter of an hour of emulated programs: make permissions"]
fn permissions_document() {
    let Some(_turn) = visit::enter() else { return };
    let (mut trials, mut failures) = (Vec::new(), Vec::new());
    for series in capabilities::KERNELS {
        let visit = visit::permissions(series);
        for short in &visit.output.recordings {
            let verdict = capabilities::judge(short, &visit.dir.join(&short.set));
            let failed = verdict.map_or_else(|why| vec![why], |verdict| verdict.failures);
            failures.extend(failed.iter().map(|why| format!("{series} {}: {why}", short.set)));
        }
        trials.push((*series, &visit.output.trials[..]));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    capabilities::check(&trials);
}

/// Messages of inet_diag of every kernel: `testdata/sock_diag`, which `BLESS=1` renews.
#[test]
#[ignore = "five more guests: make permissions"]
fn sock_diag_messages() {
    let Some(_turn) = visit::enter() else { return };
    for (series, _) in sets::GUESTS {
        let facts = &visit::sockets(series).output;
        sock_diag::check(series, &facts.release, &facts.sockets);
    }
}

/// What the running kernel gives with this set: its series and the column. `None` where it has
/// not the whole set, or BPF cannot be loaded.
fn here(set: &sets::HookSet) -> Option<(String, Column)> {
    let check = recorder::check(set);
    let json: serde_json::Value = serde_json::from_str(&check).ok()?;
    if json["hook_set"].as_str() != Some(set.hooks) {
        return None;
    }
    let release = json["host"]["kernel_release"].as_str()?;
    let series: Vec<&str> = release.splitn(3, ['.', '-']).take(2).collect();
    Some((series.join("."), Column::of(&json).ok()?))
}
