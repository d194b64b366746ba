// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `export`: a recording in other formats.

use std::fs;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use estats::engine::estats::Interval;
use estats::log::Recording;
use estats::output::sink::{Plain, TableFormat};
use estats::replay::ReplayOptions;
use estats::util::private;
use estats::views::export::web10g::vars::{self, Deltas};
use estats::views::export::{
    ExportError, mlab, operations, pcapng, perfetto, table, web10g, xplot,
};

use super::choice::Known;
use super::pipe::Pipe;
use super::replay::{exit_code, missing, parse_interval, warn, with_all_cpus, with_bar};

#[derive(Debug, Args)]
#[command(
    after_help = "Tables go to a directory (-o DIR), or one of them (--table) to standard output. Graphs go to \
                  a directory. All else goes to standard output, or to a file (-o FILE).\n\n\
                  Examples:\n  \
                  estats-analyze export run1 --format csv --table connections | column -ts,\n  \
                  estats-analyze export run1 --format operations --encoding jsonl | zstd > ops.jsonl.zst\n  \
                  estats-analyze export run6 --format pcapng -o run6.pcapng && wireshark run6.pcapng\n  \
                  estats-analyze export run1 --format perfetto -o run1.pftrace    # open it in ui.perfetto.dev\n  \
                  estats-analyze export run6 --format xplot -o graphs && xplot.org graphs/flow1_a2b_tsg.xpl\n  \
                  estats-analyze export run1 --format web10g-deltavars --conn 3 --interval 1s\n  \
                  estats-analyze export run1 --format mlab-jsonl | zstd > run1.jsonl.zst"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    format: FormatName,
    /// This table, to standard output
    #[arg(long, value_name = "NAME", conflicts_with = "output", hide_possible_values = true,
          value_parser = Known::new(name, table::names))]
    table: Option<String>,
    /// Directory for tables and for graphs, file for every other format
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Encoding of operations (csv by default) and web10g-deltavars (text by default)
    #[arg(long, value_enum)]
    encoding: Option<Encoding>,
    /// Distance of the rows of the series, and of the readings of web10g-logger and web10g-deltavars,
    /// or `event`
    #[arg(long, default_value = "100ms", value_parser = parse_interval)]
    interval: Interval,
    /// The connection with this conn_id, for web10g-readvars and web10g-deltavars
    #[arg(long, value_name = "N")]
    conn: Option<u64>,
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
    /// Packets for Wireshark; the comment of each has the kernel's values at that moment
    Pcapng,
    /// Perfetto's trace: connections under their processes, with states, limits, windows and losses on one
    /// time line
    Perfetto,
    /// tcptrace's graphs for xplot, into a directory: three files for each direction of a TCP flow
    Xplot,
    /// web10g-logger's text: a line per connection and interval, in Web10G's units
    Web10gLogger,
    /// web10g-readvars' text: the last values of each connection, or of one (--conn)
    #[value(name = "web10g-readvars")]
    Web10gReadvars,
    /// web10g-deltavars' text: changes since the previous reading, of one connection (--conn)
    #[value(name = "web10g-deltavars")]
    Web10gDeltavars,
    /// M-Lab's tcp-info: a JSON line per snapshot with inet_diag's octets
    MlabJsonl,
}

impl FormatName {
    /// The format of tables that it is, as files and as a stream.
    const fn of_tables(self) -> Option<(TableFormat, Plain)> {
        match self {
            Self::Arrow => Some((TableFormat::ARROW, Plain::ArrowStream)),
            Self::Csv => Some((TableFormat::CSV, Plain::Csv)),
            Self::Jsonl => Some((TableFormat::JSONL, Plain::Jsonl)),
            Self::Operations
            | Self::Pcapng
            | Self::Perfetto
            | Self::Xplot
            | Self::Web10gLogger
            | Self::Web10gReadvars
            | Self::Web10gDeltavars
            | Self::MlabJsonl => None,
        }
    }

