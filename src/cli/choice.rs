// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Values of flags that are one of a closed set: `--help` lists them, and a mistake gets a tip.

/// A closed set of values with names.
pub trait Choice: Copy + Send + Sync + 'static {
    /// All of them, in the order of `--help`.
    const ALL: &'static [Self];

    /// The name on the command line.
    fn name(self) -> &'static str;
}

/// The value of that name.
pub fn by_name<T: Choice>(name: &str) -> Option<T> {
    T::ALL.iter().copied().find(|choice| choice.name() == name)
}

/// The names of all.
pub fn names<T: Choice>() -> impl Iterator<Item = &'static str> {
    T::ALL.iter().map(|choice| choice.name())
}
