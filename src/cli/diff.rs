// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `diff`: two recordings, or repeats, against each other.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use estats::log::Recording;
use estats::replay::ReplayOptions;
use estats::util::private;
use estats::views::diff::{self, Diff};
use estats::views::report::{self, Extent, Extra, Overview, View};

use super::print_json;
use super::replay::cpus;

/// How to see what is not shown.
const HINTS: diff::DiffHints = diff::DiffHints {
    numbers: "--all shows them",
    columns: "--width 0 shows all",
    repeats: "--against takes them",
};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Align {
    /// By role (owner, opening end, direction of the data, service port), the first with the first
    Order,
    /// By addresses and ports
    Tuple,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "estats-analyze diff [OPTIONS] A B\n       \
                      estats-analyze diff [OPTIONS] A1 A2 A3 --against B1 B2 B3\n       \
                      estats-analyze diff [OPTIONS] --label NAME=A1,A2,A3 --label NAME=B1,B2,B3...",
    after_help = "CHANGE is (B - A) / A. A difference is notable if Cliff's delta is at least 0.474, the \
                  change is at least 5 % of A (for shares also at least 0.01), and the interval, \
                  if any, excludes zero. Two recordings are compared by pairs of connections: six \
                  pairs give an interval. Repeated runs are compared by recordings: two on each \
                  side give an interval, by Welch's t.\n\n\
                  Exit status: 0 compared, 1 a side of several has no counterpart, 2 wrong usage, or \
                  nothing to compare, 3 data was lost.\n\n\
                  Examples:\n  estats-analyze diff cubic bbr --html diff.html\n  \
                  estats-analyze diff cubic1 cubic2 cubic3 --against bbr1 bbr2 bbr3\n  \
                  estats-analyze diff --label before=run1,run2 --label after=run3,run4"
)]
pub struct Arguments {
    /// Directories of two recordings; with --against, of the first side's
    #[arg(value_name = "RUN", required_unless_present = "label")]
    runs: Vec<PathBuf>,
    /// Directories of the second side's recordings
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with = "label")]
    against: Vec<PathBuf>,
    /// A side with a name, and its recordings; each side after the first is compared with the first
    #[arg(long, value_name = "NAME=RUN[,RUN...]", value_parser = parse_label, conflicts_with = "runs")]
    label: Vec<Group>,
    /// How connections of two recordings are paired
    #[arg(long, value_enum, default_value = "order")]
    align: Align,
    /// Everything that differs, not only what is notable
    #[arg(long)]
    all: bool,
    /// As JSON; with --label an array, one comparison for each side after the first
    #[arg(long, conflicts_with = "all")]
    json: bool,
    /// Also write a page: the differences, and plots of both runs in one diagram; for repeated runs, of the
    /// first run of each side
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Number of pairs with plots: those with the most octets in the first recording
    #[arg(long, default_value_t = Extent::default().top, value_name = "N")]
    top: usize,
    /// Characters in a line, 0 for any number [default: COLUMNS, or those of the terminal]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
}

/// Recordings of one side.
#[derive(Clone, Debug)]
struct Group {
    label: String,
    runs: Vec<PathBuf>,
}

fn parse_label(text: &str) -> Result<Group, String> {
    let (label, runs) = text.split_once('=').ok_or("a side is NAME=RUN or NAME=RUN,RUN")?;
    let runs: Vec<PathBuf> = runs.split(',').map(PathBuf::from).collect();
    if label.is_empty() || runs.iter().any(|run| run.as_os_str().is_empty()) {
        return Err("a side is NAME=RUN or NAME=RUN,RUN".to_owned());
    }
    Ok(Group { label: label.to_owned(), runs })
}

/// The sides that were asked for: two, or with labels more.
fn groups(arguments: &Arguments) -> anyhow::Result<Vec<Group>> {
    let unnamed = |runs: &[PathBuf]| Group { label: String::new(), runs: runs.to_vec() };
    let groups = match (&arguments.runs[..], &arguments.against[..]) {
        ([a, b], []) => vec![unnamed(std::slice::from_ref(a)), unnamed(std::slice::from_ref(b))],
        ([], _) => {
            // The same name again adds to its side.
            let mut groups: Vec<Group> = Vec::new();
            for more in &arguments.label {
                match groups.iter_mut().find(|group| group.label == more.label) {
                    Some(group) => group.runs.extend(more.runs.iter().cloned()),
                    None => groups.push(more.clone()),
                }
            }
            groups
        }
        (runs, []) => {
            return Err(anyhow!(
                "{} recordings: two are compared with each other; more need --against before the \
                 second side's, or --label",
                runs.len()
            ));
        }
        (runs, against) => vec![unnamed(runs), unnamed(against)],
    };
    if groups.len() < 2 {
        return Err(anyhow!("one side given: add a second with --label NAME=RUN,..."));
    }
    let mut seen = std::collections::BTreeSet::new();
    for run in groups.iter().flat_map(|group| &group.runs) {
        // The same recording twice is not a repeat. Another path to it is the same recording too.
        let path = run.canonicalize().unwrap_or_else(|_| run.clone());
        if !seen.insert(path) && groups.iter().any(|group| group.runs.len() > 1) {
            return Err(anyhow!("{} is given twice", run.display()));
        }
    }
    Ok(groups)
}

