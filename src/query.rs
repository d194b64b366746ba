//! SQL over the tables of a replayed recording, by polars.

use std::path::{Path, PathBuf};

use polars::{prelude::*, sql::SQLContext};

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The directory holds no Parquet file.
    #[error("{0} holds no tables: run `estats-analyze replay` first")]
    NoTables(PathBuf),
    /// The directory cannot be listed.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// polars refused the query or a file.
    #[error("the query failed: {0}")]
    Polars(#[from] PolarsError),
}

/// Runs one SQL statement over the tables in `tables`; each Parquet file is a table of its name.
///
/// # Errors
/// [`QueryError`].
pub fn sql(tables: &Path, statement: &str) -> Result<DataFrame, QueryError> {
    let fault = |source| QueryError::Io { path: tables.to_owned(), source };
    let mut files: Vec<_> = std::fs::read_dir(tables)
        .map_err(fault)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    files.retain(|f| f.extension().is_some_and(|e| e == "parquet"));
    if files.is_empty() {
        return Err(QueryError::NoTables(tables.to_owned()));
    }
    let mut context = SQLContext::new();
    for file in files {
        let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let path = PlRefPath::try_from_path(&file)?;
        context.register(&name, LazyFrame::scan_parquet(path, ScanArgsParquet::default())?);
    }
    Ok(context.execute(statement)?.collect()?)
}
