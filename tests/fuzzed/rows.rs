// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Rows of every stream, read, changed, and written again: files that agree with themselves, with
//! values that nobody has seen.

use estats::log::{CaptureStat, Memory, PacketRow, Recording, RecordingWriter, WriterOptions};
use estats::schema::{Hook, Op, SocketField, Var};
use estats::wire::{Header, Lifecycle, Operation, Packet, Snapshot};

use super::used::use_everything;
use super::{Choices, base, manifest_of};

/// Rows of one stream at most: each is replayed a dozen times.
const MOST: usize = 300;

enum Row {
    Hook(Header, Vec<Operation>),
    Lifecycle(Box<Lifecycle>),
    Packet(Box<Packet>),
    Snapshot(Box<Snapshot>),
    Stat(Box<CaptureStat>),
}

impl Row {
    fn header(&self) -> Option<&Header> {
        match self {
            Self::Hook(header, _) => Some(header),
            Self::Lifecycle(l) => Some(&l.header),
            Self::Snapshot(s) => Some(&s.header),
            Self::Packet(_) | Self::Stat(_) => None,
        }
    }
}

/// The rows with their times.
fn read(recording: &Recording) -> Vec<(u64, Row)> {
    let mut rows = Vec::new();
    'hooks: for batch in recording.hooks(std::num::NonZero::<usize>::MIN) {
        let batch = batch.expect("a recording of ours");
        for i in 0..batch.len() {
            if rows.len() == MOST {
                break 'hooks;
            }
            let header = batch.header(i);
            if header.hook != Hook::Drain {
                rows.push((header.ts_ns, Row::Hook(header, batch.ops(i).collect())));
            }
        }
    }
    let last = rows.last().map_or(u64::MAX, |(ts_ns, _)| *ts_ns);
    let lifecycles = recording.lifecycles().flatten().filter(|l| l.header.hook != Hook::Drain);
    rows.extend(lifecycles.take(MOST).map(|l| (l.header.ts_ns, Row::Lifecycle(Box::new(l)))));
    rows.extend(recording.packets().flatten().take(MOST).filter_map(|row| match row {
        PacketRow::Packet(p) => Some((p.ts_ns, Row::Packet(Box::new(p)))),
        PacketRow::Drained(_) => None,
    }));
    let snapshots = recording.sockets().flatten().take(MOST);
    rows.extend(snapshots.map(|s| (s.header.ts_ns, Row::Snapshot(Box::new(s)))));
    let stats = recording.capture_stats().flatten().take(20);
    rows.extend(stats.map(|stat| (last, Row::Stat(Box::new(stat)))));
    rows.sort_by_key(|(ts_ns, row)| (*ts_ns, row.header().map_or(u64::MAX, |h| h.seq)));
    rows
}

fn change_header(header: &mut Header, choices: &mut Choices<'_>) {
    match choices.byte() % 8 {
        0..=3 => header.ts_ns = choices.extreme(header.ts_ns),
        4 => header.cookie = choices.extreme(header.cookie),
        5 => header.generation = choices.extreme(header.generation.into()) as u16,
        6 => header.hook = Hook::ALL[choices.below(Hook::ALL.len())],
        _ => header.seq = choices.extreme(header.seq),
    }
}

fn change_operations(ops: &mut Vec<Operation>, choices: &mut Choices<'_>) {
    let value = choices.extreme(ops.first().map_or(0, |op| op.value));
    let var = Var::ALL[choices.below(Var::ALL.len())];
    let op = Op::ALL[choices.below(Op::ALL.len())];
    match choices.byte() % 4 {
        0 if !ops.is_empty() => {
            let i = choices.below(ops.len());
            ops[i].value = choices.extreme(ops[i].value);
        }
        1 => ops.extend((0..20).map(|_| Operation { var, op, value })),
        _ => ops.push(Operation { var, op, value }),
    }
}

fn change_lifecycle(l: &mut Lifecycle, choices: &mut Choices<'_>) {
    match choices.byte() % 12 {
        0 => l.start_ns = choices.extreme(l.start_ns),
        1 => l.family = choices.byte().into(),
        2 => l.new_state = choices.byte(),
        3 => l.old_state = choices.byte(),
        4 => l.active = choices.byte(),
        5 => l.first_fin = choices.byte(),
        6 => l.sk_err = choices.extreme(l.sk_err.into()) as u32,
        7 => l.local_addr = [choices.byte(); 16],
        8 => l.comm = "\x1b]0;x\x07<script>\n=1".to_owned(),
        9 => l.cgroup_path = "/../../../etc/\u{202e}\0".to_owned(),
        10 => l.established = choices.byte(),
        _ => l.event = estats::wire::Event::ALL[choices.below(estats::wire::Event::ALL.len())],
    }
}

