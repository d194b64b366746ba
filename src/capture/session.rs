// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One recording from beginning to end.

use std::{
    ffi::OsString,
    num::NonZeroU64,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::{
    CaptureError, Filters, Setting, clock,
    command::{self, Running},
    coverage, diag,
    drain::Drain,
    follow::{self, Follower},
    host,
    listeners::Listeners,
    load::{self, Loaded, Plan},
    packets::Packets,
    points::HookSet,
    progress::{Counted, Progress},
    provenance::Provenance,
    rest::{self, Rest},
    sight,
    snapshot::{Poller, PollsBy, Snapshots},
    top::Top,
    transport::Transport,
    unfinished::Unfinished,
    walk,
};
use crate::engine::flows::lines::Line;
use crate::log::{
    CaptureStat, FORMAT_VERSION, LogError, Manifest, NotSeen, RecordOptions, RecordingWriter,
    WriterOptions,
};
use crate::schema::Hook;

/// How to record.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// The recording directory to make.
    pub dir: PathBuf,
    /// Which connections.
    pub filters: Filters,
    /// The hook set, or none for the best that the kernel has.
    pub hooks: Option<HookSet>,
    /// How records leave the kernel, or none for the best that it has.
    pub transport: Option<Transport>,
    /// A file with the kernel's type information, for one that has none in itself.
    pub btf: Option<PathBuf>,
    /// Hooks to leave out.
    pub without: Vec<Hook>,
    /// The command whose process tree is recorded while it runs.
    pub command: Option<Vec<OsString>>,
    /// Record the whole host even with a command.
    pub all: bool,
    /// How long the command's connections are followed at most after it has ended.
    pub linger: Duration,
    /// When to end by itself.
    pub duration: Option<Duration>,
    /// Shortest time between two readings of a connection's slow variables.
    pub resolution: Duration,
    /// Bytes of each CPU's ring; rounded up to a power of two.
    pub ring_bytes: u32,
    /// Polls of all sockets.
    pub snapshots: Option<Snapshots>,
    /// Packets.
    pub packets: Option<Packets>,
    /// Time between two tables of the packets' flows ([`Notice::Top`]); none for no tables.
    pub top: Option<Duration>,
    /// Segment sizes and bounds.
    pub log: WriterOptions,
}

/// How a recording ended.
#[derive(Debug)]
pub struct Outcome {
    /// The last progress.
    pub progress: Progress,
    /// What was counted beside it.
    pub counted: Counted,
    /// Exit status of the command, if there was one and it ended.
    pub exit_status: Option<i32>,
    /// The fault that ended it early, if any; everything written until then is readable.
    pub fault: Option<CaptureError>,
}

