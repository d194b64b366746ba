// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which kernels have what a stanza reads. This is documentation. The type information of the running
//! kernel decides whether it has a field, since stable releases and distributions take fields of later
//! ones.

use core::fmt;

/// A release of Linux, by its first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The releases that have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// The first; none: all that estats runs on.
    pub since: Option<Release>,
    /// The first without it; none: it is still there.
    pub until: Option<Release>,
}

impl Kernels {
    /// Every kernel.
    pub const ALL: Self = Self { since: None, until: None };

    /// From this release on.
    pub const fn since(major: u16, minor: u16) -> Self {
        Self { since: Some(Release { major, minor }), until: None }
    }

    /// The same, but not this release and what follows it.
    pub const fn until(self, major: u16, minor: u16) -> Self {
        Self { until: Some(Release { major, minor }), ..self }
    }

    /// Whether the release has it.
    pub fn have(self, release: Release) -> bool {
        self.since.is_none_or(|since| since <= release)
            && self.until.is_none_or(|until| release < until)
    }
}

/// "Linux 6.7", "Linux before 6.15"; empty for every kernel.
impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.since, self.until) {
            (None, None) => Ok(()),
            (Some(since), None) => write!(f, "Linux {since}"),
            (None, Some(until)) => write!(f, "Linux before {until}"),
            (Some(since), Some(until)) => write!(f, "Linux {since}, before {until}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_is_in_the_range_of_a_field() {
        let release = |major, minor| Release { major, minor };
        let kernels = Kernels::since(5, 15).until(6, 2);
        let have: Vec<_> = [(5, 9), (5, 14), (5, 15), (6, 1), (6, 2), (6, 10), (7, 0)]
            .into_iter()
            .filter(|&(major, minor)| kernels.have(release(major, minor)))
            .collect();
        assert_eq!(have, [(5, 15), (6, 1)]);
        assert!(Kernels::ALL.have(release(5, 4)));
    }

    #[test]
    fn words_for_documents() {
        let words = |kernels: Kernels| kernels.to_string();
        assert_eq!(words(Kernels::ALL), "");
        assert_eq!(words(Kernels::since(6, 7)), "Linux 6.7");
        assert_eq!(words(Kernels::ALL.until(6, 15)), "Linux before 6.15");
        assert_eq!(words(Kernels::since(5, 15).until(6, 2)), "Linux 5.15, before 6.2");
    }
}
