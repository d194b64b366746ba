// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which connection of one recording stands beside which of the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Serialize, Serializer};

use crate::report::Connection;

/// Ports from here on are given out by Linux to those who do not ask for one
/// (net.ipv4.ip_local_port_range): they say nothing of what a connection is for.
const EPHEMERAL: u16 = 32_768;

/// How connections are paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// The first of a role with the first of the same role, the second with the second, in order of
    /// their beginnings; then what is left likewise, whoever owns it.
    Order,
    /// Same addresses and ports, of several the first with the first.
    Tuple,
}

/// What a connection is for, as far as it can be known without its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    /// Who opened it.
    pub opened_by: String,
    /// Command name of the owner; none if it is not known, or does not matter.
    pub owner: Option<String>,
    /// Port of the end that was connected to, unless the system gave it out.
    pub service: Option<u16>,
    /// It sent more than it received.
    pub sends: bool,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.sends { "sends" } else { "receives" };
        let owner = self.owner.as_deref().unwrap_or("any program");
        write!(f, "{owner}, opened by {}, {way}", self.opened_by)?;
        self.service.map_or(Ok(()), |port| write!(f, ", port {port}"))
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Role {
    /// Of a connection.
    pub fn of(connection: &Connection) -> Self {
        let line = &connection.line;
        let opened_by = line.opened_by.clone().unwrap_or_else(|| "unknown".to_owned());
        let service = if opened_by == "remote" { &line.local } else { &line.remote };
        let service = service.as_deref().and_then(|end| end.rsplit_once(':')?.1.parse().ok());
        let owner = line.owner.as_deref().and_then(|owner| Some(owner.rsplit_once('/')?.0));
        Self {
            opened_by,
            owner: owner.map(str::to_owned),
            service: service.filter(|&port| port < EPHEMERAL),
            sends: line.octets_acked.unwrap_or(0) > line.octets_received.unwrap_or(0),
        }
    }
}

/// Two connections side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// What both are for; with [`Align::Tuple`] as the first has it.
    pub role: Role,
    /// Number of the connection in the first recording.
    pub a: u64,
    /// Number of the connection in the second.
    pub b: u64,
}

/// What came of pairing.
#[derive(Clone, Debug, Default)]
pub struct Aligned {
    /// The pairs, in the order of the first recording.
    pub pairs: Vec<Pair>,
    /// Those of the first recording that are left.
    pub only_a: Vec<u64>,
    /// Those of the second.
    pub only_b: Vec<u64>,
}

/// Pairs the connections of two recordings.
pub fn align(a: &[Connection], b: &[Connection], align: Align) -> Aligned {
    let ids = |connections: &[Connection]| {
        let mut order: Vec<usize> = (0..connections.len()).collect();
        order.sort_by_key(|&i| (connections[i].begin_ns, connections[i].conn_id()));
        order
    };
    let mut aligned = Aligned::default();
    let (mut left_a, mut left_b) = (ids(a), ids(b));
    match align {
        Align::Tuple => {
            let end = |end: &Option<String>| end.clone().unwrap_or_default();
            let key = |c: &Connection| format!("{} {}", end(&c.line.local), end(&c.line.remote));
            pass(a, b, &mut left_a, &mut left_b, &key, &Role::of, &mut aligned);
        }
        Align::Order => {
            pass(a, b, &mut left_a, &mut left_b, &Role::of, &Role::of, &mut aligned);
            // Another program before than after, or another name of the same.
            let anyone = |c: &Connection| Role { owner: None, ..Role::of(c) };
            pass(a, b, &mut left_a, &mut left_b, &anyone, &anyone, &mut aligned);
        }
    }
    aligned.pairs.sort_by_key(|pair| pair.a);
    let rest = |connections: &[Connection], left: &[usize]| {
        let mut ids: Vec<_> = left.iter().map(|&i| connections[i].conn_id()).collect();
        ids.sort_unstable();
        ids
    };
    (aligned.only_a, aligned.only_b) = (rest(a, &left_a), rest(b, &left_b));
    aligned
}

/// Pairs what has the same key, the first with the first; leaves the rest.
fn pass<K: Ord>(
    a: &[Connection],
    b: &[Connection],
    left_a: &mut Vec<usize>,
    left_b: &mut Vec<usize>,
    key: &impl Fn(&Connection) -> K,
    role: &impl Fn(&Connection) -> Role,
    aligned: &mut Aligned,
) {
    let mut waiting: BTreeMap<K, VecDeque<usize>> = BTreeMap::new();
    for &i in left_b.iter() {
        waiting.entry(key(&b[i])).or_default().push_back(i);
    }
    left_a.retain(|&i| {
        let found = waiting.get_mut(&key(&a[i])).and_then(VecDeque::pop_front);
        let Some(j) = found else { return true };
        let (a, b) = (&a[i], &b[j]);
        aligned.pairs.push(Pair { role: role(a), a: a.conn_id(), b: b.conn_id() });
        false
    });
    let rest: BTreeSet<usize> = waiting.into_values().flatten().collect();
    left_b.retain(|i| rest.contains(i));
}
