// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One event as a line of text, JSON or CSV. The three have the same fields.

use std::io::{self, Write};
use std::net::SocketAddr;

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::{EventFormat, EventKind};
use crate::engine::identity::Identity;
use crate::util::visible::{json, quoted, visible};

/// Fields of the event itself, behind those that every line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Count,
    Octets,
    TimeoutsInARow,
    RtoUs,
    CwndOctets,
    SsthreshOctets,
    OpenedBy,
    DurationS,
    CloseReason,
    ClosedBy,
    AckedOctets,
    ReceivedOctets,
    RetransmittedSegments,
    Timeouts,
    MinRttUs,
    SrttUs,
    LimitedBy,
    Completeness,
}

impl Field {
    /// In the order of the columns of CSV.
    const ALL: [Self; 18] = [
        Self::Count,
        Self::Octets,
        Self::TimeoutsInARow,
        Self::RtoUs,
        Self::CwndOctets,
        Self::SsthreshOctets,
        Self::OpenedBy,
        Self::DurationS,
        Self::CloseReason,
        Self::ClosedBy,
        Self::AckedOctets,
        Self::ReceivedOctets,
        Self::RetransmittedSegments,
        Self::Timeouts,
        Self::MinRttUs,
        Self::SrttUs,
        Self::LimitedBy,
        Self::Completeness,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Octets => "octets",
            Self::TimeoutsInARow => "timeouts_in_a_row",
            Self::RtoUs => "rto_us",
            Self::CwndOctets => "cwnd_octets",
            Self::SsthreshOctets => "ssthresh_octets",
            Self::OpenedBy => "opened_by",
            Self::DurationS => "duration_s",
            Self::CloseReason => "close_reason",
            Self::ClosedBy => "closed_by",
            Self::AckedOctets => "acked_octets",
            Self::ReceivedOctets => "received_octets",
            Self::RetransmittedSegments => "retransmitted_segments",
            Self::Timeouts => "timeouts",
            Self::MinRttUs => "min_rtt_us",
            Self::SrttUs => "srtt_us",
            Self::LimitedBy => "limited_by",
            Self::Completeness => "completeness",
        }
    }
}

/// What every line begins with.
const HEAD: [&str; 8] = ["time", "ts_ns", "event", "conn_id", "local", "remote", "pid", "comm"];

/// An event.
#[derive(Debug)]
pub struct Line<'a> {
    pub kind: EventKind,
    conn_id: u64,
    /// CLOCK_MONOTONIC.
    pub ts_ns: u64,
    identity: &'a Identity,
    /// In the order of [`Field::ALL`]; those that are not known are null.
    fields: [Value; Field::ALL.len()],
}

impl<'a> Line<'a> {
    pub fn new(kind: EventKind, conn_id: u64, ts_ns: u64, identity: &'a Identity) -> Self {
        Self { kind, conn_id, ts_ns, identity, fields: [const { Value::Null }; Field::ALL.len()] }
    }

    pub fn with(mut self, field: Field, value: Option<u64>) -> Self {
        self.fields[field as usize] = value.into();
        self
    }

    pub fn text(mut self, field: Field, value: Option<&'static str>) -> Self {
        self.fields[field as usize] = value.into();
        self
    }

    pub fn lasted(mut self, ns: Option<u64>) -> Self {
        self.fields[Field::DurationS as usize] = ns.map(|ns| ns as f64 / 1e9).into();
        self
    }

    /// The values of [`HEAD`].
    fn head(&self, wall_us: Option<u64>) -> [Value; HEAD.len()] {
        let l = self.identity.lifecycle();
        let ends = self.identity.addresses().zip(l).map(|((local, remote), l)| {
            let local = SocketAddr::new(local, l.local_port);
            (local.to_string(), SocketAddr::new(remote, l.remote_port).to_string())
        });
        let (local, remote) = ends.unzip();
        let comm = l.map(|l| l.comm.as_str()).filter(|comm| !comm.is_empty());
        [
            wall(wall_us).into(),
            self.ts_ns.into(),
            self.kind.name().into(),
            self.conn_id.into(),
            local.into(),
            remote.into(),
            l.map(|l| l.pid).filter(|&pid| pid != 0).into(),
            comm.into(),
        ]
    }
}

