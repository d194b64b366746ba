// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Captures become recordings: containers, link types, cuts, directions, and messages about packets that
//! are left out.

use crate::common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use std::process::Command;

use crate::common::capture::*;
use estats::log::{PacketRow, Recording};
use estats::recordings::import::{ImportError, ImportOptions, ImportReport, import};
use estats::wire::{Direction, Packet};
use proptest::prelude::*;

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };
const T: u64 = 1_767_225_600_000_000_000;
const A: (&str, u16) = ("192.0.2.1", 40_000);
const B: (&str, u16) = ("198.51.100.2", 80);
const A6: (&str, u16) = ("2001:db8::1", 40_000);
const B6: (&str, u16) = ("2001:db8:1::2", 443);

struct Import {
    _dir: tempfile::TempDir,
    run: PathBuf,
    report: ImportReport,
    packets: Vec<Packet>,
}

fn try_import(
    bytes: &[u8],
    options: &ImportOptions,
    dir: &Path,
) -> Result<ImportReport, ImportError> {
    let file = dir.join("capture");
    fs::write(&file, bytes).expect("capture");
    import(&file, &dir.join("run"), options)
}

fn imported_with(bytes: &[u8], options: &ImportOptions) -> Import {
    let dir = tempfile::tempdir().expect("temporary directory");
    let report = try_import(bytes, options, dir.path()).expect("import");
    let run = dir.path().join("run");
    let recording = Recording::open(&run).expect("a recording");
    assert!(recording.verify().expect("verify").ok(), "{}", recording.verify().unwrap());
    let packets = recording
        .packets()
        .filter_map(|row| match row.expect("row") {
            PacketRow::Packet(packet) => Some(packet),
            PacketRow::Drained(_) => None,
        })
        .collect();
    Import { _dir: dir, run, report, packets }
}

fn imported(bytes: &[u8]) -> Import {
    imported_with(bytes, &ImportOptions::default())
}

fn segment() -> Tcp {
    Tcp { payload: 7, options: vec![1, 1, 1, 1], ttl: 61, tos: 0x2e, ..Tcp::new(A, B) }
}

