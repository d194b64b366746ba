// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Changes of everything that is read, always the same ones. No seed depends on a clock. `ESTATS_FUZZ_CASES` is how
//! many are tried of each kind, and `ESTATS_FUZZ_SEED` the first of them.

use std::fs;

use crate::common::capture::*;
use crate::fuzzed;

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Tries cases of one kind, and names the one that fails.
fn tries(name: &str, cases: u64, mut one: impl FnMut(&mut Random)) {
    let first = variable("ESTATS_FUZZ_SEED", 0);
    for seed in first..first + variable("ESTATS_FUZZ_CASES", cases) {
        let named = Named(name, seed);
        one(&mut Random(seed));
        std::mem::forget(named);
    }
}

/// Says which case it was when a panic passes by.
struct Named<'a>(&'a str, u64);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        eprintln!("{} failed with ESTATS_FUZZ_SEED={}", self.0, self.1);
    }
}

/// Octets changed, lost, and repeated.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => {
                let to = (at + 1 + random.below(64)).min(bytes.len());
                drop(bytes.drain(at..to));
            }
            2 => {
                let to = (at + 1 + random.below(64)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let end = bytes.len().min(at + 4);
                bytes[at..end].fill(0xff);
            }
            4 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = random.next() as u8,
        }
    }
}

#[test]
fn frames() {
    tries("frames", 40, |random| {
        let mut script = vec![random.next() as u8, random.next() as u8, 0, 0, 0];
        script[2] = if random.below(4) == 0 { random.next() as u8 } else { 0 };
        let more = random.below(120);
        script.extend(random.bytes(more));
        fuzzed::contents::frames(&script);
    });
}

#[test]
fn rows() {
    tries("rows", 40, |random| {
        let more = 30 + random.below(300);
        fuzzed::rows::rows(&random.bytes(more));
    });
}

/// Values of JSON in the place of others.
fn change(value: &mut serde_json::Value, random: &mut Random) {
    use serde_json::Value;
    let inside = random.below(6) > 0;
    match value {
        Value::Object(map) if inside && !map.is_empty() => {
            let at = random.below(map.len());
            if let Some((_, value)) = map.iter_mut().nth(at) {
                change(value, random);
            }
        }
        Value::Array(list) if inside && !list.is_empty() => {
            let at = random.below(list.len());
            change(&mut list[at], random);
        }
        // Mostly of the same type: others are refused at once.
        Value::Number(_) if random.below(4) > 0 => {
            *value = [0, 1, u64::MAX, 1 << 63, u64::MAX / 2, 1 << 32][random.below(6)].into();
        }
        Value::String(_) if random.below(4) > 0 => {
            let texts = ["", "../../x", "\x1b[2J\u{202e}<script>=1", "kprobe", "packets"];
            *value = texts[random.below(texts.len())].into();
        }
        _ => {
            *value = match random.below(12) {
                0 => Value::Null,
                1 => u64::MAX.into(),
                2 => 0.into(),
                3 => i64::MIN.into(),
                4 => 1e308.into(),
                5 => "../../../../tmp/x".into(),
                6 => "\x1b[2J\u{202e}<script>=1".into(),
                7 => Value::Array(vec![u64::MAX.into(); 3]),
                8 => serde_json::json!({}),
                9 => true.into(),
                10 => (u64::MAX / 2).into(),
                _ => random.next().into(),
            };
        }
    }
}

#[test]
fn manifests() {
    tries("manifests", 60, |random| {
        let number = random.next() as u8;
        let manifest = fuzzed::manifest_of(number);
        let mut value = serde_json::to_value(&manifest).expect("JSON");
        for _ in 0..=random.below(3) {
            change(&mut value, random);
        }
        let mut text = value.to_string().into_bytes();
        if random.below(6) == 0 {
            mutate(&mut text, random);
        }
        // The length chooses the files beside it.
        while text.len() % fuzzed::BASES.len() != usize::from(number) % fuzzed::BASES.len() {
            text.push(b'\n');
        }
        fuzzed::manifest(&text);
    });
}

/// A connection with two segments of data, one of them twice.
fn packets() -> Vec<Frame> {
    let (a, b) = (("192.0.2.1", 40_000), ("198.51.100.2", 80));
    let of = |from, to, flags, numbers: (u32, u32), payload| {
        let (seq, ack) = numbers;
        Tcp { flags, seq, ack, payload, ..Tcp::new(from, to) }.ethernet()
    };
    let all = [
        of(a, b, SYN, (1000, 0), 0),
        of(b, a, SYN | ACK, (7000, 1001), 0),
        of(a, b, ACK, (1001, 7001), 100),
        of(a, b, ACK, (1101, 7001), 100),
        of(a, b, ACK, (1001, 7001), 100),
        of(b, a, ACK, (7001, 1201), 0),
        of(a, b, FIN | ACK, (1201, 7001), 0),
        of(b, a, FIN | ACK, (7001, 1202), 0),
        of(a, b, ACK, (1202, 7002), 0),
    ];
    let times = (0..).map(|i| 1_767_225_600_000_000_000 + i * 30_000_000);
    times.zip(all).map(|(ns, bytes)| Frame::new(ns, bytes)).collect()
}

#[test]
fn captures() {
    let frames = packets();
    let (little, big) = (Order { big: false }, Order { big: true });
    let seeds = [
        simple(&frames),
        pcap(big, true, 1, &frames),
        pcapng(little, 1, &frames),
        pcapng(big, 1, &frames),
    ];
    tries("captures", 60, |random| {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, random);
        fuzzed::captures(&bytes);
    });
}

#[test]
fn references() {
    let dir = fuzzed::testdata().join("web10g/h_rr");
    let seed = fs::read(dir.join("final.json.zst")).expect("a reference");
    let seed = zstd::decode_all(&seed[..]).expect("zstd");
    tries("references", 300, |random| {
        let mut bytes = seed.clone();
        mutate(&mut bytes, random);
        fuzzed::references(&bytes);
    });
}

#[test]
fn wire() {
    tries("wire", 20_000, |random| {
        let n = random.below(700);
        let mut bytes = random.bytes(n);
        if random.below(2) == 0 {
            bytes.iter_mut().for_each(|b| *b &= 0x1f);
        }
        fuzzed::wire(&bytes);
    });
}
