// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Loading and attaching the BPF programs; what is missing is noted, never fatal on its own.

mod attach;
mod kernel;
mod object;
mod probe;
mod refused;
mod warnings;

use std::{
    ffi::OsStr,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use libbpf_rs::{
    MapCore as _, MapFlags, MapHandle, MapType, Object, OpenObject, ProgramMut,
    btf::{Btf, types::Func},
};

pub use self::refused::Refused;
pub(super) use self::{
    attach::Attached,
    refused::{is_status, not_seen},
    warnings::warnings,
};
use self::{
    kernel::Kernel,
    object::{Section, Variables},
    warnings::load_error,
};
use super::{
    CaptureError, Filters, Setting, capability, clock, filter, function, host,
    interface::Attach,
    kprobes::{self, KPROBES},
    packets::Packets,
    points::{HookSet, POINTS, Point, Target, WRITTEN},
    rest::Timing,
    shared::OfCpus,
    sight::{LEFT_OUT, NO_FUNCTIONS},
    skips::BothWays,
    snapshot::Snapshots,
    transport::{Buffers, Transport, page_bytes},
};
use crate::{
    log::DropReasons,
    schema::{Hook, Place},
};

/// The options of the loader.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    pub filters: &'a Filters,
    /// The hook set, or none for the best that the kernel has.
    pub hooks: Option<HookSet>,
    /// How records reach the recorder, or none for the best that the kernel has.
    pub transport: Option<Transport>,
    /// A file with the kernel's type information, for one that has none in itself.
    pub btf: Option<&'a Path>,
    /// Hooks to leave out.
    pub without: &'a [Hook],
    /// Only processes in the `pids` map: --pid, or a command's tree.
    pub by_process: bool,
    pub resolution_ns: u64,
    /// Bytes of each CPU's ring; a power of two and a multiple of the page size.
    pub hooks_ring_bytes: u32,
    pub lifecycle_ring_bytes: u32,
    pub socket_ring_bytes: u32,
    /// Polls of all sockets, if there shall be any.
    pub snapshots: Option<Snapshots>,
    /// Packets, if there shall be any.
    pub packets: Option<&'a Packets>,
}

/// Each CPU has its own perf buffer of lifecycle records.
const PERF_LIFECYCLE_BYTES: u32 = 1 << 20;

/// The program that notes who makes sockets that are not TCP's.
pub(super) const OWN_DATAGRAMS: &str = "socket_made";

/// The programs in the kernel, with what they write to.
pub(super) struct Loaded {
    object: Object,
    variables: Variables,
    /// Which of the two objects it is: `Kprobe`, or one of the others.
    set: HookSet,
    pub buffers: Buffers,
    pub counters: OfCpus,
    /// Processes whose connections are recorded.
    pub pids: MapHandle,
    pub hz: u32,
    /// This process's id in the initial PID namespace.
    pub own_pid: u32,
    /// Whether interfaces take links.
    tcx: bool,
    /// Whether the event of a retransmission states what the host refused.
    says_refused: bool,
    /// The kernel counts the kprobes that it passes over.
    counts_kprobes: bool,
    /// The programs of kprobes count their runs, so that we can count these kprobes.
    runs_counted: bool,
    /// Places that are not used, by position in [`POINTS`], and why.
    unusable: Vec<(usize, String)>,
    /// Programs that the kernel does not take.
    pub refused: Vec<Refused>,
    /// What this kernel calls the reasons for which it drops packets.
    pub drop_reasons: DropReasons,
}

