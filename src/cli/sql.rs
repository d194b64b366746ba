//! `sql`: the tables as polars sees them.

use std::path::Path;
use std::process::ExitCode;

/// Prints the answer as a table.
#[cfg(feature = "query")]
pub fn run(run: &Path, statement: &str) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;

    let tables = super::replay::ensure_tables(run)?;
    let answer = estats::query::sql(&tables.dir, statement)?;
    writeln!(std::io::stdout().lock(), "{answer}")?;
    Ok(ExitCode::SUCCESS)
}

/// This build has no polars.
#[cfg(not(feature = "query"))]
pub fn run(_run: &Path, _statement: &str) -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "this estats-analyze was built without SQL: build it with `cargo build --release`, which \
         includes the `query` feature"
    )
}
