// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The outcome of a check.

use crate::rows::Connection;
use crate::support::audit::Audit;

/// A check that was made, or why it could not be.
pub type Outcome = Result<Verdict, String>;

/// Comparisons, and those that failed.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Comparisons made.
    pub compared: usize,
    /// Those that failed.
    pub failures: Vec<String>,
    /// Those that failed in rows marked lossy.
    pub excused: Vec<String>,
}

impl Verdict {
    /// The outcome of one row, or of several that are compared; faults of a lossy row are excused.
    pub fn of(rows: &[&Connection], audit: Audit) -> Self {
        let Audit { compared, findings, .. } = audit;
        if rows.iter().any(|row| row.lossy()) {
            Self { compared, failures: Vec::new(), excused: findings }
        } else {
            Self { compared, failures: findings, excused: Vec::new() }
        }
    }
}

impl FromIterator<Verdict> for Verdict {
    fn from_iter<T: IntoIterator<Item = Verdict>>(verdicts: T) -> Self {
        verdicts.into_iter().fold(Self::default(), |mut sum, verdict| {
            sum.compared += verdict.compared;
            sum.failures.extend(verdict.failures);
            sum.excused.extend(verdict.excused);
            sum
        })
    }
}

/// One comparison: it holds, or it fails with these words.
pub fn one(holds: bool, words: impl FnOnce() -> String) -> Outcome {
    let failures = if holds { Vec::new() } else { vec![words()] };
    Ok(Verdict { compared: 1, failures, excused: Vec::new() })
}
