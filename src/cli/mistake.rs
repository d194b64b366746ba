// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Commands that are mistyped. Part of both programs, whose first word can be something else too, so that clap does
//! not look for a command that is like it.

use clap::Command;
use clap::error::{ContextKind, ErrorKind};

/// The mistake, if this word is no command of the program but is like one.
pub fn command(program: &Command, word: &str) -> Option<clap::Error> {
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let name = program.get_name().to_owned();
    let only = Command::new("program").bin_name(name.clone()).subcommands(commands.cloned());
    let error = only.try_get_matches_from([name.as_str(), word]).err()?;
    let is_similar = error.get(ContextKind::SuggestedSubcommand).is_some();
    (error.kind() == ErrorKind::InvalidSubcommand && is_similar).then_some(error)
}
