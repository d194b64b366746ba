// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The packages of the tree are what deny.toml allows, and each of its exceptions is still needed.
//!
//! `cargo deny` does the same. It takes longer to build than all other checks take, and Debian 12 has no
//! package of it. What it alone knows, new advisories, needs a network (`make advisories`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::process::Command;

use serde_json::Value as Json;

fn read(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
}

#[test]
fn exceptions_are_of_packages_that_are_there() {
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let reasons: Vec<&str> =
        deny.lines().filter_map(|line| line.strip_prefix("reason = \"")).collect();
    assert_eq!(reasons.len(), deny.matches("[[advisories.ignore]]").count());
    for reason in reasons {
        let mut words = reason.split([' ', ':']);
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        let package = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&package), "{name} {version} is gone: remove its exception");
    }
}

/// The text between quotes after `key`.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split('"').nth(1)
}

/// Version numbers in their order.
fn version(text: &str) -> Vec<u64> {
    text.split(['.', '+', '-']).map_while(|part| part.parse().ok()).collect()
}

/// Cargo.lock has the packages of every feature and platform.
#[test]
fn one_version_of_a_package_but_for_the_exceptions() {
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = quoted(package, "name =").expect("a name");
        versions.entry(name).or_default().push(quoted(package, "version =").expect("a version"));
    }
    let mut older = BTreeSet::new();
    for (name, all) in &mut versions {
        all.sort_by_key(|text| version(text));
        older.extend(all[..all.len() - 1].iter().map(|version| format!("{name}@{version}")));
    }
    let skipped = deny.lines().filter(|line| line.contains("{ crate = "));
    let skipped: BTreeSet<String> = skipped
        .map(|line| {
            let reason = quoted(line, "reason = ").unwrap_or_default();
            assert!(!reason.is_empty(), "{line} has no reason");
            quoted(line, "crate = ").expect("a package").to_owned()
        })
        .collect();
    let new: Vec<_> = older.difference(&skipped).collect();
    assert!(
        new.is_empty(),
        "older versions beside newer ones, which cargo tree -i explains: {new:?}"
    );
    let gone: Vec<_> = skipped.difference(&older).collect();
    assert!(gone.is_empty(), "no longer in the tree twice; remove from skip: {gone:?}");
}

#[test]
fn every_package_is_from_the_one_registry() {
    let lock = read("Cargo.lock");
    let sources: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    let foreign: Vec<_> = sources.iter().filter(|source| !source.contains("crates.io")).collect();
    assert!(sources.len() == 1 && foreign.is_empty(), "{sources:?}");
}

/// The ways in which an expression of SPDX can be met: sets of licences, of which one is enough.
fn ways(expression: &str) -> Vec<BTreeSet<String>> {
    // Before SPDX, cargo took a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let spaced = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    let spaced = spaced.replace(" WITH ", "\0");
    let words: Vec<String> = spaced.split(' ').map(|word| word.replace('\0', " WITH ")).collect();
    let mut words = words.into_iter().peekable();
    let all = either(&mut words);
    assert_eq!(words.next(), None, "the whole expression is read");
    all
}

type Words = Peekable<std::vec::IntoIter<String>>;

fn either(words: &mut Words) -> Vec<BTreeSet<String>> {
    let mut all = together(words);
    while words.next_if(|word| word == "OR").is_some() {
        all.extend(together(words));
    }
    all
}

fn together(words: &mut Words) -> Vec<BTreeSet<String>> {
    let mut all = one(words);
    while words.next_if(|word| word == "AND").is_some() {
        let more = one(words);
        let both = |a: &BTreeSet<String>| -> Vec<_> { more.iter().map(|b| a | b).collect() };
        all = all.iter().flat_map(both).collect();
    }
    all
}

fn one(words: &mut Words) -> Vec<BTreeSet<String>> {
    let word = words.next().expect("an expression of SPDX");
    if word != "(" {
        return vec![BTreeSet::from([word])];
    }
    let all = either(words);
    assert_eq!(words.next().as_deref(), Some(")"));
    all
}

#[test]
fn expressions_of_licences_are_read() {
    let read = |text| ways(text).iter().map(|way| Vec::from_iter(way.clone()).join("+")).collect();
    let all: Vec<String> = read("(MIT OR Apache-2.0) AND Unicode-3.0");
    assert_eq!(all, ["MIT+Unicode-3.0", "Apache-2.0+Unicode-3.0"]);
    let all: Vec<String> = read("MIT/Apache-2.0 WITH LLVM-exception");
    assert_eq!(all, ["MIT", "Apache-2.0 WITH LLVM-exception"]);
    // AND binds first.
    let all: Vec<String> = read("A OR B AND C");
    assert_eq!(all, ["A", "B+C"]);
}

/// For the packages that are built here: the others may not have been downloaded.
#[test]
fn all_licences_are_allowed_ones() {
    let deny = read("deny.toml");
    let allowed = deny.split_once("allow = [").expect("a list").1.split_once(']').expect("its end");
    let allowed: BTreeSet<String> =
        allowed.0.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let features: &[&str] = if cfg!(feature = "query") {
        &["--all-features"]
    } else if cfg!(feature = "record") {
        &["--no-default-features", "--features", "record"]
    } else {
        &["--no-default-features"]
    };
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "{}", packages.len());
    let mut needed = BTreeSet::new();
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let (name, license) = (&package["name"], package["license"].as_str());
        let license = license.unwrap_or_else(|| panic!("{name} states no licence"));
        let ways: Vec<_> =
            ways(license).into_iter().filter(|way| way.is_subset(&allowed)).collect();
        assert!(!ways.is_empty(), "{name}: {license} is not allowed by deny.toml");
        // A licence that some package cannot do without.
        needed.extend(allowed.iter().filter(|a| ways.iter().all(|way| way.contains(*a))).cloned());
    }
    if cfg!(feature = "query") {
        let unneeded: Vec<_> = allowed.difference(&needed).collect();
        assert!(unneeded.is_empty(), "no package needs these licences of deny.toml: {unneeded:?}");
    }
}
