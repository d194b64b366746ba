// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How far a counter went since it was last read.

/// A counter of which the steps are shown. Its value is not known at first if the connection began before the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps(Option<u64>);

impl Steps {
    /// A counter that has this value; none if that is not known. The first known value is then its beginning: what
    /// was counted before is no step.
    pub const fn since(value: Option<u64>) -> Self {
        Self(value)
    }

    /// How far it went. 0 if the value is not known, and for a value below an earlier one.
    pub fn to(&mut self, value: Option<u64>) -> u64 {
        let step = value.zip(self.0).map_or(0, |(now, before)| now.saturating_sub(before));
        self.0 = self.0.max(value);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_begins_with_its_first_known_value() {
        let mut steps = Steps::since(None);
        let values = [None, Some(40), None, Some(42), Some(41), Some(43)];
        assert_eq!(values.map(|value| steps.to(value)), [0, 0, 0, 2, 0, 1]);
        assert_eq!(Steps::since(Some(0)).to(Some(3)), 3);
    }
}