/// RFC 3339 in UTC, with microseconds.
fn wall(us: Option<u64>) -> Option<String> {
    let time = DateTime::from_timestamp_micros(i64::try_from(us?).ok()?)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Writes lines.
pub struct Lines<W> {
    format: EventFormat,
    out: W,
}

impl<W: Write> Lines<W> {
    /// CSV gets its header.
    pub fn new(format: EventFormat, mut out: W) -> io::Result<Self> {
        if format == EventFormat::Csv {
            let names: Vec<_> = HEAD.into_iter().chain(Field::ALL.map(Field::name)).collect();
            writeln!(out, "{}", names.join(","))?;
        }
        Ok(Self { format, out })
    }

    /// A line, with the wall-clock time of it.
    pub fn write(&mut self, line: &Line<'_>, wall_us: Option<u64>) -> io::Result<()> {
        let head = line.head(wall_us);
        match self.format {
            EventFormat::Text => self.text(&head, line),
            EventFormat::Jsonl => self.json(&head, line),
            EventFormat::Csv => self.csv(&head, line),
        }
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn text(&mut self, head: &[Value; HEAD.len()], line: &Line<'_>) -> io::Result<()> {
        let [time, _, event, conn_id, local, remote, pid, comm] = head.each_ref().map(shown);
        let owner = match (comm.as_str(), pid.as_str()) {
            ("", "") => String::new(),
            (comm, pid) => format!(" {comm}({pid})"),
        };
        write!(self.out, "{time:27} {event:20} conn {conn_id} {local} > {remote}{owner}")?;
        for (field, value) in Field::ALL.iter().zip(&line.fields).filter(|(_, v)| !v.is_null()) {
            write!(self.out, " {}={}", field.name(), shown(value))?;
        }
        writeln!(self.out)
    }

    fn json(&mut self, head: &[Value; HEAD.len()], line: &Line<'_>) -> io::Result<()> {
        // Not as a map of serde_json, which sorts its keys.
        let names = HEAD.into_iter().chain(Field::ALL.map(Field::name));
        let known = names.zip(head.iter().chain(&line.fields)).filter(|(_, v)| !v.is_null());
        let fields: Vec<_> = known.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let object = format!("{{{}}}", fields.join(","));
        writeln!(self.out, "{}", json(&object))
    }

    fn csv(&mut self, head: &[Value; HEAD.len()], line: &Line<'_>) -> io::Result<()> {
        let cell = |value: &Value| match value.as_str() {
            Some(text) => quoted(&visible(text)).into_owned(),
            None => shown(value),
        };
        let cells: Vec<_> = head.iter().chain(&line.fields).map(cell).collect();
        writeln!(self.out, "{}", cells.join(","))
    }
}

/// For people.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => visible(text).into_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lifecycle;
    use crate::wire::Event;

    fn written(format: EventFormat, comm: &str) -> String {
        let mut identity = Identity::default();
        let mut record = lifecycle(Event::Open, 10, 7);
        comm.clone_into(&mut record.comm);
        identity.learn(&record);
        let mut out = Vec::new();
        let mut lines = Lines::new(format, &mut out).expect("a header");
        let line = Line::new(EventKind::Opened, 1, 5, &identity);
        lines.write(&line, Some(1_000_000)).expect("a line");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn names_of_processes_are_neither_lines_nor_formulas_nor_escape_sequences() {
        for comm in ["a\n\"b,c", "\x1b[2J", "=1+1", "\u{202e}gpj"] {
            for (format, lines) in
                [(EventFormat::Text, 1), (EventFormat::Jsonl, 1), (EventFormat::Csv, 2)]
            {
                let text = written(format, comm);
                assert_eq!(text.lines().count(), lines, "{text}");
                let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                assert!(!text.contains(hidden), "{text:?}");
            }
            let json: Value = serde_json::from_str(&written(EventFormat::Jsonl, comm)).unwrap();
            assert_eq!(json["comm"], comm);
        }
        assert!(written(EventFormat::Csv, "=1+1").contains(",'=1+1,"));
        assert!(written(EventFormat::Csv, "a\"b,c").contains(",\"a\"\"b,c\","));
    }
}