/// A directory that sysfs has whatever the kernel.
const SYSFS: &str = "/sys/kernel";
/// Where a kernel has its type information (CONFIG_DEBUG_INFO_BTF).
const OWN_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Loads everything that this kernel has a place for.
pub(super) fn load(plan: &Plan<'_>) -> Result<Loaded, CaptureError> {
    warnings::listen();
    let own_btf = Path::new(OWN_BTF).exists();
    let kernel = Kernel {
        btf: match plan.btf {
            Some(path) => Btf::from_path(path).map_err(|e| CaptureError::Option {
                setting: Setting::Btf,
                value: path.display().to_string(),
                reason: format!("no type information of a kernel can be read from it: {e}"),
            })?,
            None if own_btf => Btf::from_vmlinux().map_err(|_| CaptureError::NoBtf)?,
            None if !Path::new(SYSFS).exists() => return Err(CaptureError::NoSysfs),
            None => return Err(CaptureError::NoBtf),
        },
        own_btf,
        cpus: libbpf_rs::num_possible_cpus().map_err(|e| CaptureError::bpf("count the CPUs", e))?,
    };
    // Arrays have an element for each CPU that is possible, at the place of its number.
    let numbers = host::possible_cpus();
    if host::has_gaps(&numbers) {
        return Err(CaptureError::CpuNumbers(numbers));
    }
    let (set, transport) = kernel.choose(plan)?;
    let mut unusable = unusable(plan, set, transport, &kernel);
    let mut refused: Vec<Refused> = Vec::new();
    let (object, section) = loop {
        let open = prepare(plan, set, transport, &kernel, &unusable, &refused)?;
        let section = Section::of(&open, ".bss");
        match open.load() {
            Ok(object) => break (object, section),
            // Verifiers differ between kernels, and so do structures: do without what is refused.
            Err(e) => match Refused::next(&refused) {
                Some(next) => {
                    warnings::forget();
                    let serves =
                        POINTS.iter().enumerate().filter(|(_, p)| p.is_served_by(&next.program));
                    unusable.extend(serves.map(|(i, _)| (i, next.status())));
                    refused.push(next);
                }
                None => return Err(load_error(e)),
            },
        }
    };
    let buffers = match transport {
        Transport::Ring => make_rings(&object, set, kernel.cpus, plan)?,
        Transport::Perf => Buffers::Perf {
            hooks: object::map(&object, "hook_events")?,
            lifecycle: object::map(&object, "lifecycle_events")?,
            cpus: kernel.cpus,
            bytes: [
                plan.hooks_ring_bytes,
                PERF_LIFECYCLE_BYTES.min(plan.lifecycle_ring_bytes),
                0,
                0,
            ],
        },
    };
    let mut loaded = Loaded {
        variables: Variables::of(&object, section)?,
        set,
        buffers,
        counters: OfCpus::new(object::map(&object, "counters")?),
        pids: object::map(&object, "pids")?,
        hz: 0,
        own_pid: 0,
        tcx: kernel.has_tcx(),
        says_refused: kernel.says_refused_retransmissions(),
        counts_kprobes: kernel.counts_kprobes(),
        drop_reasons: kernel.drop_reasons(),
        runs_counted: counts_runs(set, &kernel),
        unusable,
        refused,
        object,
    };
    let program = loaded.program("probe_kernel").expect("the object has the program");
    let probed = probe::probe(&program, &object::map(&loaded.object, "probes")?)?;
    loaded.variables.set("hz", probed.hz.into())?;
    (loaded.hz, loaded.own_pid) = (probed.hz, probed.own_pid);
    plan.filters.install(&filter::Maps {
        ports: &object::map(&loaded.object, "ports")?,
        addrs: &object::map(&loaded.object, "addrs")?,
        not_ports: &object::map(&loaded.object, "not_ports")?,
        not_addrs: &object::map(&loaded.object, "not_addrs")?,
        comms: &object::map(&loaded.object, "comms")?,
        pids: &loaded.pids,
        cgroups: &object::map(&loaded.object, "cgroups")?,
        netnses: &object::map(&loaded.object, "netnses")?,
    })?;
    Ok(loaded)
}

