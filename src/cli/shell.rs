// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Completions and man pages of a program, both from its flags. Part of both programs.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};

/// Shells whose completions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  estats-analyze completions bash > /etc/bash_completion.d/estats-analyze\n  \
                  estats-record completions zsh > \"${fpath[1]}/_estats-record\"\n  \
                  estats-record completions fish > ~/.config/fish/completions/estats-record.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Where the pages go
    dir: PathBuf,
}

/// The script for the shell, on standard output.
pub fn completions(arguments: &Completions, mut command: Command) -> anyhow::Result<ExitCode> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let name = command.get_name().to_owned();
    // Not to a pipe at once: what writes it knows no closed one.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// A page for the program and one for each command.
pub fn man(arguments: &Man, command: Command) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&arguments.dir)?;
    clap_mangen::generate_to(command, &arguments.dir)?;
    Ok(ExitCode::SUCCESS)
}
