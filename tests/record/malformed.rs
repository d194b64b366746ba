// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Frames that anybody on the segment can send: none of them ends a recording, and each is counted.

use std::collections::BTreeMap;
use std::path::Path;

use estats::log::{CaptureStat, PacketRow, Recording};
use estats::schema::Hook;
use estats::wire::{Direction, Packet, is_extension};

use crate::SUITE;
use crate::hostile;
use crate::run::{Finished, Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust;
use crate::support::veth::{self, send_frames, wait_attached};

const WIRE: &str = "wire0";

/// Malformed packets by hook, as the ledger has them.
fn malformed(dir: &Path) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for row in Recording::open(dir).expect("a recording").capture_stats() {
        if let CaptureStat::Malformed { hook, count, .. } = row.expect("a row") {
            *sums.entry(hook.name()).or_default() += count;
        }
    }
    sums
}

/// A link between two namespaces, recorded at both of its ends.
struct Segment {
    sender: Netns,
    hearer: Netns,
}

impl Segment {
    fn new(role: &str) -> Self {
        let segment = Self { sender: Netns::new(role), hearer: Netns::new(role) };
        // No packets but those of the test.
        for netns in [&segment.sender, &segment.hearer] {
            netns.sysctl("ipv6/conf/default/disable_ipv6", "1");
        }
        veth::link(WIRE, &segment.sender, &segment.hearer);
        veth::up(WIRE, &segment.sender, &[]);
        veth::up(WIRE, &segment.hearer, &["192.0.2.1/24"]);
        segment
    }

    fn record(&self, more: &[&str]) -> Recorder {
        let netns = ["--netns", self.sender.name(), "--netns", self.hearer.name()];
        Recorder::start(&[&["--packets", "--interface", WIRE], more, &netns].concat())
    }
}

/// Whether the frame is a malformed packet by the reader that imports have.
fn is_malformed(ip: &[u8]) -> bool {
    let mut packet = Packet::unread(0, Hook::Capture, Direction::Unknown);
    packet.read_ip(ip, ip.len() as u32, 0).is_err()
}

fn assert_counted(finished: &Finished, expected: u64) {
    finished.assert_code(0).assert_account();
    let counted = BTreeMap::from([("interface_in", expected), ("interface_out", expected)]);
    assert_eq!(malformed(&finished.dir), counted);
    let totals = finished.manifest()["totals"]["malformed"].clone();
    assert_eq!(totals, serde_json::to_value(&counted).expect("JSON"));
    let said = format!("{} packets had malformed IP headers", 2 * expected);
    assert!(finished.stderr.contains(&said), "{}", finished.stderr);
}

#[test]
fn no_frame_ends_a_recording() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let segment = Segment::new("hostile");
    let hostile = hostile::packets();
    for more in [&[][..], &["--attach", "tc"], &["--digest-bytes", "200", "--top"]] {
        let recorder = segment.record(more);
        if more.first() != Some(&"--attach") {
            wait_attached(WIRE, &segment.hearer);
        }
        let mut frames: Vec<_> =
            hostile.iter().map(|(_, ip)| hostile::broadcast(ip, ip[0] >> 4 == 6)).collect();
        // A well-formed packet comes after it, and is recorded.
        let [from, to] = ["192.0.2.2", "192.0.2.255"].map(|a| a.parse().expect("an address"));
        frames.push(veth::tagged_datagram(&[], from, to, b"after"));
        send_frames(WIRE, &segment.sender, &frames);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        let finished = recorder.stop();
        assert_counted(&finished, hostile.len() as u64);
        let info = String::from_utf8(analyze(&["info"], &finished.dir).stdout).expect("text");
        for hook in ["interface_in", "interface_out"] {
            let line = format!("{} packets at {hook}", hostile.len());
            assert!(
                info.lines().any(|l| l.starts_with("malformed") && l.contains(&line)),
                "{info}"
            );
        }
        let rows = Recording::open(&finished.dir).expect("a recording").packets();
        let ports: Vec<_> = rows
            .filter_map(|row| match row.expect("a row") {
                PacketRow::Packet(p) => Some((p.hook, p.dst_port)),
                PacketRow::Drained(_) => None,
            })
            .filter(|(hook, _)| *hook == Hook::InterfaceIn)
            .collect();
        assert_eq!(ports, [(Hook::InterfaceIn, Some(4001))]);
        if more.is_empty() {
            let each = malformed(&finished.dir)["interface_in"] / hostile.len() as u64;
            trust::says(
                "a malformed frame on the segment",
                &format!(
                    "recording goes on, exit status {}; each of {} kinds is counted {each} time \
                     (ledger `malformed`), without a row in packets",
                    finished.code.expect("a code"),
                    hostile.len()
                ),
            );
        }
    }
}

