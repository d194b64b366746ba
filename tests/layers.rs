// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The table of the library's modules in ARCHITECTURE.md against the code: each module knows those of its
//! last column, all of them, and no others; and these stand above it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Libraries that only some modules may use.
const LIBRARIES: &[&str] = &["arrow", "libbpf_rs", "parquet", "pcap_parser", "polars", "zstd"];

/// The modules in the order of the table, each with what it may know.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let page = read(Path::new("ARCHITECTURE.md"));
    let page = page.split_once("### The library").expect("a section of the library").1;
    let rows = page.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [place, _, knows] = cells[..] else { panic!("three cells: {line}") };
            let name =
                place.trim_matches('`').strip_prefix("src/").expect("a place of the library");
            let knows = knows.split(',').map(str::trim).filter(|name| !name.is_empty());
            let name = name.strip_suffix(".rs").expect("a file of the library").to_owned();
            (name, knows.map(str::to_owned).collect())
        })
        .collect()
}

fn read(path: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of a module, without those of its tests.
fn files(module: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(format!("src/{module}.rs"))];
    let mut folders = vec![PathBuf::from(format!("src/{module}"))];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)) else {
            continue; // a module of one file
        };
        for entry in entries {
            let entry = entry.expect("the folder can be read");
            let name = entry.file_name().into_string().expect("UTF-8");
            let path = folder.join(&name);
            if entry.file_type().expect("a type").is_dir() {
                folders.extend((name != "tests" && name != "testing").then_some(path));
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
                found.push(path);
            }
        }
    }
    found
}

/// The code without comments, and without what is compiled for tests alone: the item after `#[cfg(test)]`
/// or `#[cfg(all(test, …))]`, up to the line of its indent that ends it.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let attribute = line.trim();
        if attribute == "#[cfg(test)]" || attribute.starts_with("#[cfg(all(test") {
            let indent = line.len() - attribute.len();
            let ends = |line: &&str| {
                let text = line.trim_start();
                line.len() - text.len() == indent && text.starts_with(['}', ')'])
            };
            let item = lines.by_ref().find(|line| !line.trim_start().starts_with('#'));
            let item = item.expect("an item after its attribute");
            if !item.ends_with([';', '}', ',']) {
                lines.by_ref().find(ends).expect("the end of an item");
            }
            continue;
        }
        out.push_str(line.split_once("//").map_or(line, |(code, _)| code));
        out.push('\n');
    }
    out
}

/// The first names after `root::`, also of `root::{a, b::c}`.
fn named_after(code: &str, root: &str, names: &mut BTreeSet<String>) {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    for (at, found) in code.match_indices(&format!("{root}::")) {
        if code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "_:".contains(c)) {
            continue;
        }
        let rest = &code[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut begins = true;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    names.insert(word(&group[i..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
}

/// The modules of the library and the libraries that code names, in a file so many folders below src/.
fn known(code: &str, depth: usize) -> BTreeSet<String> {
    for hidden in ["use crate as ", "use crate::*", "use crate::{self", "extern crate self"] {
        assert!(!code.contains(hidden), "{hidden:?} hides what is used");
    }
    let mut names = BTreeSet::new();
    named_after(code, "crate", &mut names);
    // The root, from a file of it, and from each folder below.
    named_after(code, &vec!["super"; depth + 1].join("::"), &mut names);
    for library in LIBRARIES {
        let begins = |(at, _): (usize, &str)| {
            let before = &code[..at];
            match before.strip_suffix("::") {
                Some(before) => !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'),
                None => !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'),
            }
        };
        // A module of that name is the file's own, and then the library is named with `::` before it.
        let own = code.contains(&format!("\nmod {library};"));
        let path = if own { format!("::{library}::") } else { format!("{library}::") };
        let renamed = ["use", "use ::"].map(|start| format!("{start} {library} as "));
        let at_path = |at: (usize, &str)| begins((at.0 + if own { 2 } else { 0 }, at.1));
        if code.match_indices(&path).any(at_path) || renamed.iter().any(|r| code.contains(r)) {
            names.insert((*library).to_owned());
        }
    }
    names
}

/// How many folders below src/ a file is.
fn depth(file: &Path) -> usize {
    file.components().count() - 2
}

#[test]
fn each_module_knows_what_the_table_says() {
    let table = table();
    let modules: BTreeSet<&str> = table.iter().map(|(name, _)| name.as_str()).collect();
    let mut wrong = Vec::new();
    let mut above = BTreeSet::new();
    for (module, may_know) in &table {
        let mut knows: BTreeMap<String, String> = BTreeMap::new();
        for file in files(module) {
            for name in known(&code(&read(&file)), depth(&file)) {
                if name != *module
                    && (modules.contains(name.as_str()) || LIBRARIES.contains(&name.as_str()))
                {
                    knows.entry(name).or_insert_with(|| file.display().to_string());
                }
            }
        }
        for (name, file) in &knows {
            if !may_know.contains(name) {
                wrong.push(format!("{module} must not know {name}, which {file} uses"));
            }
        }
        for name in may_know {
            if !knows.contains_key(name) {
                wrong.push(format!("{module} does not use {name}"));
            }
            if !above.contains(name) && !LIBRARIES.contains(&name.as_str()) {
                wrong.push(format!("{name} does not stand above {module}"));
            }
        }
        above.insert(module.clone());
    }
    assert!(wrong.is_empty(), "{} faults\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn every_module_has_a_row() {
    let rows: BTreeSet<String> = table().into_iter().map(|(name, _)| name).collect();
    let library = code(&read(Path::new("src/lib.rs")));
    let modules: BTreeSet<String> = library
        .lines()
        .filter_map(|line| {
            line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ")
        })
        .map(|name| name.trim_end_matches(';').to_owned())
        .collect();
    assert_eq!(rows, modules);
}

/// The programs have no libraries of their own but through the modules that may use them.
#[test]
fn only_modules_of_the_table_know_the_libraries() {
    let mut files = files("cli");
    files.retain(|file| *file != Path::new("src/cli.rs"));
    files.extend(["src/lib.rs", "src/bin/record.rs", "src/bin/analyze.rs"].map(PathBuf::from));
    for file in files {
        let names = known(&code(&read(&file)), depth(&file));
        let used: Vec<_> = LIBRARIES.iter().filter(|library| names.contains(**library)).collect();
        assert!(used.is_empty(), "{}: {used:?}", file.display());
    }
}

#[test]
fn uses_are_found() {
    let code = code(
        "use crate::log::{Manifest, Recording};\n\
         use crate::{rows, time::{ledger::Ledger, key}, wire::Packet};\n\
         // use crate::capture;\n\
         #[cfg(test)]\nmod tests {\n    use crate::testing::hook;\n}\n\
         #[cfg(test)]\nuse crate::{\n    export,\n    query,\n};\n\
         #[cfg(all(test, unix))]\nmod more {\n    use crate::report;\n}\n\
         #[cfg(test)]\nmod more;\n\
         use super::super::capture;\n\
         fn f() { crate::sink::digest(&[]); squares::arrow(); x::parquet::y(); }\n\
         fn g(a: Vec<::polars::Frame>) {}\n",
    );
    let names: Vec<String> = known(&code, 1).into_iter().collect();
    assert_eq!(names, ["capture", "log", "polars", "rows", "sink", "time", "wire"]);
    let own = known("\nmod parquet;\nuse parquet::hex;\n", 0);
    assert!(own.is_empty(), "{own:?}");
    let both = known("\nmod parquet;\nuse ::parquet::errors::ParquetError;\n", 0);
    assert_eq!(both, BTreeSet::from(["parquet".to_owned()]));
}
