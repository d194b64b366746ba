// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Several connections that share a bottleneck, one after another in a full queue, and repeats: what the
//! notebooks are about. Their recordings (testdata/notebooks) are made of these tests.

use std::ffi::CStr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::SUITE;
use crate::recording::{Recorder, Recording};
use crate::scenario::clean;
use crate::support::flow::Flow;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::Direction::Forward;
use crate::support::pair::{Family, Pair};
use crate::support::tcp::Options;

/// What is written at once.
const CHUNK: u64 = 20_000;

/// Uploads until then; how many octets.
fn upload_until(flow: &Flow, end: Instant) -> u64 {
    let (written, wait) = mpsc::channel();
    let octets = std::thread::scope(|scope| {
        scope.spawn(move || {
            while Instant::now() < end {
                flow.client.send(CHUNK);
                written.send(()).expect("the reader reads on");
            }
        });
        wait.iter().map(|()| flow.server.receive(CHUNK)).count() as u64 * CHUNK
    });
    flow.finish();
    octets
}

/// What all senders of the recording sent and all receivers got is what the link saw, segment by segment.
/// `written` has the octets that each application wrote.
fn assert_all_counted(recording: &Recording, pair: &Pair, written: &[u64]) {
    pair.assert_no_stray_loss();
    let sum = |variable: &str| -> u64 {
        recording.all().map(|(_, row)| row.values.int(variable) as u64).sum()
    };
    for (_, row) in recording.all() {
        row.assert_identity(&[("completeness", "complete"), ("close_reason", "fin")]);
    }
    assert_eq!(recording.all().count(), 2 * written.len(), "each has two ends");
    let seen = pair.link().counters(Forward);
    assert_eq!(sum("DataSegsOut"), seen.offered_data);
    assert_eq!(sum("HCDataOctetsOut"), seen.offered_octets);
    assert_eq!(sum("DataSegsIn"), seen.delivered_data);
    assert_eq!(sum("HCDataOctetsIn"), seen.delivered_octets);
    let once = sum("HCDataOctetsOut") - sum("OctetsRetrans");
    assert_eq!(once, written.iter().sum::<u64>(), "octets that are no retransmissions");
}

#[test]
fn three_uploads_that_begin_one_after_another_share_a_bottleneck() {
    gate::record(SUITE, Needs::BPF, || {
        const STEP: Duration = Duration::from_secs(4);
        let bottleneck = Impairment { rate: Some(8_000_000), queue: 40_000, ..clean() };
        let pair = Pair::new(bottleneck, clean());
        let recorder = Recorder::on(&pair);
        let begin = Instant::now();
        let written = std::thread::scope(|scope| {
            let uploads = [0, 1, 2].map(|number| {
                let pair = &pair;
                scope.spawn(move || {
                    std::thread::sleep(number * STEP);
                    let flow = Flow::open(pair, Family::V4, Options::default());
                    upload_until(&flow, begin + 4 * STEP)
                })
            });
            uploads.map(|upload| upload.join().expect("an upload"))
        });
        let recording = recorder.stop();
        assert_all_counted(&recording, &pair, &written);
        assert!(pair.link().counters(Forward).tail_dropped > 0, "its queue was never full");
        recording.keep_for_notebooks("three-flows");
    });
}

/// Uploads over a link with these faults, and keeps the recording under this name.
fn upload(name: &str, congestion: &'static CStr, faults: Impairment, octets: u64) {
    let pair = Pair::new(faults, clean());
    let recorder = Recorder::on(&pair);
    let flow = Flow::open(&pair, Family::V4, Options { congestion, ..Options::default() });
    flow.upload(octets);
    flow.finish();
    let recording = recorder.stop();
    assert_all_counted(&recording, &pair, &[octets]);
    recording.keep_for_notebooks(name);
}

#[test]
fn an_upload_through_a_deep_queue() {
    gate::record(SUITE, Needs::BPF, || {
        let deep = Impairment { rate: Some(10_000_000), queue: 150_000, ..clean() };
        upload("deep-queue-cubic", c"cubic", deep.clone(), 4_000_000);
        upload("deep-queue-bbr", c"bbr", deep, 4_000_000);
    });
}

#[test]
fn repeats_over_a_link_that_loses() {
    gate::record(SUITE, Needs::BPF, || {
        // Two are enough to try it; the notebooks have six.
        let repeats = if std::env::var_os("ESTATS_KEEP").is_some() { 6 } else { 2 };
        for seed in 1..=repeats {
            let losing = Impairment { loss: 0.01, seed, rate: Some(20_000_000), ..clean() };
            upload(&format!("cubic-{seed}"), c"cubic", losing.clone(), 1_000_000);
            upload(&format!("bbr-{seed}"), c"bbr", losing, 1_000_000);
        }
    });
}
