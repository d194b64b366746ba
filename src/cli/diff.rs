// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `diff`: two recordings against each other.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use estats::diff::{self, Diff};
use estats::log::Recording;
use estats::private;
use estats::replay::Options;
use estats::report::{self, Extent, Overview, View};

use super::print_json;
use super::replay::cpus;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Align {
    /// By role (owner, who opened, which way the data went, service port), the first with the first
    Order,
    /// By addresses and ports
    Tuple,
}

#[derive(Debug, Args)]
#[command(after_help = "Notable is what has a large effect (Cliff's delta from 0.474 on), of at \
                        least 5 %, and an interval without zero if there are six pairs or more to \
                        make one.\n\n\
                        Exit status: 0 compared, 2 wrong usage, or nothing to compare.\n\n\
                        Example: estats-analyze diff cubic bbr --html diff.html")]
pub struct Arguments {
    /// Directory of the first recording
    a: PathBuf,
    /// Directory of the second
    b: PathBuf,
    /// How connections are paired
    #[arg(long, value_enum, default_value = "order")]
    align: Align,
    /// Everything that differs, not only what is notable
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long, conflicts_with = "all")]
    json: bool,
    /// Also a page: the differences, and plots of both runs one over the other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// So many pairs have plots, those with the most octets in the first recording
    #[arg(long, default_value_t = Extent::default().top, value_name = "N")]
    top: usize,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recordings = [super::open(&arguments.a)?, super::open(&arguments.b)?];
    let options = Options { threads: cpus(), ..Options::default() };
    let a = report::overview(&recordings[0], &options)?;
    let b = report::overview(&recordings[1], &options)?;
    let align = match arguments.align {
        Align::Order => diff::Align::Order,
        Align::Tuple => diff::Align::Tuple,
    };
    let diff = diff::diff(&a, &b, align);
    let names = (arguments.a.display().to_string(), arguments.b.display().to_string());
    if diff.pairs.is_empty() {
        return Err(anyhow!(
            "no connection of {} has a counterpart in {} ({} and {} connections): `summary` shows \
             both, --align pairs them in another way",
            names.0,
            names.1,
            a.connections.len(),
            b.connections.len()
        ));
    }
    if arguments.json {
        print_json(&diff)?;
    } else {
        let text = diff::render(&diff, (&names.0, &names.1), arguments.all);
        super::screen().write_all(text.as_bytes())?;
    }
    if let Some(path) = &arguments.html {
        page(path, &diff, &recordings, (a, b), names, arguments.top)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(
    path: &Path,
    diff: &Diff,
    recordings: &[Recording; 2],
    (a, b): (Overview, Overview),
    (name_a, name_b): (String, String),
    top: usize,
) -> anyhow::Result<()> {
    let extent = Extent { top, ..Extent::default() };
    // The largest of the first that have a counterpart.
    let order = report::largest(&a, usize::MAX);
    let pairs = order.iter().filter_map(|id| diff.pairs.iter().find(|pair| pair.a == *id));
    let pairs: Vec<_> = pairs.take(top).collect();
    let chosen = |of: fn(&diff::Pair) -> u64| pairs.iter().map(|p| of(p)).collect::<Vec<_>>();
    let table = diff::table(diff, (&name_a, &name_b));
    let title = format!("estats: {name_a} against {name_b}");
    let runs = [
        report::plot(&recordings[0], a, format!("A {name_a}"), &chosen(|p| p.a), extent)?,
        report::plot(&recordings[1], b, format!("B {name_b}"), &chosen(|p| p.b), extent)?,
    ];
    let views: Vec<_> = pairs.iter().map(|pair| View::of_pair(&runs, pair.a, pair.b)).collect();
    let page = report::page(&title, &runs, &views, Some(&table))?;
    let written = private::create(path).and_then(|mut file| file.write_all(page.as_bytes()));
    written.map_err(|e| anyhow!("cannot write {}: {e}", path.display()))?;
    eprintln!("estats-analyze: wrote {}", path.display());
    Ok(())
}
