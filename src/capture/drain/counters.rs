// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The programs' counters, and the times and hooks for which their counts stand.

pub(super) use crate::schema::record::HOOK_COUNTERS as HOOKS;
use crate::{
    capture::{CaptureError, shared::OfCpus},
    log::Lack,
    schema::{
        Hook,
        record::{CpuCounters, Member as _, NUMBER_BITS},
    },
};

/// The bits of the word `emitted` that are the count.
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// One CPU's counters in the kernel, struct cpu_counters of bpf/records.h.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) emitted: u64,
    /// By hook code; 0 is unused.
    pub(super) lost: Vec<u64>,
    pub(super) map_failures: u64,
    /// By [`Lack::ALL`].
    pub(super) lacking: [u64; Lack::ALL.len()],
    /// Received, sent.
    pub(super) not_ip: [u64; 2],
    /// By hook code, as the programs and the recorder have counted them.
    pub(super) malformed: Vec<u64>,
    pub(super) refused: u64,
    /// By hook code: ends of functions that were not seen.
    pub(super) unended: Vec<u64>,
}

/// The times for which counts stand. Something that happens while counters are read may be in that
/// reading or in the next, so both counts stand for the time of the reading: else a connection could
/// lose something at that time and be complete.
#[derive(Debug)]
pub(super) struct Periods {
    /// When the reading before began, or before the hooks were attached.
    pub(super) since_ns: u64,
}

impl Periods {
    /// The beginning and the end of the time for which a reading stands that took this time.
    pub(super) const fn next(&mut self, begun_ns: u64, ended_ns: u64) -> (u64, u64) {
        (std::mem::replace(&mut self.since_ns, begun_ns), ended_ns)
    }
}

/// Ends of functions that no program saw are counted when they are skipped (by the kernel from 6.7 on,
/// by us from 5.10 on), and once more when the programs notice (`unended` of bpf/records.h), which may
/// be in a later count. This holds, by the code of a hook, the number that was counted and is not
/// noticed yet.
///
/// Skips that are never noticed, since the connection is not recorded, stay in it. They hide nothing: a
/// counter that counts some ends of a hook counts all of them. The end of tcp_sendmsg_locked() is not
/// among them. Not all of its ends are counted, and the number that the programs notice is added to the
/// skips.
#[derive(Debug)]
pub(super) struct Unnoticed([u64; HOOKS]);

impl Default for Unnoticed {
    fn default() -> Self {
        Self([0; HOOKS])
    }
}

impl Unnoticed {
    /// How many of those that were noticed have not been counted.
    pub(super) fn beyond(&mut self, hook: Hook, counted: u64, noticed: u64) -> u64 {
        let known = &mut self.0[hook as usize];
        let all = *known + counted;
        *known = all.saturating_sub(noticed);
        noticed.saturating_sub(all)
    }
}

pub(super) fn read_counters(counters: &OfCpus) -> Result<Vec<Counters>, CaptureError> {
    let values =
        counters.get().map_err(|e| CaptureError::bpf("read the loss counters", e.into()))?;
    Ok(values
        .iter()
        .map(|words| {
            let c = CpuCounters::read_words(words);
            Counters {
                emitted: c.emitted & NUMBER_MASK,
                lost: c.lost.to_vec(),
                map_failures: c.map_failures,
                lacking: [c.not_followed, c.lost_begins, c.lost_ends, c.dropped_ops],
                not_ip: c.not_ip,
                malformed: c.malformed.to_vec(),
                refused: c.refused,
                unended: c.unended.to_vec(),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_covers_the_time_since_the_last_and_its_own_reading() {
        let mut periods = Periods { since_ns: 10 };
        assert_eq!(periods.next(100, 105), (10, 105));
        assert_eq!(periods.next(300, 305), (100, 305));
    }

    #[test]
    fn an_end_noticed_after_it_was_counted_is_counted_once() {
        let mut ends = Unnoticed::default();
        let mut beyond = |counted, noticed| ends.beyond(Hook::WriteXmit, counted, noticed);
        assert_eq!(beyond(1, 0), 0);
        assert_eq!(beyond(0, 1), 0, "the count before has it");
        assert_eq!(beyond(0, 1), 1, "this one was not counted before");
        assert_eq!(beyond(2, 3), 1);
        assert_eq!(beyond(2, 1), 0);
        assert_eq!(ends.beyond(Hook::SyncMss, 0, 1), 1, "another hook's are another's");
        assert_eq!(ends.beyond(Hook::WriteXmit, 0, 2), 1);
    }
}
