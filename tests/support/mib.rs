// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! MIB counters of a namespace. In a fresh one with a single connection, they are that
//! connection's.

use std::collections::BTreeMap;

use super::netns::Netns;

/// Counters by group and name, as `TcpExt.TCPTimeouts`.
#[derive(Clone, Debug)]
pub struct Mib(BTreeMap<String, u64>);

impl Mib {
    /// Reads /proc/net/snmp and /proc/net/netstat of the namespace.
    pub fn of(netns: &Netns) -> Self {
        let mut counters = BTreeMap::new();
        for file in ["snmp", "netstat"] {
            parse(&netns.proc_net(file), &mut counters);
        }
        Self(counters)
    }

    /// From counters read elsewhere.
    pub fn from_counters(counters: BTreeMap<String, u64>) -> Self {
        Self(counters)
    }

    /// All counters.
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// The counter, `None` if this kernel does not have it.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// The counter; panics if this kernel does not have it.
    pub fn must(&self, name: &str) -> u64 {
        self.get(name).unwrap_or_else(|| panic!("this kernel has no MIB counter {name}"))
    }
}

/// Pairs of lines, `Group: names` and `Group: values`.
fn parse(text: &str, counters: &mut BTreeMap<String, u64>) {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (group, names) = pair[0].split_once(':').expect("a line begins with its group");
        let (same, values) = pair[1].split_once(':').expect("a line begins with its group");
        assert_eq!(group, same, "names and values come in pairs of lines");
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            // Tcp.MaxConn is -1, "no limit", and no counter.
            if let Ok(value) = value.parse() {
                counters.insert(format!("{group}.{name}"), value);
            }
        }
    }
}
