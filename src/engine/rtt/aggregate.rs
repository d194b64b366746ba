// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! RTTs by prefix and interval: what `pping -a` counts, with histograms that keep their precision.
//!
//! A prefix has what was received from it (`rx`: packets that have it as their source) and what was
//! sent to it (`tx`), and the RTTs whose answers came from it, or with [`AggregateOptions::reverse`] went to it.
//! ePPing has a table of 16384 prefixes, of which only packets with an identifier make an entry; here
//! every packet does, and beyond [`MOST`] of an interval they go to the prefix of length 0, as there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use hdrhistogram::Histogram;

use super::{MeasuredRtt, Method};
use crate::engine::packets::segment::Segment;
use crate::wire::Packet;
use crate::wire::protocol::{ICMP, ICMPV6, TCP, UDP};

/// Prefixes of an interval, at most.
pub const MOST: usize = 16_384;

/// How RTTs are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateOptions {
    /// Length of an interval; intervals are multiples of it by CLOCK_MONOTONIC.
    pub interval_ns: NonZeroU64,
    /// Length of IPv4 prefixes, up to 32.
    pub prefix_v4: u8,
    /// Length of IPv6 prefixes, up to 128.
    pub prefix_v6: u8,
    /// By where answers went instead of where they came from.
    pub reverse: bool,
    /// Whether SYN and SYN-ACK count as packets with a timestamp.
    pub include_syn: bool,
}

impl Default for AggregateOptions {
    /// ePPing's prefixes, and ten seconds.
    fn default() -> Self {
        Self {
            interval_ns: NonZeroU64::new(10_000_000_000).expect("not zero"),
            prefix_v4: 24,
            prefix_v6: 48,
            reverse: false,
            include_syn: false,
        }
    }
}

/// Packets and their bytes with all headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes where they were seen.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        self.bytes += u64::from(packet.wire_len);
    }
}

/// Traffic in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// TCP with timestamps.
    pub tcp_ts: Count,
    /// TCP that has none, or whose header was cut.
    pub tcp_no_ts: Count,
    /// Everything else.
    pub other: Count,
}

impl Traffic {
    /// All kinds together.
    pub const fn all(&self) -> Count {
        let Self { tcp_ts: a, tcp_no_ts: b, other: c } = *self;
        Count { packets: a.packets + b.packets + c.packets, bytes: a.bytes + b.bytes + c.bytes }
    }

    fn of(&mut self, kind: TrafficKind) -> &mut Count {
        match kind {
            TrafficKind::TcpTs => &mut self.tcp_ts,
            TrafficKind::TcpNoTs => &mut self.tcp_no_ts,
            TrafficKind::Other => &mut self.other,
        }
    }
}

#[derive(Clone, Copy)]
enum TrafficKind {
    TcpTs,
    TcpNoTs,
    Other,
}

/// RTTs of one method.
#[derive(Clone, Debug)]
pub struct Rtts {
    /// How many.
    pub count: u64,
    /// The least.
    pub min_ns: u64,
    /// The greatest.
    pub max_ns: u64,
    /// All together.
    pub sum_ns: u128,
    /// In microseconds, to two digits: at most 16 kB, where a third would take eight times that.
    histogram: Histogram<u32>,
    /// ePPing's: bins of [`BIN_NS`], the last for all above.
    pub bins: Vec<u32>,
}

/// Width of a bin of ePPing's histogram.
pub const BIN_NS: u64 = 4_000_000;
/// Bins of ePPing's histogram.
pub const BINS: usize = 250;

impl Default for Rtts {
    fn default() -> Self {
        let histogram = Histogram::new(2).expect("two digits are allowed");
        Self { count: 0, min_ns: u64::MAX, max_ns: 0, sum_ns: 0, histogram, bins: Vec::new() }
    }
}

impl Rtts {
    fn add(&mut self, rtt_ns: u64) {
        self.count += 1;
        self.min_ns = self.min_ns.min(rtt_ns);
        self.max_ns = self.max_ns.max(rtt_ns);
        self.sum_ns += u128::from(rtt_ns);
        // It grows by itself; only a value beyond all memory would be refused.
        let _ = self.histogram.record(rtt_ns.div_ceil(1000));
        let bin = ((rtt_ns / BIN_NS) as usize).min(BINS - 1);
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += 1;
    }

