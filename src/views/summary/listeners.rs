// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether connections could not get in: some lines per network namespace.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Columns, endpoint};
use crate::output::sink::SinkError;

const NETNS: [&str; 3] = ["netns_ListenOverflows", "netns_ListenDrops", "netns_TCPReqQFullDrop"];

/// The counts of a namespace during the recording, and its listening sockets that were full, two lines
/// each.
#[derive(Debug, Default)]
struct Namespace {
    counted: [Option<i64>; NETNS.len()],
    full: Vec<String>,
}

/// Lines about network namespaces whose listening sockets did not take a connection during the
/// recording, in order of the namespaces' numbers; `dir` has the tables.
///
/// # Errors
/// [`SinkError`] if the table is missing or cannot be read.
pub fn not_taken(dir: &Path) -> Result<Vec<String>, SinkError> {
    let numbers = [
        "netns",
        "local_port",
        "polls",
        "accept_queue_max",
        "accept_queue_limit",
        "accept_queue_full_polls",
    ];
    let names: Vec<_> = numbers.into_iter().chain(NETNS).chain(["local_address"]).collect();
    let columns = Columns::read(&dir.join("listeners.parquet"), &names)?;
    let [netns, port, polls, most, limit, full] = numbers.map(|name| columns.ints(name));
    let counted = NETNS.map(|name| columns.ints(name));
    let mut all: BTreeMap<i64, Namespace> = BTreeMap::new();
    for (i, address) in columns.texts("local_address").into_iter().enumerate() {
        let of = all.entry(netns[i].unwrap_or_default()).or_default();
        of.counted = counted.each_ref().map(|of| of[i]);
        if let (Some(most), Some(limit), Some(full)) = (most[i], limit[i], full[i])
            && full > 0
        {
            let port = port[i].and_then(|port| u16::try_from(port).ok());
            of.full.push(endpoint(address.as_deref().unwrap_or("?"), port));
            of.full.push(format!(
                "  accept queue full at {full} of {} polls, up to {most} waited, backlog {limit}",
                polls[i].unwrap_or_default(),
            ));
        }
    }
    Ok(all.into_iter().flat_map(|(netns, of)| of.lines(netns)).collect())
}

impl Namespace {
    /// Lines that fit a terminal.
    fn lines(&self, netns: i64) -> Vec<String> {
        let none = |count: &Option<i64>| count.is_none_or(|n| n == 0);
        if self.counted.iter().all(none) && self.full.is_empty() {
            return Vec::new();
        }
        let shown = |count: Option<i64>| count.map_or("not known".to_owned(), |n| n.to_string());
        let [overflows, drops, queue_full] = self.counted.map(shown);
        let mut lines = vec![
            format!("connections that could not get in, network namespace {netns}:"),
            format!(
                "  ListenOverflows {overflows}, ListenDrops {drops}, TCPReqQFullDrop {queue_full}"
            ),
        ];
        lines.extend(self.full.iter().map(|line| format!("  {line}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_lines_appear_only_with_dropped_connections() {
        assert_eq!(Namespace::default().lines(7), Vec::<String>::new());
        let namespace =
            Namespace { counted: [Some(5), Some(6), None], full: vec!["127.0.0.1:80".to_owned()] };
        assert_eq!(
            namespace.lines(7),
            [
                "connections that could not get in, network namespace 7:",
                "  ListenOverflows 5, ListenDrops 6, TCPReqQFullDrop not known",
                "  127.0.0.1:80",
            ]
        );
    }
}
