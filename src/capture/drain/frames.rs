// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Key frames of a bounded recording: what is known of the open connections, as the records come.
//!
//! A record may come up to the slack later than others of its time, and from another CPU's ring. So records
//! are held that long, and taken in in their order; a key frame is written once all that is older than its time
//! has come.

use crate::{
    engine::{
        keyframe::OpenConnections,
        time::{Reorder, SLACK_NS, key},
    },
    log::{LogError, RecordingWriter},
    wire::{Header, HookRecord, Lifecycle, Operation},
};

enum Held {
    Hook(HookRecord),
    Lifecycle(Box<Lifecycle>),
}

#[derive(Default)]
pub(super) struct KeyFrames {
    held: Reorder<Held>,
    known: OpenConnections,
    /// What is older has been taken in.
    taken_ns: u64,
}

impl KeyFrames {
    pub(super) fn hook(&mut self, header: &Header, ops: &[Operation]) {
        if header.ts_ns < self.taken_ns {
            self.known.hook(header, ops.iter().copied(), true);
        } else {
            let record = HookRecord { header: *header, ops: ops.to_vec() };
            self.held.hold(key(header), Held::Hook(record));
        }
    }

    pub(super) fn lifecycle(&mut self, row: &Lifecycle) {
        if row.header.ts_ns < self.taken_ns {
            self.known.lifecycle(row);
        } else {
            self.held.hold(key(&row.header), Held::Lifecycle(Box::new(row.clone())));
        }
    }

    /// Every record made before `mark_ns`, but for the slack, has come: writes the key frames that are due.
    pub(super) fn reached(
        &mut self,
        mark_ns: u64,
        writer: &mut RecordingWriter,
    ) -> Result<(), LogError> {
        let until_ns = mark_ns.saturating_sub(SLACK_NS);
        while let Some((_, from_ns)) = writer.wanted_key_frame() {
            if from_ns > until_ns {
                break;
            }
            self.take_in(from_ns);
            writer.key_frame(&self.known.frame(from_ns))?;
        }
        let next_ns = writer.wanted_key_frame().map_or(u64::MAX, |(_, from_ns)| from_ns);
        self.take_in(until_ns.min(next_ns));
        Ok(())
    }

    fn take_in(&mut self, until_ns: u64) {
        while let Some(held) = self.held.before(until_ns) {
            match held {
                Held::Hook(record) => {
                    self.known.hook(&record.header, record.ops.iter().copied(), false);
                }
                Held::Lifecycle(row) => self.known.lifecycle(&row),
            }
        }
        self.taken_ns = self.taken_ns.max(until_ns);
    }
}