/// A generator of numbers that is the same in each run: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// The programs in the kernel and the reader here judge the same of whatever comes.
#[test]
fn kernel_and_recorder_agree_on_what_is_malformed() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let segment = Segment::new("random");
    let recorder = segment.record(&["--packet-ring", "16M"]);
    wait_attached(WIRE, &segment.hearer);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let seeds = hostile::packets();
    let kinds = [0_u8, 43, 44, 51, 60, 135, 6, 17, 1, 58, 59];
    let (mut bad, mut good, mut frames) = (0, 0, Vec::new());
    let cases = std::env::var("ESTATS_FUZZ_CASES").ok().and_then(|n| n.parse().ok());
    for _ in 0..cases.unwrap_or(4000) {
        let mut ip = seeds[random.below(seeds.len())].1.clone();
        ip.resize(ip.len().max(20) + random.below(60), random.below(256) as u8);
        // The version stays: by it the frame gets its type.
        let version = if random.below(2) == 0 { 0x40 } else { 0x60 };
        ip[0] = version | ip[0] & 15;
        if version == 0x60 && ip.len() >= 40 {
            // Mostly a length that fits, and a chain of headers.
            let length = (ip.len() - 40 - random.below(2) * random.below(ip.len() - 39)) as u16;
            ip[4..6].copy_from_slice(&length.to_be_bytes());
            ip[6] = kinds[random.below(kinds.len())];
            for at in (40..ip.len().saturating_sub(8)).step_by(8) {
                ip[at] = kinds[random.below(kinds.len())];
                ip[at + 1] = random.below(3) as u8;
            }
        } else if version == 0x40 {
            ip[0] = 0x40 | random.below(16) as u8;
            let length = random.below(ip.len() + 4) as u16;
            ip[2..4].copy_from_slice(&length.to_be_bytes());
        }
        for _ in 0..random.below(3) {
            let at = 1 + random.below(ip.len() - 1);
            ip[at] = random.below(256) as u8;
        }
        // To an unused address: the kernel answers some of what it gets.
        let at = if version == 0x40 { 16 } else { 24 };
        if let Some(to) = ip.get_mut(at..at + 4) {
            to.copy_from_slice(&[203, 0, 113, 9]);
        }
        frames.push(hostile::broadcast(&ip, version == 0x60));
        if is_malformed(&ip) {
            bad += 1;
        } else {
            good += 1;
        }
    }
    // A ring holds a thousand of them between two looks at it.
    for frames in frames.chunks(1000) {
        send_frames(WIRE, &segment.sender, frames);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let finished = recorder.stop();
    assert!(bad > 500 && good > 500, "{bad} {good}");
    // But for chains that the programs do not follow to their end, they agree.
    assert_counted(&finished, bad);
    let rows = Recording::open(&finished.dir).expect("a recording").packets();
    let mut there = 0;
    for row in rows {
        if let PacketRow::Packet(p) = row.expect("a row")
            && p.hook == Hook::InterfaceIn
        {
            there += 1;
            assert!(p.header.len() <= 60 || is_extension(p.protocol));
        }
    }
    assert_eq!(there, good);
}
