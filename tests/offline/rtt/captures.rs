// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The captures of testdata/reference: their frames as tshark reads them, and our samples.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use estats::engine::rtt::{FlowRtt, MeasuredRtt, Method, RttOptions, Way};
use estats::log::{PacketRow, Recording};
use estats::recordings::import::{self, ImportOptions};

/// All captures: scenario and side, and the file.
pub fn all() -> Vec<(String, PathBuf)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference");
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("the captures") {
        let path = entry.expect("an entry").path();
        for side in ["A", "B"] {
            let file = path.join(format!("{side}.pcap.zst"));
            if file.exists() {
                let name = path.file_name().expect("a name").to_string_lossy();
                all.push((format!("{name} {side}"), file));
            }
        }
    }
    all.sort();
    assert_eq!(all.len(), 18, "both sides of nine scenarios");
    all
}

/// Address and port.
pub type End = (String, u16);

/// A TCP segment as tshark reads it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub ns: u64,
    pub src: End,
    pub dst: End,
    pub flags: u32,
    pub seq: u32,
    pub ack: u32,
    pub len: u32,
    pub ts: Option<(u32, u32)>,
    /// Left and right edges.
    pub sack: Vec<(u32, u32)>,
    /// The frame that this acknowledges, from 0, and how long that took, as tshark has it.
    pub acks: Option<(usize, u64)>,
}

impl Frame {
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub fn end(&self) -> u32 {
        let marks = u32::from(self.has(FIN)) + u32::from(self.has(SYN));
        self.seq.wrapping_add(self.len).wrapping_add(marks)
    }
}

pub const FIN: u32 = 1;
pub const SYN: u32 = 2;
pub const RST: u32 = 4;
pub const ACK: u32 = 16;

/// Nanoseconds of a decimal number of seconds.
fn ns(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<9}");
    whole.parse::<u64>().expect("seconds") * 1_000_000_000 + part[..9].parse::<u64>().expect("ns")
}

pub fn frames(file: &Path) -> Vec<Frame> {
    const FIELDS: [&str; 15] = [
        "frame.time_epoch",
        "ip.src",
        "ip.dst",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.flags",
        "tcp.seq_raw",
        "tcp.ack_raw",
        "tcp.len",
        "tcp.options.timestamp.tsval",
        "tcp.options.timestamp.tsecr",
        "tcp.options.sack_le",
        "tcp.options.sack_re",
        "tcp.analysis.acks_frame",
        "tcp.analysis.ack_rtt",
    ];
    let mut command = Command::new("tshark");
    // Absolute SACK edges.
    command.args(["-o", "tcp.relative_sequence_numbers:FALSE", "-r"]).arg(file);
    command.args(["-T", "fields", "-E", "separator=;"]);
    FIELDS.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().expect("tshark runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark on {}: {errors}", file.display());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(frame).collect()
}

fn frame(line: &str) -> Frame {
    let f: Vec<&str> = line.split(';').collect();
    let number = |i: usize| f[i].parse::<u32>().ok();
    let edges = |i: usize| f[i].split(',').filter_map(|n| n.parse::<u32>().ok());
    let end = |addr: usize, port: usize| (f[addr].to_owned(), number(port).expect("a port") as u16);
    Frame {
        ns: ns(f[0]),
        src: end(1, 3),
        dst: end(2, 4),
        flags: u32::from_str_radix(f[5].trim_start_matches("0x"), 16).expect("flags"),
        seq: number(6).expect("a sequence number"),
        ack: number(7).unwrap_or(0),
        len: number(8).expect("a length"),
        ts: number(9).zip(number(10)),
        sack: edges(11).zip(edges(12)).collect(),
        acks: number(13).map(|acked| (acked as usize - 1, ns(f[14]))),
    }
}

/// Our samples: frame of the answer, from 0, and the sample.
pub fn ours(file: &Path, options: RttOptions) -> Vec<(usize, MeasuredRtt)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = dir.path().join("run");
    import::import(file, &run, &ImportOptions::default()).expect("the capture can be imported");
    let recording = Recording::open(&run).expect("a recording");
    let mut flows = BTreeMap::new();
    let mut samples = Vec::new();
    for row in recording.packets() {
        let PacketRow::Packet(packet) = row.expect("a row") else { continue };
        let src = (packet.src_addr, packet.src_port);
        let dst = (packet.dst_addr, packet.dst_port);
        let way = if src <= dst { Way::Forth } else { Way::Back };
        let flow =
            flows.entry((src.min(dst), src.max(dst))).or_insert_with(|| FlowRtt::new(options));
        let frame = packet.seq as usize;
        flow.packet(&packet, way, &mut |sample| samples.push((frame, *sample)));
    }
    samples
}

/// Those of some methods by frame.
pub fn by_frame(samples: &[(usize, MeasuredRtt)], methods: &[Method]) -> BTreeMap<usize, u64> {
    samples
        .iter()
        .filter(|(_, s)| methods.contains(&s.method))
        .map(|(frame, s)| (*frame, s.rtt_ns))
        .collect()
}
