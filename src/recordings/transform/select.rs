// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which connections a cut keeps.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::num::NonZeroU64;

use rustc_hash::FxHashMap;

use super::TransformError;
use super::carry::Keys;
use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::identity::addresses;
use crate::engine::keyframe::ConnectionKey;
use crate::engine::rows::Output;
use crate::log::{LogError, Recording};
use crate::recordings::import::Prefix;
use crate::replay::{self, ReplayOptions};
use crate::schema::Why;
use crate::wire::{Header, Packet, Snapshot};

/// Both ends of a connection, whichever comes first.
type Pair = [(IpAddr, u16); 2];

fn pair(a: (IpAddr, u16), b: (IpAddr, u16)) -> Pair {
    if a <= b { [a, b] } else { [b, a] }
}

/// A SYN may have been sent this long before what replay takes for the beginning of the connection
/// (an accepted one begins with its child socket): net.ipv4.tcp_synack_retries' 63 s.
const BEFORE_NS: u64 = 63_000_000_000;

/// When packets between two ends are those of a connection that is kept.
#[derive(Clone, Copy, Debug)]
struct KeptSpan {
    netns: u32,
    from_ns: u64,
    end_ns: u64,
    /// The next connection between the same ends began.
    until_ns: u64,
}

/// The connections that are kept: values of one condition are ORed, different ones are ANDed.
#[derive(Debug, Default)]
pub(super) struct Selection {
    by_number: bool,
    prefixes: Vec<Prefix>,
    ports: Vec<u16>,
    keys: Option<Keys>,
    pairs: FxHashMap<Pair, Vec<KeptSpan>>,
}

impl Selection {
    /// Looks for the connections, which takes a replay without tables; without conditions it keeps
    /// all.
    pub fn new(
        recording: &Recording,
        numbers: &[u64],
        prefixes: &[Prefix],
        ports: &[u16],
    ) -> Result<Self, TransformError> {
        if numbers.is_empty() && prefixes.is_empty() && ports.is_empty() {
            return Ok(Self::default());
        }
        let selection = Self {
            by_number: !numbers.is_empty(),
            prefixes: prefixes.to_owned(),
            ports: ports.to_owned(),
            keys: Some(Keys::default()),
            pairs: FxHashMap::default(),
        };
        let missing: BTreeSet<u64> = numbers.iter().copied().collect();
        let search = Search { numbers, missing, selection, connections: 0 };
        let timeline = replay::clocks(recording)?;
        let options = ReplayOptions {
            interval: Interval::Every(NonZeroU64::MAX),
            ..ReplayOptions::default()
        };
        let run = replay::run::<_, Fault>(recording, &timeline, &options, search);
        let found = run.map_err(|Fault(e)| e)?.output;
        if let Some(number) = found.missing.first() {
            let (dir, n) = (recording.dir().display(), found.connections);
            return Err(TransformError::Refused(format!(
                "{dir} has no connection {number}: it has {n}; their numbers are conn_id in the \
                 tables and in the summary"
            )));
        }
        Ok(found.selection)
    }

    /// Whether everything is kept.
    pub const fn is_all(&self) -> bool {
        self.keys.is_none()
    }

