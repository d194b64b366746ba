// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `report`: one HTML file.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use estats::log::Recording;
use estats::replay::ReplayOptions;
use estats::util::private;
use estats::views::report::{self, Extent, Extra, Overview, PlotError, View};
use estats::views::summary::Condition;

use super::replay::{cpus, exit_code};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  estats-analyze report run1 && xdg-open run1/report.html\n  \
                        estats-analyze report run1 --conn 17 --conn 4\n  \
                        estats-analyze report run1 --where 'retransmitted > 1%' --pages run1/pages")]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The file [default: RUN/report.html]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Number of connections with plots, senders with the most octets first; the table has all
    #[arg(long, default_value_t = Extent::default().top, value_name = "N")]
    top: usize,
    /// This connection has plots too, and the page opens with the first of them: its conn_id, as in the
    /// summary and the tables. Can be given several times
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    conn: Vec<u64>,
    /// Of --top and --pages: only connections that match this condition, as in `summary`
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<Condition>,
    /// A page for every connection (or those of --where) in this directory, linked from the table
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
    /// Stretches of time into which a plot is cut, each kept as its smallest and largest value
    #[arg(long, default_value_t = Extent::default().stretches, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    stretches: u64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    let extent = Extent { top: arguments.top, stretches: arguments.stretches };
    let options = ReplayOptions { threads: cpus(), ..ReplayOptions::default() };
    let overview = report::overview(&recording, &options)?;
    let lost = overview.lost;
    let name = arguments.run.file_name().unwrap_or(arguments.run.as_os_str());
    let label = name.to_string_lossy().into_owned();
    let matching = matching(&overview, arguments.condition.as_ref());
    let chosen = chosen(&overview, arguments, &matching)?;
    let path = arguments.output.clone().unwrap_or_else(|| arguments.run.join("report.html"));
    let mut extra = Extra::default();
    if let Some(dir) = &arguments.pages {
        pages(&recording, &overview, &label, (dir, &path), &matching, extent)?;
        extra.pages = Some((link(parent(&path), dir)? + "/", matching.clone()));
    }
    let run = report::plot(&recording, overview, label.clone(), &chosen, extent)?;
    let views: Vec<_> = chosen.iter().map(|&id| View::of(&run, id)).collect();
    let page = report::page(&format!("estats: {label}"), &[run], &views, &extra)?;
    let write =
        if arguments.output.is_some() { private::write_named } else { private::write_whole };
    write(&path, page.as_bytes())
        .map_err(|e| anyhow!("cannot write {}: {e}; name another file with -o", path.display()))?;
    writeln!(super::screen(), "{}, {:.1} MB", path.display(), page.len() as f64 / 1e6)?;
    if let Some(dir) = &arguments.pages {
        writeln!(super::screen(), "{}, {} pages", dir.display(), matching.len())?;
    }
    Ok(exit_code(lost))
}

/// The connections that match, those most worth a look first.
fn matching(overview: &Overview, condition: Option<&Condition>) -> Vec<u64> {
    let matches = |id: &u64| {
        condition.is_none_or(|c| overview.connection(*id).is_some_and(|it| c.matches(&it.line)))
    };
    report::largest(overview, usize::MAX).into_iter().filter(matches).collect()
}

/// Those with plots in the page: what was asked for by number, then the first of the others.
fn chosen(
    overview: &Overview,
    arguments: &Arguments,
    matching: &[u64],
) -> anyhow::Result<Vec<u64>> {
    if let Some(id) = arguments.conn.iter().find(|id| overview.connection(**id).is_none()) {
        let n = overview.connections.len();
        return Err(anyhow!(
            "the recording has no connection {id}: it has {n}, whose numbers `summary` shows as ID"
        ));
    }
    let mut seen = BTreeSet::new();
    let top = matching.iter().take(arguments.top);
    Ok(arguments.conn.iter().chain(top).copied().filter(|id| seen.insert(*id)).collect())
}

/// Writes a page of each connection.
fn pages(
    recording: &Recording,
    overview: &Overview,
    label: &str,
    (dir, all): (&Path, &Path),
    ids: &[u64],
    extent: Extent,
) -> anyhow::Result<()> {
    let cannot = |e: io::Error| anyhow!("cannot write pages into {}: {e}", dir.display());
    private::create_dir(dir).map_err(cannot)?;
    let write = |name: &str, text: &str| private::write_whole(&dir.join(name), text.as_bytes());
    write(report::SCRIPT, &report::script()).map_err(cannot)?;
    write(report::STYLE, &report::style()).map_err(cannot)?;
    let name = Path::new(all.file_name().unwrap_or(all.as_os_str()));
    let back = format!("{}/{}", link(dir, parent(all)).map_err(cannot)?, escaped(name));
    let made = report::plot_each(recording, overview, ids, extent.stretches, |conn_id, data| {
        let page = report::single(label, overview, conn_id, &data, &back)?;
        write(&report::file_name(conn_id), &page)
    });
    made.map_err(|e| match e {
        PlotError::Io(e) => cannot(e),
        PlotError::Replay(_) => e.into(),
    })
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A link from one directory to another, both of which are there.
fn link(from: &Path, to: &Path) -> io::Result<String> {
    let (from, to) = (from.canonicalize()?, to.canonicalize()?);
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf =
        [Component::CurDir].into_iter().chain(up).chain(to.components().skip(common)).collect();
    Ok(escaped(&path))
}

/// A path as an address has it.
fn escaped(path: &Path) -> String {
    let mut out = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_one_directory_to_the_other() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (a, b) = (dir.path().join("a"), dir.path().join("b c/d"));
        for dir in [&a, &b] {
            std::fs::create_dir_all(dir).expect("directory");
        }
        assert_eq!(link(&a, &b).expect("a link"), "./../b%20c/d");
        assert_eq!(link(&a, &a).expect("a link"), ".");
        assert_eq!(link(&b, &a).expect("a link"), "./../../a");
    }
}