fn change_packet(p: &mut Packet, choices: &mut Choices<'_>) {
    match choices.byte() % 14 {
        0..=2 => p.ts_ns = choices.extreme(p.ts_ns),
        3 => p.wire_len = choices.extreme(p.wire_len.into()) as u32,
        4 => p.captured_len = choices.extreme(p.captured_len.into()) as u32,
        5 => p.ip_len = choices.extreme(p.ip_len.into()) as u32,
        6 => p.payload_len = choices.extreme(p.payload_len.into()) as u32,
        7 => p.segments = choices.extreme(p.segments.into()) as u16,
        8 => p.header = vec![choices.byte(); choices.below(61)],
        9 => {
            if let Some(octet) = p.header.get_mut(choices.below(20)) {
                *octet = choices.byte();
            }
        }
        10 => p.protocol = choices.byte(),
        11 => p.fragment_offset = choices.extreme(0) as u16,
        12 => p.interface = Some(choices.extreme(0) as u32),
        _ => p.payload = vec![choices.byte(); choices.below(300)],
    }
}

fn change_snapshot(s: &mut Snapshot, choices: &mut Choices<'_>) {
    let field = SocketField::ALL[choices.below(SocketField::ALL.len())];
    match choices.byte() % 6 {
        0 => s.poll = Some(choices.extreme(0) as u32),
        1 => s.congestion = "=cmd|'/C calc'!A0\x1b[2J".to_owned(),
        2 => s.tcp_info_more = vec![choices.byte(); choices.below(600)],
        _ => {
            let now = s.values.get(field).unwrap_or(0);
            s.values.set(field, Some(choices.extreme(now)));
        }
    }
}

fn change_stat(stat: &mut CaptureStat, choices: &mut Choices<'_>) {
    let (ts_ns, since_ns) = (choices.extreme(1_000_000_000), choices.extreme(0));
    let (cpu, count) = (choices.byte().into(), choices.extreme(1));
    let hook = Hook::ALL[choices.below(Hook::ALL.len())];
    *stat = match choices.byte() % 8 {
        0 => CaptureStat::Loss { ts_ns, cpu, hook, lost: count, since_ns },
        1 => CaptureStat::Emitted { ts_ns, cpu, emitted: count },
        2 => CaptureStat::Skipped { ts_ns, hook, count, since_ns },
        3 => CaptureStat::LatePoll { ts_ns, late_ns: since_ns, missed: count },
        4 => CaptureStat::SlowPoll { ts_ns, since_ns },
        5 => CaptureStat::Dropped { ts_ns, segment: count as u32, before: since_ns == 0 },
        6 => CaptureStat::LeftOut { ts_ns, cpu, count },
        _ => {
            let [monotonic_ns, realtime_ns, tai_ns] = [ts_ns, since_ns, count];
            let sample = estats::log::ClockSample { monotonic_ns, realtime_ns, tai_ns };
            CaptureStat::Clock(choices.extreme(ts_ns), sample)
        }
    };
}

fn change(row: &mut Row, choices: &mut Choices<'_>) {
    let in_header = choices.byte().is_multiple_of(3);
    match row {
        Row::Hook(header, _) if in_header => change_header(header, choices),
        Row::Hook(_, ops) => change_operations(ops, choices),
        Row::Lifecycle(l) if in_header => change_header(&mut l.header, choices),
        Row::Lifecycle(l) => change_lifecycle(l, choices),
        Row::Packet(p) => change_packet(p, choices),
        Row::Snapshot(s) if in_header => change_header(&mut s.header, choices),
        Row::Snapshot(s) => change_snapshot(s, choices),
        Row::Stat(stat) => change_stat(stat, choices),
    }
}

/// The first octet has the recording; the rest are changes of its rows.
pub fn rows(data: &[u8]) {
    let mut choices = Choices(data);
    let number = choices.byte();
    let recording = Recording::from_source("base", Memory::from_iter(base(number)));
    let mut rows = read(&recording.expect("a recording of ours"));
    let mut manifest = manifest_of(number);
    if choices.byte().is_multiple_of(4) {
        manifest.totals = None;
    }
    if choices.byte().is_multiple_of(4) {
        manifest.started.monotonic_ns = choices.extreme(manifest.started.monotonic_ns);
    }
    while !choices.is_empty() {
        let i = choices.below(rows.len());
        change(&mut rows[i].1, &mut choices);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = dir.path().join("run");
    let mut writer =
        RecordingWriter::create(&run, &manifest, WriterOptions::default()).expect("create");
    for (i, (ts_ns, row)) in rows.into_iter().enumerate() {
        if i % 50 == 49 {
            writer.drained(ts_ns).expect("a mark");
        }
        match row {
            Row::Hook(header, ops) => writer.hook(&header, &ops),
            Row::Lifecycle(l) => writer.lifecycle(&l),
            Row::Packet(p) => writer.packet(*p),
            Row::Snapshot(s) => writer.snapshot(*s),
            Row::Stat(stat) => writer.capture_stat(&stat),
        }
        .expect("a row");
    }
    writer.finish(&manifest).expect("finish");
    use_everything(&Recording::open(&run).expect("a recording"));
}
