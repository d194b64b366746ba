// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! docs/coverage.md: what each hook set gives on each kernel, by the kernels' own word.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use estats::schema::Var;
use serde_json::Value as Json;

use crate::rows;
use crate::sets::{self, NEWEST};
use crate::visit::Visit;

/// Words of the document and what they are in the table.
const SIGNS: [(&str, &str); 5] = [
    ("exact", "exact"),
    ("sampled", "sampled"),
    ("approximate", "approx."),
    ("constant", "const."),
    ("missing", "-"),
];
const VARIABLES: &str = "## Variables";
const HOOKS: &str = "## Hook points";
const REASONS: &str = "## What does not attach, and why";
const ATTACHED: &str = "yes";
const ABSENT: &str = "no";
/// What a manifest's reasons begin with where an option was not given.
const NOT_ASKED_FOR: &str = "only with ";

/// A column: kernel series and hook set, as `6.12 fentry`. By number, not by text: 6.12 is later
/// than 6.2. The newest kernel is last, whatever its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    series: Vec<u32>,
    set: String,
}

impl Name {
    /// The column of a series, `6.12`, and a hook set.
    pub fn new(series: &str, set: &str) -> Self {
        let series = if series == NEWEST {
            vec![u32::MAX]
        } else {
            series.split('.').map(|n| n.parse().expect("a series is numbers")).collect()
        };
        Self { series, set: set.to_owned() }
    }

    fn parse(text: &str) -> Self {
        let (series, set) = text.split_once(' ').expect("a column is a series and a hook set");
        Self::new(series, set)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.series == [u32::MAX] {
            return write!(f, "{NEWEST} {}", self.set);
        }
        let series: Vec<String> = self.series.iter().map(u32::to_string).collect();
        write!(f, "{} {}", series.join("."), self.set)
    }
}

/// What one kernel gives with one hook set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Quality by variable.
    qualities: BTreeMap<String, String>,
    /// Whether it attached, by `hook (point)`.
    hooks: BTreeMap<String, bool>,
    /// Why not.
    reasons: BTreeMap<String, String>,
}

/// All columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix(pub BTreeMap<Name, Column>);

impl Column {
    /// Of a hook set that was recorded in a guest.
    pub fn in_guest(visit: &Visit, set: &str) -> Result<Self, String> {
        let of = |set: &str| visit.manifest(set).and_then(|manifest| Self::of(&manifest));
        let everything = sets::of(visit.series).iter().find(|set| set.has_everything());
        let everything = everything.ok_or("no recording with all hooks")?;
        Ok(of(set)?.with_what_was_not_asked_for(&of(everything.name)?))
    }

    /// From a manifest, or the output of `estats-record check --json`, which report it alike.
    pub fn of(json: &Json) -> Result<Self, String> {
        let mut column = Self { qualities: rows::qualities(json)?, ..Self::default() };
        for hook in json["hooks"].as_array().ok_or("no list of hooks")? {
            let word = |key: &str| hook[key].as_str().unwrap_or_default();
            let name = format!("{} ({})", word("hook"), word("point"));
            let attached = hook["attached"].as_bool().ok_or("a hook attaches or does not")?;
            if !attached {
                column.reasons.insert(name.clone(), word("reason").to_owned());
            }
            column.hooks.insert(name, attached);
        }
        Ok(column)
    }

    /// For hooks that were not asked for: what the recording with all hooks reports of them. They are the same
    /// programs in every hook set.
    pub fn with_what_was_not_asked_for(mut self, everything: &Self) -> Self {
        let (unasked, reasons): (BTreeMap<_, _>, _) =
            self.reasons.into_iter().partition(|(_, reason)| reason.starts_with(NOT_ASKED_FOR));
        self.reasons = reasons;
        for name in unasked.into_keys() {
            let attached = everything.hooks.get(&name);
            let attached = *attached.unwrap_or_else(|| panic!("no recording has {name}"));
            let why = everything.reasons.get(&name);
            self.reasons.extend(why.map(|why| (name.clone(), why.clone())));
            self.hooks.insert(name, attached);
        }
        self
    }