    /// Takes in those of another.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns += other.sum_ns;
        // It grows by itself, and both have two digits.
        let _ = self.histogram.add(&other.histogram);
        if self.bins.len() < other.bins.len() {
            self.bins.resize(other.bins.len(), 0);
        }
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            *bin += more;
        }
    }

    /// The arithmetic mean.
    pub fn mean_ns(&self) -> f64 {
        self.sum_ns as f64 / self.count as f64
    }

    /// A quantile: the greatest RTT, in its microsecond and to a hundredth, of that share.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let us = self.histogram.value_at_quantile(quantile);
        us.saturating_mul(1000).clamp(self.min_ns, self.max_ns)
    }

    /// The histogram as HdrHistogram's V2 encoding.
    pub fn encoded(&self) -> Vec<u8> {
        use hdrhistogram::serialization::{Serializer, V2Serializer};
        let mut bytes = Vec::new();
        // Writing into memory cannot fail, and counts are far from the bounds of the encoding.
        let _ = V2Serializer::new().serialize(&self.histogram, &mut bytes);
        bytes
    }
}

/// A prefix: network and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(pub IpAddr, pub u8);

impl Prefix {
    fn of(addr: IpAddr, options: &AggregateOptions) -> Self {
        match addr {
            IpAddr::V4(v4) => {
                let length = options.prefix_v4.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self(Ipv4Addr::from_bits(v4.to_bits() & mask).into(), length)
            }
            IpAddr::V6(v6) => {
                let length = options.prefix_v6.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self(Ipv6Addr::from_bits(v6.to_bits() & mask).into(), length)
            }
        }
    }

    /// For what found no room.
    fn rest(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self(Ipv4Addr::UNSPECIFIED.into(), 0),
            IpAddr::V6(_) => Self(Ipv6Addr::UNSPECIFIED.into(), 0),
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// Counts of a prefix.
#[derive(Clone, Debug, Default)]
pub struct PrefixStats {
    /// From the prefix.
    pub rx: Traffic,
    /// To the prefix.
    pub tx: Traffic,
    /// RTTs by method.
    pub rtts: BTreeMap<Method, Rtts>,
}

/// Counts of all traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    /// TCP.
    pub tcp: Count,
    /// UDP.
    pub udp: Count,
    /// ICMP.
    pub icmp: Count,
    /// ICMPv6.
    pub icmpv6: Count,
    /// Packets of others, by IP protocol number.
    pub other: BTreeMap<u8, u64>,
    /// Packets by the ECN field: not ECT, ECT(1), ECT(0), CE.
    pub ecn: [u64; 4],
    /// Packets and RTTs whose prefix found no room.
    pub no_room: u64,
}

/// The counts of one interval.
#[derive(Clone, Debug, Default)]
pub struct AggregateInterval {
    /// Its end.
    pub end_ns: u64,
    /// In the order of addresses, IPv4 first.
    pub prefixes: BTreeMap<Prefix, PrefixStats>,
    /// Counts of all prefixes.
    pub global: Global,
}

/// Counts packets and RTTs in the order of time.
#[derive(Debug)]
pub struct Aggregator {
    options: AggregateOptions,
    current: Option<AggregateInterval>,
}

impl Aggregator {
    /// Nothing counted.
    pub const fn new(options: AggregateOptions) -> Self {
        Self { options, current: None }
    }

    /// The interval that is over at this time, if one is.
    pub fn reached(&mut self, ts_ns: u64) -> Option<AggregateInterval> {
        self.current.take_if(|interval| ts_ns >= interval.end_ns)
    }

    /// The interval that is open at the end.
    pub const fn take(&mut self) -> Option<AggregateInterval> {
        self.current.take()
    }

    fn at(&mut self, ts_ns: u64) -> &mut AggregateInterval {
        let interval = self.options.interval_ns.get();
        self.current.get_or_insert_with(|| AggregateInterval {
            end_ns: (ts_ns / interval).saturating_add(1).saturating_mul(interval),
            ..AggregateInterval::default()
        })
    }

    fn prefix(&mut self, ts_ns: u64, addr: IpAddr) -> &mut PrefixStats {
        let options = self.options;
        let interval = self.at(ts_ns);
        let mut prefix = Prefix::of(addr, &options);
        if interval.prefixes.len() >= MOST && !interval.prefixes.contains_key(&prefix) {
            interval.global.no_room += 1;
            prefix = Prefix::rest(addr);
        }
        interval.prefixes.entry(prefix).or_default()
    }

