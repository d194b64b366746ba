// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! pcapng: read back by `import-pcap` and by tshark, which must find what the recording has.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use estats::engine::estats::Interval;
use estats::log::{PacketRow, Recording};
use estats::recordings::import;
use estats::replay::ReplayOptions;
use estats::views::export::{ExportError, pcapng};
use estats::wire::Packet;

use super::golden;
use crate::common::{cells, options, read, replay};
use crate::support::gate::{self, Needs};

pub fn exported(run: &Path) -> Vec<u8> {
    let recording = Recording::open(run).expect("a recording");
    let mut out = Vec::new();
    pcapng::write(&recording, &ReplayOptions::default(), &mut out).expect("pcapng");
    out
}

/// The capture of one end (A is the client's) of a scenario of testdata/reference, as tools without zstd read it.
pub fn uncompressed(scenario: &str, side: &str, dir: &Path) -> PathBuf {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference");
    let plain = dir.join(format!("{scenario}.pcap"));
    let capture = reference.join(scenario).join(format!("{side}.pcap.zst"));
    let status = Command::new("zstd").args(["-dqf"]).arg(capture).arg("-o").arg(&plain).status();
    assert!(status.expect("zstd runs").success());
    plain
}

fn packets(run: &Path) -> Vec<Packet> {
    let recording = Recording::open(run).expect("a recording");
    let rows = recording.packets().map(|row| row.expect("a row"));
    let mut packets: Vec<_> = rows
        .filter_map(|row| match row {
            PacketRow::Packet(packet) => Some(packet),
            PacketRow::Drained(_) => None,
        })
        .collect();
    packets.sort_by_key(|p| (p.ts_ns, p.cpu, p.seq));
    packets
}

/// tshark's values of these fields, a line per packet, and its messages about damage.
fn tshark(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-T", "fields", "-E", "separator=;"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split(';').map(str::to_owned).collect()).collect()
}

fn no_damage(file: &Path) {
    let filter = "_ws.malformed || ip.checksum.status == 0 || _ws.expert.group == \"Malformed\"";
    let output = Command::new("tshark")
        .args(["-o", "ip.check_checksum:TRUE", "-r"])
        .arg(file)
        .args(["-Y", filter])
        .output()
        .expect("tshark runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{}", file.display());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn tshark_reads_the_packets_and_their_comments() {
    let needs = Needs { programs: &["tshark"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter("pcapng against tshark", needs) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("run.pcapng");
    let run = golden("packets");
    fs::write(&file, exported(&run)).expect("file");
    no_damage(&file);
    let fields = [
        "frame.interface_name",
        "frame.time_epoch",
        "ip.src",
        "ip.dst",
        "ip.ttl",
        "ip.id",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.ack_raw",
        "tcp.len",
        "frame.packet_flags_direction",
        "frame.comment",
        "eth.src",
    ];
    let lines = tshark(&file, &fields);
    let packets = packets(&run);
    assert_eq!(lines.len(), packets.len());
    let manifest = Recording::open(&run).unwrap().manifest().clone();
    let offset = manifest.started.realtime_ns - manifest.started.monotonic_ns;
    let mut commented = 0;
    for (line, packet) in lines.iter().zip(&packets) {
        let field = |name: &str| line[fields.iter().position(|f| *f == name).unwrap()].as_str();
        assert_eq!(field("ip.src"), packet.src_addr.to_string());
        assert_eq!(field("ip.dst"), packet.dst_addr.to_string());
        assert_eq!(field("ip.ttl"), packet.ttl.to_string());
        assert_eq!(field("ip.id"), format!("0x{:04x}", packet.ip_id.unwrap()));
        assert_eq!(field("eth.src").is_empty(), packet.src_mac.is_none());
        let place = if packet.hook.is_socket() { "socket" } else { "ld-v" };
        let (name, way) = field("frame.interface_name").rsplit_once(' ').expect("name and way");
        assert!(name.starts_with(place), "{name}");
        assert_eq!(way, packet.direction.name());
        let direction = if way == "in" { "1" } else { "2" };
        let flags = field("frame.packet_flags_direction");
        assert_eq!(flags.trim_start_matches("0x").trim_start_matches('0'), direction);
        let (seconds, part) = field("frame.time_epoch").split_once('.').expect("a fraction");
        let wall = seconds.parse::<u64>().unwrap() * 1_000_000_000 + part.parse::<u64>().unwrap();
        // The clock may be slewed in between.
        assert!(wall.abs_diff(packet.ts_ns + offset) < 1_000_000, "{wall} {}", packet.ts_ns);
        let port = |port: Option<u16>| port.map(|p| p.to_string()).unwrap_or_default();
        if packet.protocol == 6 {
            assert_eq!(field("tcp.srcport"), port(packet.src_port));
            assert_eq!(field("tcp.dstport"), port(packet.dst_port));
            let number = |at: usize| {
                u32::from_be_bytes(packet.header[at..at + 4].try_into().unwrap()).to_string()
            };
            assert_eq!(field("tcp.seq_raw"), number(4));
            assert_eq!(field("tcp.ack_raw"), number(8));
            assert_eq!(field("tcp.len"), packet.payload_len.to_string());
        }
        let comment = field("frame.comment");
        commented += usize::from(comment.contains("cwnd="));
        let known = [" limit=", "conn_id=", " srtt_us=", " comm=iperf3"];
        assert!(!comment.contains("cwnd=") || comment.contains(known[0]), "{comment}");
        if comment.contains("srtt_us=") {
            known.iter().for_each(|word| assert!(comment.contains(word), "{word}: {comment}"));
        }
    }
    // All but the pings, and what came before a connection's first record.
    assert!(commented > 240, "{commented}");
}

/// The values of a comment are those of the last row of the series at or before the packet.
#[test]
fn comments_have_the_values_of_the_moment() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = golden("packets");
    let options = ReplayOptions { interval: Interval::Event, ..options(2, dir.path()) };
    replay(&run, &options);
    type Row = BTreeMap<String, String>;
    let mut series: BTreeMap<u64, Vec<(u64, Row)>> = BTreeMap::new();
    for batch in read(&dir.path().join("series.parquet")) {
        for row in cells(&batch) {
            let number = |name: &str| row[name].parse::<u64>().expect("a number");
            series.entry(number("conn_id")).or_default().push((number("ts_ns"), row.clone()));
        }
    }
    let file = exported(&run);
    let comments = comments(&file);
    let packets = packets(&run);
    assert_eq!(comments.len(), packets.len());
    let mut compared = [0; 3];
    for (comment, packet) in comments.iter().zip(&packets) {
        let value = |name: &str| {
            let word =
                comment.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.map(str::to_owned)
        };
        let Some(conn_id) = value("conn_id") else { continue };
        let rows = &series[&conn_id.parse().unwrap()];
        // The last row repeats the one before at the connection's end.
        let at = rows.partition_point(|(ts_ns, _)| *ts_ns <= packet.ts_ns);
        let Some((_, row)) = at.checked_sub(1).map(|at| &rows[at]) else {
            assert_eq!(value("cwnd"), None, "nothing is known before the first record");
            continue;
        };
        if at == rows.len() {
            continue;
        }
        let names = [("cwnd", "CurCwnd"), ("ssthresh", "CurSsthresh"), ("srtt_us", "SmoothedRTT")];
        for ((name, column), compared) in names.into_iter().zip(&mut compared) {
            let expected = Some(row[column].clone()).filter(|v| v != "NULL");
            let found = value(name).filter(|v| v != "infinite");
            assert_eq!(found, expected, "{column} at {}: {comment}", packet.ts_ns);
            *compared += usize::from(expected.is_some());
        }
    }
    assert!(compared[0] > 200 && compared[2] > 200, "{compared:?}");
}

/// The comments of all enhanced packet blocks, as pcap-parser reads them.
fn comments(file: &[u8]) -> Vec<String> {
    use pcap_parser::traits::PcapReaderIterator as _;
    use pcap_parser::{Block, OptionCode, PcapBlockOwned, PcapError, PcapNGReader};
    let mut reader = PcapNGReader::new(65_536, file).expect("pcapng");
    let mut comments = Vec::new();
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match block {
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let comment = packet.options.iter().find(|o| o.code == OptionCode::Comment);
                        let text = comment.map(|o| o.as_bytes().expect("a length"));
                        let text = text.unwrap_or_default().to_vec();
                        comments.push(String::from_utf8(text).expect("UTF-8"));
                    }
                    PcapBlockOwned::NG(
                        Block::SectionHeader(_) | Block::InterfaceDescription(_),
                    ) => {}
                    PcapBlockOwned::NG(other) => panic!("no such block: {other:?}"),
                    _ => panic!("a block of another format"),
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return comments,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("more"),
            Err(e) => panic!("{e:?}"),
        }
    }
}

