// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The manual is whole: every page is in its table of contents, every link leads somewhere, every option
//! and every message is described, and what the README shows is what the program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::messages;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Documents of a directory, in the order of their names.
fn documents(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    paths.sort();
    paths
}

/// The lines of a document that are no code: not in a fence, not indented as a block of their own.
fn prose(text: &str) -> Vec<&str> {
    let (mut fenced, mut indented, mut blank) = (false, false, true);
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            indented = line.starts_with("    ") && (blank || indented);
            if !indented {
                lines.push(line);
            }
        }
        blank = line.trim().is_empty();
    }
    lines
}

/// A line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Where the links of a document lead, with their anchors.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next().expect("a first part");
            found.push(target.to_owned());
        }
    }
    found
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        })
        .collect()
}

/// `a/b/../c` is `a/c`.
fn plain(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts
}

#[test]
fn every_link_and_every_anchor_leads_somewhere() {
    let mut wrong = Vec::new();
    let (mut files, mut places) = (0, 0);
    let dirs = ["", "docs", "testdata", "testdata/reference", "testdata/web10g"];
    for document in dirs.into_iter().flat_map(documents) {
        let text = read(&document);
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                document.clone()
            } else {
                plain(&document.parent().expect("a directory").join(file))
            };
            files += 1;
            if !target.exists() {
                wrong.push(format!("{}: there is no {link}", document.display()));
            } else if !anchor.is_empty() {
                places += 1;
                if !anchors(&read(&target)).contains(anchor) {
                    wrong.push(format!("{}: no heading is {link}", document.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files > 200 && places > 30, "{files} links and {places} anchors found");
}

/// mdBook leaves out a page that SUMMARY.md does not name.
#[test]
fn every_page_is_once_in_the_table_of_contents() {
    let summary = links(&read(&root().join("docs/SUMMARY.md")));
    let named: BTreeSet<&str> = summary.iter().map(String::as_str).collect();
    assert_eq!(named.len(), summary.len(), "a page stands twice in docs/SUMMARY.md");
    let pages = documents("docs");
    let pages = pages.iter().map(|path| path.file_name().expect("a name").to_str().expect("UTF-8"));
    let pages: BTreeSet<&str> = pages.filter(|name| *name != "SUMMARY.md").collect();
    assert_eq!(named, pages, "docs/SUMMARY.md and docs/ differ");
    let first = read(&root().join("README.md"));
    assert!(links(&first).iter().any(|link| link == "docs/SUMMARY.md"), "README.md has no link");
}

/// The options that the help of a command lists, with two hyphens, and its commands.
fn help(program: &str, command: Option<&str>) -> (BTreeSet<String>, Vec<String>) {
    let output = Command::new(program).args(command).arg("--help").output().expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut options = BTreeSet::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix("  ") else { continue };
        // "  -o, --output <DIR>", or "      --all".
        let line = line.trim_start();
        let long = if line.starts_with("--") { Some(line) } else { line.get(4..) };
        let is_option = line.starts_with('-') && !line.starts_with("- ");
        if let Some(long) = long.filter(|long| is_option && long.starts_with("--")) {
            let end = long.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            options.insert(long[..end.unwrap_or(long.len())].to_owned());
        }
    }
    let list = text.split("\nCommands:\n").nth(1).unwrap_or_default();
    let list = list.lines().take_while(|line| !line.is_empty());
    let names = list.filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|n| *n != "help");
    (options, names.map(str::to_owned).collect())
}

/// The options that the section of docs/options.md under this heading describes, one in each row.
fn described(page: &str, heading: &str) -> Option<BTreeSet<String>> {
    let section = page.split("\n## ").find(|section| section.lines().next() == Some(heading))?;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" |").next().expect("a first cell"));
    let words = cells.flat_map(|cell| cell.split(['`', ' ', ',', '=', '.']));
    Some(words.filter(|word| word.starts_with("--")).map(str::to_owned).collect())
}

/// Both ways: an option of a program that the page lacks, and one of the page that no program has.
#[track_caller]
fn compare_options(program: &str, name: &str) {
    let page = read(&root().join("docs/options.md"));
    let everywhere = ["--help", "--version"].map(str::to_owned);
    let (of_all, commands) = help(program, None);
    let mut wrong = Vec::new();
    let all = commands.iter().map(|command| Some(command.as_str()));
    for command in [None].into_iter().chain(all) {
        let heading = command.map_or_else(|| name.to_owned(), |c| format!("{name} {c}"));
        let (mut options, _) = help(program, command);
        options.retain(|option| !everywhere.contains(option));
        // --quiet of estats-analyze belongs to every command, and is described once.
        if command.is_some() && name == "estats-analyze" {
            options.retain(|option| !of_all.contains(option));
        }
        let Some(described) = described(&page, &heading) else {
            wrong.push(format!("there is no section \"{heading}\""));
            continue;
        };
        let missing = options.difference(&described);
        wrong.extend(missing.map(|option| format!("{heading}: {option} is not described")));
        let gone = described.difference(&options);
        wrong.extend(gone.map(|option| format!("{heading}: there is no {option}")));
    }
    assert!(commands.len() >= 2, "{commands:?}");
    assert!(wrong.is_empty(), "docs/options.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_option_of_estats_analyze_is_described() {
    compare_options(env!("CARGO_BIN_EXE_estats-analyze"), "estats-analyze");
}

#[cfg(feature = "record")]
#[test]
fn every_option_of_estats_record_is_described() {
    compare_options(env!("CARGO_BIN_EXE_estats-record"), "estats-record");
}

/// The words of each message, as far as they are always the same.
#[test]
fn every_message_is_in_troubleshooting() {
    let page = messages::words(&read(&root().join("docs/troubleshooting.md")));
    let all = messages::all(&root().join("src"));
    assert!(all.len() > 240, "{} messages found", all.len());
    // "1 record was left out" stands before "N records were left out", which is enough.
    let many = |at: usize| {
        let of_replay = |m: &messages::Message| m.place.starts_with("src/cli/replay.rs");
        let next = all.get(at + 1).filter(|next| of_replay(&all[at]) && of_replay(next));
        next.is_some_and(|next| page.contains(&next.fixed))
    };
    let missing: Vec<String> = all
        .iter()
        .enumerate()
        .filter(|(at, message)| !page.contains(&message.fixed) && !many(*at))
        .map(|(_, message)| format!("{}: {}", message.place, message.text))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md lacks {} of {} messages:\n{}",
        missing.len(),
        all.len(),
        missing.join("\n")
    );
}

/// The README shows the summary of a bundled recording.
#[test]
fn the_summary_of_the_readme_is_what_the_program_prints() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    fs::create_dir(&run).expect("a directory");
    for entry in fs::read_dir(root().join("testdata/loss-audited/run")).expect("the recording") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, run.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(["summary", "--width", "100"])
        .arg(&run)
        .output()
        .expect("run");
    let printed = String::from_utf8(output.stdout).expect("text");
    let readme = read(&root().join("README.md"));
    let block = readme.split("```text\n").nth(1).expect("a block of text");
    let block = block.split("\n```").next().expect("its end");
    let shown: Vec<&str> = block.lines().skip(1).collect();
    assert!(shown.len() >= 5, "{shown:?}");
    assert!(block.starts_with("$ estats-analyze summary run1"), "{block}");
    let lines: Vec<&str> = printed.lines().collect();
    for line in shown {
        assert!(
            lines.contains(&line),
            "README.md shows\n{line}\nand the program prints\n{printed}"
        );
    }
}