    /// Binary: not for a terminal.
    const fn is_binary(self) -> bool {
        matches!(self, Self::Pcapng | Self::Perfetto)
    }
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

/// Which tables there are is said where they are written.
#[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
fn name(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    let options = ReplayOptions { interval: arguments.interval, ..with_all_cpus() };
    let shows_one =
        matches!(arguments.format, FormatName::Web10gReadvars | FormatName::Web10gDeltavars);
    ensure!(
        shows_one || arguments.conn.is_none(),
        "--conn is for web10g-readvars and web10g-deltavars; `cut --conn` makes a recording of one connection"
    );
    if let Some((format, stream)) = arguments.format.of_tables() {
        return tables(arguments, &recording, options, format, stream);
    }
    ensure!(arguments.table.is_none(), "--table is for tables: --format arrow, csv or jsonl");
    let encoded = match arguments.format {
        FormatName::Operations => true,
        FormatName::Web10gDeltavars => arguments.encoding == Some(Encoding::Csv),
        _ => false,
    };
    ensure!(
        encoded || arguments.encoding.is_none(),
        "--encoding is for operations (csv, jsonl, arrow) and web10g-deltavars (csv)"
    );
    if arguments.format == FormatName::Xplot {
        return graphs(arguments, &recording, &options);
    }
    let pipe = Pipe::default();
    let written = match &arguments.output {
        Some(path) => {
            let cannot = |e: io::Error| {
                anyhow!("cannot write {}: {e}; name another file with -o", path.display())
            };
            let mut file = private::Named::create(path).map_err(cannot)?;
            let written = stream(arguments, &recording, &options, BufWriter::new(&mut file));
            if written.is_ok() {
                file.put().map_err(cannot)?;
            }
            written
        }
        None => {
            ensure!(
                !(arguments.format.is_binary() && io::stdout().is_terminal()),
                "this format is binary: write it to a file with -o FILE"
            );
            stream(arguments, &recording, &options, BufWriter::new(pipe.clone()))
        }
    };
    pipe.exit_code(written)
}

fn tables(
    arguments: &Arguments,
    recording: &Recording,
    options: ReplayOptions,
    format: TableFormat,
    stream: Plain,
) -> anyhow::Result<ExitCode> {
    match (&arguments.table, &arguments.output) {
        (Some(name), _) => {
            let pipe = Pipe::default();
            let out = BufWriter::new(pipe.clone());
            let written = table::write(recording, &options, name, stream, out);
            pipe.exit_code(written.map(|findings| missing(&findings)))
        }
        (None, Some(dir)) => {
            let options = ReplayOptions { format, output: Some(dir.clone()), ..options };
            let report = with_bar(recording, &options)?;
            warn(&report.findings, report.tables.discarded);
            Ok(exit_code(report.tables.missing()))
        }
        (None, None) => bail!(
            "name a directory for the tables with -o DIR, or one table with --table NAME for \
             standard output"
        ),
    }
}

/// Writes a directory of graphs; standard output has the flow of each.
fn graphs(
    arguments: &Arguments,
    recording: &Recording,
    options: &ReplayOptions,
) -> anyhow::Result<ExitCode> {
    let Some(dir) = &arguments.output else {
        bail!("name a directory for the graphs with -o DIR");
    };
    // Graphs of another export beside these could not be distinguished from them.
    let is_graph = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|ending| ending == "xpl"))
    };
    ensure!(
        !fs::read_dir(dir).is_ok_and(|mut entries| entries.any(is_graph)),
        "{} has graphs of another export: remove them, or choose another directory with -o",
        dir.display()
    );
    let (flows, findings) = xplot::write(recording, options, dir).map_err(|e| match e {
        ExportError::Io(e) => {
            anyhow!("cannot write to {}: {e}; name another with -o", dir.display())
        }
        other => other.into(),
    })?;
    let mut screen = super::screen();
    writeln!(screen, "{} graphs in {}", flows.len() * 6, dir.display())?;
    for flow in flows {
        let [a, b] = &flow.ends;
        let name = format!("flow{}_*.xpl", flow.flow);
        let conn = flow.conn_id.map_or_else(|| "-".to_owned(), |id| format!("conn {id}"));
        let [sent, back] = flow.segments;
        writeln!(screen, "{name:16} {conn:10} a {a}  b {b}  data segments {sent} a2b, {back} b2a")?;
    }
    Ok(exit_code(missing(&findings)))
}

/// Writes a format that is one file; gives the number of what is missing in it.
fn stream(
    arguments: &Arguments,
    recording: &Recording,
    options: &ReplayOptions,
    mut out: impl Write,
) -> Result<u64, ExportError> {
    let conn = arguments.conn;
    let replayed = match arguments.format {
        FormatName::MlabJsonl => mlab::write(recording, &mut out).map(|_| None),
        FormatName::Operations => {
            let plain = arguments.encoding.unwrap_or(Encoding::Csv).plain();
            operations::write(recording, plain, &mut out).map(|_| None)
        }
        FormatName::Pcapng => pcapng::write(recording, options, &mut out).map(|_| None),
        FormatName::Perfetto => perfetto::write(recording, options, &mut out).map(Some),
        FormatName::Web10gLogger => web10g::write(recording, options, &mut out).map(Some),
        FormatName::Web10gReadvars => vars::read(recording, options, conn, &mut out).map(Some),
        FormatName::Web10gDeltavars => {
            let deltas = arguments.encoding.map_or(Deltas::Text, |_| Deltas::Csv);
            vars::deltas(recording, options, conn, deltas, &mut out).map(Some)
        }
        FormatName::Arrow | FormatName::Csv | FormatName::Jsonl | FormatName::Xplot => {
            unreachable!("directories")
        }
    }?;
    out.flush()?;
    Ok(replayed.map_or(0, |findings| missing(&findings)))
}
