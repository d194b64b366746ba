// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which connection of one recording stands beside which of the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Serialize, Serializer};

use crate::views::report::Connection;
use crate::views::summary::Line;

/// Linux assigns ports from here on to sockets that do not ask for one (net.ipv4.ip_local_port_range):
/// they do not show the purpose of a connection.
const EPHEMERAL: u16 = 32_768;
/// A control connection carries at most this fraction (1/N) of what one of its data connections carries.
/// With iperf3 3.12 and 1 s at 30 Mbit/s it was 1/2900, with `-n 100K` 1/83.
const CONTROL: u64 = 10;

/// How connections are paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// The first of a role with the first of the same role, the second with the second, in order of
    /// their beginnings; then the rest in the same way, whichever process owns it. Control connections
    /// go first, those that are left with what carried about as much.
    Order,
    /// Same addresses and ports, of several the first with the first.
    Tuple,
}

/// The data that a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carries {
    /// Little, while another between the same two ends, which began later, carries much: the control
    /// connection of iperf3. Which way it carried more is chance.
    Control,
    /// More to the peer.
    Sent,
    /// More from the peer, or nothing.
    Received,
}

/// The purpose of a connection, as far as it can be known without its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    /// The end that opened it.
    pub opened_by: String,
    /// Command name of the owner; none if it is not known, or does not matter.
    pub owner: Option<String>,
    /// Port of the end that was connected to, unless the system gave it out.
    pub service: Option<u16>,
    /// The data it carries.
    pub carries: Carries,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.carries {
            Carries::Control => "control",
            Carries::Sent => "sends",
            Carries::Received => "receives",
        };
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
    /// The same of any program.
    pub fn of_anyone(&self) -> Self {
        Self { owner: None, ..self.clone() }
    }
}

/// The roles of a recording's connections, in their order.
pub fn roles(connections: &[Connection]) -> Vec<Role> {
    let controls = controls(connections);
    let role = |(at, connection): (usize, &Connection)| {
        let line = &connection.line;
        let sent = line.octets_acked.unwrap_or(0) > line.octets_received.unwrap_or(0);
        Role {
            opened_by: line.opened_by.clone().unwrap_or_else(|| "unknown".to_owned()),
            owner: line.comm.clone(),
            service: line.service_port().filter(|&port| port < EPHEMERAL),
            carries: match (controls.contains(&at), sent) {
                (true, _) => Carries::Control,
                (false, true) => Carries::Sent,
                (false, false) => Carries::Received,
            },
        }
    };
    connections.iter().enumerate().map(role).collect()
}

/// Octets of payload in both directions; none if one of them is not known.
fn octets(line: &Line) -> Option<u64> {
    u64::try_from(line.octets_acked?.saturating_add(line.octets_received?)).ok()
}

/// Which connections are control connections. One that carried nothing is none: nothing shows it.
fn controls(connections: &[Connection]) -> BTreeSet<usize> {
    let ends = |line: &Line| {
        let addresses = (line.local_address.clone(), line.remote_address.clone());
        (line.opened_by.clone(), addresses, line.service_port())
    };
    let mut between: BTreeMap<_, Vec<(u64, usize, u64)>> = BTreeMap::new();
    for (at, connection) in connections.iter().enumerate() {
        if let Some(octets) = octets(&connection.line) {
            let of = between.entry(ends(&connection.line)).or_default();
            of.push((connection.begin_ns, at, octets));
        }
    }
    let mut controls = BTreeSet::new();
    for mut of in between.into_values() {
        of.sort_unstable();
        // Among those that began later, each one that carried more than all before it: nearest last.
        let mut later: Vec<(u64, u64)> = Vec::new();
        for (begin_ns, at, octets) in of.into_iter().rev() {
            let much = octets.saturating_mul(CONTROL);
            // The first of them that carries enough.
            let first = later.partition_point(|(_, octets)| *octets >= much);
            let data = first.checked_sub(1).and_then(|at| later.get(at));
            let overlaps = data.is_some_and(|(begin_ns, _)| *begin_ns < connections[at].end_ns);
            if octets > 0 && overlaps {
                controls.insert(at);
            }
            while later.last().is_some_and(|(_, less)| *less <= octets) {
                later.pop();
            }
            later.push((begin_ns, octets));
        }
    }
    controls
}

/// Two connections side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The role of both; with [`Align::Tuple`] that of the first.
    pub role: Role,
    /// Number of the connection in the first recording.
    pub a: u64,
    /// Number of the connection in the second.
    pub b: u64,
}

