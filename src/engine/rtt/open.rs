// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Questions that wait for their answers.

use std::collections::VecDeque;

/// The most questions of a flow that are kept; the oldest are dropped.
pub const MOST: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Question {
    key: u64,
    ts_ns: u64,
    /// Asked again before it was answered: an answer may be to either of them (Karn).
    repeated: bool,
}

/// The questions of one end, oldest first.
#[derive(Debug, Default)]
pub struct Open(VecDeque<Question>);

impl Open {
    /// A question was asked.
    pub fn ask(&mut self, key: u64, ts_ns: u64, horizon_ns: u64) {
        while self.0.front().is_some_and(|q| ts_ns.saturating_sub(q.ts_ns) > horizon_ns) {
            self.0.pop_front();
        }
        if let Some(question) = self.0.iter_mut().find(|q| q.key == key) {
            question.repeated = true;
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Question { key, ts_ns, repeated: false });
    }

    /// An answer came: how long it took, if it is known. A second one finds nothing.
    pub fn answer(&mut self, key: u64, ts_ns: u64, horizon_ns: u64) -> Option<u64> {
        let index = self.0.iter().position(|q| q.key == key)?;
        let question = self.0.remove(index)?;
        let rtt_ns = ts_ns.checked_sub(question.ts_ns)?;
        (!question.repeated && rtt_ns <= horizon_ns).then_some(rtt_ns)
    }

    /// All that wait may have been repeated.
    pub fn doubt(&mut self) {
        for question in &mut self.0 {
            question.repeated = true;
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
