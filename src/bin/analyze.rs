// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `estats-analyze`: flags and exit codes; the work is in the library.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use estats::util::visible::lines;

#[path = "../cli/mod.rs"]
mod cli;

fn main() -> ExitCode {
    let arguments = cli::Arguments::try_parse().unwrap_or_else(|e| cli::in_words(e).exit());
    if let Some(why) = estats::UNFIT_MACHINE {
        eprintln!("estats-analyze: {}", cli::unfit(why));
        return ExitCode::from(cli::USAGE);
    }
    match cli::run(arguments) {
        Ok(code) => code,
        // Whoever reads the output has seen enough (`| head`).
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("estats-analyze: {}", lines(&cli::explain(&e)));
            ExitCode::from(cli::USAGE)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