    pub fn has_key(&self, key: ConnectionKey) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&key))
    }

    pub fn has(&self, header: &Header) -> bool {
        self.has_key((header.cookie, header.generation))
    }

    /// A socket that is polled need not be one of a connection that is recorded otherwise.
    pub fn has_snapshot(&self, s: &Snapshot) -> bool {
        // It may have no socket. Then its ends state whose it is, as with packets.
        if s.why == Why::Drop && (s.header.cookie == 0 || !self.has(&s.header)) {
            return self.has_drop(s);
        }
        // A listening socket is not a connection, and the recorder did not assign its cookie.
        if self.has(&s.header) && (s.why != Why::Listener || self.keys.is_none()) {
            return true;
        }
        // To a wildcard address any connection may come.
        if s.why == Why::Listener && !self.by_number && s.local_addr == [0; 16] {
            return self.has_port(s.local_port, s.remote_port);
        }
        let Some((local, remote)) = addresses(s.family, &s.local_addr, &s.remote_addr) else {
            return false;
        };
        !self.by_number && self.has_ends((local, s.local_port), (remote, s.remote_port))
    }

    fn has_drop(&self, s: &Snapshot) -> bool {
        if self.is_all() {
            return true;
        }
        let Some((local, remote)) = addresses(s.family, &s.local_addr, &s.remote_addr) else {
            return false;
        };
        let netns = Some(s.netns).filter(|&netns| netns != 0);
        self.has_at((local, s.local_port), (remote, s.remote_port), netns, s.header.ts_ns)
    }

    pub fn has_packet(&self, packet: &Packet) -> bool {
        if self.is_all() {
            return true;
        }
        let src = (packet.src_addr, packet.src_port.unwrap_or(0));
        let dst = (packet.dst_addr, packet.dst_port.unwrap_or(0));
        self.has_at(src, dst, packet.netns, packet.ts_ns)
    }

    /// Whether a packet between these ends at this time is of a connection that is kept.
    fn has_at(
        &self,
        src: (IpAddr, u16),
        dst: (IpAddr, u16),
        netns: Option<u32>,
        ts_ns: u64,
    ) -> bool {
        if !self.has_ends(src, dst) {
            return false;
        }
        let among = |span: &KeptSpan| {
            let same = netns.is_none_or(|n| span.netns == 0 || n == span.netns);
            same && (span.from_ns..span.until_ns).contains(&ts_ns)
        };
        !self.by_number
            || self.pairs.get(&pair(src, dst)).is_some_and(|spans| spans.iter().any(among))
    }

    fn has_ends(&self, a: (IpAddr, u16), b: (IpAddr, u16)) -> bool {
        let by_addr = |p: &Prefix| p.contains(a.0) || p.contains(b.0);
        (self.prefixes.is_empty() || self.prefixes.iter().any(by_addr)) && self.has_port(a.1, b.1)
    }

    fn has_port(&self, a: u16, b: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|p| *p == a || *p == b)
    }
}

struct Fault(TransformError);

impl From<LogError> for Fault {
    fn from(e: LogError) -> Self {
        Self(e.into())
    }
}

impl From<Infallible> for Fault {
    fn from(e: Infallible) -> Self {
        match e {}
    }
}

struct Search<'a> {
    numbers: &'a [u64],
    missing: BTreeSet<u64>,
    selection: Selection,
    connections: u64,
}

impl ConnectionRows for Search<'_> {
    type Error = Infallible;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), Infallible> {
        self.connections += 1;
        self.missing.remove(&ended.conn_id);
        let ends = ended
            .identity
            .addresses()
            .zip(ended.identity.lifecycle())
            .map(|((a, b), l)| ((a, l.local_port), (b, l.remote_port), l.netns));
        let selection = &mut self.selection;
        let by_number = self.numbers.is_empty() || self.numbers.contains(&ended.conn_id);
        let by_ends = match ends {
            Some((local, remote, _)) => selection.has_ends(local, remote),
            // Without a lifecycle record its ends are not known.
            None => selection.prefixes.is_empty() && selection.ports.is_empty(),
        };
        let keep = by_number && by_ends;
        if keep {
            selection.keys.get_or_insert_default().insert((ended.cookie, ended.generation));
        }
        let Some((local, remote, netns)) = ends.filter(|_| selection.by_number) else {
            return Ok(());
        };
        let (begin_ns, end_ns) = (ended.begin_ns, ended.end_ns);
        if keep {
            let from_ns = begin_ns.saturating_sub(BEFORE_NS);
            let span = KeptSpan { netns, from_ns, end_ns, until_ns: u64::MAX };
            selection.pairs.entry(pair(local, remote)).or_default().push(span);
        } else if let Some(spans) = selection.pairs.get_mut(&pair(local, remote)) {
            for span in spans.iter_mut().filter(|s| s.netns == netns && s.end_ns <= begin_ns) {
                span.until_ns = span.until_ns.min(begin_ns);
            }
        }
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Output for Search<'_> {}
