// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Captures and references that somebody has made to do harm.

use std::fs;
use std::path::Path;

use super::attacks::bounded;
use crate::common::capture::*;
use crate::fuzzed::testdata;

const LITTLE: Order = Order { big: false };

/// A capture with one packet, and what follows it.
fn pcap_with(rest: &[u8]) -> Vec<u8> {
    let tcp = Tcp { flags: SYN, ..Tcp::new(("192.0.2.1", 40_000), ("198.51.100.2", 80)) };
    [simple(&[Frame::new(1_767_225_600_000_000_000, tcp.ethernet())]), rest.to_vec()].concat()
}

/// What a capture is, what is in the file, the status of its import, and what that says.
type Capture = (&'static str, fn() -> Vec<u8>, i32, &'static str);

const CAPTURES: &[Capture] = &[
    ("no octet", Vec::new, 2, "is not a capture: it begins with nothing"),
    ("another file", || b"hello, world".to_vec(), 2, "is not a capture: it begins with"),
    (
        "a packet of 4 GiB",
        || pcap_with(&[&[0; 8][..], &[0xff; 8]].concat()),
        3,
        "it claims a packet of 4294967295 bytes",
    ),
    (
        "a block of 4 GiB",
        || [section(LITTLE), vec![6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0]].concat(),
        1,
        "it claims 4294967292 bytes",
    ),
    (
        "a packet that ends behind the file",
        || pcap_with(&[&[0; 8][..], &[0, 0, 0, 3, 0, 0, 0, 3]].concat()),
        3,
        "it ends inside the block",
    ),
    (
        "two hundred thousand interfaces, in zstd",
        || {
            let one = interface(LITTLE, 1, &"x".repeat(300), 9);
            let all = [section(LITTLE), one.repeat(200_000)].concat();
            zstd::encode_all(&all[..], 1).expect("zstd")
        },
        1,
        "more than 65536 interfaces",
    ),
    (
        "a million packets of no octets, in zstd",
        || {
            let all = pcap_with(&vec![0; 16_000_000]);
            zstd::encode_all(&all[..], 1).expect("zstd")
        },
        0,
        "1000000 packets left out",
    ),
    (
        "packets at both ends of time",
        || {
            let packet =
                |ns| Frame::new(ns, Tcp::new(("192.0.2.1", 4), ("192.0.2.2", 5)).ethernet());
            pcapng(LITTLE, 1, &[packet(u64::MAX), packet(0), packet(u64::MAX)])
        },
        0,
        "",
    ),
];

#[test]
fn captures_end_as_stated() {
    let mut wrong = Vec::new();
    for (what, make, code, says) in CAPTURES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
        fs::write(path("capture"), make()).expect("a capture");
        let ended = bounded(&["import-pcap", &path("capture"), "-o", &path("run")]);
        let is_clean = !ended.said.contains("panicked") && !ended.said.contains("memory alloc");
        if ended.code != Some(*code) || !ended.said.contains(says) || !is_clean {
            wrong.push(format!("{what}: {:?} {}", ended.code, ended.said));
        }
        if Path::new(&path("run/manifest.json")).exists() {
            let ended = bounded(&["replay", &path("run"), "-o", &path("tables")]);
            if !matches!(ended.code, Some(0 | 3)) || ended.said.contains("panicked") {
                wrong.push(format!("replay of {what}: {:?} {}", ended.code, ended.said));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const LEAD: &str = "Time,CID,SrcIp,SrcPort,DstIp,DstPort";

/// What a reference is, what is in the file, and what `compare` says.
type Reference = (&'static str, fn() -> Vec<u8>, &'static str);

const REFERENCES: &[Reference] = &[
    ("no octet", Vec::new, "contains no connections"),
    ("blanks of 40 MiB", || vec![b' '; 40 << 20], "has more than 33554432 bytes, and is not read"),
    (
        "ten million lists",
        || format!("[{}[]]", "[],".repeat(10_000_000)).into_bytes(),
        "has more than 1000000 values, and is not read",
    ),
    ("ten thousand lists deep", || "[".repeat(10_000).into_bytes(), "recursion limit exceeded"),
    (
        "forty thousand readings",
        || {
            format!("{LEAD},SegsOut\n{}", "1400000001.000001,1,::1,1,::1,2,5\n".repeat(40_000))
                .into_bytes()
        },
        "it is the reading after the first 32768, and no more are read",
    ),
    (
        "a line of ten million commas",
        || format!("{LEAD}{}\n", ",".repeat(10_000_000)).into_bytes(),
        "has 10000006 columns, and 4096 are the most",
    ),
    (
        "a value of 2^64",
        || {
            format!("{LEAD},SegsOut\n1400000001.000001,1,::1,1,::1,2,18446744073709551616\n")
                .into_bytes()
        },
        "SegsOut is \"18446744073709551616\", which is not an integer",
    ),
    (
        "a value of a million letters",
        || {
            format!(
                "{LEAD},SegsOut\n1400000001.000001,1,::1,1,::1,2,{}\n",
                "\x1b[2J".repeat(250_000)
            )
            .into_bytes()
        },
        "SegsOut is \"\\u{1b}[2J",
    ),
];

#[test]
fn references_end_as_stated() {
    let run = testdata().join("web10g/h_rr/run");
    let run = run.to_str().expect("UTF-8");
    let mut wrong = Vec::new();
    for (what, make, says) in REFERENCES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("reference");
        fs::write(&file, make()).expect("a reference");
        let ended = bounded(&["compare", run, "--reference", file.to_str().expect("UTF-8")]);
        let is_short = ended.said.len() < 2000;
        if ended.code != Some(2) || !ended.said.contains(says) || !is_short {
            let said: String = ended.said.chars().take(400).collect();
            wrong.push(format!("{what}: {:?} {said}", ended.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
