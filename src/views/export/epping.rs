// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! ePPing's output, and pping's: what their consumers read.
//!
//! Names, order and layout are those of `pping` in xdp-project/bpf-examples and of pollere/pping. A
//! flow is shown "backwards", as there: its source is who answered.

mod stream;

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use crate::engine::rtt::MeasuredRtt;
use crate::engine::rtt::aggregate::{self, AggregateInterval, BIN_NS, BINS, Count, Rtts, Traffic};

pub use stream::{Selection, write};

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EppingFormat {
    /// A line per event for people.
    Standard,
    /// One array.
    Json,
    /// An object per line.
    Jsonl,
    /// Four fields, for ppviz: time, RTT, least RTT, flow.
    Ppviz,
    /// Seven fields, as `pping -m` writes them; ppviz reads these too.
    Pping,
}

/// Between whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EppingEnds {
    /// IP protocol number.
    pub protocol: u8,
    /// The end that answered, with its port, or the identifier of an echo.
    pub src: (IpAddr, u16),
    /// The end that got the answer.
    pub dst: (IpAddr, u16),
}

/// An event of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// `opening` or `closing`.
    pub event: &'static str,
    /// SYN, SYN-ACK, first observed packet, FIN, RST, flow timeout.
    pub reason: &'static str,
    /// src, dest or garbage collection.
    pub triggered_by: &'static str,
}

/// Writes events in a format.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    format: EppingFormat,
    first: bool,
    rtts: u64,
}

impl<W: Write> Writer<W> {
    /// Nothing is written yet.
    pub const fn new(out: W, format: EppingFormat) -> Self {
        Self { out, format, first: true, rtts: 0 }
    }

    /// RTTs, and intervals of them, that were written.
    pub const fn rtts(&self) -> u64 {
        self.rtts
    }

    /// An RTT, with the wall-clock time of the answer.
    ///
    /// # Errors
    /// Those of the output.
    pub fn rtt(&mut self, wall_ns: u64, ends: &EppingEnds, sample: &MeasuredRtt) -> io::Result<()> {
        let (rtt, min) = (sample.rtt_ns, sample.min_rtt_ns);
        match self.format {
            EppingFormat::Standard => {
                let (rtt, min) = (general(rtt as f64 / 1e6), general(min as f64 / 1e6));
                let (time, protocol) = (clock(wall_ns), protocol(ends.protocol));
                writeln!(self.out, "{time} {rtt} ms {min} ms {protocol} {}", flow(ends))
            }
            EppingFormat::Ppviz => {
                let (time, rtt, min) = (seconds(wall_ns), seconds(rtt), seconds(min));
                writeln!(self.out, "{time} {rtt} {min} {}", flow(ends))
            }
            EppingFormat::Pping => {
                let Some(pipe) = sample.pipe else { return Ok(()) };
                let (s, us) = (wall_ns / NS, wall_ns % NS / 1000);
                let (rtt, min) = (rtt as f64 / 1e9, min as f64 / 1e9);
                writeln!(
                    self.out,
                    "{s}.{us:06} {rtt:.6} {min:.6} {} {} {} {}",
                    pipe.sent,
                    pipe.departed,
                    pipe.replied,
                    flow(ends)
                )
            }
            EppingFormat::Json | EppingFormat::Jsonl => {
                let rtt = Rtt {
                    common: Common::of(wall_ns, ends),
                    rtt,
                    min_rtt: min,
                    sent_packets: sample.sent.packets,
                    sent_bytes: sample.sent.bytes,
                    rec_packets: sample.received.packets,
                    rec_bytes: sample.received.bytes,
                    match_on_egress: sample.match_on_egress,
                };
                self.object(&rtt)
            }
        }?;
        self.rtts += 1;
        Ok(())
    }

