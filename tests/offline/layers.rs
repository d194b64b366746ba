// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The table of the library's modules in ARCHITECTURE.md against the code: each module knows those of its
//! last column, all of them, and no others; and these stand above it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of modules: a module of them is named `folder::module`, and a folder has no code of its own.
const FOLDERS: &[&str] = &["engine", "output", "recordings", "util", "views"];

/// Libraries that only some modules may use.
const LIBRARIES: &[&str] = &["arrow", "libbpf_rs", "parquet", "pcap_parser", "polars", "zstd"];

/// The modules in the order of the table, each with what it may know. A module of a folder has the folder
/// before its name, as in `engine/time`; the last column has the name alone.
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

/// The code without comments, and without what is compiled for tests alone.
fn code(text: &str) -> String {
    let lines = without_tests(text);
    lines.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).fold(
        String::new(),
        |mut out, line| {
            out.push_str(line);
            out.push('\n');
            out
        },
    )
}

/// The text without what is compiled for tests alone: the item after `#[cfg(test)]` or
/// `#[cfg(all(test, …))]`, up to the line of its indent that ends it.
fn without_tests(text: &str) -> String {
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
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// The string literals of Rust code, each with the number of its first line. Comments have none; `\`
/// at the end of a line goes on with the first letter of the next.
fn literals(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    let line = |rest: &str| text[..text.len() - rest.len()].matches('\n').count() + 1;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let before = &rest[..at];
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(begun) = rest.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let first = line(rest);
            if before.trim_end_matches('#').ends_with('r') {
                let end = format!("\"{}", "#".repeat(hashes));
                let (literal, after) = begun.split_once(&end).expect("the end of a raw literal");
                found.push((first, literal.to_owned()));
                rest = after;
            } else {
                let mut literal = String::new();
                let mut letters = begun.char_indices();
                let end = loop {
                    match letters.next().expect("the end of a literal") {
                        (i, '"') => break i,
                        (_, '\\') => match letters.next() {
                            Some((at, '\n')) => {
                                let indent =
                                    begun[at + 1..].len() - begun[at + 1..].trim_start().len();
                                letters = begun.char_indices();
                                letters
                                    .by_ref()
                                    .take_while(|(i, _)| *i < at + indent)
                                    .for_each(drop);
                            }
                            escaped => literal.extend(escaped.map(|(_, c)| c)),
                        },
                        (_, c) => literal.push(c),
                    }
                };
                found.push((first, literal));
                rest = &begun[end + 1..];
            }
        } else if rest.starts_with("'\\") {
            // A character that is escaped: '"' and '\\' begin no literal.
            let end = rest[3..].find('\'').expect("the end of a character");
            rest = &rest[3 + end + 1..];
        } else if rest.starts_with("'\"'") {
            rest = &rest[3..];
        } else {
            rest = &rest[1..];
        }
    }
    found
}

/// Whether a text names a flag of our programs: `--word`, or `-o`, which both have.
fn names_a_flag(text: &str) -> bool {
    let long = text.match_indices("--").any(|(at, _)| {
        !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c))
            && text[at + 2..].starts_with(|c: char| c.is_ascii_lowercase())
    });
    long || text.split(|c: char| c.is_whitespace() || ",;:()`".contains(c)).any(|word| word == "-o")
}

/// Verbs of advice.
const ADVICE: &[&str] = &[
    "cast", "check", "choose", "copy", "cut", "free", "give", "import", "mount", "name", "remove",
    "replay", "run", "see", "take", "try", "use",
];

/// Whether a text tells somebody what to do: a verb of [`ADVICE`] after a semicolon, a colon or ", or", "please", or
/// a command of our programs.
fn advises(text: &str) -> bool {
    let begins = |rest: &str| ADVICE.contains(&word(rest).as_str());
    let after = |mark: &str| text.split(mark).skip(1).any(begins);
    ["; ", ": ", ", or "].into_iter().any(after)
        || text.contains("please ")
        || text.contains("`estats-")
}

