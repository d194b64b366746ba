// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The keys by which connections can be sorted, filtered and grouped: the one list of names.

use std::cmp::Ordering;

use serde::Serialize;

use super::Line;
use super::figures::{bit_rate, bytes, share};

/// The kind of a number, which determines the units that may follow it in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Count,
    /// Bytes of payload.
    Bytes,
    /// Bits per second.
    BitRate,
    /// A time, in seconds.
    Seconds,
    /// A share of 1.
    Share,
}

/// A value of a connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// In the unit of its key.
    Number(f64),
    /// A name or an address.
    Text(String),
}

/// How a value is taken from a connection; `None` is NULL.
#[derive(Clone, Copy, Debug)]
enum KeySource {
    Number(Unit, fn(&Line) -> Option<f64>),
    Text(fn(&Line) -> Option<String>),
}

/// A quantity of a connection.
#[derive(Clone, Copy, Debug)]
pub struct SummaryKey {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
    source: KeySource,
}

/// Keys are equal if their names are.
impl PartialEq for SummaryKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl SummaryKey {
    /// The key of this name.
    ///
    /// # Errors
    /// A sentence with all names.
    pub fn parse(name: &str) -> Result<Self, String> {
        let key = KEYS.iter().find(|key| key.name == name);
        key.copied().ok_or_else(|| format!("there is no `{name}`; there are {}", names()))
    }

    /// Its value.
    pub fn of(&self, line: &Line) -> Option<Value> {
        match self.source {
            KeySource::Number(_, of) => of(line).map(Value::Number),
            KeySource::Text(of) => of(line).map(Value::Text),
        }
    }

    /// Its value, if it is a number.
    pub fn number(&self, line: &Line) -> Option<f64> {
        match self.source {
            KeySource::Number(_, of) => of(line),
            KeySource::Text(_) => None,
        }
    }

    /// The unit of a number; none of a text.
    pub const fn unit(&self) -> Option<Unit> {
        match self.source {
            KeySource::Number(unit, _) => Some(unit),
            KeySource::Text(_) => None,
        }
    }

    /// Largest numbers first, texts by the alphabet; the opposite if `is_reverse`. NULL comes last either
    /// way, and equal ones by `conn_id`.
    pub fn compare(&self, a: &Line, b: &Line, is_reverse: bool) -> Ordering {
        order(&self.of(a), &self.of(b), is_reverse).then(a.conn_id.cmp(&b.conn_id))
    }

    /// A value of it, for a person.
    pub fn shown(&self, value: Option<Value>) -> String {
        let number = match value {
            None => return "-".to_owned(),
            Some(Value::Text(text)) => return text,
            Some(Value::Number(number)) => number,
        };
        match self.unit() {
            Some(Unit::Bytes) => bytes(Some(number as i64)),
            Some(Unit::BitRate) => bit_rate(Some(number)),
            Some(Unit::Seconds) if number < 1.0 => format!("{:.3} ms", number * 1e3),
            Some(Unit::Seconds) => format!("{number:.3} s"),
            Some(Unit::Share) => share(Some(number)),
            Some(Unit::Count) | None if number.fract() == 0.0 => number.to_string(),
            Some(Unit::Count) | None => format!("{number:.2}"),
        }
    }
}

/// As [`SummaryKey::compare`], of values.
pub fn order(a: &Option<Value>, b: &Option<Value>, is_reverse: bool) -> Ordering {
    let known = |order: Ordering| if is_reverse { order.reverse() } else { order };
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => known(b.total_cmp(a)),
        (Some(Value::Text(a)), Some(Value::Text(b))) => known(a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        // A key has values of one type.
        (None, None) | (Some(_), Some(_)) => Ordering::Equal,
    }
}