/// Events while recording.
#[derive(Debug)]
pub enum Notice<'a> {
    /// Every hook is attached, and the command, if there is one, was started.
    Recording,
    /// Once a second.
    Progress(&'a Progress, &'a Counted),
    /// The rings were read, some 100 times a second, or nothing is recorded any more and a command goes on. What is changed
    /// here holds from now on. Only where there were bounds at the beginning are there key frames, without which rows of a
    /// recording that loses its oldest segments are lossy.
    Round(&'a mut WriterOptions),
    /// The recording ends: what is left is read, and the hooks are detached.
    Ending,
    /// At the interval of [`CaptureOptions::top`], and at the end: flows of the packets so far, those with
    /// the most bytes first.
    Top(&'a [Line]),
    /// This cannot be seen; before [`Notice::Recording`].
    NotSeen(&'a NotSeen),
    /// For the first time, a poll of the sockets took more than 80 % of its interval.
    SlowPoll,
    /// No interface that was asked for has this name; one that comes will be followed.
    NoInterface(&'a str),
    /// Nothing more is recorded; a command goes on.
    Stopped(&'a CaptureError),
    /// The command with this process id did not end when it was asked to.
    RunsOn(u32),
    /// Processes of the command's tree that are alive after it has ended: ids and names.
    Outlive(&'a [(u32, String)]),
    /// No connection was recorded. How many connections the filters left out.
    NothingMatched(u64),
    /// This many of the command's connections were still open when it had ended for
    /// [`CaptureOptions::linger`].
    StillOpen(u64),
}

/// Pause between two rounds. A 4 MiB ring then stands 400 MB/s of records per CPU.
const PAUSE: Duration = Duration::from_millis(10);
/// At least, as the next two: a larger `--ring` is for more connections, too.
const LIFECYCLE_RING_BYTES: u32 = 4 << 20;
/// Some 14,000 snapshots: what 10 ms of openings and closings may bring.
const SOCKET_RING_BYTES: u32 = 8 << 20;
/// With polls twice that: half of it takes the sockets of a poll between two rounds.
const POLL_RING_BYTES: u32 = 2 * SOCKET_RING_BYTES;
/// How long an ended command is followed at least, unless [`CaptureOptions::linger`] is shorter: the last
/// acknowledgments of closed connections are under way, which `--packets` shows.
const LAST_SEGMENTS: Duration = Duration::from_millis(200);

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// From then on it is asked by SIGTERM, whatever the recorder itself was sent.
const POLITE: Duration = Duration::from_secs(1);

/// Records until the command and its connections have ended, the duration is over or `stop` holds
/// the number of the signal that ends the recording. A command that still runs then gets that
/// signal, with all of its process group.
///
/// # Errors
/// [`CaptureError`] if recording could not begin. One that comes later is in the [`Outcome`]: the
/// recording ends with it, but a command does not.
pub fn record(
    options: &CaptureOptions,
    stop: &AtomicUsize,
    mut notice: impl FnMut(Notice<'_>),
) -> Result<Outcome, CaptureError> {
    options.filters.check()?;
    options.packets.iter().flat_map(|p| &p.interfaces).try_for_each(|name| follow::check(name))?;
    let tree_only = options.command.is_some() && !options.all;
    let by_process = tree_only || !options.filters.pids.is_empty();
    let ring_bytes = options.ring_bytes.max(4096).next_power_of_two();
    let plan = Plan {
        filters: &options.filters,
        hooks: options.hooks,
        transport: options.transport,
        btf: options.btf.as_deref(),
        without: &options.without,
        by_process,
        resolution_ns: options.resolution.as_nanos() as u64,
        hooks_ring_bytes: ring_bytes,
        lifecycle_ring_bytes: LIFECYCLE_RING_BYTES.max(ring_bytes),
        socket_ring_bytes: options
            .snapshots
            .map_or(SOCKET_RING_BYTES, |_| POLL_RING_BYTES)
            .max(ring_bytes),
        // No program for those that go another way.
        snapshots: options.snapshots.filter(|s| s.by != Some(PollsBy::Netlink)),
        packets: options.packets.as_ref(),
    };
    let loaded = load::load(&plan)?;
    let polls = options.snapshots.map(|s| s.by(&loaded).map(|by| (s, by))).transpose()?;
    if let Some(packets) = &options.packets
        && let Some(reason) = loaded.obstacle_to_packets()
    {
        let setting = if packets.sockets { Setting::Packets } else { Setting::Interface };
        return Err(CaptureError::Unavailable { setting, reason: reason.to_owned() });
    }
    let attaching_ns = clock::monotonic_ns();
    let mut attached = loaded.attach(by_process, &options.filters)?;
    if let Some(packets) = &options.packets {
        attached.must_have_packets(packets, &options.without)?;
    }
    let (mut resting, unread) = Rest::new(&loaded, &attached, plan.resolution_ns)?;
    let started = clock::sample();
    let mut manifest = manifest(options, &plan, &loaded);
    set_bounds(&mut manifest.options, &options.log);
    manifest.started = started;
    manifest.variables = coverage::variables(&attached.hooks);
    manifest.counting = Some(crate::schema::counting::COUNTING);
    manifest.hook_set = attached.set().name().to_owned();
    manifest.hooks = attached.status.clone();
    manifest.not_seen = sight::of_hooks(&attached.hooks, &attached.status);
    manifest.not_seen.extend(load::not_seen(&loaded.refused, &attached.hooks));
    manifest.not_seen.extend(attached.uncounted_kprobes());
    manifest.not_seen.extend(sight::of_cgroups());
    manifest.not_seen.extend(sight::of_modules());
    manifest.not_seen.extend(diag::unknown_fields());
    manifest.not_seen.extend(unread);
    let only_recorded =
        by_process || !(options.filters.comms.is_empty() && options.filters.cgroups.is_empty());
    // inet_diag does not know the process of a listening socket.
    let mut listeners = None;
    if !only_recorded {
        match Listeners::new(&options.filters)? {
            Ok(found) => listeners = Some(found),
            Err(not_seen) => manifest.not_seen.push(not_seen),
        }
    }
    // A command's own tree has no connections yet, and is in namespaces of its making.
    let tree_alone = tree_only && options.filters.pids.is_empty();
    let all_interfaces = options.packets.as_ref().is_some_and(|p| p.all_interfaces());
    if !tree_alone || all_interfaces {
        manifest.not_seen.extend(sight::unseen(&options.filters.netns_inodes()?));
    }
    manifest.options.snapshots_by = polls.map(|(_, by)| by.name().to_owned());
    let mut follower = match &options.packets {
        Some(packets) => Follower::new(&loaded, packets, &options.filters)?,
        None => None,
    };
    manifest.interfaces = follower.as_ref().map_or_else(Vec::new, |f| f.seen().to_vec());
    let unfinished = Unfinished::new(&options.dir);
    let writer = RecordingWriter::create(&options.dir, &manifest, options.log);
    if matches!(writer, Err(LogError::OutputExists(_))) {
        // Nothing there is of this recording.
        unfinished.begin();
        return Err(writer.expect_err("just seen").into());
    }
    // After the guard, so that its files are closed before they are removed.
    let mut writer = writer?;
    writer.capture_stat(&CaptureStat::Clock(started.monotonic_ns, started))?;
    let skips = attached.skips.take().unwrap_or_default();
    let mut drain = Drain::new(writer, &loaded.buffers, skips, attaching_ns)?;
    if manifest.options.key_frames {
        drain.set_key_frames();
    }
    if matches!(polls, Some((_, PollsBy::Netlink))) {
        drain.keep_identities();
    }

    if !tree_alone {
        walk::baseline(&loaded, &mut drain)?;
        walk::settled(&loaded)?;
    }
    let start = |argv: &Vec<OsString>| command::start(argv, &loaded.pids, loaded.own_pid);
    if options.command.is_some() {
        drain.keep_begun();
    }
    let mut poller = polls
        .map(|(snapshots, by)| Poller::new(&loaded, snapshots, by, &options.filters, only_recorded))
        .transpose()?;
    if let Some(listeners) = &mut listeners {
        listeners.poll(&mut drain)?;
    }
    // Nothing else may fail once it runs.
    let mut running = options.command.as_ref().map(start).transpose()?;
    unfinished.begin();
    for name in follower.iter().flat_map(Follower::missing) {
        notice(Notice::NoInterface(name));
    }
    if let Some(every) = options.top
        && let Some(every_ns) = NonZeroU64::new(every.as_nanos() as u64)
    {
        drain.set_top(Top::new(every_ns, (started.monotonic_ns, started.realtime_ns)));
    }
    for not_seen in &manifest.not_seen {
        notice(Notice::NotSeen(not_seen));
    }
    notice(Notice::Recording);

    let counters = &loaded.counters;
    let mut provenance = Provenance::start();
    let mut attached = Some(attached);
    let packets = options.packets.is_some().then_some(0);
    let mut state = Progress { packets, ..Progress::default() };
    let mut exit_status = None;
    let mut fault = None;
    let mut in_force = options.log;
    let mut linger_from = None;
    let mut counted = clock::monotonic_ns();
    loop {
        let time = poller.as_ref().map_or(PAUSE, |p| p.until_due().min(PAUSE));
        let looked = pass(time, resting.as_mut(), &mut drain, fault.is_none());
        let now = clock::monotonic_ns();
        let elapsed = Duration::from_nanos(now - started.monotonic_ns);
        if fault.is_none() {
            state.elapsed = elapsed;
        }
        let due = now - counted >= 1_000_000_000;
        if fault.is_none() {
            let round = looked
                .and_then(|()| follower.as_mut().map_or(Ok(()), |f| f.follow(&loaded)))
                .and_then(|()| poller.as_mut().map_or(Ok(()), |poller| poller.poll(&mut drain)))
                .and_then(|()| listeners.as_mut().map_or(Ok(()), |l| l.follow(&mut drain)))
                .and_then(|()| drain.round())
                .and_then(|()| if due { drain.write_stats(counters) } else { Ok(()) })
                .and_then(|()| {
                    provenance.see(drain.new_namespaces());
                    if !due {
                        return Ok(());
                    }
                    let Some(all) = provenance.news() else { return Ok(()) };
                    manifest.namespaces = all;
                    drain.update(&manifest)
                });
            if let Err(e) = round {
                notice(Notice::Stopped(&e));
                fault = Some(e);
                state.update(&drain);
                // A command that runs on must not pay for records that are no longer read.
                drain.let_go();
                attached = None;
                follower = None;
            } else if due {
                counted = now;
                state.update(&drain);
                let slow = poller.as_ref().map_or(0, Poller::slow);
                if state.slow_polls == 0 && slow > 0 {
                    notice(Notice::SlowPoll);
                }
                state.slow_polls = slow;
                notice(Notice::Progress(&state, &drain.counted_so_far()));
            }
            for not_seen in listeners.as_mut().map_or_else(Vec::new, Listeners::news) {
                notice(Notice::NotSeen(&not_seen));
                manifest.not_seen.push(not_seen);
            }
            if let Some(lines) = drain.with_top(|top| top.due(now)).flatten() {
                notice(Notice::Top(&lines));
            }
        }
        let mut log = in_force;
        notice(Notice::Round(&mut log));
        let changed = log != in_force && fault.is_none();
        if changed {
            in_force = log;
            drain.set_bounds(log);
            set_bounds(&mut manifest.options, &log);
            fault = drain.update(&manifest).err();
            fault.iter().for_each(|e| notice(Notice::Stopped(e)));
        }
        if let Some(command) = running.as_mut() {
            let before = exit_status;
            exit_status = command.ended()?;
            if before.is_none() && exit_status.is_some() {
                linger_from = Some(elapsed);
                outliving(command, &mut notice);
            }
        }
        let lingered = linger_from.is_some_and(|ended| {
            let since = elapsed - ended;
            let open = drain.begun_and_open();
            if since >= options.linger && open > 0 && fault.is_none() {
                notice(Notice::StillOpen(open));
            }
            since >= options.linger || (since >= LAST_SEGMENTS && open == 0)
        });
        let over = lingered
            || options.duration.is_some_and(|d| elapsed >= d)
            || stop.load(Ordering::Relaxed) != 0
            || (fault.is_some() && (running.is_none() || exit_status.is_some()));
        if over {
            break;
        }
    }
    notice(Notice::Ending);
    if let Some(command) = running.as_mut()
        && exit_status.is_none()
    {
        let asked = stop.load(Ordering::Relaxed) as libc::c_int;
        // Where it comes from the terminal, the command has it already.
        let mut sent = (asked == libc::SIGINT && command::in_foreground()).then_some(asked);
        let begun = clock::monotonic_ns();
        let waited = || Duration::from_nanos(clock::monotonic_ns() - begun);
        while !command.members().is_empty() && waited() < GRACE {
            let polite = asked == libc::SIGINT && waited() < POLITE;
            let signal = if polite { libc::SIGINT } else { libc::SIGTERM };
            if sent.replace(signal) != Some(signal) {
                command.ask(signal);
            }
            if fault.is_none() {
                fault = drain.round().err();
            }
            let looked = pass(PAUSE, resting.as_mut(), &mut drain, fault.is_none());
            fault = fault.or(looked.err());
            exit_status = command.ended()?;
        }
        let ended = waited();
        while fault.is_none()
            && drain.begun_and_open() > 0
            && waited() < ended + options.linger.min(LAST_SEGMENTS)
        {
            fault =
                pass(PAUSE, resting.as_mut(), &mut drain, true).and_then(|()| drain.round()).err();
        }
        if exit_status.is_none() {
            notice(Notice::RunsOn(command.pid()));
        }
        outliving(command, &mut notice);
    }

    let mut refused = 0;
    let mut close = || -> Result<(), CaptureError> {
        if let Some(listeners) = &mut listeners {
            listeners.poll(&mut drain)?;
            manifest.not_seen.extend(listeners.news());
        }
        // Values of what is still open, then silence, then the rest of the rings.
        rest::end(resting.as_mut(), &loaded, &mut drain)?;
        // Detaching takes seconds on a slow host, and interfaces come last.
        loaded.say_alive()?;
        loaded.end()?;
        drain.hooks_end()?;
        drop(attached.take());
        if let Some(follower) = follower.take() {
            manifest.interfaces = follower.seen().to_vec();
        }
        drain.settle(counters)?;
        provenance.see(drain.new_namespaces());
        provenance.settle();
        if let Some(all) = provenance.news() {
            manifest.namespaces = all;
        }
        if let Some(lines) = drain.with_top(Top::finish) {
            notice(Notice::Top(&lines));
        }
        state.update(&drain);
        refused = drain.refused();
        let ended = clock::sample();
        manifest.ended = Some(ended);
        manifest.exit_status = exit_status;
        manifest.totals = Some(drain.totals(ended.monotonic_ns - started.monotonic_ns));
        Ok(())
    };
    let closed = if fault.is_none() { close() } else { Ok(()) };
    let counted = drain.counted_so_far();
    if fault.is_none() {
        let closed = closed.and_then(|()| Ok(drain.into_writer().finish(&manifest)?));
        if let Err(e) = closed {
            notice(Notice::Stopped(&e));
            fault = Some(e);
        }
    }
    if fault.is_none() && state.connections == 0 && !options.filters.are_empty() {
        notice(Notice::NothingMatched(refused));
    }
    Ok(Outcome { progress: state, counted, exit_status, fault })
}

/// Lets this time pass, and meanwhile looks at connections that rest, while there is a recording.
fn pass(
    time: Duration,
    resting: Option<&mut Rest>,
    drain: &mut Drain<'_>,
    records: bool,
) -> Result<(), CaptureError> {
    match resting.filter(|_| records) {
        Some(resting) => resting.pass(time, drain),
        None => {
            thread::sleep(time);
            Ok(())
        }
    }
}

/// Names what is left of a command's process tree.
fn outliving(command: &Running, notice: &mut impl FnMut(Notice<'_>)) {
    let left = command.others();
    if !left.is_empty() {
        notice(Notice::Outlive(&left));
    }
}

fn set_bounds(options: &mut RecordOptions, log: &WriterOptions) {
    options.rotate_bytes = log.rotate_bytes;
    options.rotate_ns = log.rotate_ns;
    options.max_bytes = log.max_bytes;
    options.keep_ns = log.keep_ns;
}

fn manifest(options: &CaptureOptions, plan: &Plan<'_>, loaded: &Loaded) -> Manifest {
    let text =
        |argv: &Vec<OsString>| argv.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let mut host = host::host();
    host.hz = Some(loaded.hz);
    Manifest {
        format_version: FORMAT_VERSION,
        recording: uuid::Uuid::new_v4().to_string(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        host,
        options: RecordOptions {
            resolution_ns: plan.resolution_ns,
            all: options.all || options.command.is_none(),
            ports: options.filters.ports.clone(),
            not_ports: options.filters.not_ports.clone(),
            addresses: options.filters.addresses.iter().map(ToString::to_string).collect(),
            not_addresses: options.filters.not_addresses.iter().map(ToString::to_string).collect(),
            comms: options.filters.comms.clone(),
            pids: options.filters.pids.clone(),
            cgroups: options.filters.cgroups.clone(),
            netns: options.filters.netns.clone(),
            hooks_ring_bytes: loaded.buffers.bytes()[0],
            lifecycle_ring_bytes: loaded.buffers.bytes()[1],
            socket_ring_bytes: loaded.buffers.bytes()[2],
            packet_ring_bytes: loaded.buffers.bytes()[3],
            packets: options.packets.as_ref().is_some_and(|p| p.sockets),
            interfaces: options.packets.as_ref().map_or_else(Vec::new, |p| p.interfaces.clone()),
            digest_bytes: options.packets.as_ref().map(|p| p.digest_bytes),
            snapshots_ns: options.snapshots.map(|s| s.interval.as_nanos() as u64),
            sample: options.snapshots.map(|s| s.sample),
            changed_only: options.snapshots.is_some_and(|s| s.changed_only),
            snapshots_by: None,
            key_frames: options.log.is_bounded(),
            divided_ledger: options.log.is_bounded(),
            duration_ns: options.duration.map(|d| d.as_nanos() as u64),
            ..RecordOptions::default()
        },
        command: options.command.as_ref().map(text),
        sysctls: host::sysctls(),
        qdiscs: host::qdiscs(),
        drop_reasons: loaded.drop_reasons.clone(),
        ..Manifest::default()
    }
}