    /// A flow opened or closed; ppviz has no line for it.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flow(&mut self, wall_ns: u64, ends: &EppingEnds, e: &FlowEvent) -> io::Result<()> {
        match self.format {
            EppingFormat::Standard => {
                let (time, protocol) = (clock(wall_ns), protocol(ends.protocol));
                let (event, reason, by) = (e.event, e.reason, e.triggered_by);
                writeln!(
                    self.out,
                    "{time} {protocol} {} {event} due to {reason} from {by}",
                    flow(ends)
                )
            }
            EppingFormat::Ppviz | EppingFormat::Pping => Ok(()),
            EppingFormat::Json | EppingFormat::Jsonl => self.object(&FlowRecord {
                common: Common::of(wall_ns, ends),
                flow_event: e.event,
                reason: e.reason,
                triggered_by: e.triggered_by,
            }),
        }
    }

    /// How RTTs are put together: stands before the first interval.
    ///
    /// # Errors
    /// Those of the output.
    pub fn metadata(&mut self, wall_ns: u64, o: &aggregate::AggregateOptions) -> io::Result<()> {
        match self.format {
            EppingFormat::Json | EppingFormat::Jsonl => self.object(&Metadata {
                timestamp: wall_ns,
                bins: BINS as u64,
                bin_width_ns: BIN_NS,
                aggregation_interval_ns: o.interval_ns.get(),
                timeout_interval_ns: 0,
                ipv4_prefix_len: o.prefix_v4,
                ipv6_prefix_len: o.prefix_v6,
            }),
            EppingFormat::Standard | EppingFormat::Ppviz | EppingFormat::Pping => {
                let width = general(BIN_NS as f64 / 1e6);
                let every = o.interval_ns.get() as f64 / 1e9;
                writeln!(
                    self.out,
                    "Aggregating RTTs in histograms with {BINS} {width} ms wide bins every {every} seconds"
                )
            }
        }
    }

    /// Writes an interval: one prefix after the other, then the total.
    ///
    /// # Errors
    /// Those of the output.
    pub fn interval(&mut self, wall_ns: u64, interval: &AggregateInterval) -> io::Result<()> {
        self.rtts += 1;
        for (prefix, stats) in &interval.prefixes {
            let mut rtts = Rtts::default();
            stats.rtts.values().for_each(|r| rtts.merge(r));
            let prefix = prefix.to_string();
            match self.format {
                EppingFormat::Json | EppingFormat::Jsonl => {
                    self.object(&prefix_json(wall_ns, &prefix, &stats.rx, &stats.tx, &rtts))?;
                }
                EppingFormat::Standard | EppingFormat::Ppviz | EppingFormat::Pping => {
                    write!(self.out, "{}: {prefix} -> ", clock(wall_ns))?;
                    let (rx, tx) = (stats.rx.all(), stats.tx.all());
                    write!(
                        self.out,
                        "rxpkts={}, rxbytes={}, txpkts={}, txbytes={}",
                        rx.packets, rx.bytes, tx.packets, tx.bytes
                    )?;
                    if rtts.count > 0 {
                        let ms = |ns: f64| general(ns / 1e6);
                        write!(
                            self.out,
                            ", rtt-count={}, min={} ms, mean={} ms, median={} ms, p95={} ms, max={} ms",
                            rtts.count,
                            ms(rtts.min_ns as f64),
                            ms(rtts.mean_ns()),
                            ms(rtts.quantile_ns(0.5) as f64),
                            ms(rtts.quantile_ns(0.95) as f64),
                            ms(rtts.max_ns as f64)
                        )?;
                    }
                    writeln!(self.out)?;
                }
            }
        }
        match self.format {
            EppingFormat::Json | EppingFormat::Jsonl => {
                self.object(&global_json(wall_ns, &interval.global))
            }
            EppingFormat::Standard | EppingFormat::Ppviz | EppingFormat::Pping => {
                writeln!(self.out, "{}: {}", clock(wall_ns), global_text(&interval.global))
            }
        }
    }

    /// The end of the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<()> {
        if self.format == EppingFormat::Json {
            self.out.write_all(if self.first { b"[]\n" } else { b"]\n" })?;
        }
        self.out.flush()
    }

    fn object(&mut self, object: &impl Serialize) -> io::Result<()> {
        if self.format == EppingFormat::Json {
            self.out.write_all(if self.first { b"[" } else { b"," })?;
        }
        self.first = false;
        serde_json::to_writer(&mut self.out, object)?;
        if self.format == EppingFormat::Jsonl { self.out.write_all(b"\n") } else { Ok(()) }
    }
}

/// Nanoseconds of a second.
const NS: u64 = 1_000_000_000;

#[derive(Serialize)]
struct Common {
    timestamp: u64,
    src_ip: String,
    src_port: u16,
    dest_ip: String,
    dest_port: u16,
    protocol: String,
}

impl Common {
    fn of(wall_ns: u64, ends: &EppingEnds) -> Self {
        Self {
            timestamp: wall_ns,
            src_ip: ends.src.0.to_string(),
            src_port: ends.src.1,
            dest_ip: ends.dst.0.to_string(),
            dest_port: ends.dst.1,
            protocol: protocol(ends.protocol),
        }
    }
}

#[derive(Serialize)]
struct Rtt {
    #[serde(flatten)]
    common: Common,
    rtt: u64,
    min_rtt: u64,
    sent_packets: u64,
    sent_bytes: u64,
    rec_packets: u64,
    rec_bytes: u64,
    // Not known if a capture does not have the direction of packets: then it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    match_on_egress: Option<bool>,
}

#[derive(Serialize)]
struct FlowRecord {
    #[serde(flatten)]
    common: Common,
    flow_event: &'static str,
    reason: &'static str,
    triggered_by: &'static str,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: u64,
    bins: u64,
    bin_width_ns: u64,
    aggregation_interval_ns: u64,
    timeout_interval_ns: u64,
    ipv4_prefix_len: u8,
    ipv6_prefix_len: u8,
}

#[derive(Serialize)]
struct PrefixLine<'a> {
    timestamp: u64,
    ip_prefix: &'a str,
    rx_stats: Ordered,
    tx_stats: Ordered,
    #[serde(flatten)]
    rtts: Option<RttLine<'a>>,
}

#[derive(Serialize)]
struct RttLine<'a> {
    count_rtt: u64,
    min_rtt: u64,
    mean_rtt: f64,
    median_rtt: f64,
    p95_rtt: f64,
    max_rtt: u64,
    histogram: &'a [u32],
}

