// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recording with every stream in several frames and segments, and the contents of its tables.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use estats::engine::estats::Interval;
use estats::log::{
    CaptureStat, CpuTotals, Manifest, RecordOptions, Recording, RecordingWriter, Totals,
    WriterOptions,
};
use estats::output::sink::SinkError;
use estats::output::tables::{Batches, Qualities, specs};
use estats::replay::{ReplayOptions, replay_into};
use estats::schema::{Hook, Op, SocketField, Var, Why};
use estats::wire::{Event, Header, Lifecycle, Operation, Packet, Snapshot, SocketValues};

use crate::common::{MS, T0, cells, clock, lifecycle, manifest, packet};

/// How long the reading of counters takes: two counts overlap by this time.
const READING_NS: u64 = 60 * MS;

const SYN: u8 = 2;
const FIN: u8 = 1;
const ACK: u8 = 16;

/// One record, before it has a number.
enum Record {
    Hook(u64, Hook, Vec<Operation>),
    Lifecycle(Box<Lifecycle>),
    Packet(Box<Packet>),
    Snapshot(Box<Snapshot>),
}

fn op(var: Var, op: Op, value: u64) -> Operation {
    Operation { var, op, value }
}

fn connection(cookie: u64, event: Event, edit: impl FnOnce(&mut Lifecycle)) -> Record {
    let header = Header { ts_ns: 0, seq: 0, cookie, generation: 0, cpu: 0, hook: Hook::SetState };
    let mut row = lifecycle(header);
    (row.event, row.local_port, row.start_ns) = (event, 40_000 + cookie as u16, 0);
    edit(&mut row);
    Record::Lifecycle(Box::new(row))
}

fn snapshot(cookie: u64, why: Why, segs: u64) -> Record {
    let mut values = SocketValues::default();
    values.set(SocketField::tcpi_segs_out, Some(segs));
    let mut remote_addr = [0; 16];
    remote_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    let hook = if why == Why::Poll { Hook::Poll } else { Hook::SetState };
    Record::Snapshot(Box::new(Snapshot {
        header: Header { ts_ns: 0, seq: 0, cookie, generation: 0, cpu: 0, hook },
        why,
        poll: (why == Why::Poll).then_some(1),
        family: 2,
        local_addr: [0; 16],
        remote_addr,
        local_port: 40_000 + cookie as u16,
        remote_port: 443,
        netns: 4_026_531_840,
        congestion: "cubic".into(),
        ulp: String::new(),
        tcp_info_more: Vec::new(),
        values,
    }))
}

fn sent(cookie: u64, seq: u32, flags: u8, payload: u32) -> Record {
    let mut p = packet(0, Hook::SocketOut, (seq, 1), flags, payload);
    let port = 40_000 + cookie as u16;
    p.src_port = Some(port);
    p.header[..2].copy_from_slice(&port.to_be_bytes());
    p.cookie = Some(cookie);
    Record::Packet(Box::new(p))
}

/// The events, in order of time: connections that overlap, one that was open before, and some that are
/// open at the end.
fn script(seconds: u64) -> Vec<(u64, Record)> {
    let mut all = Vec::new();
    let end = seconds * 1000 - 200;
    for i in 0..seconds * 5 {
        let cookie = i + 1;
        let begin = i * 199 + 20;
        let stop = begin + 400 + (i * 617) % 1900;
        let mut at = |ms: u64, record| all.push((ms, record));
        if i == 0 {
            at(0, connection(cookie, Event::Baseline, |l| l.established = 1));
            at(0, Record::Hook(cookie, Hook::Baseline, vec![op(Var::SegsOut, Op::Set, 900)]));
        } else {
            at(begin, connection(cookie, Event::Open, |l| l.start_ns = T0 + begin * MS));
            at(begin, sent(cookie, 100, SYN, 0));
        }
        let mut n = 0;
        for ms in (begin + 10..stop.min(end)).step_by(40) {
            n += 1;
            let ops = vec![
                op(Var::SegsOut, Op::Set, n),
                op(Var::SampleRTT, Op::Set, 10_000 + (n * 7919 + i) % 1000),
                op(Var::HCDataOctetsIn, Op::Add, 1448),
            ];
            at(ms, Record::Hook(cookie, Hook::TcpProbe, ops));
            if n % 2 == 0 {
                at(ms + 1, sent(cookie, 101 + n as u32 * 100, ACK, 100));
                at(
                    ms + 2,
                    Record::Hook(cookie, Hook::CongState, vec![op(Var::DupAcksIn, Op::Inc, 0)]),
                );
            }
            if n % 5 == 0 {
                at(ms + 3, snapshot(cookie, Why::Poll, n));
            }
        }
        let (event, ms) = if stop < end { (Event::Close, stop) } else { (Event::End, end) };
        if event == Event::Close {
            at(ms, sent(cookie, 50_000, FIN | ACK, 0));
        }
        at(ms, Record::Hook(cookie, Hook::SetState, vec![op(Var::SegsOut, Op::Set, n + 1)]));
        at(ms, snapshot(cookie, if event == Event::Close { Why::Close } else { Why::End }, n + 1));
        at(
            ms,
            connection(cookie, event, |l| {
                (l.old_state, l.new_state, l.first_fin, l.established) = (9, 7, 1, 1);
            }),
        );
        if event == Event::Close {
            at(ms + 1, Record::Hook(cookie, Hook::Destroy, Vec::new()));
        }
    }
    all.sort_by_key(|(ms, _)| *ms);
    all
}

