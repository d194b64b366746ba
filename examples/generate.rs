// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Writes a recording that nobody recorded: bulk senders that come and go. The same arguments give the same records, so
//! that replay can be measured: its instructions (bench/instructions.sh), its memory with very many connections, and many
//! recordings at once.

#![allow(clippy::disallowed_methods, reason = "a generator of input, not part of the library")]

use std::{collections::VecDeque, path::Path, process::ExitCode};

use estats::log::{
    CaptureStat, ClockSample, CpuTotals, HookStatus, Host, LogError, Manifest, RecordOptions,
    RecordingWriter, Totals, VariableStatus, WriterOptions,
};
use estats::schema::{Hook, Op, Quality, Var};
use estats::wire::{Event, Header, Lifecycle, Operation};

const USAGE: &str = "usage: generate DIR CONNECTIONS SEGMENTS OPEN [HOST]
writes a recording of so many connections with so many segments sent by each, of which OPEN are open at once, and prints the
numbers of its records and operations";

/// The hooks of the set `tracepoint` that make these records.
const HOOKS: &[Hook] = &[
    Hook::TcpProbe,
    Hook::ParseHdr,
    Hook::Egress,
    Hook::SetState,
    Hook::CongState,
    Hook::Retransmit,
    Hook::Handshake,
    Hook::Destroy,
    Hook::RcvSpace,
];

/// Octets of payload of a segment.
const MSS: u64 = 1448;
/// When the recording begins, in ns of CLOCK_MONOTONIC and of the wall clock: 2026-01-01.
const BEGIN_NS: u64 = 1_000_000_000_000;
const WALL_NS: u64 = 1_767_225_600_000_000_000;
/// Between two records.
const STEP_NS: u64 = 2_000;
/// Between two marks that the rings were read.
const MARK_NS: u64 = 100_000_000;

struct Arguments {
    dir: String,
    connections: u64,
    segments: u64,
    open: u64,
    host: String,
}

fn arguments() -> Option<Arguments> {
    let mut given = std::env::args().skip(1);
    let parsed = Arguments {
        dir: given.next()?,
        connections: given.next()?.parse().ok()?,
        segments: given.next()?.parse().ok()?,
        open: given.next()?.parse().ok().filter(|open| *open > 0)?,
        host: given.next().unwrap_or_else(|| "generated".to_owned()),
    };
    given.next().is_none().then_some(parsed)
}

const fn clock(now_ns: u64) -> ClockSample {
    let realtime_ns = WALL_NS + now_ns - BEGIN_NS;
    ClockSample { monotonic_ns: now_ns, realtime_ns, tai_ns: realtime_ns + 37_000_000_000 }
}