#[test]
fn a_capture_reads_back_unchanged() {
    let needs = Needs { programs: &["tshark", "zstd"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter("pcapng against captures", needs) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let fields = [
        "frame.len",
        "frame.time_epoch",
        "eth.src",
        "eth.dst",
        "ip.src",
        "ip.dst",
        "ip.len",
        "ip.ttl",
        "ip.id",
        "ip.dsfield",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.ack_raw",
        "tcp.len",
        "tcp.flags",
        "tcp.window_size_value",
        "tcp.checksum",
        "tcp.options",
        "tcp.analysis.retransmission",
    ];
    for scenario in ["b_loss", "g_ecn", "o_synloss"] {
        let capture = uncompressed(scenario, "A", dir.path());
        let run = dir.path().join(scenario);
        import::import(&capture, &run, &import::ImportOptions::default()).expect("imported");
        let file = dir.path().join(format!("{scenario}.pcapng"));
        fs::write(&file, exported(&run)).expect("file");
        no_damage(&file);
        let (theirs, ours) = (tshark(&capture, &fields), tshark(&file, &fields));
        // ARP and the like have no digest.
        let theirs: Vec<_> = theirs.into_iter().filter(|line| !line[4].is_empty()).collect();
        assert!(theirs.len() > 100);
        assert_eq!(ours.len(), theirs.len(), "{scenario}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{scenario}");
        }
    }
}

#[test]
fn exported_bytes_do_not_depend_on_threads_and_a_recording_without_packets_is_an_error() {
    let recording = Recording::open(&golden("packets")).expect("a recording");
    let mut outs = Vec::new();
    for threads in [1, 4] {
        let threads = NonZeroUsize::new(threads).expect("not zero");
        let mut out = Vec::new();
        let options = ReplayOptions { threads, ..ReplayOptions::default() };
        pcapng::write(&recording, &options, &mut out).expect("pcapng");
        outs.push(out);
    }
    assert_eq!(outs[0], outs[1]);
    let recording = Recording::open(&golden("loss")).expect("a recording");
    let mut out = Vec::new();
    let said =
        pcapng::write(&recording, &ReplayOptions::default(), &mut out).expect_err("no packets");
    assert!(matches!(said, ExportError::NoPackets) && out.is_empty(), "{said}");
}