/// The object with its settings, its sizes and its choice of programs.
fn prepare(
    plan: &Plan<'_>,
    set: HookSet,
    transport: Transport,
    kernel: &Kernel<'_>,
    unusable: &[(usize, String)],
    refused: &[Refused],
) -> Result<OpenObject, CaptureError> {
    let mut open = object::open(set, plan.btf)?;
    let timing = Timing::of(plan.resolution_ns);
    let reasons = kernel.drop_reasons();
    object::configure(
        &mut open,
        &[
            ("resolution_ns", plan.resolution_ns),
            ("rest_ns", timing.rest_in_bpf_ns()),
            ("rest_shift", timing.shift.into()),
            ("filter_pid", plan.by_process.into()),
            ("filter_netns", (!plan.filters.netns.is_empty()).into()),
            ("filter_cgroup", (!plan.filters.cgroups.is_empty()).into()),
            ("filter_port", (!plan.filters.ports.is_empty()).into()),
            ("filter_addr", (!plan.filters.addresses.is_empty()).into()),
            ("filter_not_port", (!plan.filters.not_ports.is_empty()).into()),
            ("filter_not_addr", (!plan.filters.not_addresses.is_empty()).into()),
            ("filter_comm", (!plan.filters.comms.is_empty()).into()),
            ("use_perf", (transport == Transport::Perf).into()),
            ("retransmit_has_error", kernel.says_refused_retransmissions().into()),
            ("drop_args", kernel.arguments_of_drops().into()),
            ("drop_consumed", reasons.number("CONSUMED")),
            ("drop_cpu_backlog", reasons.number("CPU_BACKLOG")),
            ("drop_paws", reasons.number("TCP_RFC7323_PAWS")),
            ("drop_paws_ack", reasons.number("TCP_RFC7323_PAWS_ACK")),
            ("drop_old_sequence", reasons.number("TCP_OLD_SEQUENCE")),
            ("drop_invalid_sequence", reasons.number("TCP_INVALID_SEQUENCE")),
            ("drop_invalid_end", reasons.number("TCP_INVALID_END_SEQUENCE")),
            ("drop_reset", reasons.number("TCP_RESET")),
            ("drop_invalid_syn", reasons.number("TCP_INVALID_SYN")),
            ("drop_flags", reasons.number("TCP_FLAGS")),
            ("defers_by_ms", host::defers_by_ms().into()),
            ("iterators_lock", (set != HookSet::Kprobe || host::iterators_lock()).into()),
        ],
    );
    let runs_counted = counts_runs(set, kernel);
    if runs_counted {
        let kprobes = object::kprobes(open.progs().map(|p| (p.name(), p.section())));
        let kprobes: Vec<_> = kprobes.iter().map(|name| format!("number_{name}")).collect();
        assert!(kprobes.len() <= KPROBES, "as many kprobes as there is room for");
        let numbered = kprobes.iter().zip(1..).map(|(name, number)| (name.as_str(), number));
        object::configure(&mut open, &numbered.collect::<Vec<_>>());
    }
    if set != HookSet::Kprobe
        && let Some(snapshots) = plan.snapshots
    {
        object::configure(
            &mut open,
            &[("sample", snapshots.sample.into()), ("changed_only", snapshots.changed_only.into())],
        );
    }
    if let Some(packets) = plan.packets {
        let guarded = attach_by(kernel.has_tcx(), packets.attach) == Attach::Tc;
        object::configure(
            &mut open,
            &[
                ("with_packets", 1),
                ("digest_bytes", packets.digest_bytes.into()),
                ("guarded", guarded.into()),
            ],
        );
    }
    let sized = |r: libbpf_rs::Result<()>| r.map_err(|e| CaptureError::bpf("size the maps", e));
    let can_map = host::release() >= MAPPED_SINCE;
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let perf = matches!(name.as_str(), "hook_events" | "lifecycle_events");
        if !can_map && MAPPED.contains(&name.as_str()) {
            sized(map.set_map_flags(0))?;
        }
        let ring = matches!(name.as_str(), "hook_rings" | "lifecycle_ring" | "packet_rings");
        if (perf && transport == Transport::Ring) || (ring && transport == Transport::Perf) {
            sized(map.set_autocreate(false))?;
        } else if name == "hook_rings" || (name == "packet_rings" && plan.packets.is_some()) {
            sized(map.set_max_entries(kernel.cpus as u32))?;
        } else if name == "lifecycle_ring" {
            sized(map.set_max_entries(plan.lifecycle_ring_bytes))?;
        } else if name == "socket_ring" {
            sized(map.set_max_entries(plan.socket_ring_bytes))?;
        } else if matches!(name.as_str(), "counters" | "resting") && set == HookSet::Kprobe
            || name == "cpu_kprobes" && runs_counted
        {
            sized(map.set_max_entries(kernel.cpus as u32))?;
        } else if name == "pids" && !plan.by_process {
            // Its memory is taken at once: a recording that asks for no processes pays for none.
            sized(map.set_max_entries(1))?;
        }
    }
    let unused = |i: usize| unusable.iter().any(|(at, _)| *at == i);
    let wanted = |name: &OsStr| {
        if refused.iter().any(|r| name == OsStr::new(&r.program)) {
            return false;
        }
        if name == OsStr::new("owners_of_files") {
            return kernel.btf.type_by_name::<Func<'_>>("bpf_iter_task_file").is_some();
        }
        if name == OsStr::new("account_end") {
            return kernel.btf.type_by_name::<Func<'_>>("bpf_iter_tcp").is_some();
        }
        let mut serves = POINTS
            .iter()
            .enumerate()
            .filter(|(_, p)| p.programs.iter().any(|(program, _)| base(name) == *program))
            .peekable();
        if name == OWN_DATAGRAMS {
            return (plan.by_process || !plan.filters.comms.is_empty())
                && plan.packets.is_some_and(|p| p.sockets);
        }
        if kprobes::PROGRAMS.iter().any(|program| name == OsStr::new(program)) {
            return runs_counted;
        }
        if name == WRITTEN.0 {
            return kernel.has_tracepoint(WRITTEN.1);
        }
        if name == "poll" && plan.snapshots.is_none() {
            return false;
        }
        // Programs of no point serve the recorder itself.
        serves.peek().is_none() || serves.any(|(i, _)| !unused(i))
    };
    for mut program in open.progs_mut() {
        if !wanted(program.name()) {
            program.set_autoload(false);
        }
    }
    refused::spoil(&mut open);
    Ok(open)
}