    /// Counts a packet; the interval before must have been taken by [`Self::reached`].
    pub fn packet(&mut self, packet: &Packet) {
        let segment = Segment::of(packet);
        let has_ts = segment.is_some_and(|s| {
            s.options.timestamps.is_some() && (self.options.include_syn || !s.syn)
        });
        let kind = match (packet.protocol, has_ts) {
            (TCP, true) => TrafficKind::TcpTs,
            (TCP, false) => TrafficKind::TcpNoTs,
            _ => TrafficKind::Other,
        };
        self.prefix(packet.ts_ns, packet.src_addr).rx.of(kind).add(packet);
        self.prefix(packet.ts_ns, packet.dst_addr).tx.of(kind).add(packet);
        let global = &mut self.at(packet.ts_ns).global;
        match packet.protocol {
            TCP => global.tcp.add(packet),
            UDP => global.udp.add(packet),
            ICMP => global.icmp.add(packet),
            ICMPV6 => global.icmpv6.add(packet),
            other => *global.other.entry(other).or_default() += 1,
        }
        global.ecn[usize::from(packet.tos & 3)] += 1;
    }

    /// Counts an RTT, with the packet that answered.
    pub fn rtt(&mut self, packet: &Packet, sample: &MeasuredRtt) {
        let addr = if self.options.reverse { packet.dst_addr } else { packet.src_addr };
        let rtts = &mut self.prefix(packet.ts_ns, addr).rtts;
        rtts.entry(sample.method).or_default().add(sample.rtt_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rtt::Way;
    use crate::engine::rtt::testing::{Tcp, digest};

    fn from(addr: IpAddr) -> Packet {
        let mut packet = digest(&Tcp::default(), 1, Way::Forth);
        (packet.src_addr, packet.dst_addr) = (addr, addr);
        packet
    }

    #[test]
    fn prefixes() {
        let of = |addr: &str, v4, v6| {
            let options =
                AggregateOptions { prefix_v4: v4, prefix_v6: v6, ..AggregateOptions::default() };
            Prefix::of(addr.parse().unwrap(), &options).to_string()
        };
        assert_eq!(of("10.1.2.3", 24, 48), "10.1.2.0/24");
        assert_eq!(of("10.1.2.3", 32, 48), "10.1.2.3/32");
        assert_eq!(of("10.1.2.3", 0, 48), "0.0.0.0/0");
        assert_eq!(of("2001:db8:1:2::3", 24, 48), "2001:db8:1::/48");
        assert_eq!(of("2001:db8:1:2::3", 24, 0), "::/0");
        assert_eq!(of("2001:db8:1:2::3", 24, 128), "2001:db8:1:2::3/128");
    }

    #[test]
    fn prefixes_beyond_the_limit_are_counted_in_the_prefix_of_length_0() {
        let mut aggregator =
            Aggregator::new(AggregateOptions { prefix_v4: 32, ..AggregateOptions::default() });
        for i in 0..MOST as u32 + 7 {
            aggregator.packet(&from(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + i))));
        }
        let interval = aggregator.take().unwrap();
        assert_eq!(interval.prefixes.len(), MOST + 1);
        let rest = &interval.prefixes[&Prefix(Ipv4Addr::UNSPECIFIED.into(), 0)];
        assert_eq!((rest.rx.all().packets, rest.tx.all().packets), (7, 7));
        assert_eq!(interval.global.no_room, 14);
    }

    #[test]
    fn quantiles_are_right_to_a_hundredth_and_merge() {
        let (mut odd, mut all) = (Rtts::default(), Rtts::default());
        for ms in 1..=1000_u64 {
            let into = if ms % 2 == 1 { &mut odd } else { &mut all };
            into.add(ms * 1_000_000);
        }
        all.merge(&odd);
        assert_eq!((all.count, all.min_ns, all.max_ns), (1000, 1_000_000, 1_000_000_000));
        assert_eq!(all.mean_ns(), 500_500_000.0);
        for (quantile, exact) in [(0.5, 500_000_000_u64), (0.95, 950_000_000)] {
            assert!(all.quantile_ns(quantile).abs_diff(exact) <= exact / 100);
        }
        assert_eq!(all.bins.len(), BINS);
        assert_eq!(all.bins.iter().map(|n| u64::from(*n)).sum::<u64>(), 1000);
        let decoded = hdrhistogram::serialization::Deserializer::new()
            .deserialize::<u32, _>(&mut &all.encoded()[..])
            .unwrap();
        assert_eq!(decoded.len(), 1000);
    }
}
