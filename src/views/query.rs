// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! SQL over the tables of replayed recordings, by polars; the answer is Arrow's.

mod answer;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use polars::prelude::{
    LazyFrame, NULL, ParquetWriter, PlRefPath, PolarsError, ScanArgsParquet, all, col, cols, lit,
    when,
};
use polars::sql::SQLContext;

pub use answer::Answer;

/// The column that every table gains: which recording a row is of.
pub const RUN: &str = "run";

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The directory holds no Parquet file.
    #[error("{0} holds no tables")]
    NoTables(PathBuf),
    /// One recording twice.
    #[error("{0} is named twice: its rows would be counted twice")]
    Twice(String),
    /// A file or directory cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// polars refused the query or a file.
    #[error("the query failed: {0}")]
    Polars(#[from] PolarsError),
    /// The answer has a type that Parquet's readers do not know.
    #[error("the answer cannot be read: {0}")]
    Parquet(#[from] ParquetError),
    /// The answer has a value that its plain type does not hold.
    #[error("the answer cannot be shown: {0}")]
    Arrow(#[from] ArrowError),
}

/// A replayed recording.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name in the column `run`.
    pub name: String,
    /// The directory of its tables.
    pub tables: PathBuf,
}

impl Run {
    fn files(&self) -> Result<Vec<PathBuf>, QueryError> {
        let fault = |source| QueryError::Io { action: "read", path: self.tables.clone(), source };
        let mut files: Vec<_> = std::fs::read_dir(&self.tables)
            .map_err(fault)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()
            .map_err(fault)?;
        files.retain(|f| f.extension().is_some_and(|e| e == "parquet"));
        if files.is_empty() {
            return Err(QueryError::NoTables(self.tables.clone()));
        }
        Ok(files)
    }
}

/// A table of the recordings that have it, with the column `run` before the others.
///
/// One scan over all files, not a union of scans: polars counts the rows of a union in 128 bits, which is
/// a feature of its own.
fn scan(parts: &[(&str, PathBuf)]) -> Result<LazyFrame, PolarsError> {
    const FILE: &str = "file of the recording";
    let paths: Vec<_> =
        parts.iter().map(|(_, file)| PlRefPath::try_from_path(file)).collect::<Result<_, _>>()?;
    let mut run = lit(NULL);
    for ((name, _), path) in parts.iter().zip(&paths).rev() {
        run = when(col(FILE).eq(lit(path.as_str()))).then(lit(*name)).otherwise(run);
    }
    let args =
        ScanArgsParquet { include_file_paths: Some(FILE.into()), ..ScanArgsParquet::default() };
    let rows = LazyFrame::scan_parquet_files(paths.into_iter().collect(), args)?;
    Ok(rows.select([run.alias(RUN), (all() - cols([FILE])).as_expr()]))
}

/// Runs one SQL statement over the recordings; each Parquet file is a table of its name, with the rows
/// of all recordings that have it, in the order in which they are named.
///
/// # Errors
/// [`QueryError`].
pub fn sql(runs: &[Run], statement: &str) -> Result<Answer, QueryError> {
    let mut tables: BTreeMap<String, Vec<(&str, PathBuf)>> = BTreeMap::new();
    for (i, run) in runs.iter().enumerate() {
        if runs[..i].iter().any(|other| other.name == run.name) {
            return Err(QueryError::Twice(run.name.clone()));
        }
        for file in run.files()? {
            let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            tables.entry(name).or_default().push((&run.name, file));
        }
    }
    let mut context = SQLContext::new();
    for (name, parts) in tables {
        context.register(&name, scan(&parts)?);
    }
    let mut frame = context.execute(statement)?.collect()?;
    let mut file = Vec::new();
    ParquetWriter::new(&mut file).finish(&mut frame)?;
    Answer::of(file)
}
