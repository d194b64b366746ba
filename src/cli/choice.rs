// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Values of flags that are one of a closed set: `--help` lists them, a mistake gets a tip, and shells
//! complete them.

use std::error::Error;
use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};

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

/// A parser that has its own words for a mistake. Shells complete these names.
/// With `hide_possible_values`: a set that is long for `--help`.
#[derive(Clone)]
pub struct Known<P> {
    parse: P,
    names: fn() -> Vec<&'static str>,
}

impl<P> Known<P> {
    pub const fn new(parse: P, names: fn() -> Vec<&'static str>) -> Self {
        Self { parse, names }
    }
}

impl<P, T, E> TypedValueParser for Known<P>
where
    P: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        self.parse.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.names)().into_iter().map(PossibleValue::new)))
    }
}