/// The arrays of the set `kprobe` that the recorder maps into its memory, if the kernel lets it.
const MAPPED: [&str; 5] = ["counters", "resting", "kprobes", "cpu_kprobes", "looking"];
/// Linux, commit fc9702273e2e (BPF_F_MMAPABLE).
const MAPPED_SINCE: (u32, u32) = (5, 5);

/// Whether the programs of kprobes shall count their runs.
fn counts_runs(set: HookSet, kernel: &Kernel<'_>) -> bool {
    let by_kernel = kernel.counts_kprobes() && !BothWays::is_asked();
    set == HookSet::Kprobe && !by_kernel && kernel.shows_kprobes()
}

fn attach_by(tcx: bool, wanted: Option<Attach>) -> Attach {
    wanted.unwrap_or(if tcx { Attach::Tcx } else { Attach::Tc })
}

/// The end of the name of a program that replaces another one.
const AGAIN: &str = "_again";

/// The name that [`POINTS`] has for a program.
fn base(name: &OsStr) -> &str {
    let name = name.to_str().expect("a program's name is ASCII");
    name.strip_suffix(AGAIN).unwrap_or(name)
}

/// The places that this kernel or this plan does not allow, and why.
fn unusable(
    plan: &Plan<'_>,
    set: HookSet,
    transport: Transport,
    kernel: &Kernel<'_>,
) -> Vec<(usize, String)> {
    let reason = |point: &Point| -> Option<String> {
        if !point.is_in(set) {
            return Some("for other hook sets".to_owned());
        }
        if point.hooks.iter().any(|hook| plan.without.contains(hook)) {
            return Some(LEFT_OUT.to_owned());
        }
        if point.hooks == [Hook::SegmentDrop] && kernel.arguments_of_drops() < 4 {
            return Some("the event does not state the socket".to_owned());
        }
        if point.hooks == [Hook::Poll] && plan.snapshots.is_none() {
            return Some("only with snapshots".to_owned());
        }
        // First what cannot be, then what was not asked for: asking would not help.
        if transport == Transport::Perf && point.hooks.iter().any(|hook| hook.is_packet()) {
            return Some("packets need BPF ring buffers".to_owned());
        }
        if let Some(reason) = not_asked_for(point, plan.packets) {
            return Some(reason.to_owned());
        }
        if point.is_function() && plan.hooks == Some(HookSet::Tracepoint) {
            return Some(NO_FUNCTIONS.to_owned());
        }
        point.programs.iter().find_map(|(_, target)| match target {
            Target::Tracepoint(name) if !kernel.has_tracepoint(name) => {
                Some(format!("this kernel has no tracepoint {name}"))
            }
            Target::Function(name) => function::obstacle(set, name),
            Target::Cgroup | Target::Interface if !capability::suffice_for_network_programs() => {
                Some("programs at cgroups and interfaces take CAP_NET_ADMIN".to_owned())
            }
            Target::Iterator(name)
                if kernel.btf.type_by_name::<Func<'_>>(&format!("bpf_iter_{name}")).is_none() =>
            {
                Some(format!("this kernel has no iterator {name}"))
            }
            Target::Tracepoint(_) | Target::Cgroup | Target::Interface | Target::Iterator(_) => {
                None
            }
        })
    };
    let all = POINTS.iter().enumerate();
    all.filter_map(|(i, point)| reason(point).map(|reason| (i, reason))).collect()
}