fn frames() -> Vec<Frame> {
    (0..3).map(|i| Frame::new(T + i * 1_500_001_000, segment().ethernet())).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

#[test]
fn every_container_gives_the_same_packets() {
    let frames = frames();
    let plain = [
        ("pcap", pcap(LITTLE, false, 1, &frames)),
        ("pcap", pcap(BIG, false, 1, &frames)),
        ("pcap", pcap(LITTLE, true, 1, &frames)),
        ("pcap", pcap(BIG, true, 1, &frames)),
        ("pcapng", pcapng(LITTLE, 1, &frames)),
        ("pcapng", pcapng(BIG, 1, &frames)),
    ];
    let expected = imported(&plain[0].1);
    assert_eq!(expected.packets.len(), 3);
    for (i, packet) in expected.packets.iter().enumerate() {
        assert_eq!(packet.ts_ns, T + i as u64 * 1_500_001_000);
        assert_eq!(packet.seq, i as u64);
        assert_eq!((packet.wire_len, packet.captured_len), (14 + 20 + 24 + 7, 14 + 20 + 24 + 7));
        assert_eq!((packet.src_addr.to_string(), packet.src_port), (A.0.into(), Some(A.1)));
        assert_eq!((packet.dst_addr.to_string(), packet.dst_port), (B.0.into(), Some(B.1)));
        assert_eq!((packet.ttl, packet.tos, packet.ip_id), (61, 0x2e, Some(0x1234)));
        assert_eq!((packet.ip_len, packet.protocol, packet.payload_len), (51, 6, 7));
        assert_eq!((packet.header.len(), packet.payload.len()), (24, 0));
    }
    for (format, bytes) in &plain {
        for (compression, bytes) in [
            ("", bytes.clone()),
            (" in gzip", gzip(bytes)),
            (" in zstd", zstd::encode_all(&bytes[..], 1).expect("zstd")),
        ] {
            let import = imported(&bytes);
            assert_eq!(import.packets, expected.packets, "{format}{compression}");
            assert_eq!(import.report.import.format, format!("{format}{compression}"));
        }
    }
}

#[test]
fn times_of_pcapng_have_the_unit_of_their_interface() {
    // A power of ten, and of two: 2^-20 s.
    for (resolution, units, ns) in [(3, 1_500, 1_500_000_000), (0x94, 3 << 19, 1_500_000_000)] {
        let frame = Frame::new(0, segment().ethernet());
        let bytes = [
            section(BIG),
            interface(BIG, 1, "eth0", resolution),
            enhanced(BIG, 0, units, &frame, 0),
        ];
        assert_eq!(imported(&bytes.concat()).packets[0].ts_ns, ns, "{resolution:#x}");
    }
}

#[test]
fn imported_wall_times_are_unchanged() {
    let import = imported(&simple(&frames()));
    let manifest = Recording::open(&import.run).unwrap().manifest().clone();
    assert_eq!(manifest.started.realtime_ns, T);
    assert_eq!(manifest.ended.expect("closed").realtime_ns, T + 3_000_002_000);
    let out = import.run.join("t");
    common::replay(&import.run, &common::options(1, &out));
    let connections = common::transposed(&out.join("connections.parquet"));
    assert!(connections.contains("begin_ts               2026-01-01T00:00:00\n"), "{connections}");
}

#[test]
fn same_capture_same_recording() {
    let digest = |bytes: &[u8]| {
        let import = imported(bytes);
        common::replay(&import.run, &common::options(2, &import.run.join("t"))).tables.digest
    };
    let bytes = simple(&frames());
    assert_eq!(digest(&bytes), digest(&bytes));
    assert_ne!(digest(&bytes), digest(&simple(&frames()[..2])));
}

#[test]
fn link_types() {
    let s = segment();
    let vlan = |tags: &[u8]| {
        let ethernet = s.ethernet();
        [&ethernet[..12], tags, &ethernet[12..]].concat()
    };
    let bsd = [&[2, 0, 0, 0][..], &s.ip()].concat();
    let cooked = [&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &s.ether_type(), &s.ip()];
    let cooked2 = [&s.ether_type()[..], &[0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]];
    let cooked2 = [&cooked2.concat()[..], &s.ip()].concat();
    let both = (Some([2, 0, 0, 0, 0, 2]), Some([2, 0, 0, 0, 0, 1]));
    let sender = (Some([2, 0, 0, 0, 0, 1]), None);
    let priority = vlan(&[0x81, 0, 0xe0, 5]);
    for (what, link_type, bytes, interface, direction, macs, tag) in [
        ("Ethernet", 1, s.ethernet(), 0, Direction::Unknown, both, None),
        ("802.1Q, priority 7", 1, priority, 0, Direction::Unknown, both, Some(5)),
        ("QinQ", 1, vlan(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]), 0, Direction::Unknown, both, Some(5)),
        ("raw", 101, s.ip(), 0, Direction::Unknown, (None, None), None),
        ("IPv4", 228, s.ip(), 0, Direction::Unknown, (None, None), None),
        ("loopback of BSD", 0, bsd, 0, Direction::Unknown, (None, None), None),
        ("cooked", 113, cooked.concat(), 0, Direction::Out, sender, None),
        ("cooked v2", 276, cooked2, 7, Direction::In, sender, None),
    ] {
        let length = bytes.len() as u32;
        let import = imported(&pcap(LITTLE, false, link_type, &[Frame::new(T, bytes)]));
        let [p] = &import.packets[..] else { panic!("{what}: {:?}", import.report) };
        assert_eq!((p.wire_len, p.ip_len, p.payload_len), (length, 51, 7), "{what}");
        assert_eq!((p.src_port, p.header.len(), p.ttl), (Some(A.1), 24, 61), "{what}");
        assert_eq!((p.interface, p.direction), (Some(interface), direction), "{what}");
        assert_eq!(((p.src_mac, p.dst_mac), p.vlan), (macs, tag), "{what}");
    }
    let import = imported(&pcap(LITTLE, false, 147, &[Frame::new(T, s.ethernet())]));
    assert_eq!(import.report.import.left_out["link type 147"], 1);
}

