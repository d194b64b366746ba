//! The written documentation is what the schema says. `BLESS=1 cargo test --test docs` renews it.

use std::fs;
use std::path::Path;

use estats::manual;

#[track_caller]
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).expect("docs can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/{name} is not what the schema says; renew it with BLESS=1 cargo test --test docs"
    );
}

#[test]
fn variables() {
    check("variables.md", &manual::variables_markdown());
}

#[test]
fn tables() {
    check("tables.md", &manual::tables_markdown());
}

#[test]
fn sockets() {
    check("sockets.md", &manual::sockets_markdown());
}