/// A side, read.
struct ReadSide {
    label: String,
    names: Vec<String>,
    recordings: Vec<Recording>,
    overviews: Vec<Overview>,
}

impl ReadSide {
    fn read(group: Group) -> anyhow::Result<Self> {
        let options = ReplayOptions { threads: cpus(), ..ReplayOptions::default() };
        let names = group.runs.iter().map(|run| run.display().to_string()).collect();
        let mut side =
            Self { label: group.label, names, recordings: Vec::new(), overviews: Vec::new() };
        for run in &group.runs {
            let recording = super::open(run)?;
            side.overviews.push(report::overview(&recording, &options)?);
            side.recordings.push(recording);
        }
        Ok(side)
    }

    fn as_compared(&self) -> diff::Side<'_> {
        diff::Side { label: &self.label, names: &self.names, recordings: &self.overviews }
    }

    /// Its name in a sentence.
    fn name(&self) -> String {
        if self.label.is_empty() { self.names.join(", ") } else { self.label.clone() }
    }

    fn connections(&self) -> usize {
        self.overviews.iter().map(|overview| overview.connections.len()).sum()
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let groups = groups(arguments)?;
    let has_repeats = groups.iter().any(|group| group.runs.len() > 1);
    if has_repeats && matches!(arguments.align, Align::Tuple) {
        return Err(anyhow!(
            "--align tuple pairs the connections of two recordings, not of repeats"
        ));
    }
    if arguments.html.is_some() && groups.len() > 2 {
        return Err(anyhow!("--html compares two sides; {} were given", groups.len()));
    }
    let sides: Vec<ReadSide> =
        groups.into_iter().map(ReadSide::read).collect::<anyhow::Result<_>>()?;
    let align = match arguments.align {
        Align::Order => diff::Align::Order,
        Align::Tuple => diff::Align::Tuple,
    };
    let Some((a, others)) = sides.split_first() else { return Ok(ExitCode::SUCCESS) };
    let (mut diffs, mut alone) = (Vec::new(), Vec::new());
    for b in others {
        let diff = diff::diff(a.as_compared(), b.as_compared(), align);
        if diff.roles.is_empty() {
            alone.push(anyhow!(
                "no connection of {} has a counterpart in {} ({} and {} connections): `summary` \
                 shows both{}",
                a.name(),
                b.name(),
                a.connections(),
                b.connections(),
                if has_repeats { "" } else { ", --align pairs them in another way" }
            ));
        } else {
            diffs.push(diff);
        }
    }
    // The other sides are worth showing.
    if diffs.is_empty()
        && let Some(error) = alone.pop()
    {
        return Err(error);
    }
    alone.iter().for_each(|error| eprintln!("estats-analyze: {error}"));
    match (&diffs[..], arguments.json) {
        ([diff], true) if arguments.label.is_empty() => print_json(diff)?,
        (diffs, true) => print_json(&diffs)?,
        (diffs, false) => {
            let width = super::summary::width(arguments.width);
            let texts: Vec<String> =
                diffs.iter().map(|diff| diff::render(diff, arguments.all, width, HINTS)).collect();
            super::screen().write_all(texts.join("\n").as_bytes())?;
        }
    }
    if let (Some(path), Some(diff), [a, b]) = (&arguments.html, diffs.first(), &sides[..]) {
        page(path, diff, (a, b), arguments.top)?;
    }
    Ok(if alone.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::FINDINGS) })
}

fn page(
    path: &Path,
    diff: &Diff,
    (a, b): (&ReadSide, &ReadSide),
    top: usize,
) -> anyhow::Result<()> {
    let extent = Extent { top, ..Extent::default() };
    let (Some(first_a), Some(first_b)) = (a.overviews.first(), b.overviews.first()) else {
        return Ok(());
    };
    // Connections of repeats are not paired: the page shows the first recording of each side.
    let aligned = diff::align(&first_a.connections, &first_b.connections, diff.align);
    // The largest of the first that have a counterpart.
    let order = report::largest(first_a, usize::MAX);
    let pairs = order.iter().filter_map(|id| aligned.pairs.iter().find(|pair| pair.a == *id));
    let pairs: Vec<_> = pairs.take(top).collect();
    let chosen = |of: fn(&diff::Pair) -> u64| pairs.iter().map(|p| of(p)).collect::<Vec<_>>();
    let table = diff::table(diff);
    let title = format!("estats: {} against {}", a.name(), b.name());
    let plot = |side: &ReadSide, first: &Overview, which: &str, chosen: &[u64]| {
        let label = format!("{which} {}", side.names[0]);
        report::plot(&side.recordings[0], first.clone(), label, chosen, extent)
    };
    let runs = [plot(a, first_a, "A", &chosen(|p| p.a))?, plot(b, first_b, "B", &chosen(|p| p.b))?];
    let views: Vec<_> = pairs.iter().map(|pair| View::of_pair(&runs, pair.a, pair.b)).collect();
    let page = report::page(
        &title,
        &runs,
        &views,
        &Extra { difference: Some(table), ..Extra::default() },
    )?;
    let written = private::write_named(path, page.as_bytes());
    written.map_err(|e| anyhow!("cannot write {}: {e}", path.display()))?;
    eprintln!("estats-analyze: wrote {}", path.display());
    Ok(())
}
