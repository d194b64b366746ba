// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What one direction of a link does to packets: pure state, fed packets and times.

use std::time::Duration;

use super::packet::{self, NOT_ECT, Segment};

/// The faults of one direction. Packets that are not TCP pass untouched (after the delay): the
/// scenarios are about TCP, and neighbour discovery must not fall to the dice.
#[derive(Clone, Debug, Default)]
pub struct Impairment {
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much is added at random; the order is kept.
    pub jitter: Duration,
    /// Probability that a TCP segment is lost.
    pub loss: f64,
    /// These data segments are lost, counted from 1 as the sender sends them.
    pub drop_data: Vec<u64>,
    /// These segments are lost, with data or without, counted from 1 as the sender sends them.
    pub drop: Vec<u64>,
    /// Probability that a TCP segment is held back by `hold_back`, so that later ones overtake it.
    pub reorder: f64,
    /// How long a reordered segment is held back.
    pub hold_back: Duration,
    /// These data segments are delivered twice, the copy `duplicate_after` later.
    pub duplicate_data: Vec<u64>,
    /// How much later than the original the copy of a duplicated segment comes.
    pub duplicate_after: Duration,
    /// Probability that an ECN-capable data segment is marked CE.
    pub mark_ce: f64,
    /// Bits per second; `None`: no limit.
    pub rate: Option<u64>,
    /// With a rate: octets that may wait; a segment that would exceed it is dropped. 0: no limit.
    pub queue: u64,
    /// Every TCP segment is lost for a while.
    pub blackout: Option<Blackout>,
    /// Seed of the dice: same seed and same sequence of segments, same faults.
    pub seed: u64,
}

/// A stretch in which nothing passes.
#[derive(Clone, Copy, Debug)]
pub struct Blackout {
    /// It begins with this data segment, counted from 1.
    pub at_data: u64,
    /// And lasts this long.
    pub duration: Duration,
}

/// What one direction of a link has seen. `data` means segments with payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// TCP segments offered by the sending end.
    pub offered: u64,
    /// Offered packets with SYN set.
    pub offered_syn: u64,
    /// Offered packets with payload.
    pub offered_data: u64,
    /// Octets of payload offered.
    pub offered_octets: u64,
    /// TCP segments handed to the receiving end, copies included.
    pub delivered: u64,
    /// Delivered packets with SYN set.
    pub delivered_syn: u64,
    /// Delivered packets with payload.
    pub delivered_data: u64,
    /// Octets of payload delivered.
    pub delivered_octets: u64,
    /// Lost by chance or by list.
    pub lost: u64,
    /// Lost in the blackout.
    pub blacked_out: u64,
    /// Dropped because the queue was full.
    pub tail_dropped: u64,
    /// Held back.
    pub reordered: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Data segments marked CE.
    pub ce_marked: u64,
    /// Packets the receiving TUN device refused. Not a fault of the model but of the laboratory.
    pub refused: u64,
}

/// One direction: its faults, its dice and its clock.
#[derive(Debug)]
pub struct Lane {
    faults: Impairment,
    dice: Dice,
    /// When the transmitter is free again.
    free_at: u64,
    /// Departure of the packet before, which the next may not overtake unless reordered.
    last_due: u64,
    blackout_until: Option<u64>,
    /// What has been seen.
    pub counters: Counters,
}

/// What becomes of an offered packet: when it, and perhaps a copy, is delivered (nanoseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Delivery of the packet; `None`: lost.
    pub due: Option<u64>,
    /// Delivery of the copy.
    pub copy_due: Option<u64>,
}

impl Lane {
    /// A lane that has seen nothing.
    pub fn new(faults: Impairment) -> Self {
        let dice = Dice::new(faults.seed);
        Self {
            faults,
            dice,
            free_at: 0,
            last_due: 0,
            blackout_until: None,
            counters: Counters::default(),
        }
    }

    /// Takes a packet at `now` (nanoseconds of any clock, the same for all calls); may mark it.
    pub fn offer(&mut self, packet: &mut [u8], now: u64) -> Verdict {
        let segment = packet::segment(packet);
        if let Some(segment) = segment
            && self.loses(segment, now)
        {
            return Verdict::default();
        }
        let Some(sent) = self.transmit(packet.len() as u64, now) else {
            self.counters.tail_dropped += 1;
            return Verdict::default();
        };
        let jitter = (nanos(self.faults.jitter) as f64 * self.dice.roll()) as u64;
        let due = sent + nanos(self.faults.delay) + jitter;
        let in_order = due.max(self.last_due);
        let Some(segment) = segment else {
            self.last_due = in_order;
            return Verdict { due: Some(in_order), copy_due: None };
        };
        if segment.payload > 0 && segment.ecn != NOT_ECT && self.faults.mark_ce > self.dice.roll() {
            packet::mark_ce(packet);
            self.counters.ce_marked += 1;
        }
        let due = if self.faults.reorder > self.dice.roll() {
            self.counters.reordered += 1;
            in_order + nanos(self.faults.hold_back)
        } else {
            self.last_due = in_order;
            in_order
        };
        let twice =
            segment.payload > 0 && self.faults.duplicate_data.contains(&self.counters.offered_data);
        self.counters.duplicated += u64::from(twice);
        let copy_due = twice.then(|| due + nanos(self.faults.duplicate_after));
        Verdict { due: Some(due), copy_due }
    }

    /// Counts a packet the receiving end has taken.
    pub fn delivered(&mut self, packet: &[u8]) {
        if let Some(segment) = packet::segment(packet) {
            self.counters.delivered += 1;
            self.counters.delivered_syn += u64::from(segment.syn);
            self.counters.delivered_data += u64::from(segment.payload > 0);
            self.counters.delivered_octets += segment.payload as u64;
        }
    }

    /// Counts an offered segment and decides whether it is lost before it is queued.
    fn loses(&mut self, segment: Segment, now: u64) -> bool {
        let counters = &mut self.counters;
        counters.offered += 1;
        counters.offered_syn += u64::from(segment.syn);
        if segment.payload > 0 {
            counters.offered_data += 1;
            counters.offered_octets += segment.payload as u64;
            if let Some(blackout) = self.faults.blackout
                && counters.offered_data == blackout.at_data
            {
                self.blackout_until = Some(now + nanos(blackout.duration));
            }
        }
        if self.blackout_until.is_some_and(|until| now < until) {
            counters.blacked_out += 1;
            return true;
        }
        let listed = self.faults.drop.contains(&counters.offered)
            || segment.payload > 0 && self.faults.drop_data.contains(&counters.offered_data);
        if listed || self.faults.loss > self.dice.roll() {
            counters.lost += 1;
            return true;
        }
        false
    }

    /// When the last bit has been sent at the lane's rate; `None` if the queue is full.
    fn transmit(&mut self, octets: u64, now: u64) -> Option<u64> {
        let Some(rate) = self.faults.rate else { return Some(now) };
        let start = self.free_at.max(now);
        let waiting = u128::from(start - now) * u128::from(rate) / 8_000_000_000;
        if self.faults.queue > 0 && waiting + u128::from(octets) > u128::from(self.faults.queue) {
            return None;
        }
        self.free_at = start + octets * 8_000_000_000 / rate;
        Some(self.free_at)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("the times of a test fit 64 bits of nanoseconds")
}

/// SplitMix64: small, seedable and the same on every platform; no more is asked of it.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in 0..1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
