// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which file a table is in, and what it is.

use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::{MANIFEST, Plain};
use crate::log::Manifest;

/// Formats in which tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Parquet, which every command of this program reads.
    Parquet,
    /// Another.
    Plain(Plain),
}

impl TableFormat {
    /// Arrow's IPC file.
    pub const ARROW: Self = Self::Plain(Plain::Arrow);
    /// CSV.
    pub const CSV: Self = Self::Plain(Plain::Csv);
    /// A JSON object per row.
    pub const JSONL: Self = Self::Plain(Plain::Jsonl);

    /// The end of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Plain(plain) => plain.extension(),
        }
    }

    /// The word in the manifest.
    pub const fn name(self) -> &'static str {
        self.extension()
    }
}

/// Keys of Hive partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// The host's name.
    Host,
    /// The day, UTC, on which the recording began.
    Date,
}

/// Where the files of a recording's tables are, in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `TABLE.parquet`: the directory has one recording.
    Flat,
    /// `TABLE/host=NAME/date=YYYY-MM-DD/RECORDING.parquet`: it has many.
    Hive {
        /// Directories between the table and the file.
        partitions: Vec<String>,
        /// UUID of the recording.
        recording: String,
    },
}

impl Layout {
    /// That of a recording, partitioned by these.
    pub fn new(partitions: &[Partition], manifest: &Manifest) -> Self {
        if partitions.is_empty() {
            return Self::Flat;
        }
        let directory = |partition: &Partition| match partition {
            Partition::Host => format!("host={}", escaped(&manifest.host.hostname)),
            Partition::Date => {
                let began = DateTime::from_timestamp_nanos(manifest.started.realtime_ns as i64);
                format!("date={}", began.format("%Y-%m-%d"))
            }
        };
        Self::Hive {
            partitions: partitions.iter().map(directory).collect(),
            recording: manifest.recording.clone(),
        }
    }

    pub(super) fn file(&self, table: &str, extension: &str) -> String {
        match self {
            Self::Flat => format!("{table}.{extension}"),
            Self::Hive { partitions, recording } => {
                format!("{table}/{}/{recording}.{extension}", partitions.join("/"))
            }
        }
    }

    /// The list of the files. That of one recording among many lies where readers of partitions do
    /// not look.
    pub fn manifest(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Flat => dir.join(MANIFEST),
            Self::Hive { recording, .. } => {
                dir.join("_manifests").join(format!("{recording}.json"))
            }
        }
    }
}

/// A value as Hive writes it into the name of a directory.
fn escaped(value: &str) -> String {
    if value.is_empty() {
        return "__HIVE_DEFAULT_PARTITION__".to_owned();
    }
    value.bytes().fold(String::new(), |mut text, b| {
        if b.is_ascii_alphanumeric() || b"-_.".contains(&b) {
            text.push(char::from(b));
        } else {
            text.push_str(&format!("%{b:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        let mut manifest = Manifest { recording: "u".into(), ..Manifest::default() };
        manifest.host.hostname = "web/1 a".into();
        manifest.started.realtime_ns = 1_767_225_599_000_000_000;
        let of =
            |partitions: &[Partition], m: &Manifest| Layout::new(partitions, m).file("perf", "csv");
        assert_eq!(of(&[], &manifest), "perf.csv");
        let both = [Partition::Host, Partition::Date];
        assert_eq!(of(&both, &manifest), "perf/host=web%2F1%20a/date=2025-12-31/u.csv");
        manifest.host.hostname.clear();
        assert_eq!(of(&both[..1], &manifest), "perf/host=__HIVE_DEFAULT_PARTITION__/u.csv");
        let at = Layout::new(&both, &manifest).manifest(Path::new("d"));
        assert_eq!(at, Path::new("d/_manifests/u.json"));
    }
}
