// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `events`.

use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use estats::replay::ReplayOptions;
use estats::views::export::events::{self, EventCounts, EventFormat, EventKind, EventSelection};

use super::choice::{Choice, by_name, names};
use super::pipe::Pipe;
use super::replay;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line per event for people
    Text,
    /// A JSON object per line
    Jsonl,
    /// A table with a header
    Csv,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  estats-analyze events run1 --event closed            a line per connection\n  \
                  estats-analyze events run1 --format jsonl | jq .     all events\n  \
                  estats-analyze events run1 --event timeout --conn 7  timeouts of one connection")]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The format
    #[arg(short = 'F', long, value_enum, default_value = "text")]
    format: Format,
    /// Events of this kind only; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = kind())]
    event: Vec<EventKind>,
    /// Events of this connection only: its conn_id, as in the tables; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    conn: Vec<u64>,
}

fn kind() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(names::<EventKind>().collect::<Vec<_>>())
        .map(|name| by_name(&name).expect("clap lets only these names pass"))
}

impl Choice for EventKind {
    const ALL: &'static [Self] = &EventKind::ALL;

    fn name(self) -> &'static str {
        EventKind::name(self)
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    let options = ReplayOptions { threads: replay::cpus(), ..ReplayOptions::default() };
    let format = match arguments.format {
        Format::Text => EventFormat::Text,
        Format::Jsonl => EventFormat::Jsonl,
        Format::Csv => EventFormat::Csv,
    };
    let kinds = match &arguments.event[..] {
        [] => EventKind::ALL.to_vec(),
        kinds => kinds.to_vec(),
    };
    let selection = EventSelection { kinds, connections: arguments.conn.clone() };
    let pipe = Pipe::default();
    let out = BufWriter::new(pipe.clone());
    let written = events::write(&recording, &options, format, &selection, out);
    if let Ok((EventCounts { events: 0, connections }, _)) = written {
        eprintln!("estats-analyze: {}", nothing_happened(connections));
    }
    pipe.exit_code(written.map(|(_, findings)| replay::missing(&findings)))
}

/// Without a line on stderr, an empty answer looks like a failure.
fn nothing_happened(connections: u64) -> String {
    match connections {
        0 => "the recording has no connections".to_owned(),
        1 => "no such event in 1 connection".to_owned(),
        n => format!("no such event in {n} connections"),
    }
}
