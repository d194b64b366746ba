// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Skips of each kprobe on a CPU: which are certain, and which were reported.

use std::{io, thread, time::Duration};

/// How often a CPU is looked at again that seems to have more than before.
const LOOKS: usize = 4;
/// Longer than a kprobe is halfway, unless the CPU itself is held up.
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// Hits without a run, by the kprobe's number less one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MissedRuns {
    /// As many as there are.
    Certain(Vec<u64>),
    /// As many at most: a kprobe may have been halfway.
    AtMost(Vec<u64>),
}

/// Counts of one CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cpu {
    /// Hits without a run that are certain.
    before: Vec<u64>,
    /// More than these, given out already, and not certain. What the next count still has more becomes the
    /// number to compare with.
    doubtful: Vec<u64>,
    /// Given out, and perhaps none, or given out before.
    unsure: Vec<u64>,
}

impl Cpu {
    /// With this number of kprobes, of which none was passed over.
    pub(super) fn new(kprobes: usize) -> Self {
        let none = vec![0; kprobes];
        Self { before: none.clone(), doubtful: none.clone(), unsure: none }
    }

    /// Takes what was seen. Gives what is to be given out for each kprobe.
    pub(super) fn take(&mut self, seen: MissedRuns) -> Vec<u64> {
        let (now, is_certain) = match seen {
            MissedRuns::Certain(now) => (now, true),
            MissedRuns::AtMost(now) => (now, false),
        };
        let mut new = Vec::with_capacity(now.len());
        for (at, now) in now.into_iter().enumerate() {
            let (before, doubtful) = (&mut self.before[at], &mut self.doubtful[at]);
            if now.cast_signed() < 0 {
                // More runs than hits cannot be: what that hides is given out as one.
                (*before, *doubtful) = (now, 0);
                new.push(1);
                continue;
            }
            // No reading is too low. So one that is lower than before shows that before was too high.
            let more = now.saturating_sub(*before);
            let confirmed = more.min(*doubtful);
            // Also what is confirmed is given out, once more: the same number may be another one. The kprobe
            // that was halfway has its run by then, and one was passed over since.
            new.push(more);
            if is_certain {
                (*before, *doubtful) = (now, 0);
            } else {
                *before = now.min(*before + confirmed);
                *doubtful = more - confirmed;
                self.unsure[at] += *doubtful;
            }
            self.unsure[at] += confirmed;
        }
        new
    }

    /// How many of those that were given out for a kprobe were none, at most.
    pub(super) fn unsure(&self, at: usize) -> u64 {
        self.unsure[at]
    }