    fn count(&self, quality: &str) -> usize {
        self.qualities.values().filter(|q| *q == quality).count()
    }
}

impl Matrix {
    /// The document.
    pub fn markdown(&self) -> String {
        let mut out = String::from(
            "# Coverage\n\n\
             Written by `make coverage` from the manifests of recordings in a guest with \
             each kernel, and from `estats-record check` on the kernel that ran the tests; \
             do not edit. A column is a kernel series and a hook set. *exact* is the value as it is defined. *sampled* is \
             the right value, read at other times. *approx.* is an estimate. *const.* is a value \
             that cannot change on today's kernels. *-* is missing: NULL in every table.\n\n## Totals\n\n",
        );
        let row = |out: &mut String, first: &str, cell: &dyn Fn(&Column) -> String| {
            let cells: Vec<String> = self.0.values().map(cell).collect();
            let _ = writeln!(out, "| {first} | {} |", cells.join(" | "));
        };
        let head = |out: &mut String, first: &str| {
            let names: Vec<String> = self.0.keys().map(Name::to_string).collect();
            let _ = writeln!(out, "| {first} | {} |", names.join(" | "));
            let _ = writeln!(out, "|---|{}", "---|".repeat(names.len()));
        };
        head(&mut out, "variables");
        for (quality, _) in SIGNS {
            row(&mut out, quality, &|column| column.count(quality).to_string());
        }
        let _ = writeln!(out, "\n{VARIABLES}\n");
        head(&mut out, "variable");
        for var in Var::ALL {
            row(&mut out, var.name(), &|column| {
                let quality = column.qualities.get(var.name()).map(String::as_str);
                let sign = SIGNS.iter().find(|(word, _)| Some(*word) == quality);
                sign.map_or("?", |sign| sign.1).to_owned()
            });
        }
        let _ = writeln!(out, "\n{HOOKS}\n");
        head(&mut out, "hook");
        for hook in self.hooks() {
            row(&mut out, hook, &|column| {
                let attached = column.hooks.get(hook);
                attached.map_or("", |yes| if *yes { ATTACHED } else { ABSENT }).to_owned()
            });
        }
        let _ = writeln!(out, "\n{REASONS}");
        for (name, column) in &self.0 {
            if !column.reasons.is_empty() {
                let _ = writeln!(out, "\n{name}:\n");
            }
            for (hook, reason) in &column.reasons {
                let _ = writeln!(out, "- {hook}: {reason}");
            }
        }
        out
    }

    fn hooks(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|column| column.hooks.keys().map(String::as_str)).collect()
    }

    /// Reads the document back.
    pub fn parse(text: &str) -> Self {
        let mut matrix = Self::default();
        let (mut section, mut names) = (String::new(), Vec::new());
        let mut of = None;
        for line in text.lines() {
            if line.starts_with("## ") {
                section = line.to_owned();
                names.clear();
            } else if let Some(cells) = line.strip_prefix("| ") {
                let mut cells = cells.trim_end_matches('|').split('|').map(str::trim);
                let first = cells.next().unwrap_or_default();
                if names.is_empty() {
                    names = cells.map(Name::parse).collect();
                    continue;
                }
                for (name, cell) in names.iter().zip(cells) {
                    let column = matrix.0.entry(name.clone()).or_default();
                    let quality = SIGNS.iter().find(|(_, sign)| *sign == cell);
                    if section == VARIABLES
                        && let Some((quality, _)) = quality
                    {
                        column.qualities.insert(first.to_owned(), (*quality).to_owned());
                    } else if section == HOOKS && !cell.is_empty() {
                        column.hooks.insert(first.to_owned(), cell == ATTACHED);
                    }
                }
            } else if section == REASONS {
                if let Some(reason) = line.strip_prefix("- ") {
                    let (hook, reason) = reason.split_once("): ").expect("a hook and a reason");
                    let column: &mut Column =
                        matrix.0.get_mut(of.as_ref().expect("a column")).expect("it has hooks");
                    column.reasons.insert(format!("{hook})"), reason.to_owned());
                } else if let Some(name) = line.strip_suffix(':') {
                    of = Some(Name::parse(name));
                }
            }
        }
        matrix
    }

    /// Takes these columns, keeping the others: of kernels that were not here to be asked.
    pub fn renew(&mut self, columns: &Self) {
        self.0.extend(columns.0.clone());
    }

    /// Where these columns are not as they were. Not the reasons: they name errors and functions
    /// that change from one patch version to the next without any quality doing so.
    pub fn differences(&self, columns: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (name, now) in &columns.0 {
            let Some(was) = self.0.get(name) else {
                differences.push(format!("{name}: a new column"));
                continue;
            };
            let mut tell = |what: &str, was: &dyn std::fmt::Debug, now: &dyn std::fmt::Debug| {
                differences.push(format!("{name}: {what} was {was:?} and is {now:?}"));
            };
            for key in was.qualities.keys().chain(now.qualities.keys()).collect::<BTreeSet<_>>() {
                let (was, now) = (was.qualities.get(key), now.qualities.get(key));
                if was != now {
                    tell(key, &was, &now);
                }
            }
            for key in was.hooks.keys().chain(now.hooks.keys()).collect::<BTreeSet<_>>() {
                let (was, now) = (was.hooks.get(key), now.hooks.get(key));
                if was != now {
                    tell(key, &was, &now);
                }
            }
        }
        differences
    }
}

