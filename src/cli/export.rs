//! `export`: a recording in another tool's format.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use estats::export::mlab;
use estats::log::Recording;

/// Formats of other tools.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// M-Lab's tcp-info: a JSON line per snapshot with inet_diag's octets
    MlabJsonl,
}

pub fn run(run: &Path, format: Format) -> anyhow::Result<ExitCode> {
    let recording = Recording::open(run)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match format {
        Format::MlabJsonl => mlab::write(&recording, &mut out).map_err(unwrapped)?,
    };
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A closed pipe is recognised by its io::Error, which must not be hidden in ours.
pub fn unwrapped(e: estats::export::ExportError) -> anyhow::Error {
    match e {
        estats::export::ExportError::Io(e) => e.into(),
        other => other.into(),
    }
}
