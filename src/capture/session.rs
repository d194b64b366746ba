//! One recording from beginning to end.

use std::{
    ffi::OsString,
    io::Read as _,
    mem::MaybeUninit,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use libbpf_rs::{Iter, ProgramMut};

use super::{
    CaptureError, Filters, clock, command, coverage,
    drain::Drain,
    host,
    load::{self, Loaded, Plan},
    netns,
};
use crate::log::{
    FORMAT_VERSION, LedgerRow, Manifest, RecordOptions, RecordingWriter, WriterOptions,
};

/// How to record.
#[derive(Clone, Debug)]
pub struct Options {
    /// The recording directory to make.
    pub dir: PathBuf,
    /// Which connections.
    pub filters: Filters,
    /// The command whose process tree is recorded while it runs.
    pub command: Option<Vec<OsString>>,
    /// Record the whole host even with a command.
    pub all: bool,
    /// When to end by itself.
    pub duration: Option<Duration>,
    /// Shortest time between two readings of a connection's slow variables.
    pub resolution: Duration,
    /// Bytes of each CPU's ring; rounded up to a power of two.
    pub ring_bytes: u32,
    /// Segment sizes and bounds.
    pub log: WriterOptions,
}

/// What a recording is doing, once a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Since the hooks were attached.
    pub elapsed: Duration,
    /// Connections seen.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Records logged.
    pub records: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Records lost.
    pub lost: u64,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The last progress.
    pub progress: Progress,
    /// Exit status of the command, if there was one and it ended.
    pub exit_status: Option<i32>,
}

/// Pause between two rounds. A 4 MiB ring then stands 400 MB/s of records per CPU.
const PAUSE: Duration = Duration::from_millis(10);
const LIFECYCLE_RING_BYTES: u32 = 4 << 20;
/// How long the last segments of an ended command may take: its FINs are under way when it exits.
const LINGER: Duration = Duration::from_millis(200);

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// Records until the command ends, the duration is over or `stop` is set. `ready` is called once
/// every hook is attached, `progress` every second.
///
/// # Errors
/// [`CaptureError`]; what was recorded before an error is readable.
pub fn record(
    options: &Options,
    stop: &AtomicBool,
    ready: impl FnOnce(),
    mut progress: impl FnMut(&Progress),
) -> Result<Outcome, CaptureError> {
    options.filters.check()?;
    let tree_only = options.command.is_some() && !options.all;
    let by_process = tree_only || !options.filters.pids.is_empty();
    let plan = Plan {
        filters: &options.filters,
        by_process,
        resolution_ns: options.resolution.as_nanos() as u64,
        hooks_ring_bytes: options.ring_bytes.max(4096).next_power_of_two(),
        lifecycle_ring_bytes: LIFECYCLE_RING_BYTES,
    };
    let mut storage = MaybeUninit::uninit();
    let loaded = load::load(&plan, &mut storage)?;
    let attached = loaded.attach(by_process)?;
    let started = clock::sample();
    let mut manifest = manifest(options, &plan, &loaded);
    manifest.started = started;
    manifest.variables = coverage::variables(&attached.hooks);
    manifest.hooks = attached.status.clone();
    let mut writer = RecordingWriter::create(&options.dir, &manifest, options.log)?;
    writer.ledger(&LedgerRow::Clock(started.monotonic_ns, started))?;
    let mut drain = Drain::new(
        writer,
        &loaded.rings,
        &loaded.skel.maps.lifecycle_ring,
        [u64::from(plan.hooks_ring_bytes), u64::from(plan.lifecycle_ring_bytes)],
    )?;

    // A command's own tree has no connections yet.
    if !tree_only || !options.filters.pids.is_empty() {
        baseline(&loaded)?;
    }
    let mut running = match &options.command {
        Some(argv) => Some(command::start(argv, &loaded.skel.maps.pids)?),
        None => None,
    };
    ready();

    let mut state = Progress::default();
    let mut exit_status = None;
    let mut linger_from = None;
    let mut accounted = clock::monotonic_ns();
    loop {
        thread::sleep(PAUSE);
        drain.round()?;
        let now = clock::monotonic_ns();
        state.elapsed = Duration::from_nanos(now - started.monotonic_ns);
        if now - accounted >= 1_000_000_000 {
            accounted = now;
            drain.account(&loaded.skel.maps.counters)?;
            update(&mut state, &drain);
            progress(&state);
        }
        if let Some(command) = running.as_mut()
            && let Some(code) = command.ended()?
        {
            exit_status = Some(code);
            running = None;
            linger_from = Some(state.elapsed);
        }
        let over = linger_from.is_some_and(|t| state.elapsed >= t + LINGER)
            || options.duration.is_some_and(|d| state.elapsed >= d)
            || stop.load(Ordering::Relaxed);
        if over {
            break;
        }
    }
    if let Some(mut command) = running {
        command.terminate();
        let patience = clock::monotonic_ns() + GRACE.as_nanos() as u64;
        while exit_status.is_none() && clock::monotonic_ns() < patience {
            drain.round()?;
            thread::sleep(PAUSE);
            exit_status = command.ended()?;
        }
    }

    // Values of what is still open, then silence, then the rest of the rings.
    run_everywhere(&loaded.skel.progs.sweep)?;
    drop(attached);
    while !drain.round()? {}
    drain.account(&loaded.skel.maps.counters)?;
    update(&mut state, &drain);
    let ended = clock::sample();
    manifest.ended = Some(ended);
    manifest.exit_status = exit_status;
    manifest.totals = Some(drain.totals(ended.monotonic_ns - started.monotonic_ns));
    drain.into_writer().finish(&manifest)?;
    Ok(Outcome { progress: state, exit_status })
}