#[test]
fn ipv6_with_extension_headers() {
    let s = Tcp { payload: 7, tos: 0x2e, ttl: 63, ..Tcp::new(A6, B6) };
    let hop_by_hop = [6, 0, 1, 4, 0, 0, 0, 0];
    // Hop-by-hop, then a fragment header: the first fragment, more follow.
    let fragment = [44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9];
    let later = [6, 0, 0, 0x51, 0, 0, 0, 9];
    let frames: Vec<_> = [(6, &[][..]), (0, &hop_by_hop), (0, &fragment), (44, &later)]
        .map(|extension| Frame::new(T, s.ip_with(extension)))
        .into();
    let import = imported(&pcap(LITTLE, false, 229, &frames));
    let [plain, hop, first, next] = &import.packets[..] else { panic!("{:?}", import.report) };
    for (p, more) in [(plain, 0), (hop, 8), (first, 16)] {
        assert_eq!((p.protocol, p.src_port, p.dst_port), (6, Some(A6.1), Some(B6.1)));
        assert_eq!((p.ip_len, p.payload_len, p.header.len()), (67 + more, 7, 20));
        assert_eq!((p.ttl, p.tos, p.flow_label), (63, 0x2e, Some(0xabcde)));
    }
    assert_eq!((plain.ip_id, plain.more_fragments), (None, false));
    assert_eq!((first.ip_id, first.fragment_offset, first.more_fragments), (Some(9), 0, true));
    assert_eq!((next.fragment_offset, next.src_port, next.header.len()), (10, None, 0));
    assert_eq!(next.payload_len, 27, "what a later fragment carries has no header");
}

#[test]
fn cut_packets_keep_their_lengths() {
    let mut frame = Frame::new(T, Tcp { payload: 1400, ..segment() }.ethernet());
    frame.kept = 14 + 20 + 24;
    let mut shorter = frame.clone();
    shorter.kept = 14 + 20 + 8;
    let import = imported(&simple(&[frame, shorter]));
    let [whole, cut] = &import.packets[..] else { panic!("{:?}", import.report) };
    assert_eq!((whole.wire_len, whole.captured_len), (1458, 58));
    assert_eq!((whole.ip_len, whole.payload_len, whole.header.len()), (1444, 1400, 24));
    assert_eq!((cut.header.len(), cut.src_port, cut.payload_len), (8, Some(A.1), 1404));
    let report = common::replay(&import.run, &common::options(1, &import.run.join("t")));
    assert_eq!(report.findings.packets.expect("packets").unreadable, 1);
}

#[test]
fn payload_is_kept_where_it_is_asked_for() {
    let options = ImportOptions { payload: 3, ..ImportOptions::default() };
    let import = imported_with(&simple(&frames()), &options);
    assert_eq!(import.packets[0].payload, [0, 1, 2]);
    let padded = Frame::new(T, [segment().ethernet(), vec![0xee; 9]].concat());
    let options = ImportOptions { payload: 100, ..ImportOptions::default() };
    let import = imported_with(&simple(&[padded]), &options);
    assert_eq!(import.packets[0].payload, [0, 1, 2, 3, 4, 5, 6], "not the frame's padding");
}

#[test]
fn packets_without_a_row_are_counted_by_reason() {
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    let mut broken = segment().ethernet();
    broken[14] = 0x41;
    let short = segment().ethernet()[..20].to_vec();
    let ok = segment().ethernet();
    let mut frames: Vec<_> =
        [arp, broken, short, vec![1; 5], ok.clone(), ok].map(|b| Frame::new(T, b)).into();
    frames[4].kept = 20;
    let import = imported(&simple(&frames));
    let left_out: Vec<_> =
        import.report.import.left_out.iter().map(|(r, n)| (r.as_str(), *n)).collect();
    let expected = [
        ("ARP", 1),
        ("IP header cut short", 1),
        ("link header cut short", 1),
        ("malformed IP header", 2),
    ];
    assert_eq!(left_out, expected);
    assert_eq!((import.report.imported, import.report.import.packets), (1, 6));
}

