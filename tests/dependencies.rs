// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Exceptions of deny.toml are of packages that are in the tree, at the version that they name.

use std::fs;

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
