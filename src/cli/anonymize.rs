// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `anonymize`: a recording that can be given away.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use estats::recordings::transform::anonymize::{SecretKey, anonymize};

use super::progress::Progress;

#[derive(Debug, Args)]
#[command(
    after_help = "Addresses keep their common prefixes (Crypto-PAn); host, boot, commands, cgroups, users \
                  and link addresses get other names, payload and checksums go. Times, sizes and ports \
                  stay. The same key gives the same names in every recording; keep it to yourself.\n\n\
                  Example: head -c 32 /dev/urandom > key; estats-analyze anonymize run1 -o public --key key"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// Directory of the recording to make
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// File of the key: 32 bytes, or 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What was made, as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let name = arguments.key.display();
    let content = fs::read(&arguments.key).with_context(|| {
        format!("cannot read the key {name} (make one: head -c 32 /dev/urandom > {name})")
    })?;
    let key = SecretKey::parse(&content).map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
    let recording = super::open(&arguments.run)?;
    let bar = Progress::of("anonymizing", std::slice::from_ref(&recording))?;
    let report = anonymize(&recording, &arguments.output, &key)?;
    drop(bar);
    super::cut::print(&report, &arguments.output, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}