/// The result of pairing.
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
    let order = |connections: &[Connection]| {
        let mut order: Vec<usize> = (0..connections.len()).collect();
        order.sort_by_key(|&i| (connections[i].begin_ns, connections[i].conn_id()));
        order
    };
    let (roles_a, roles_b) = (roles(a), roles(b));
    let mut left = Left { a: order(a), b: order(b), pairs: Vec::new() };
    match align {
        Align::Tuple => {
            let end = |end: &Option<String>| end.clone().unwrap_or_default();
            let key = |c: &Connection| format!("{} {}", end(&c.line.local), end(&c.line.remote));
            left.pair(|i| Some(key(&a[i])), |j| Some(key(&b[j])), |_, _| true);
        }
        Align::Order => {
            let is_control = |role: &Role| role.carries == Carries::Control;
            let alike = |i: usize, j: usize| is_similar(octets(&a[i].line), octets(&b[j].line));
            let end = |role: &Role| (role.opened_by.clone(), role.service);
            // Control connections first, so that data does not take what belongs to them: where their data
            // is not recorded or small, a control connection has the role of data.
            for control in [true, false] {
                let of = |role: &Role| (is_control(role) == control).then(|| role.clone());
                left.pair(|i| of(&roles_a[i]), |j| of(&roles_b[j]), |_, _| true);
                // Another program before than after, or another name of the same.
                let of = |role: &Role| of(role).map(|role| role.of_anyone());
                left.pair(|i| of(&roles_a[i]), |j| of(&roles_b[j]), |_, _| true);
                if control {
                    let of = |role: &Role, wanted| (is_control(role) == wanted).then(|| end(role));
                    left.pair(|i| of(&roles_a[i], true), |j| of(&roles_b[j], false), alike);
                    left.pair(|i| of(&roles_a[i], false), |j| of(&roles_b[j], true), alike);
                }
            }
        }
    }
    let mut aligned = Aligned::default();
    for &(i, j) in &left.pairs {
        let is_same = align == Align::Tuple || roles_a[i].owner == roles_b[j].owner;
        let role = if is_same { roles_a[i].clone() } else { roles_a[i].of_anyone() };
        aligned.pairs.push(Pair { role, a: a[i].conn_id(), b: b[j].conn_id() });
    }
    aligned.pairs.sort_by_key(|pair| pair.a);
    let rest = |connections: &[Connection], left: &[usize]| {
        let mut ids: Vec<_> = left.iter().map(|&i| connections[i].conn_id()).collect();
        ids.sort_unstable();
        ids
    };
    (aligned.only_a, aligned.only_b) = (rest(a, &left.a), rest(b, &left.b));
    aligned
}

fn is_similar(a: Option<u64>, b: Option<u64>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.max(b) < a.min(b).saturating_mul(CONTROL)
}

/// Connections without a counterpart so far, in order of beginnings, and the pairs.
struct Left {
    a: Vec<usize>,
    b: Vec<usize>,
    pairs: Vec<(usize, usize)>,
}

impl Left {
    /// Pairs what has the same key, if it has one, the first with the first that it may be paired with; leaves the rest.
    fn pair<K: Ord>(
        &mut self,
        key_a: impl Fn(usize) -> Option<K>,
        key_b: impl Fn(usize) -> Option<K>,
        may: impl Fn(usize, usize) -> bool,
    ) {
        let mut waiting: BTreeMap<K, VecDeque<usize>> = BTreeMap::new();
        for &j in &self.b {
            if let Some(key) = key_b(j) {
                waiting.entry(key).or_default().push_back(j);
            }
        }
        let (pairs, mut paired) = (&mut self.pairs, BTreeSet::new());
        self.a.retain(|&i| {
            let found = key_a(i).and_then(|key| {
                let queue = waiting.get_mut(&key)?;
                let at = queue.iter().position(|&j| may(i, j))?;
                queue.remove(at)
            });
            if let Some(j) = found {
                paired.insert(j);
                pairs.push((i, j));
            }
            found.is_none()
        });
        self.b.retain(|j| !paired.contains(j));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::estats::Row;

    fn connection(conn_id: i64, from_to: (u64, u64), sent: i64, received: i64) -> Connection {
        let line = Line {
            conn_id,
            local_address: Some("192.0.2.1".to_owned()),
            remote_address: Some("192.0.2.2".to_owned()),
            local_port: Some(40_000 + conn_id as u16),
            remote_port: Some(5201),
            opened_by: Some("local".to_owned()),
            comm: Some("iperf3".to_owned()),
            octets_acked: Some(sent),
            octets_received: Some(received),
            ..Line::default()
        };
        Connection { line, begin_ns: from_to.0, end_ns: from_to.1, row: Row::unknown() }
    }

    fn pairs(a: &[Connection], b: &[Connection]) -> Vec<(u64, u64)> {
        align(a, b, Align::Order).pairs.iter().map(|pair| (pair.a, pair.b)).collect()
    }

    #[test]
    fn a_control_connection_has_its_own_role() {
        // As iperf3 opens them; the last data connection outlives the control connection.
        let upload = [
            connection(1, (0, 1000), 718, 576),
            connection(2, (10, 990), 4_000_000, 1),
            connection(3, (11, 1200), 9_000, 0),
        ];
        let carries: Vec<_> = roles(&upload).into_iter().map(|role| role.carries).collect();
        assert_eq!(carries, [Carries::Control, Carries::Sent, Carries::Sent]);
        // Its twin received more than it sent, and was seen third.
        let twin = [
            connection(1, (5, 990), 4_000_000, 1),
            connection(2, (6, 1200), 3_000_000, 0),
            connection(3, (0, 1000), 500, 576),
        ];
        assert_eq!(pairs(&upload, &twin), [(1, 3), (2, 1), (3, 2)]);
    }

    #[test]
    fn consecutive_connections_are_not_control_connections() {
        let requests = [connection(1, (0, 10), 500, 0), connection(2, (10, 20), 50_000_000, 0)];
        let carries: Vec<_> = roles(&requests).into_iter().map(|role| role.carries).collect();
        assert_eq!(carries, [Carries::Sent, Carries::Sent]);
        let nothing = [connection(1, (0, 10), 0, 0), connection(2, (1, 20), 50_000_000, 0)];
        assert_ne!(roles(&nothing)[0].carries, Carries::Control, "it carried nothing");
    }

    #[test]
    fn control_is_never_paired_with_data_but_with_similar_connections() {
        let both = [connection(1, (0, 100), 700, 500), connection(2, (1, 90), 1_000_000, 0)];
        let data = [connection(1, (0, 100), 900_000, 0)];
        assert_eq!(pairs(&both, &data), [(2, 1)]);
        // The same small connection, once beside a large one and once alone.
        let small = [connection(1, (0, 100), 650, 500)];
        assert_eq!(pairs(&both, &small), [(1, 1)]);
    }
}
