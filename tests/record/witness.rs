// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Events for which a hook was not run: the connection's counters show them, and its row is marked.
//!
//! The condition is one that can occur on any running host: another tool detaches the recorder's program
//! from its cgroup (BPF_LINK_DETACH).

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libbpf_rs::libbpf_sys::{
    BPF_CGROUP_INET_EGRESS, BPF_CGROUP_SOCK_OPS, bpf_link_detach, bpf_link_get_fd_by_id,
};

use crate::SUITE;
use crate::run::{Connection, Finished, Recorder};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust::says;
use crate::traffic::{Both, Flood, listen, open, until};

/// Takes the recorder's program off its cgroup.
fn detach(recorder: &Recorder, attach_type: u32) {
    let mut detached = 0;
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", recorder.pid())).expect("fdinfo") {
        let text = fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default();
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        let is = |name, value: &str| field(name).as_deref() == Some(value);
        if !is("link_type", "cgroup") || !is("attach_type", &attach_type.to_string()) {
            continue;
        }
        let id = field("link_id").and_then(|id| id.parse().ok()).expect("a link has an id");
        // SAFETY: both take and return plain integers; the descriptor is nobody else's.
        let result = unsafe {
            let fd = bpf_link_get_fd_by_id(id);
            assert!(fd >= 0, "link {id}");
            let fd = OwnedFd::from_raw_fd(fd);
            bpf_link_detach(fd.as_raw_fd())
        };
        assert_eq!(result, 0, "detach link {id}");
        detached += 1;
    }
    assert_eq!(detached, 1, "programs of this recorder at this place");
}

fn row_of<'a>(rows: &'a [Connection], flow: &Both) -> &'a Connection {
    let cookie = flow.client.cookie();
    rows.iter().find(|row| row.identity.int("cookie") as u64 == cookie).expect("the client's row")
}

/// What the recorder and replay report of it, in the words of docs/trust.md.
fn reported(finished: &Finished, row: &Connection) -> String {
    finished.assert_account();
    assert_eq!(finished.lost(), 0, "no record was lost on its way");
    assert!(row.identity.int("lost_records") > 0);
    format!("`{}`, `lost_records` above 0", row.completeness())
}

#[test]
fn data_that_no_hook_saw_is_counted_and_its_row_is_lossy() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("unseen");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    let flow = open(&netns, &listener);
    flow.server.send(1_000);
    flow.client.receive(1_000);
    flow.client.finish();
    flow.server.receive_end();
    // From FIN-WAIT on sockops sees what comes, and now no program does.
    detach(&recorder, BPF_CGROUP_SOCK_OPS);
    std::thread::scope(|scope| {
        scope.spawn(|| flow.server.send(100_000));
        flow.client.receive(100_000);
    });
    until("all is acknowledged", || flow.server.info().must("tcpi_unacked") == 0);
    flow.server.finish();
    flow.client.receive_end();
    std::thread::sleep(Duration::from_millis(100));
    let finished = recorder.stop();
    let rows = finished.connections();
    let row = row_of(&rows, &flow);
    assert_eq!(row.values.int("HCDataOctetsIn"), 101_000);
    let octets = "`HCDataOctetsIn` is what the kernel received";
    says(
        "the hooks of received segments are not run for some",
        &format!("{}; {octets}", reported(&finished, row)),
    );
}

#[test]
fn unseen_sent_data_marks_the_row_lossy() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("unsent");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    let flow = open(&netns, &listener);
    flow.upload(1_000);
    detach(&recorder, BPF_CGROUP_INET_EGRESS);
    flow.upload(100_000);
    flow.finish();
    let finished = recorder.stop();
    let rows = finished.connections();
    let row = row_of(&rows, &flow);
    assert_eq!(row.values.int("HCDataOctetsOut"), 101_000);
    says("the hook of sent segments is not run for some", &reported(&finished, row));
}

/// More to do than there are CPUs: programs are preempted, softirqs come late, and some kernels leave
/// out events.
#[test]
fn rows_of_a_busy_host_are_right_or_marked() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("busy");
    let recorder = Recorder::start(&["--netns", netns.name()]);
    let over = AtomicBool::new(false);
    let (flows, infos) = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let flood = Flood::start(&netns);
        std::thread::sleep(Duration::from_secs(4));
        let flows = flood.stop();
        over.store(true, Ordering::Relaxed);
        // Longer than a delayed ACK.
        std::thread::sleep(Duration::from_millis(300));
        let infos: Vec<_> = flows.iter().map(|f| [f.client.info(), f.server.info()]).collect();
        (flows, infos)
    });
    let finished = recorder.stop();
    finished.assert_account();
    let rows = finished.connections();
    for (flow, [sender, receiver]) in flows.iter().zip(&infos) {
        let cookie = flow.server.cookie();
        let row = rows.iter().find(|r| r.identity.int("cookie") as u64 == cookie).expect("a row");
        let received = receiver.must("tcpi_bytes_received") as i64;
        // Segments that a timer of the busy host retransmitted were received twice.
        let sent = sender.must("tcpi_bytes_sent") as i64;
        let counted = row.values.number("HCDataOctetsIn");
        match row.completeness() {
            "ended_after" => {
                let counted = counted.expect("known in a row without a mark");
                assert!((received..=sent).contains(&counted), "{received} {counted} {sent}");
            }
            "lossy" => assert!(counted.is_none_or(|n| n >= received), "{received} {counted:?}"),
            other => panic!("{other}"),
        }
    }
    says(
        "a bulk transfer on a host with more to do than it has CPUs",
        "every octet in `HCDataOctetsIn`, or the row is `lossy` and has at least as many, or NULL",
    );
}

/// No process is in the connection's namespace, so it cannot be entered, and connections open there are
/// not listed when the recording begins. The same holds if the kernel did not run the program of a
/// connection's beginning.
#[test]
fn a_connection_whose_beginning_was_missed_is_recorded_from_its_first_read_on() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("unborn");
    let flow = open(&netns, &listen(&netns));
    let closed = open(&netns, &listen(&netns));
    drop(netns);
    let recorder = Recorder::start(&[]);
    for flow in [&flow, &flow, &closed] {
        flow.upload(1_000);
        flow.server.send(1_000);
        flow.client.receive(1_000);
    }
    // The walk at the end does not come into this namespace: the delayed ACK has the last values (docs/not-covered.md).
    std::thread::sleep(Duration::from_millis(500));
    closed.finish();
    let finished = recorder.stop();
    let rows = finished.connections();
    let row = row_of(&rows, &flow);
    assert_eq!(row.completeness(), "begun_before");
    assert_eq!(row.values.int("HCDataOctetsIn"), 2_000, "what came before the first read, too");
    // No program has set the flags on its socket by which sockops sees events after ESTABLISHED.
    assert_eq!(row_of(&rows, &closed).completeness(), "lossy");
    says(
        "a connection whose beginning no hook saw, without a filter",
        "`begun_before`: recorded from its first read on, or from its FIN; `lossy` if it leaves \
         ESTABLISHED",
    );
}