/// A name like a UUID, made of the arguments.
fn name(a: &Arguments) -> String {
    let mut state = a.connections ^ a.segments << 20 ^ a.open << 40;
    a.host.bytes().for_each(|octet| state = mixed(state ^ u64::from(octet)));
    let (high, low) = (mixed(state), mixed(state ^ 1));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

fn manifest(a: &Arguments) -> Manifest {
    let variable = |var: &Var| VariableStatus {
        name: var.name().into(),
        quality: var.source(HOOKS).map_or(Quality::Missing, |source| source.quality).name().into(),
        reason: None,
    };
    let hook = |hook: &Hook| HookStatus {
        hook: hook.name().into(),
        point: "generated".into(),
        attached: true,
        reason: None,
    };
    Manifest {
        format_version: 1,
        recording: name(a),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        hook_set: "tracepoint".into(),
        counting: Some(estats::schema::counting::COUNTING),
        host: Host { hostname: a.host.clone(), ..Host::default() },
        hooks: HOOKS.iter().map(hook).collect(),
        variables: Var::ALL.iter().map(variable).collect(),
        options: RecordOptions { resolution_ns: 1_000_000, all: true, ..RecordOptions::default() },
        started: clock(BEGIN_NS),
        ..Manifest::default()
    }
}

/// splitmix64.
const fn mixed(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Generator {
    writer: RecordingWriter,
    now_ns: u64,
    marked_ns: u64,
    records: u64,
    operations: u64,
}

/// A sender.
struct Sender {
    cookie: u64,
    sent: u64,
}

impl Generator {
    fn header(&mut self, cookie: u64, hook: Hook) -> Header {
        self.now_ns += STEP_NS;
        self.records += 1;
        Header { ts_ns: self.now_ns, seq: self.records - 1, cookie, generation: 0, cpu: 0, hook }
    }

    fn hook(&mut self, hook: Hook, cookie: u64, values: &[(Var, u64)]) -> Result<(), LogError> {
        let header = self.header(cookie, hook);
        let operation = |&(var, value): &(Var, u64)| Operation { var, op: Op::Set, value };
        let operations: Vec<_> = values.iter().map(operation).collect();
        self.operations += operations.len() as u64;
        self.writer.hook(&header, &operations)?;
        if self.now_ns - self.marked_ns >= MARK_NS { self.mark() } else { Ok(()) }
    }

    fn mark(&mut self) -> Result<(), LogError> {
        self.marked_ns = self.now_ns;
        self.writer.drained(self.now_ns)?;
        self.writer.capture_stat(&CaptureStat::Clock(self.now_ns, clock(self.now_ns)))?;
        self.writer.tick(self.now_ns)
    }

    fn lifecycle(&mut self, cookie: u64, event: Event) -> Result<(), LogError> {
        let header = self.header(cookie, Hook::SetState);
        let (old_state, new_state) = if event == Event::Close { (9, 7) } else { (7, 2) };
        let (local_addr, remote_addr) = ([10, 0, 0, 1], 0x0a01_0000 + (cookie >> 14) as u32);
        let padded = |octets: [u8; 4]| {
            let mut all = [0; 16];
            all[..4].copy_from_slice(&octets);
            all
        };
        self.writer.lifecycle(&Lifecycle {
            start_ns: header.ts_ns,
            header,
            event,
            family: 2,
            local_addr: padded(local_addr),
            remote_addr: padded(remote_addr.to_be_bytes()),
            local_port: 32_768 + (cookie & 0x3fff) as u16,
            remote_port: 443,
            netns: 4_026_531_840,
            cgroup_id: 1,
            cgroup_path: "/system.slice/sender.service".into(),
            pid: 1000 + (cookie % 16) as u32,
            uid: 33,
            comm: "sender".into(),
            congestion: "cubic".into(),
            old_state,
            new_state,
            active: 1,
            established: u8::from(event == Event::Close),
            first_fin: u8::from(event == Event::Close),
            mptcp: 0,
            sk_err: 0,
        })
    }

    fn begin(&mut self, cookie: u64) -> Result<Sender, LogError> {
        self.lifecycle(cookie, Event::Open)?;
        self.hook(Hook::SetState, cookie, &[(Var::State, 3), (Var::CurMSS, MSS)])?;
        let values = [
            (Var::State, 5),
            (Var::CurMSS, MSS),
            (Var::MSSSent, 1460),
            (Var::WinScaleSent, 7),
            (Var::TimeStamps, 1),
            (Var::CurRwinRcvd, 65_536),
            (Var::SndInitial, cookie & 0xffff_ffff),
            (Var::SndNxt, cookie & 0xffff_ffff),
        ];
        self.hook(Hook::SetState, cookie, &values)?;
        Ok(Sender { cookie, sent: 0 })
    }

    /// A segment and its acknowledgment, one round trip later.
    fn exchange(&mut self, sender: &mut Sender) -> Result<(), LogError> {
        let Sender { cookie, ref mut sent } = *sender;
        *sent += 1;
        let sent = *sent;
        let end = (cookie + sent * MSS) & 0xffff_ffff;
        let out = [(Var::SegsOut, sent + 2), (Var::DataSegsOut, sent), (Var::SndNxt, end)];
        self.hook(Hook::Egress, cookie, &out)?;
        let rtt_us = 20_000 + mixed(cookie ^ sent << 32) % 3000;
        let window = 14_480 + (sent % 64) * MSS;
        let back = [
            (Var::SegsIn, sent + 1),
            (Var::SndUna, end),
            (Var::HCThruOctetsAcked, sent * MSS),
            (Var::SampleRTT, rtt_us),
            (Var::CurRTO, 200_000 + rtt_us),
            (Var::CurCwnd, window),
        ];
        self.hook(Hook::TcpProbe, cookie, &back)
    }

    fn end(&mut self, sender: &Sender) -> Result<(), LogError> {
        self.hook(Hook::SetState, sender.cookie, &[(Var::State, 1)])?;
        self.lifecycle(sender.cookie, Event::Close)?;
        self.hook(Hook::Destroy, sender.cookie, &[(Var::State, 12)])
    }
}

fn generate(a: &Arguments) -> Result<(u64, u64), LogError> {
    let mut manifest = manifest(a);
    let writer = RecordingWriter::create(Path::new(&a.dir), &manifest, WriterOptions::default())?;
    let mut generator =
        Generator { writer, now_ns: BEGIN_NS, marked_ns: BEGIN_NS, records: 0, operations: 0 };
    let mut open = VecDeque::new();
    let mut begun = 0;
    while begun < a.connections || !open.is_empty() {
        while begun < a.connections && (open.len() as u64) < a.open {
            begun += 1;
            open.push_back(generator.begin(begun)?);
        }
        let Some(mut sender) = open.pop_front() else { break };
        if sender.sent < a.segments {
            generator.exchange(&mut sender)?;
            open.push_back(sender);
        } else {
            generator.end(&sender)?;
        }
    }
    generator.mark()?;
    let Generator { writer, now_ns, records, operations, .. } = generator;
    let cpu = CpuTotals { cpu: 0, emitted: records, logged: records, ..CpuTotals::default() };
    manifest.ended = Some(clock(now_ns));
    manifest.totals = Some(Totals {
        duration_ns: now_ns - BEGIN_NS,
        per_cpu: vec![cpu],
        connections: a.connections,
        ..Totals::default()
    });
    writer.finish(&manifest)?;
    Ok((records, operations))
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match generate(&arguments) {
        Ok((records, operations)) => {
            println!("{records} {operations}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("generate: {e}");
            ExitCode::FAILURE
        }
    }
}