/// All names, for help and errors.
pub fn names() -> String {
    KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

const fn number(
    name: &'static str,
    unit: Unit,
    of: fn(&Line) -> Option<f64>,
    meaning: &'static str,
) -> SummaryKey {
    SummaryKey { name, meaning, source: KeySource::Number(unit, of) }
}

const fn text(
    name: &'static str,
    of: fn(&Line) -> Option<String>,
    meaning: &'static str,
) -> SummaryKey {
    SummaryKey { name, meaning, source: KeySource::Text(of) }
}

fn count(n: Option<i64>) -> Option<f64> {
    n.map(|n| n as f64)
}

fn seconds(us: Option<i64>) -> Option<f64> {
    us.map(|us| us as f64 / 1e6)
}

/// Payload in both directions, as far as it is known.
pub fn octets(line: &Line) -> Option<i64> {
    match (line.octets_acked, line.octets_received) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    }
}

/// Key `bytes`, by which connections are chosen if nothing else is asked for.
pub const BYTES: SummaryKey =
    number("bytes", Unit::Bytes, |l| count(octets(l)), "payload acknowledged and received");

/// All keys.
pub const KEYS: &[SummaryKey] = &[
    number("id", Unit::Count, |l| Some(l.conn_id as f64), "conn_id"),
    number("connections", Unit::Count, |_| Some(1.0), "of groups: how many are in the group"),
    BYTES,
    number("acked", Unit::Bytes, |l| count(l.octets_acked), "payload that the peer acknowledged"),
    number("received", Unit::Bytes, |l| count(l.octets_received), "payload received"),
    number("rate", Unit::BitRate, Line::rate, "the larger of goodput and received_rate"),
    number("goodput", Unit::BitRate, Line::goodput, "payload acknowledged per second"),
    number("received_rate", Unit::BitRate, Line::received_rate, "payload received per second"),
    number(
        "throughput",
        Unit::BitRate,
        Line::throughput,
        "payload sent per second, retransmissions included",
    ),
    number("duration", Unit::Seconds, |l| l.duration_s, "from its beginning to its end"),
    number("retrans", Unit::Count, |l| count(l.segs_retrans), "segments retransmitted"),
    number(
        "retransmitted",
        Unit::Share,
        |l| l.why.retransmitted_share,
        "share of the octets sent that were retransmissions",
    ),
    number("signals", Unit::Count, |l| count(l.cong_signals), "congestion signals"),
    number("recoveries", Unit::Count, |l| l.why.recoveries.map(|n| n as f64), "stays in recovery"),
    number("rtt", Unit::Seconds, |l| seconds(l.smoothed_rtt_us), "smoothed RTT at the end"),
    number("min_rtt", Unit::Seconds, |l| seconds(l.min_rtt_us), "smallest RTT"),
    number("inflation", Unit::Count, |l| l.why.rtt_inflation, "mean RTT over the smallest"),
    number("busy", Unit::Share, |l| l.why.busy_share, "share of its life with data outstanding"),
    number("local_port", Unit::Count, |l| l.local_port.map(f64::from), "local port"),
    number("remote_port", Unit::Count, |l| l.remote_port.map(f64::from), "remote port"),
    number(
        "port",
        Unit::Count,
        |l| l.service_port().map(f64::from),
        "port of the end that listened",
    ),
    number("pid", Unit::Count, |l| count(l.pid), "process id of the owner"),
    number("mptcp", Unit::Count, |l| count(l.mptcp_id), "token of the MPTCP connection"),
    text("local", |l| l.local_address.clone(), "local address"),
    text("remote", |l| l.remote_address.clone(), "remote address"),
    text("process", |l| l.comm.clone(), "name of the owner's process"),
    text("cgroup", |l| l.cgroup.clone(), "cgroup of the socket"),
    text("container", |l| l.container_id.clone(), "container of the socket"),
    text("cc", |l| l.congestion_control.clone(), "congestion control"),
    text("limited_by", |l| l.why.limited_by.map(str::to_owned), "largest cause of docs/limits.md"),
    text("opened_by", |l| l.opened_by.clone(), "local, remote or unknown"),
    text("closed_by", |l| l.closed_by.clone(), "local, remote, none or unknown"),
    text("end", |l| l.close_reason.clone(), "how it ended: fin, reset_received, reset_sent, ..."),
    text("completeness", |l| l.completeness.clone(), "complete, lossy, begun_before, ended_after"),
];
