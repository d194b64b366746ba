// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The settings of network namespaces: those of the connections, which need not be the recorder's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Manifest;

/// A network namespace that had recorded connections, with its settings when the first was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its inode number, as in the connections.
    pub netns: u32,
    /// Why its settings are not known; absent where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// CLOCK_MONOTONIC when they were read.
    pub read_ns: u64,
    /// As [`Manifest::sysctls`]; those that the namespace has of its own or may see.
    pub sysctls: BTreeMap<String, String>,
    /// As [`Manifest::qdiscs`].
    pub qdiscs: Vec<String>,
    /// Its interfaces.
    pub interfaces: Vec<NamespaceInterface>,
}

/// An interface of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceInterface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Octets of IP that a packet may have.
    pub mtu: u32,
    /// The queueing discipline at its root.
    pub qdisc: Option<String>,
    /// Octets that a packet may have before it is segmented.
    pub gso_max_bytes: Option<u32>,
    /// Its offloads, by the names of `ethtool -k`; absent if the device does not report them.
    pub offloads: BTreeMap<String, bool>,
}

/// The congestion control of new connections.
const CONGESTION: &str = "net.ipv4.tcp_congestion_control";

impl Namespace {
    /// One line for a person: congestion control, interfaces, and what is not as in `own`, the
    /// sysctls of the recorder's namespace.
    pub fn text(&self, own: &BTreeMap<String, String>) -> String {
        if let Some(reason) = &self.reason {
            return format!("{}: settings not known: {reason}", self.netns);
        }
        let known = |name: &str| self.sysctls.get(name).map_or("unknown", String::as_str);
        let mut text = format!("{}: congestion control {}", self.netns, known(CONGESTION));
        for i in &self.interfaces {
            let qdisc = i.qdisc.as_deref().unwrap_or("unknown");
            text += &format!("; {} mtu {} qdisc {qdisc}", i.name, i.mtu);
            let on = i.offloads.iter().filter(|(_, on)| **on).map(|(name, _)| name.as_str());
            let on: Vec<_> = on.collect();
            if !on.is_empty() {
                text += &format!(" {}", on.join(" "));
            }
        }
        let differs: Vec<_> = self
            .sysctls
            .iter()
            .filter_map(|(name, value)| {
                let own = own.get(name).filter(|own| *own != value)?;
                Some(format!("{name} = {value} ({own})"))
            })
            .collect();
        if !differs.is_empty() {
            text += &format!("; unlike the recorder's (in brackets): {}", differs.join(", "));
        }
        text
    }
}

impl Manifest {
    /// The sysctls that the recorded connections had: where namespaces differ, all values. Those of
    /// the recorder's own namespace where a recording has no others.
    pub fn recorded_sysctls(&self) -> BTreeMap<String, String> {
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.known_namespaces().flat_map(|n| &n.sysctls) {
            let values = values.entry(name).or_default();
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        // Settings that a namespace does not have are those of the host.
        let mut all = self.sysctls.clone();
        all.extend(values.into_iter().map(|(name, values)| (name.to_owned(), values.join(" or "))));
        all
    }

    /// Queueing disciplines of the namespaces that had connections, each line once.
    pub fn recorded_qdiscs(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let all = self.known_namespaces().flat_map(|n| &n.qdiscs);
        let all: Vec<_> = all.filter(|line| seen.insert(*line)).cloned().collect();
        if all.is_empty() { self.qdiscs.clone() } else { all }
    }

    fn known_namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.iter().filter(|n| n.reason.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysctls(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn differences_from_the_recorders_namespace_are_listed() {
        let own = sysctls(&[(CONGESTION, "bbr"), ("net.ipv4.tcp_sack", "1")]);
        let mut namespace = Namespace {
            netns: 7,
            sysctls: sysctls(&[(CONGESTION, "reno"), ("net.ipv4.tcp_sack", "1")]),
            interfaces: vec![NamespaceInterface {
                name: "eth0".to_owned(),
                mtu: 1500,
                qdisc: Some("fq".to_owned()),
                offloads: [("generic-receive-offload".to_owned(), true), ("x".to_owned(), false)]
                    .into(),
                ..NamespaceInterface::default()
            }],
            ..Namespace::default()
        };
        assert_eq!(
            namespace.text(&own),
            "7: congestion control reno; eth0 mtu 1500 qdisc fq generic-receive-offload; unlike the \
             recorder's (in brackets): net.ipv4.tcp_congestion_control = reno (bbr)"
        );
        let mut manifest = Manifest { sysctls: own.clone(), ..Manifest::default() };
        assert_eq!(manifest.recorded_sysctls(), own);
        manifest.namespaces = vec![namespace.clone()];
        assert_eq!(manifest.recorded_sysctls()[CONGESTION], "reno");
        namespace.sysctls = own.clone();
        manifest.namespaces.push(namespace.clone());
        assert_eq!(manifest.recorded_sysctls()[CONGESTION], "reno or bbr");
        namespace.reason = Some("it is gone".to_owned());
        assert_eq!(namespace.text(&own), "7: settings not known: it is gone");
        manifest.namespaces = vec![namespace];
        assert_eq!(manifest.recorded_sysctls(), own);
    }
}