    /// Looks at a CPU: `look` counts from elsewhere, never too few. `there` counts on the CPU itself, if
    /// that can be done.
    pub(super) fn see(
        &self,
        mut look: impl FnMut() -> io::Result<Vec<u64>>,
        there: impl FnOnce() -> io::Result<Option<Vec<u64>>>,
    ) -> io::Result<MissedRuns> {
        let has_more = |now: &[u64]| now.iter().zip(&self.before).any(|(now, before)| now > before);
        let mut least = look()?;
        for _ in 0..LOOKS {
            if !has_more(&least) {
                break;
            }
            thread::sleep(BETWEEN_LOOKS);
            least = least.into_iter().zip(look()?).map(|(least, now)| least.min(now)).collect();
        }
        if !has_more(&least) {
            return Ok(MissedRuns::Certain(least));
        }
        Ok(there()?.map_or(MissedRuns::AtMost(least), MissedRuns::Certain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: fn() -> io::Result<Option<Vec<u64>>> = || panic!("nothing asks for that");
    const KEPT_AWAY: fn() -> io::Result<Option<Vec<u64>>> = || Ok(None);

    fn cpu(before: &[u64]) -> Cpu {
        let mut cpu = Cpu::new(before.len());
        cpu.take(MissedRuns::Certain(before.to_vec()));
        cpu
    }

    /// Gives these one after the other.
    fn looks<const N: usize>(all: [[u64; 2]; N]) -> impl FnMut() -> io::Result<Vec<u64>> {
        let mut all = all.into_iter();
        move || Ok(all.next().expect("as many looks").to_vec())
    }

    #[test]
    fn a_cpu_without_new_skips_is_read_once() {
        let cpu = cpu(&[2, 5]);
        assert_eq!(cpu.see(looks([[2, 5]]), NEVER).unwrap(), MissedRuns::Certain(vec![2, 5]));
        assert_eq!(cpu.see(looks([[2, 4]]), NEVER).unwrap(), MissedRuns::Certain(vec![2, 4]));
    }

    /// A hit whose program had not begun yet when it was counted from another CPU. No thread is needed to
    /// find out.
    #[test]
    fn an_unfinished_hit_is_found_by_a_second_read() {
        let cpu = cpu(&[2, 5]);
        let seen = cpu.see(looks([[3, 5], [3, 5], [2, 6], [2, 6]]), NEVER);
        assert_eq!(seen.unwrap(), MissedRuns::Certain(vec![2, 5]));
    }

    #[test]
    fn remaining_skips_are_counted_on_the_cpu_itself() {
        let cpu = cpu(&[2, 5]);
        let seen = cpu.see(looks([[3, 6]; 5]), || Ok(Some(vec![3, 5])));
        assert_eq!(seen.unwrap(), MissedRuns::Certain(vec![3, 5]));
        let seen = cpu.see(looks([[3, 7], [3, 6], [3, 6], [4, 6], [3, 6]]), KEPT_AWAY);
        assert_eq!(seen.unwrap(), MissedRuns::AtMost(vec![3, 6]));
        let fault = || Err(io::Error::from_raw_os_error(libc::EPERM));
        assert!(cpu.see(fault, NEVER).is_err());
    }

    /// A CPU on which the recorder may not run had a kprobe halfway. As a number to compare with it would
    /// hide the next one that is passed over.
    #[test]
    fn uncertain_skips_are_reported_and_hide_none() {
        let mut cpu = cpu(&[2, 5]);
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![3, 5])), [1, 0]);
        assert_eq!(cpu.unsure(0), 1);
        // It has run. Another is passed over: the number is the same.
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![2, 5])), [0, 0]);
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![3, 5])), [1, 0]);
        // Two counts in a row show it: that may be the same one, or another.
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![3, 6])), [1, 1]);
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![3, 5])), [0, 0]);
        assert_eq!(cpu.take(MissedRuns::Certain(vec![4, 6])), [1, 1]);
        assert_eq!(cpu.take(MissedRuns::Certain(vec![4, 6])), [0, 0]);
        assert_eq!((cpu.unsure(0), cpu.unsure(1)), (3, 1));
    }

    /// The kprobe that was halfway has its run when another one is passed over: the number is the same.
    #[test]
    fn a_skip_that_replaces_an_uncertain_one_is_reported() {
        for seen in [MissedRuns::AtMost as fn(_) -> _, MissedRuns::Certain] {
            let mut cpu = cpu(&[2]);
            assert_eq!(cpu.take(MissedRuns::AtMost(vec![3])), [1]);
            assert_eq!(cpu.take(seen(vec![3])), [1]);
        }
    }

    #[test]
    fn skips_reported_in_excess_are_subtracted_later() {
        let mut cpu = cpu(&[2, 5]);
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![3, 5])), [1, 0]);
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![3, 5])), [1, 0], "held up for a second");
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![2, 5])), [0, 0]);
        assert_eq!(cpu.take(MissedRuns::Certain(vec![3, 5])), [1, 0]);
    }

    #[test]
    fn more_runs_than_hits_count_as_one_skip() {
        let mut cpu = cpu(&[4, 0]);
        assert_eq!(cpu.take(MissedRuns::Certain(vec![u64::MAX, 0])), [1, 0]);
        assert_eq!(cpu.take(MissedRuns::Certain(vec![u64::MAX, 0])), [1, 0]);
        assert_eq!(cpu.take(MissedRuns::AtMost(vec![4, 0])), [0, 0]);
        assert_eq!(cpu.take(MissedRuns::Certain(vec![5, 0])), [1, 0]);
    }
}