/// Why a place of packets is not used, if it is one that is not.
fn not_asked_for(point: &Point, packets: Option<&Packets>) -> Option<&'static str> {
    let is_at = |place| Hook::at(place).any(|hook| point.hooks.contains(&hook));
    if is_at(Place::Socket) && !packets.is_some_and(|p| p.sockets) {
        return Some("only with packets of sockets");
    }
    let interfaces = packets.is_some_and(|p| !p.interfaces.is_empty());
    (is_at(Place::Interface) && !interfaces).then_some("only with packets of interfaces")
}

fn make_rings(
    object: &Object,
    set: HookSet,
    cpus: usize,
    plan: &Plan<'_>,
) -> Result<Buffers, CaptureError> {
    // A power of two, as these are; libbpf does the same to the rings that it makes itself.
    let with_a_page = |bytes: u32| bytes.max(page_bytes());
    let bytes = with_a_page(plan.hooks_ring_bytes);
    let (sockets, socket_bytes) = if set == HookSet::Kprobe {
        (None, 0)
    } else {
        (Some(object::map(object, "socket_ring")?), with_a_page(plan.socket_ring_bytes))
    };
    let hooks = rings_of_cpus(object, "hook_rings", "estats_hooks", cpus, bytes)?;
    let packet_bytes = plan.packets.map_or(0, |packets| with_a_page(packets.ring_bytes));
    let packets = match plan.packets {
        Some(_) => rings_of_cpus(object, "packet_rings", "estats_packets", cpus, packet_bytes)?,
        None => Vec::new(),
    };
    Ok(Buffers::Rings {
        hooks,
        lifecycle: object::map(object, "lifecycle_ring")?,
        sockets,
        packets,
        bytes: [bytes, with_a_page(plan.lifecycle_ring_bytes), socket_bytes, packet_bytes],
    })
}

