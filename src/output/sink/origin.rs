// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Where a table comes from, for the metadata of its file.

use std::collections::BTreeMap;

use crate::log::Manifest;
use crate::output::tables::{TableSpec, tables_version};

/// Begins every key: files of others are beside ours.
const PREFIX: &str = "estats.";

/// Which recording a file was made of, and by which rules. Nothing here depends on the program that replays, or on
/// the machine where it does, but for the version of the tables: so the same log still makes the same bytes.
#[derive(Clone, Debug)]
pub struct Origin(Vec<(&'static str, String)>);

impl Origin {
    /// That of a recording's tables.
    pub fn of(manifest: &Manifest) -> Self {
        Self(vec![
            ("recording", manifest.recording.clone()),
            ("host", manifest.host.hostname.clone()),
            ("kernel", manifest.host.kernel_release.clone()),
            ("hook_set", manifest.hook_set.clone()),
            ("tool_version", manifest.tool_version.clone()),
            ("tables_version", tables_version().to_string()),
        ])
    }

    /// Keys and values for the file of a table, in order. What the recording does not know has no key.
    pub fn metadata(&self, table: &TableSpec) -> BTreeMap<String, String> {
        let of_table = [("table", table.name), ("description", table.doc)];
        let of_recording = self.0.iter().map(|(key, value)| (*key, value.as_str()));
        of_table
            .into_iter()
            .chain(of_recording)
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (format!("{PREFIX}{key}"), value.to_owned()))
            .collect()
    }
}