/// Compares with docs/coverage.md, or writes it with `BLESS=1`.
pub fn check(columns: &Matrix) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/coverage.md");
    let mut committed = Matrix::parse(&std::fs::read_to_string(&path).unwrap_or_default());
    if std::env::var_os("BLESS").is_some() {
        committed.renew(columns);
        std::fs::write(&path, committed.markdown()).expect("docs can be written");
        return;
    }
    let differences = committed.differences(columns);
    assert!(
        differences.is_empty(),
        "docs/coverage.md differs from the guests' results; renew it with make coverage\n  {}",
        differences.join("\n  ")
    );
}

#[test]
fn the_coverage_table_reads_back() {
    let check = |quality: &str, attached: bool, reason: &str| {
        let variables: Vec<Json> = Var::ALL
            .iter()
            .map(|var| serde_json::json!({ "name": var.name(), "quality": quality }))
            .collect();
        let hook = serde_json::json!({
            "hook": "h", "point": "fentry+fexit/f, g", "attached": attached, "reason": reason,
        });
        serde_json::json!({ "variables": variables, "hooks": [hook] })
    };
    let mut matrix = Matrix::default();
    for (series, set, quality, attached) in [
        (NEWEST, "fentry", "exact", true),
        ("6.12", "fentry", "exact", true),
        ("6.2", "kprobe", "missing", false),
    ] {
        let column = Column::of(&check(quality, attached, "no (such): thing")).expect("JSON");
        matrix.0.insert(Name::new(series, set), column);
    }
    assert_eq!(Matrix::parse(&matrix.markdown()), matrix);
    assert_eq!(
        matrix.0.keys().map(Name::to_string).collect::<Vec<_>>(),
        ["6.2 kprobe", "6.12 fentry", "newest fentry"]
    );
    let changed = Column::of(&check("sampled", true, "")).expect("JSON");
    let changed = Matrix([(Name::new("6.2", "kprobe"), changed)].into());
    assert_eq!(matrix.differences(&changed).len(), Var::ALL.len() + 1, "every quality, one hook");
}

#[test]
fn a_hook_that_was_not_asked_for_is_reported_as_of_a_recording_of_everything() {
    let of = |attached: bool, reason: Option<&str>| {
        let hook = serde_json::json!({ "hook": "h", "point": "p", "attached": attached, "reason": reason });
        Column::of(&serde_json::json!({ "variables": [], "hooks": [hook] })).expect("JSON")
    };
    let (attaches, cannot) = (of(true, None), of(false, Some("no symbol")));
    let not_asked_for = of(false, Some("only with snapshots"));
    assert_eq!(not_asked_for.clone().with_what_was_not_asked_for(&attaches), attaches);
    assert_eq!(not_asked_for.with_what_was_not_asked_for(&cannot), cannot);
    assert_eq!(cannot.clone().with_what_was_not_asked_for(&attaches), cannot);
}
