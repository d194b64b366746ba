// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The packets stream.

use std::net::IpAddr;

use estats::log::PacketRow;
use estats::wire::{Checksum, Direction, Packet};

use super::*;

fn packet(seq: u64) -> Packet {
    let addr = |text: &str| text.parse::<IpAddr>().expect("an address");
    let v4 = seq.is_multiple_of(2);
    Packet {
        ts_ns: SECOND + seq * 1_000,
        seq,
        cpu: 0,
        hook: Hook::Egress,
        direction: Direction::ALL[(seq % 3) as usize],
        interface: v4.then_some(2),
        netns: seq.is_multiple_of(5).then_some(4_026_531_840),
        cookie: seq.is_multiple_of(7).then_some(u64::MAX - seq),
        src_mac: v4.then_some([2, 0, 0, 0, 0, 1]),
        dst_mac: (!v4).then_some([2, 0, 0, 0, 0, 2]),
        vlan: seq.is_multiple_of(3).then_some(4094),
        wire_len: 1_514,
        captured_len: 96,
        src_addr: if v4 { addr("192.0.2.1") } else { addr("2001:db8::1") },
        // IPv6 too, and not to be mistaken for IPv4.
        dst_addr: if v4 { addr("192.0.2.2") } else { addr("::ffff:192.0.2.2") },
        ttl: 64,
        tos: 3,
        ip_id: v4.then_some(seq as u32),
        fragment_offset: (seq % 11) as u16,
        more_fragments: seq.is_multiple_of(13),
        flow_label: (!v4).then_some(0xfffff),
        ip_len: 66_000,
        protocol: 6,
        src_port: v4.then_some(443),
        dst_port: v4.then_some(50_000),
        payload_len: 65_948,
        segments: 46,
        wrong_checksum: Checksum::ALL.get((seq % 3) as usize).copied(),
        is_copy: seq.is_multiple_of(17),
        // Something that does not compress, so that segments fill.
        header: (0..seq % 61)
            .map(|i| (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 56)) as u8)
            .collect(),
        payload: (0..seq % 4).map(|i| i as u8).collect(),
    }
}

fn written(dir: &Path, packets: u64) -> Vec<PacketRow> {
    let options = WriterOptions { rotate_bytes: 100_000, ..WriterOptions::default() };
    let mut manifest = manifest();
    manifest.options.packets = true;
    let mut writer = RecordingWriter::create(dir, &manifest, options).unwrap();
    let mut rows = Vec::new();
    for seq in 0..packets {
        writer.packet(packet(seq)).unwrap();
        rows.push(PacketRow::Packet(packet(seq)));
        if seq % 1000 == 999 {
            let ts_ns = SECOND + seq * 1_000;
            writer.drained(ts_ns).unwrap();
            rows.push(PacketRow::Drained(ts_ns));
        }
    }
    assert_eq!(writer.rows(), packets);
    writer.finish(&closing(&[(0, packets, 0)])).unwrap();
    rows
}

fn read_packets(dir: &Path) -> Vec<PacketRow> {
    Recording::open(dir).unwrap().packets().map(Result::unwrap).collect()
}

#[test]
fn packets_come_back_from_all_segments() {
    let dir = tempfile::tempdir().unwrap();
    let rows = written(dir.path(), 150_000);
    assert_eq!(read_packets(dir.path()), rows);
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    assert!(report.ok(), "{report}");
    let segments = report.files.iter().filter(|f| f.file.starts_with("packets-")).count();
    assert!(segments > 1, "{report}");

    fs::remove_file(dir.path().join("packets-000000.arrows.zst")).unwrap();
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    let missing = Finding::MissingSegment { file: "packets-000000.arrows.zst".into() };
    assert!(report.findings.contains(&missing), "{report}");
    assert!(
        report.findings.iter().any(|f| matches!(f, Finding::SequenceNumbers { cpu: 0, .. })),
        "{report}"
    );
}

#[test]
fn a_recording_without_packets_has_no_packet_stream() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    assert_eq!(read_packets(dir.path()), []);
    assert!(!dir.path().join("packets-000000.arrows.zst").exists());
}

#[test]
fn packets_share_the_numbers_of_their_cpu() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    writer.packet(packet(0)).unwrap();
    writer.hook(&header(SECOND, 0, 1), &[]).unwrap();
    writer.packet(packet(1)).unwrap();
    writer.finish(&closing(&[(0, 3, 0)])).unwrap();
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    let expected = Finding::Duplicates { cpu: 0, count: 1 };
    assert!(report.findings.contains(&expected), "{report}");
}

#[test]
fn a_cut_packets_segment_is_read_up_to_its_last_frame() {
    let dir = tempfile::tempdir().unwrap();
    let rows = written(dir.path(), 5_000);
    let path = dir.path().join("packets-000000.arrows.zst");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let recording = Recording::open(dir.path()).unwrap();
    let read = read_packets(dir.path());
    assert_eq!(read, rows[..read.len()]);
    let cuts = recording.truncations().unwrap();
    assert!(cuts.iter().any(|t| t.path == path), "{cuts:?}");
}