fn update(state: &mut Progress, drain: &Drain<'_>) {
    [state.records, state.connections, state.open, state.bytes, state.lost] = drain.counts();
}

fn manifest(options: &Options, plan: &Plan<'_>, loaded: &Loaded<'_>) -> Manifest {
    let text =
        |argv: &Vec<OsString>| argv.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let mut host = host::host();
    host.hz = Some(loaded.hz);
    Manifest {
        format_version: FORMAT_VERSION,
        recording: uuid::Uuid::new_v4().to_string(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        host,
        hook_set: "tracepoint".to_owned(),
        options: RecordOptions {
            resolution_ns: plan.resolution_ns,
            all: options.all || options.command.is_none(),
            ports: options.filters.ports.clone(),
            addresses: options.filters.addresses.iter().map(ToString::to_string).collect(),
            pids: options.filters.pids.clone(),
            cgroups: options.filters.cgroups.clone(),
            netns: options.filters.netns.clone(),
            hooks_ring_bytes: plan.hooks_ring_bytes.into(),
            lifecycle_ring_bytes: plan.lifecycle_ring_bytes.into(),
            rotate_bytes: options.log.rotate_bytes,
            rotate_ns: options.log.rotate_ns,
            max_bytes: options.log.max_bytes,
            duration_ns: options.duration.map(|d| d.as_nanos() as u64),
        },
        command: options.command.as_ref().map(text),
        sysctls: host::sysctls(),
        qdiscs: host::qdiscs(),
        ..Manifest::default()
    }
}

/// Sends the identity and the values of connections that are open already.
fn baseline(loaded: &Loaded<'_>) -> Result<(), CaptureError> {
    run(&loaded.skel.progs.owners_of_files)?;
    run_everywhere(&loaded.skel.progs.baseline)
}

fn run(program: &ProgramMut<'_>) -> Result<(), CaptureError> {
    let fault = |e| CaptureError::bpf("walk the sockets of this host", e);
    let link = program.attach().map_err(fault)?;
    let mut iter = Iter::new(&link).map_err(fault)?;
    let mut nothing = [0; 64];
    // The programs write no text; reading to the end is what runs them.
    while iter
        .read(&mut nothing)
        .map_err(|e| CaptureError::io("walk the sockets of this host", e))?
        > 0
    {}
    Ok(())
}

/// Runs a TCP iterator in every network namespace: each sees only its own.
fn run_everywhere(program: &ProgramMut<'_>) -> Result<(), CaptureError> {
    let fault = |e| CaptureError::bpf("walk the sockets of this host", e);
    let link = program.attach().map_err(fault)?;
    for ns in netns::all().into_values() {
        let walked = netns::inside(&ns, || -> Result<(), CaptureError> {
            let mut iter = Iter::new(&link).map_err(fault)?;
            let mut nothing = [0; 64];
            let action = "walk the sockets of a network namespace";
            while iter.read(&mut nothing).map_err(|e| CaptureError::io(action, e))? > 0 {}
            Ok(())
        });
        walked.map_err(|e| CaptureError::io("enter a network namespace", e))??;
    }
    Ok(())
}