/// Makes a ring for each CPU and puts it into the table that the programs ask.
fn rings_of_cpus(
    object: &Object,
    table: &str,
    name: &str,
    cpus: usize,
    bytes: u32,
) -> Result<Vec<MapHandle>, CaptureError> {
    let table = object::map(object, table)?;
    // SAFETY: all-zero options are the defaults; the size field states how many of them we know.
    let mut opts: libbpf_rs::libbpf_sys::bpf_map_create_opts = unsafe { std::mem::zeroed() };
    opts.sz = size_of_val(&opts) as libbpf_rs::libbpf_sys::size_t;
    let make = |cpu: u32| {
        let ring = MapHandle::create(MapType::RingBuf, Some(name), 0, 0, bytes, &opts)?;
        let fd = ring.as_fd().as_raw_fd().to_ne_bytes();
        table.update(&cpu.to_ne_bytes(), &fd, MapFlags::ANY)?;
        Ok(ring)
    };
    (0..cpus as u32)
        .map(|cpu| {
            make(cpu).map_err(|e| {
                CaptureError::bpf(format!("make a ring of {bytes} bytes for CPU {cpu}"), e)
            })
        })
        .collect()
}

impl Loaded {
    /// A program of the object, loaded or not.
    pub(super) fn program(&self, name: &str) -> Option<ProgramMut<'_>> {
        self.object.progs_mut().find(|p| p.name() == OsStr::new(name))
    }

    /// The programs of that name that were loaded: it, and the one that stands in for it
    /// (bpf/turn.bpf.h).
    fn programs(&self, name: &str) -> impl Iterator<Item = ProgramMut<'_>> {
        let both = [name.to_owned(), name.to_owned() + AGAIN].into_iter();
        both.filter_map(|n| self.program(&n)).filter(|p| p.autoload())
    }

    /// A map of the object, by name.
    pub(super) fn map(&self, name: &str) -> Result<MapHandle, CaptureError> {
        object::map(&self.object, name)
    }

    /// Why there are no polls of sockets, if there are none.
    pub(super) fn obstacle_to_polls(&self) -> Option<String> {
        if self.set == HookSet::Kprobe {
            return Some("the kprobe set has no iterator that reads sockets".to_owned());
        }
        let polls = |at: usize| POINTS[at].hooks == [Hook::Poll];
        let (_, why) = self.unusable.iter().find(|(at, _)| polls(*at))?;
        Some(why.clone())
    }

    /// Whether there are programs for a hook.
    pub(super) fn has(&self, hook: Hook) -> bool {
        let serves = |(i, p): (usize, &Point)| {
            p.hooks.contains(&hook) && !self.unusable.iter().any(|(at, _)| *at == i)
        };
        POINTS.iter().enumerate().any(serves)
    }

    /// How programs get at interfaces.
    pub(super) fn attach_by(&self, wanted: Option<Attach>) -> Attach {
        attach_by(self.tcx, wanted)
    }

    /// From now on nothing is recorded of connections: what the kernel passes over until the hooks are
    /// detached is missing in no record.
    pub(super) fn end(&self) -> Result<(), CaptureError> {
        self.variables.set("over", 1)
    }

    /// Marks for the programs at interfaces that the recorder runs.
    pub(super) fn say_alive(&self) -> Result<(), CaptureError> {
        self.variables.set("alive_ns", clock::monotonic_ns())
    }

    /// Why packets cannot be recorded, if they cannot.
    pub(super) fn obstacle_to_packets(&self) -> Option<&'static str> {
        matches!(self.buffers, Buffers::Perf { .. })
            .then_some("packets need BPF ring buffers (Linux 5.8, and not the transport perf)")
    }

    /// An iterator, if this kernel has it.
    pub(super) fn iterator(&self, name: &str) -> Option<ProgramMut<'_>> {
        self.program(name).filter(|p| p.autoload())
    }
}