#[test]
fn directions_and_drops_of_pcapng_are_imported() {
    let frame = Frame::new(T, segment().ethernet());
    let simple_packet = [&BIG.u32(frame.bytes.len() as u32)[..], &frame.bytes].concat();
    let bytes = [
        section(BIG),
        interface(BIG, 1, "eth0", 9),
        interface(BIG, 1, "eth1", 9),
        enhanced(BIG, 0, T, &frame, 1),
        enhanced(BIG, 1, T + 1, &frame, 2),
        enhanced(BIG, 5, T + 2, &frame, 0),
        block(BIG, 3, &simple_packet),
        statistics(BIG, 0, 3),
        statistics(BIG, 1, 4),
        // Another section, of another byte order, with an interface 0 of its own.
        section(LITTLE),
        interface(LITTLE, 1, "wlan0", 9),
        enhanced(LITTLE, 0, T + 3, &frame, 0),
    ];
    let import = imported(&bytes.concat());
    let seen: Vec<_> = import.packets.iter().map(|p| (p.interface, p.direction)).collect();
    let expected =
        [(Some(0), Direction::In), (Some(1), Direction::Out), (Some(2), Direction::Unknown)];
    assert_eq!(seen, expected);
    let import_said = &import.report.import;
    assert_eq!((import_said.local_by.as_str(), import_said.dropped), ("capture", Some(7)));
    assert_eq!(import_said.left_out["without a time"], 1, "a Simple Packet Block");
    assert_eq!(import_said.left_out["of an interface that the file does not describe"], 1);
    let names: Vec<_> = import_said.interfaces.iter().filter_map(|i| i.name.clone()).collect();
    assert_eq!(names, ["eth0", "eth1", "wlan0"]);
    let report = common::replay(&import.run, &common::options(1, &import.run.join("t")));
    assert_eq!(report.findings.lost, 7, "what the capture lacks is lost");
}

#[test]
fn the_recorded_end() {
    let far = Tcp { ttl: 57, ..Tcp::new(B, A) };
    let near = Tcp::new(A, B);
    let other = Tcp::new(("203.0.113.9", 5), A);
    let lan = Tcp::new(B, A);
    let local = |bytes: &[Tcp], option: &[&str]| {
        let frames: Vec<_> = bytes.iter().map(|s| Frame::new(T, s.ethernet())).collect();
        let local = option.iter().map(|p| p.parse().expect("a prefix")).collect();
        let import =
            imported_with(&simple(&frames), &ImportOptions { local, ..ImportOptions::default() });
        let directions: Vec<_> = import.packets.iter().map(|p| p.direction).collect();
        (import.report.import.local_by, import.report.import.local.join(" "), directions)
    };
    let said = |by: &str, who: &str, directions: &[Direction]| {
        (by.to_owned(), who.to_owned(), directions.to_vec())
    };
    use Direction::{In, Out, Unknown};
    let both = [near.clone(), far.clone()];
    assert_eq!(local(&both, &[]), said("ttl", "192.0.2.1", &[Out, In]));
    assert_eq!(local(&both, &["198.51.100.0/24"]), said("option", "198.51.100.0/24", &[In, Out]));
    assert_eq!(local(&both, &["10.0.0.0/8"]), said("option", "10.0.0.0/8", &[Unknown, Unknown]));
    let same_lan = [near.clone(), lan.clone(), other];
    assert_eq!(local(&same_lan, &[]), said("common", "192.0.2.1", &[Out, In, In]));
    assert_eq!(local(&[near, lan], &[]), said("opener", "", &[Unknown, Unknown]));
}

#[test]
fn a_file_that_is_not_a_capture_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (bytes, what) in [
        (&b"<html>"[..], "3c 68 74 6d"),
        (&b""[..], "nothing"),
        (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0][..], "d4 c3 b2 a1"),
        (&[10, 13, 13, 10, 28, 0, 0, 0, 1, 2, 3, 4][..], "0a 0d 0d 0a"),
    ] {
        let error =
            try_import(bytes, &ImportOptions::default(), dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("is not a capture: it begins with") && error.contains(what),
            "{error}"
        );
        assert!(!dir.path().join("run").exists());
    }
    let missing =
        import(&dir.path().join("absent"), &dir.path().join("run"), &ImportOptions::default());
    let error = missing.unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("absent"), "{error}");
}

