// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `summary`: the connections of a recording as text.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use estats::util::visible;
use estats::views::summary::{self, Condition, Groups, Hints, Line, Rated, SummaryKey, Text, View};

use super::choice::Known;
use super::{info, print_json, replay, screen};

/// Connections that are shown by default.
const TOP: usize = 50;

/// How to see what is not shown.
const HINTS: Hints = Hints {
    connections: "--top N shows more, --json all",
    groups: "--top N shows more",
    columns: "--width 0 shows all",
};

/// Arguments of `summary`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  estats-analyze summary run1 --sort retransmitted --top 10\n  \
                  estats-analyze summary run1 --where 'rtt > 50ms and not process = sshd'\n  \
                  estats-analyze summary run1 --group remote\n  \
                  estats-analyze summary run1 --json | jq '.[].remote'",
    after_long_help = long_help()
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// Show N connections or groups, 0 for all [default: the 50 with the most payload]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Order: the largest numbers first, texts by the alphabet. Groups are sorted by the sums of counts
    /// and bytes, and by the medians of the rest
    #[arg(long, value_name = "KEY", hide_possible_values = true,
          value_parser = Known::new(SummaryKey::parse, key_names))]
    sort: Option<SummaryKey>,
    /// The opposite order; what is not known stays at the end
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// Only connections that match this condition
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<Condition>,
    /// Group connections by this key (remote, port, process, cgroup, container, ...): one row per value
    #[arg(long, value_name = "KEY", hide_possible_values = true,
          value_parser = Known::new(SummaryKey::parse, key_names))]
    group: Option<SummaryKey>,
    /// Characters in a line, 0 for any number [default: COLUMNS, or those of the terminal]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Whether to use colours
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
    /// As JSON: all connections, unless --top is given
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

fn key_names() -> Vec<&'static str> {
    summary::KEYS.iter().map(|key| key.name).collect()
}

fn long_help() -> String {
    let mut text = String::from("Keys:\n");
    for key in summary::KEYS {
        text.push_str(&format!("  {:<14} {}\n", key.name, key.meaning));
    }
    text.push_str(
        "\nConditions:\n  KEY < <= = != >= > VALUE, for texts also KEY ~ PART, KEY is [not] null; joined by and, or, not and\n  \
         parentheses. Times need a unit (us, ms, s, min, h), shares may have one (1%), bytes and\n  \
         rates may have a prefix (10MB, 1MiB, 10Mbit/s). A value that is not known matches nothing.\n\n\
         Examples:\n  estats-analyze summary run1 --sort retransmitted --top 10\n  \
         estats-analyze summary run1 --where 'rtt > 50ms and not process = sshd'\n  \
         estats-analyze summary run1 --group remote",
    );
    text
}

/// Runs the command.
///
/// # Errors
/// If the recording cannot be replayed, or the tables cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let tables = replay::ensure_tables(&arguments.run)?;
    let lines = summary::read(&tables.dir)?;
    let matches = |line: &&Line| arguments.condition.as_ref().is_none_or(|c| c.matches(line));
    let matching: Vec<Line> = lines.iter().filter(matches).cloned().collect();
    let top = match arguments.top {
        Some(0) => usize::MAX,
        Some(top) => top,
        None if arguments.json => usize::MAX,
        None => TOP,
    };
    let mut order = summary::chosen(&matching, top);
    if let Some(key) = arguments.sort {
        order.sort_by(|a, b| key.compare(a, b, arguments.reverse));
    }
    let view = View { top, width: width(arguments.width), sort: arguments.sort, hints: HINTS };
    let groups = match (arguments.group, arguments.sort) {
        (Some(key), Some(sort)) => {
            let groups = Groups::sorted(&order, key, sort, arguments.reverse);
            Some(groups.map_err(anyhow::Error::msg)?)
        }
        (Some(key), None) => Some(Groups::of(&order, key)),
        (None, _) => None,
    };
    if arguments.json {
        match groups {
            Some(groups) => print_json(&groups.groups.iter().take(top).collect::<Vec<_>>())?,
            None => {
                let lines = order.iter().take(top).map(|line| Rated::from(*line));
                print_json(&lines.collect::<Vec<_>>())?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    match groups {
        Some(groups) => print(summary::groups(&groups, view), arguments.color)?,
        None => print(summary::connections(&order, view), arguments.color)?,
    }
    if arguments.condition.is_some() {
        writeln!(screen(), "{} of {} connections match", matching.len(), lines.len())?;
    }
    print_beside(&tables.dir)?;
    writeln!(screen(), "{}", tables.manifest.audit)?;
    info::print_not_seen(&arguments.run)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the output of `estats-analyze RUN`: replays the recording first if its tables are missing or
/// old.
///
/// # Errors
/// As [`run`].
pub fn print_all(run: &Path) -> anyhow::Result<replay::Tables> {
    let tables = replay::ensure_tables(run)?;
    let lines = summary::read(&tables.dir)?;
    let view = View { top: TOP, width: width(None), sort: None, hints: HINTS };
    print(summary::connections(&summary::chosen(&lines, TOP), view), Color::Auto)?;
    print_beside(&tables.dir)?;
    writeln!(screen(), "{}", tables.manifest.audit)?;
    info::print_not_seen(run)?;
    Ok(tables)
}

/// Prints a line if listening sockets did not accept connections, and one if packets were dropped.
fn print_beside(tables: &Path) -> anyhow::Result<()> {
    for line in summary::not_taken(tables)?.into_iter().chain(summary::dropped(tables)?) {
        writeln!(screen(), "{line}")?;
    }
    Ok(())
}

/// None where a line may have any length: in a file, or another program's input.
pub fn width(asked: Option<usize>) -> Option<usize> {
    match asked {
        Some(0) => None,
        Some(width) => Some(width),
        // As ps(1) does: an exported variable has priority over the terminal's width.
        None => columns().or_else(|| {
            terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
        }),
    }
}

fn columns() -> Option<usize> {
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|&width| width > 0)
}

fn print(text: Text, color: Color) -> io::Result<()> {
    let choice = match color {
        Color::Auto if !io::stdout().is_terminal() => ColorChoice::Never,
        Color::Auto => anstream::AutoStream::choice(&io::stdout()),
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    let is_colored = !matches!(choice, ColorChoice::Never);
    let mut out = io::stdout().lock();
    for (style, line) in text {
        // Text of a recording is escaped before our own sequences are put around it.
        let line = visible::visible(&line);
        let style = if is_colored { ansi(style) } else { Style::new() };
        writeln!(out, "{style}{line}{style:#}")?;
    }
    Ok(())
}

fn ansi(style: summary::Style) -> Style {
    match style {
        summary::Style::Plain => Style::new(),
        summary::Style::Heading => Style::new().bold(),
        summary::Style::Warning => AnsiColor::Yellow.on_default(),
        summary::Style::Faint => Style::new().dimmed(),
    }
}