/// A closed recording, of `seconds` seconds and a third as many segments.
pub fn write(dir: &Path, seconds: u64) {
    write_until(dir, seconds, None);
}

/// The same, but the recorder is killed in the middle of a round after `killed_ms` milliseconds.
pub fn write_until(dir: &Path, seconds: u64, killed_ms: Option<u64>) {
    let options = RecordOptions {
        packets: true,
        socket_ring_bytes: 1 << 20,
        packet_ring_bytes: 1 << 20,
        ..manifest().options
    };
    let manifest = Manifest { options, ..manifest() };
    let rotate = WriterOptions { rotate_ns: 3000 * MS, ..WriterOptions::default() };
    let mut w = RecordingWriter::create(dir, &manifest, rotate).expect("create");
    let (mut seq, mut lost) = ([0_u64; 2], 0);
    let mut script = script(seconds).into_iter().peekable();
    for round in 1..=seconds * 10 {
        let begun = round * 100;
        // A round reads on after it began.
        while let Some((ms, record)) = script.next_if(|(ms, _)| *ms <= begun + 5) {
            if killed_ms.is_some_and(|killed| ms >= killed) {
                return;
            }
            let ts_ns = T0 + ms * MS;
            let mut number = |cookie: u64| {
                let cpu = (cookie % 2) as u16;
                let n = &mut seq[usize::from(cpu)];
                *n += 1;
                (cpu, *n - 1)
            };
            match record {
                Record::Hook(cookie, hook, ops) => {
                    let (cpu, seq) = number(cookie);
                    let header = Header { ts_ns, seq, cookie, generation: 0, cpu, hook };
                    w.hook(&header, &ops).expect("hook");
                }
                Record::Lifecycle(mut row) => {
                    (row.header.cpu, row.header.seq) = number(row.header.cookie);
                    row.header.ts_ns = ts_ns;
                    w.lifecycle(&row).expect("lifecycle");
                }
                Record::Packet(mut p) => {
                    (p.cpu, p.seq) = number(p.cookie.expect("a cookie"));
                    p.ts_ns = ts_ns;
                    w.packet(*p).expect("packet");
                }
                Record::Snapshot(mut row) => {
                    (row.header.cpu, row.header.seq) = number(row.header.cookie);
                    row.header.ts_ns = ts_ns;
                    w.snapshot(*row).expect("snapshot");
                }
            }
        }
        let now = T0 + begun * MS;
        w.drained(now).expect("mark");
        if round % 10 == 0 {
            let ts_ns = now + 10 * MS;
            if round == 50 {
                // The ring was full for a moment, and a program was not run. Connections 10 and 17 ended
                // while the counters were read for the count before.
                (seq[1], lost) = (seq[1] + 2, lost + 2);
                let (hook, since_ns) = (Hook::Egress, ts_ns - 1000 * MS - READING_NS);
                w.capture_stat(&CaptureStat::Loss { ts_ns, cpu: 1, hook, lost: 2, since_ns })
                    .expect("loss");
                w.capture_stat(&CaptureStat::Skipped { ts_ns, hook, count: 1, since_ns })
                    .expect("skipped");
            }
            for (cpu, emitted) in (0..).zip(seq) {
                w.capture_stat(&CaptureStat::Emitted { ts_ns, cpu, emitted }).expect("emitted");
            }
            w.capture_stat(&CaptureStat::Clock(ts_ns, clock(ts_ns))).expect("clock");
        }
        w.tick(now + 6 * MS).expect("tick");
    }
    let logged: BTreeMap<u16, u64> = w.logged().collect();
    let per_cpu = [0_u16, 1].map(|cpu| CpuTotals {
        cpu,
        emitted: seq[usize::from(cpu)],
        logged: logged[&cpu],
        lost_by_hook: [("egress".to_owned(), lost)].into_iter().filter(|_| cpu == 1).collect(),
        ..CpuTotals::default()
    });
    let totals = Totals { per_cpu: per_cpu.into(), connections: seconds * 5, ..Totals::default() };
    let ended = Some(clock(T0 + seconds * 1000 * MS));
    w.finish(&Manifest { totals: Some(totals), ended, ..manifest }).expect("finish");
}

