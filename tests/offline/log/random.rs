// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Any records at all come back.

use estats::log::{Finding, Recording, RecordingWriter, WriterOptions};
use estats::schema::{Hook, Op, Var};
use estats::wire::{Event, Header, HookRecord, Lifecycle, Operation};
use proptest::prelude::*;

use super::{SECOND, closing, manifest, read};

fn any_op() -> impl Strategy<Value = Operation> {
    let var = prop::sample::select(Var::ALL);
    let op = prop::sample::select(Op::ALL);
    (var, op, any::<u64>()).prop_map(|(var, op, value)| Operation { var, op, value })
}

fn any_header() -> impl Strategy<Value = Header> {
    let hook = prop::sample::select(Hook::ALL);
    (any::<u64>(), any::<u64>(), any::<u64>(), any::<u16>(), 0..u16::MAX, hook).prop_map(
        |(ts_ns, seq, cookie, generation, cpu, hook)| Header {
            ts_ns,
            seq,
            cookie,
            generation,
            cpu,
            hook,
        },
    )
}

fn any_lifecycle() -> impl Strategy<Value = Lifecycle> {
    let numbers = (any::<u64>(), any::<u64>(), any::<[u32; 5]>(), any::<[u8; 5]>());
    let addresses = (any::<bool>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u16; 2]>());
    let texts = (".{0,20}", ".{0,5}", "[a-z]{0,15}");
    (any_header(), prop::sample::select(Event::ALL), numbers, addresses, texts).prop_map(
        |(header, event, numbers, (v4, mut local_addr, mut remote_addr, ports), texts)| {
            if v4 {
                local_addr[4..].fill(0);
                remote_addr[4..].fill(0);
            }
            let (start_ns, cgroup_id, [netns, pid, uid, sk_err, mptcp], bytes) = numbers;
            let [old_state, new_state, active, established, first_fin] = bytes;
            Lifecycle {
                header,
                event,
                start_ns,
                family: if v4 { 2 } else { 10 },
                local_addr,
                remote_addr,
                local_port: ports[0],
                remote_port: ports[1],
                netns,
                cgroup_id,
                cgroup_path: texts.0,
                pid,
                uid,
                comm: texts.1,
                congestion: texts.2,
                old_state,
                new_state,
                active,
                established,
                first_fin,
                mptcp,
                sk_err,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_records_come_back(
        hooks in prop::collection::vec((any_header(), prop::collection::vec(any_op(), 0..6)), 0..40),
        lifecycles in prop::collection::vec(any_lifecycle(), 0..10),
        rotate in prop::option::of(1_u64..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let rotate_bytes = if rotate.is_some() { 1 } else { u64::MAX };
        let options = WriterOptions { rotate_bytes, ..WriterOptions::default() };
        let mut writer = RecordingWriter::create(dir.path(), &manifest(), options).unwrap();
        for (i, (header, ops)) in hooks.iter().enumerate() {
            writer.hook(header, ops).unwrap();
            // A second passes after some records, so frames and segments differ in size.
            writer.tick(i as u64 / rotate.unwrap_or(7) * SECOND).unwrap();
        }
        lifecycles.iter().for_each(|row| writer.lifecycle(row).unwrap());
        writer.finish(&closing(&[])).unwrap();
        let recording = Recording::open(dir.path()).unwrap();
        let found = read(&recording, 3).unwrap();
        let hooks: Vec<_> =
            hooks.into_iter().map(|(header, ops)| HookRecord { header, ops }).collect();
        prop_assert_eq!(found.hooks, hooks);
        prop_assert_eq!(found.lifecycles, lifecycles);
        let damage = |f: &Finding| !matches!(f, Finding::SequenceNumbers { .. } | Finding::Duplicates { .. });
        let report = recording.verify().unwrap();
        prop_assert!(!report.findings.iter().any(damage), "{}", report);
    }
}
