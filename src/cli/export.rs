// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `export`: a recording in other formats.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use estats::estats::Interval;
use estats::export::{mlab, operations, table, web10g};
use estats::log::Recording;
use estats::replay::Options;
use estats::sink::{Format, Plain};

use super::pipe::Pipe;
use super::replay::{exit_code, parse_interval, with_all_cpus, with_bar};

#[derive(Debug, Args)]
#[command(
    after_help = "Tables go to a directory (-o), or one of them (--table) to standard output; all else \
                  goes to standard output.\n\n\
                  Examples:\n  \
                  estats-analyze export run1 --format csv --table connections | column -ts,\n  \
                  estats-analyze export run1 --format operations --encoding jsonl | zstd > ops.jsonl.zst\n  \
                  estats-analyze export run1 --format mlab-jsonl | zstd > run1.jsonl.zst"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    format: FormatName,
    /// This table, to standard output
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    table: Option<String>,
    /// Directory for all tables
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What operations are written as
    #[arg(long, value_enum, default_value_t = Encoding::Csv)]
    encoding: Encoding,
    /// Distance of the rows of the series and of web10g-logger's lines, or `event`
    #[arg(long, default_value = "100ms", value_parser = parse_interval)]
    interval: Interval,
}

/// Formats of tables, of the log, and of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// Tables as Arrow: IPC files, a stream on standard output
    Arrow,
    /// Tables as CSV with a header; what is not known is empty
    Csv,
    /// Tables as a JSON object per row
    Jsonl,
    /// The log: a row per operation with time, connection, hook, variable, op and value
    Operations,
    /// web10g-logger's text: a line per connection and interval, in Web10G's units
    Web10gLogger,
    /// M-Lab's tcp-info: a JSON line per snapshot with inet_diag's octets
    MlabJsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Arrow,
    Csv,
    Jsonl,
}

impl Encoding {
    const fn plain(self) -> Plain {
        match self {
            Self::Arrow => Plain::ArrowStream,
            Self::Csv => Plain::Csv,
            Self::Jsonl => Plain::Jsonl,
        }
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    let options = Options { interval: arguments.interval, ..with_all_cpus() };
    let (format, stream) = match arguments.format {
        FormatName::Arrow => (Format::ARROW, Plain::ArrowStream),
        FormatName::Csv => (Format::CSV, Plain::Csv),
        FormatName::Jsonl => (Format::JSONL, Plain::Jsonl),
        other => {
            anyhow::ensure!(
                arguments.table.is_none() && arguments.output.is_none(),
                "--table and -o are for tables: --format arrow, csv or jsonl"
            );
            return to_stdout(&recording, other, arguments.encoding, &options);
        }
    };
    match (&arguments.table, &arguments.output) {
        (Some(name), _) => {
            let pipe = Pipe::default();
            let out = BufWriter::new(pipe.clone());
            pipe.told(table::write(&recording, &options, name, stream, out))
        }
        (None, Some(dir)) => {
            let options = Options { format, output: Some(dir.clone()), ..options };
            let report = with_bar(&recording, &options)?;
            Ok(exit_code(report.tables.missing()))
        }
        (None, None) => anyhow::bail!(
            "name a directory for the tables with -o DIR, or one table with --table NAME for \
             standard output"
        ),
    }
}

fn to_stdout(
    recording: &Recording,
    format: FormatName,
    encoding: Encoding,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let pipe = Pipe::default();
    let mut out = BufWriter::new(pipe.clone());
    let written = match format {
        FormatName::MlabJsonl => mlab::write(recording, &mut out).map(drop),
        FormatName::Operations => {
            operations::write(recording, encoding.plain(), &mut out).map(drop)
        }
        FormatName::Web10gLogger => web10g::write(recording, options, &mut out),
        FormatName::Arrow | FormatName::Csv | FormatName::Jsonl => unreachable!("tables"),
    };
    pipe.told(written.and_then(|()| Ok(out.flush()?)))
}