/// The modules after `root::`, also of `root::{a, b::c}`, and behind the name of a folder.
fn named_after(code: &str, root: &str, names: &mut BTreeSet<String>) {
    for (at, found) in code.match_indices(&format!("{root}::")) {
        if code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "_:".contains(c)) {
            continue;
        }
        let rest = &code[at + found.len()..];
        let mut insert = |rest: &str| {
            let name = word(rest);
            let inner = rest[name.len()..].strip_prefix("::");
            match inner.filter(|_| FOLDERS.contains(&name.as_str())) {
                Some(inner) if inner.starts_with('{') => named_after(rest, &name, names),
                Some(inner) => drop(names.insert(word(inner))),
                None => drop(names.insert(name)),
            }
        };
        let Some(group) = rest.strip_prefix('{') else {
            insert(rest);
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
                    insert(&group[i..]);
                    begins = false;
                }
                _ => {}
            }
        }
    }
}

/// The modules of the library and the libraries that code names, in a file `depth` folders below src/.
fn known(code: &str, depth: usize, in_folder: bool) -> BTreeSet<String> {
    for hidden in ["use crate as ", "use crate::*", "use crate::{self", "extern crate self"] {
        assert!(!code.contains(hidden), "{hidden:?} hides what is used");
    }
    let mut names = BTreeSet::new();
    named_after(code, "crate", &mut names);
    // The root, from a file of it, and from each folder below.
    named_after(code, &vec!["super"; depth + 1].join("::"), &mut names);
    // The folder of a module, from its file and from each folder below.
    if let Some(depth) = in_folder.then_some(depth).filter(|depth| *depth > 0) {
        named_after(code, &vec!["super"; depth].join("::"), &mut names);
        names.remove("super");
    }
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

/// A module without its folder.
fn leaf(module: &str) -> &str {
    module.rsplit('/').next().expect("a name")
}

/// How many folders below src/ a file is.
fn depth(file: &Path) -> usize {
    file.components().count() - 2
}

#[test]
fn each_module_uses_the_modules_of_its_row() {
    let table = table();
    let modules: BTreeSet<&str> = table.iter().map(|(name, _)| leaf(name)).collect();
    assert_eq!(modules.len(), table.len(), "two modules of one name");
    let mut wrong = Vec::new();
    let mut above = BTreeSet::new();
    for (module, may_know) in &table {
        let mut knows: BTreeMap<String, String> = BTreeMap::new();
        for file in files(module) {
            for name in known(&code(&read(&file)), depth(&file), module.contains('/')) {
                if name == leaf(module) || name == "testing" {
                    continue;
                }
                // Re-exports of the root hide the module of an item.
                if !modules.contains(name.as_str()) && !LIBRARIES.contains(&name.as_str()) {
                    wrong.push(format!("{} names {name} by the root", file.display()));
                    continue;
                }
                knows.entry(name).or_insert_with(|| file.display().to_string());
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
        above.insert(leaf(module).to_owned());
    }
    assert!(wrong.is_empty(), "{} faults\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn every_module_has_a_row() {
    let rows: BTreeSet<String> = table().into_iter().map(|(name, _)| name).collect();
    let declared = |file: &str| -> Vec<String> {
        let text = code(&read(Path::new(file)));
        let lines = text.lines().filter_map(|line| {
            let line = line.trim_start_matches("#[doc(hidden)] ");
            line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ")
        });
        lines.map(|name| name.trim_end_matches(';').to_owned()).collect()
    };
    let mut modules = BTreeSet::new();
    for name in declared("src/lib.rs") {
        if FOLDERS.contains(&name.as_str()) {
            let inner = declared(&format!("src/{name}.rs"));
            modules.extend(inner.into_iter().map(|module| format!("{name}/{module}")));
        } else {
            modules.insert(name);
        }
    }
    assert_eq!(rows, modules);
}

/// The programs have no libraries of their own but through the modules that may use them.
#[test]
fn only_modules_of_the_table_use_their_libraries() {
    let mut files = files("cli");
    files.retain(|file| *file != Path::new("src/cli.rs"));
    files.extend(["src/lib.rs", "src/bin/record.rs", "src/bin/analyze.rs"].map(PathBuf::from));
    for file in files {
        let names = known(&code(&read(&file)), depth(&file), false);
        let used: Vec<_> = LIBRARIES.iter().filter(|library| names.contains(**library)).collect();
        assert!(used.is_empty(), "{}: {used:?}", file.display());
    }
}

/// Exceptions: files of the library that name flags, and why.
const NAME_FLAGS: &[(&str, &str)] = &[
    ("src/views/manual.rs", "it writes the generated documents"),
    ("src/schema/rule.rs", "the dictionary of variables says which flag gives a rule its limit"),
    ("src/output/tables/audit.rs", "the dictionary of tables says which flag makes rows"),
    ("src/output/tables/flows.rs", "the dictionary of tables says which flag makes rows"),
    ("src/output/tables/series.rs", "the dictionary of tables says which flag makes rows"),
    ("src/output/tables/sockets.rs", "the dictionary of tables says which flag makes rows"),
];

/// Files of the library that advise all the same, and why.
const ADVISE: &[(&str, &str)] = &[
    ("src/views/manual.rs", "it writes the generated documents"),
    (
        "src/recordings/transform/merge/compatible.rs",
        "what gives the same result is another operation of the library",
    ),
    ("src/schema/variables/perf_traffic.rs", "the dictionary of variables leads to another"),
];

/// The errors of the library name the fault; which flag helps is known where flags are (`src/cli`, `src/bin`).
#[test]
fn no_text_of_the_library_names_a_flag() {
    no_text_but_of(NAME_FLAGS, names_a_flag);
}

/// What to do about an error is known to the programs, too (`src/cli/advice.rs`).
#[test]
fn no_text_of_the_library_gives_advice() {
    no_text_but_of(ADVISE, advises);
}

/// No text of the library is such, but in the excused files, each of which has one.
fn no_text_but_of(excuses: &[(&str, &str)], is_such: fn(&str) -> bool) {
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    let modules = table().into_iter().flat_map(|(module, _)| files(&module));
    for file in modules.chain([PathBuf::from("src/lib.rs")]) {
        let name = file.display().to_string();
        let text = without_tests(&read(&file));
        for (_, literal) in literals(&text).into_iter().filter(|(_, text)| is_such(text)) {
            match excuses.iter().find(|(excused, _)| *excused == name) {
                Some((file, _)) => {
                    excused.insert(*file);
                }
                None => wrong.push(format!("{name}: {literal:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} texts\n  {}", wrong.len(), wrong.join("\n  "));
    let listed: BTreeSet<_> = excuses.iter().map(|(file, _)| *file).collect();
    assert_eq!(excused, listed, "an exception that nothing needs");
}

#[test]
fn texts_and_flags_in_them_are_found() {
    let found = literals(
        "let a = \"one \\\n    two\"; // \"a comment\"\n/// \"another\"\n\
         let b = r#\"raw \" text\"#; let c = ['\"', '\\'', '\\\\']; f::<'a>(\"\\\"q\\\"\");\n",
    );
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["one two", "raw \" text", "\"q\""]);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4, 4]);
    for flag in ["use --force", "--port", "(--top)", "choose with -o", "-o, and", "`--hooks`"] {
        assert!(names_a_flag(flag), "{flag}");
    }
    for none in ["->", "--", "a -- b", "2--x", "well-known", "-", "minus -one"] {
        assert!(!names_a_flag(none), "{none}");
    }
    for advice in
        ["no BTF: use another", "it is full; try again", "please report", "or see, or run it"]
    {
        assert!(advises(advice), "{advice}");
    }
    for none in ["use", "cannot use it", "used: useful", "name: nameless"] {
        assert!(!advises(none), "{none}");
    }
}

/// Lines of a file: longer ones have more than one thing to do.
const LINES: usize = 600;

/// The sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder);
        let entries = fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for entry in entries {
            let entry = entry.expect("the folder can be read");
            let path = folder.join(entry.file_name());
            let ending = path.extension().and_then(|ending| ending.to_str());
            if entry.file_type().expect("a type").is_dir() {
                folders.push(path);
            } else if matches!(ending, Some("rs" | "c" | "h" | "js" | "css" | "py" | "sh")) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn no_file_is_too_long() {
    let mut files = vec![PathBuf::from("build.rs")];
    for folder in ["src", "bpf", "tests", "scripts"] {
        let found = sources(Path::new(folder));
        assert!(found.len() > 5, "{folder} has no sources as this test looks for them");
        files.extend(found);
    }
    let lines = |file: &PathBuf| read(file).lines().count();
    let mut long: Vec<_> = files.iter().map(|file| (lines(file), file)).collect();
    long.retain(|(lines, _)| *lines > LINES);
    assert!(long.is_empty(), "more than {LINES} lines: {long:?}");
}

/// A file that no `mod` reaches is not compiled: its tests would never run, and never fail.
#[test]
fn every_file_is_compiled() {
    let files: Vec<_> = ["src", "tests"].iter().flat_map(|f| sources(Path::new(f))).collect();
    let is_rust = |file: &&PathBuf| file.extension().is_some_and(|ending| ending == "rs");
    let files: Vec<_> = files.iter().filter(is_rust).collect();
    let texts: BTreeMap<&Path, String> = files.iter().map(|f| (f.as_path(), read(f))).collect();
    let reaches = |file: &Path, line: &str| {
        texts.get(file).is_some_and(|text| {
            let mut code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
            code.any(|l| l.trim_end().ends_with(line))
        })
    };
    let lost: Vec<_> = files
        .iter()
        .filter(|file| {
            let folder = file.parent().expect("a folder");
            let name =
                |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
            let stem = file.file_stem().expect("a name").to_string_lossy();
            if ["main", "lib"].contains(&&*stem) || folder == Path::new("src/bin") {
                return false;
            }
            let line = format!("mod {stem};");
            let parents = ["mod.rs", "main.rs", "lib.rs"].map(|parent| folder.join(parent));
            let beside = folder.with_extension("rs");
            let by_name = parents.iter().chain([&beside]);
            let by_path = format!("/{}/{}\"]", name(folder), name(file));
            let by_near_path = format!("\"{}/{}\"]", name(folder), name(file));
            let is_reached = by_name.into_iter().any(|parent| reaches(parent, &line))
                || texts.keys().any(|file| reaches(file, &by_path) || reaches(file, &by_near_path));
            !is_reached
        })
        .collect();
    assert!(files.len() > 200 && lost.is_empty(), "no `mod` reaches {lost:?}");
}

#[test]
fn uses_are_found() {
    let code = code(
        "use crate::log::{Manifest, Recording};\n\
         use crate::{engine::{rows, time::{timeline::Timeline, key}}, wire::Packet};\n\
         // use crate::capture;\n\
         #[cfg(test)]\nmod tests {\n    use crate::testing::hook;\n}\n\
         #[cfg(test)]\nuse crate::{\n    export,\n    query,\n};\n\
         #[cfg(all(test, unix))]\nmod more {\n    use crate::report;\n}\n\
         #[cfg(test)]\nmod more;\n\
         use super::super::capture;\n\
         fn f() { crate::output::sink::digest(&[]); squares::arrow(); x::parquet::y(); }\n\
         fn g(a: Vec<::polars::Frame>) {}\n",
    );
    let names: Vec<String> = known(&code, 1, false).into_iter().collect();
    assert_eq!(names, ["capture", "log", "polars", "rows", "sink", "time", "wire"]);
    let sibling = known("use super::flows::Flow;\nuse super::super::log;\n", 1, true);
    assert_eq!(sibling, BTreeSet::from(["flows".to_owned(), "log".to_owned()]));
    let own = known("\nmod parquet;\nuse parquet::hex;\n", 0, false);
    assert!(own.is_empty(), "{own:?}");
    let both = known("\nmod parquet;\nuse ::parquet::errors::ParquetError;\n", 0, false);
    assert_eq!(both, BTreeSet::from(["parquet".to_owned()]));
}