#[test]
fn the_readable_part_of_a_cut_file_is_imported() {
    let bytes = simple(&frames());
    let record = 16 + frames()[0].bytes.len();
    let second = 24 + record;
    for cut in [second + 1, second + 16, second + record - 1] {
        let import = imported(&bytes[..cut]);
        assert_eq!(import.packets.len(), 1, "{cut}");
        let how = import.report.import.truncated.expect("said");
        assert_eq!(how, format!("it ends inside the block at byte {second}"));
    }
    assert_eq!(imported(&bytes[..second]).report.import.truncated, None, "between two packets");

    let mut insane = bytes.clone();
    insane[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let import = imported(&insane);
    assert_eq!(import.packets.len(), 1);
    let how = import.report.import.truncated.expect("said");
    assert!(how.contains(&format!("byte {second} is damaged: it claims a packet of 4294967295")));

    let ng = pcapng(LITTLE, 1, &frames());
    let import = imported(&ng[..ng.len() - 3]);
    assert_eq!(import.packets.len(), 2);
    assert!(import.report.import.truncated.is_some());

    // Enough packets that the compressed file has something before its last bytes.
    let many: Vec<_> =
        (0..20_000).map(|i| Frame::new(T + i * 77_777, segment().ethernet())).collect();
    let many = simple(&many);
    for bytes in [gzip(&many), zstd::encode_all(&many[..], 1).expect("zstd")] {
        let import = imported(&bytes[..bytes.len() / 2]);
        assert!(import.packets.len() > 100, "{}", import.packets.len());
        let how = import.report.import.truncated.expect("said");
        assert!(how.contains("of the decompressed file"), "{how}");
    }
}

#[test]
fn the_command() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let analyze = |file: &str, run: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .current_dir(dir.path())
            .args(["import-pcap", file, "-o", run])
            .output()
            .expect("estats-analyze");
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let bytes = simple(&frames());
    fs::write(dir.path().join("whole"), &bytes).expect("capture");
    fs::write(dir.path().join("cut"), &bytes[..bytes.len() - 1]).expect("capture");
    fs::write(dir.path().join("other"), "text").expect("file");

    let (code, out, err) = analyze("whole", "run1");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("3 of 3 packets of whole (pcap) in run1"), "{out}");
    assert!(out.contains("recorded end: the opening end of each connection"), "{out}");

    let (code, _, err) = analyze("cut", "run2");
    assert_eq!(code, Some(3), "done, but the capture lost data");
    assert!(err.contains("cut is incomplete: it ends inside the block at byte"), "{err}");

    let (code, _, err) = analyze("other", "run3");
    assert_eq!(code, Some(2));
    assert!(err.contains("other is not a capture"), "{err}");
    let (code, _, err) = analyze("whole", "run1");
    assert_eq!(code, Some(2));
    assert!(err.contains("output exists"), "{err}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the bytes are: what can be read is a recording that verifies and replays.
    #[test]
    fn damaged_captures_do_not_panic(
        kind in 0..4_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let frames: Vec<_> = (0..4)
            .flat_map(|i| {
                let v6 = Tcp { options: vec![1, 1, 1, 1], payload: 9, ..Tcp::new(A6, B6) };
                [Frame::new(T + i, segment().ethernet()), Frame::new(T + i, v6.ethernet())]
            })
            .collect();
        let mut bytes = match kind {
            0 => pcap(LITTLE, false, 1, &frames),
            1 => pcap(BIG, true, 1, &frames),
            2 => [pcapng(LITTLE, 1, &frames), statistics(LITTLE, 0, 1)].concat(),
            _ => pcapng(BIG, 1, &frames),
        };
        for (at, value) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().expect("temporary directory");
        let Ok(report) = try_import(&bytes, &ImportOptions::default(), dir.path()) else { return Ok(()) };
        let run = dir.path().join("run");
        let verified = Recording::open(&run).expect("a recording").verify().expect("verify");
        prop_assert!(verified.ok(), "{verified}");
        let left_out: u64 = report.import.left_out.values().sum();
        prop_assert_eq!(report.imported + left_out, report.import.packets);
        common::replay(&run, &common::options(1, &run.join("t")));
    }
}