/// All rows of all tables.
struct Collect {
    batches: Vec<(usize, RecordBatch)>,
}

impl Batches for Collect {
    type Error = SinkError;

    fn batch(&mut self, table: usize, batch: RecordBatch) -> Result<(), SinkError> {
        self.batches.push((table, batch));
        Ok(())
    }
}

/// A row by its columns.
pub type Row = BTreeMap<String, String>;

/// The contents of the tables for each connection, flow, snapshot and comparison.
#[derive(Debug, Default, PartialEq)]
pub struct Rows(pub BTreeMap<String, Row>);

/// Columns that count rows of the whole recording, so that they depend on all others; and the UUID.
const OF_THE_WHOLE: [&str; 5] = ["conn_id", "ConnectIndex", "flow", "recording", "poll"];

/// What a flow, or a snapshot, has from the lifecycle records of its connection.
const FROM_OTHERS: [&str; 6] = ["pid", "uid", "comm", "cgroup", "container_id", "t_s"];

/// Replays a recording in memory.
pub fn rows(run: &Path) -> Result<Rows, String> {
    let recording = Recording::open(run).map_err(|e| e.to_string())?;
    let options = ReplayOptions {
        interval: Interval::Every(std::num::NonZeroU64::MAX),
        ..ReplayOptions::default()
    };
    let collect = Collect { batches: Vec::new() };
    let (collected, _) = replay_into(&recording, &options, collect).map_err(|e| e.to_string())?;
    let names: Vec<&str> = specs(&Qualities::default()).iter().map(|spec| spec.name).collect();
    let mut rows = Rows::default();
    let mut cookies: BTreeMap<String, String> = BTreeMap::new();
    for (table, batch) in &collected.batches {
        let name = names[*table];
        if !["connections", "estats", "flows", "sockets"].contains(&name) {
            continue;
        }
        for mut row in cells(batch) {
            let cell = |column: &str| row[column].clone();
            let key = match name {
                "connections" => {
                    cookies.insert(cell("conn_id"), cell("cookie"));
                    cell("cookie")
                }
                "estats" => cookies[&cell("conn_id")].clone(),
                "flows" => ["src_port", "dst_port", "observed_at"].map(cell).join(" "),
                _ => ["cookie", "ts_ns"].map(cell).join(" "),
            };
            row.retain(|column, _| !OF_THE_WHOLE.contains(&column.as_str()));
            rows.0.insert(format!("{name} {key}"), row);
        }
    }
    Ok(rows)
}

impl Rows {
    /// Rows that are not marked must be those of the whole recording. Returns their number.
    pub fn must_be_right(&self, whole: &Self, what: &str) -> usize {
        let mut unmarked = 0;
        for (key, row) in &self.0 {
            if row.get("completeness").is_some_and(|c| c == "lossy") {
                continue;
            }
            unmarked += 1;
            let Some(right) = whole.0.get(key) else {
                panic!("{what}: there is no {key} in the whole recording:\n{row:#?}");
            };
            // It is not known where that stream is missing.
            let unknown = |column: &str, cell: &str| {
                !key.starts_with("estats") && cell == "NULL" && FROM_OTHERS.contains(&column)
            };
            let differ: Vec<_> = row
                .iter()
                .filter(|(column, cell)| right[*column] != **cell && !unknown(column, cell))
                .collect();
            assert!(
                differ.is_empty(),
                "{what}: {key} is not marked ({:?}): {:?}",
                row.get("completeness"),
                differ
                    .iter()
                    .map(|(c, v)| format!("{c} {v} for {}", right[*c]))
                    .collect::<Vec<_>>()
            );
        }
        unmarked
    }
}