/// Members of an object in their order, without those that are nothing.
struct Ordered(Vec<(String, Member)>);

impl Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

/// Packets and bytes of a kind of which there was something.
#[derive(Serialize)]
#[serde(untagged)]
enum Member {
    Pair {
        packets: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    Count(u64),
}

fn pair(name: &str, packets: u64, bytes: u64) -> Option<(String, Member)> {
    let bytes = (bytes > 0).then_some(bytes);
    (packets > 0).then(|| (name.to_owned(), Member::Pair { packets, bytes }))
}

fn traffic(t: &Traffic) -> Ordered {
    let of = |name, c: Count| pair(name, c.packets, c.bytes);
    let all = [of("TCP_TS", t.tcp_ts), of("TCP_noTS", t.tcp_no_ts), of("other", t.other)];
    Ordered(all.into_iter().flatten().collect())
}

fn prefix_json<'a>(
    timestamp: u64,
    ip_prefix: &'a str,
    rx: &Traffic,
    tx: &Traffic,
    rtts: &'a Rtts,
) -> PrefixLine<'a> {
    let rtts = (rtts.count > 0).then(|| RttLine {
        count_rtt: rtts.count,
        min_rtt: rtts.min_ns,
        mean_rtt: rtts.mean_ns(),
        median_rtt: rtts.quantile_ns(0.5) as f64,
        p95_rtt: rtts.quantile_ns(0.95) as f64,
        max_rtt: rtts.max_ns,
        histogram: &rtts.bins,
    });
    PrefixLine { timestamp, ip_prefix, rx_stats: traffic(rx), tx_stats: traffic(tx), rtts }
}

#[derive(Serialize)]
struct GlobalLine {
    timestamp: u64,
    protocol_counters: Ordered,
    ecn_counters: Ordered,
    errors: Ordered,
}

fn global_json(timestamp: u64, g: &aggregate::Global) -> GlobalLine {
    let of = |name, c: Count| pair(name, c.packets, c.bytes);
    let named = [of("TCP", g.tcp), of("UDP", g.udp), of("ICMP", g.icmp), of("ICMPv6", g.icmpv6)];
    let others = g.other.iter().map(|(number, n)| pair(&number.to_string(), *n, 0));
    let count = |name: &str, n: u64| (n > 0).then(|| (name.to_owned(), Member::Count(n)));
    let ecn = ["no_ECT", "ECT1", "ECT0", "CE"].into_iter().zip(g.ecn);
    GlobalLine {
        timestamp,
        protocol_counters: Ordered(named.into_iter().chain(others).flatten().collect()),
        ecn_counters: Ordered(ecn.filter_map(|(name, n)| count(name, n)).collect()),
        errors: Ordered(count("create_agg_subnet_state", g.no_room).into_iter().collect()),
    }
}

fn global_text(g: &aggregate::Global) -> String {
    let named = [("TCP", g.tcp), ("UDP", g.udp), ("ICMP", g.icmp), ("ICMPv6", g.icmpv6)];
    let mut parts: Vec<String> = named
        .iter()
        .filter(|(_, c)| c.packets > 0)
        .map(|(name, c)| format!("{name}=(pkts={}, bytes={})", c.packets, c.bytes))
        .collect();
    parts.extend(g.other.iter().map(|(number, n)| format!("{number}=(pkts={n})")));
    if parts.is_empty() {
        parts.push("pkts=0, bytes=0".to_owned());
    }
    let ecn = ["Not-ECT", "ECT1", "ECT0", "CE"].into_iter().zip(g.ecn);
    let ecn: Vec<_> = ecn.filter(|e| e.1 > 0).map(|(name, n)| format!("{name}={n}")).collect();
    if !ecn.is_empty() {
        parts.push(format!("ECN=({})", ecn.join(", ")));
    }
    if g.no_room > 0 {
        parts.push(format!("errors=(create-agg-subnet-state={})", g.no_room));
    }
    parts.join(", ")
}

fn protocol(number: u8) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        // ePPing, which has none of it, would print the number.
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        other => other.to_string(),
    }
}

fn flow(ends: &EppingEnds) -> String {
    let EppingEnds { src, dst, .. } = ends;
    format!("{}:{}+{}:{}", src.0, src.1, dst.0, dst.1)
}

/// Seconds with all nine digits: a floating-point number cannot hold a time of today with all of them.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / NS, ns % NS)
}

/// The time of the day, in UTC: whoever replays a log elsewhere reads the same.
fn clock(wall_ns: u64) -> String {
    let s = wall_ns / NS % 86_400;
    format!("{:02}:{:02}:{:02}.{:09}", s / 3600, s / 60 % 60, s % 60, wall_ns % NS)
}

/// C's `%.6g`.
fn general(value: f64) -> String {
    const DIGITS: i32 = 6;
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:.*e}", DIGITS as usize - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..DIGITS).contains(&exponent) {
        trim(&format!("{:.*}", (DIGITS - 1 - exponent) as usize, value))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests;
