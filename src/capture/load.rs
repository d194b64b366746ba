//! Loading and attaching the BPF programs; what is missing is noted, never fatal on its own.

use std::{
    ffi::OsStr,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    sync::Mutex,
    thread,
    time::Duration,
};

use libbpf_rs::{
    Link, MapCore, MapFlags, MapHandle, MapType, OpenObject, PrintLevel, ProgramInput, ProgramMut,
    btf::{Btf, types::Typedef},
    skel::{OpenSkel, Skel, SkelBuilder},
};

use super::{
    CaptureError, Filters, cgroup, clock, filter, function, host,
    points::{FORK, HookSet, POINTS, Point, Target},
    skeleton::{EstatsSkel, EstatsSkelBuilder},
    skips::Skips,
    snapshot::Snapshots,
};
use crate::{log::HookStatus, schema::Hook};

/// What the loader must know.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    pub filters: &'a Filters,
    /// The hook set, or none for the best that the kernel has.
    pub hooks: Option<HookSet>,
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
}

/// The programs in the kernel, with the rings they write to.
pub(super) struct Loaded<'obj> {
    pub skel: EstatsSkel<'obj>,
    pub rings: Vec<MapHandle>,
    pub hz: u32,
    /// This process's id in the initial PID namespace.
    pub own_pid: u32,
    /// Places that are not used, by position in [`POINTS`], and why.
    unusable: Vec<(usize, String)>,
}

/// Attached hooks. Dropping it detaches them.
pub(super) struct Attached {
    pub links: Vec<Link>,
    pub hooks: Vec<Hook>,
    pub status: Vec<HookStatus>,
}

impl Attached {
    /// The set that these hooks make.
    pub(super) fn set(&self) -> HookSet {
        let function = |hook: &Hook| {
            POINTS.iter().any(|point| point.is_function() && point.hooks.contains(hook))
        };
        if self.hooks.iter().any(function) { HookSet::Fentry } else { HookSet::Tracepoint }
    }
}

/// libbpf's last warnings: they hold the verifier's words when a load fails.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep_warning(_: PrintLevel, text: String) {
    let mut kept = WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if kept.len() == 40 {
        kept.remove(0);
    }
    kept.push(text.trim_end().to_owned());
}

/// The warnings that libbpf has given since the program began, oldest first.
pub(super) fn warnings() -> Vec<String> {
    WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// What the verifier said last about the program it refused; `None` if it refused none.
fn verdict() -> Option<String> {
    /// Its last instructions and its reason; the whole log can be a megabyte.
    const LINES: usize = 24;
    let warnings = warnings();
    let log = warnings.iter().rev().find(|text| text.contains("PROG LOAD LOG"))?;
    let lines: Vec<&str> = log.lines().collect();
    Some(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

fn has_tracepoint(btf: &Btf<'_>, name: &str) -> bool {
    btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}")).is_some()
}

fn load_error(source: libbpf_rs::Error) -> CaptureError {
    // SAFETY: geteuid() cannot fail and touches nothing.
    let root = unsafe { libc::geteuid() } == 0;
    match source.kind() {
        libbpf_rs::ErrorKind::PermissionDenied if !root => CaptureError::Privilege,
        // The verifier says EACCES too, but it says more than that.
        libbpf_rs::ErrorKind::PermissionDenied if verdict().is_none() => {
            CaptureError::NoBpf(source)
        }
        _ if let Some(words) = verdict() => CaptureError::Rejected(words),
        _ => CaptureError::bpf("load the BPF programs", source),
    }
}

/// Loads everything that this kernel has a place for.
pub(super) fn load<'obj>(
    plan: &Plan<'_>,
    storage: &'obj mut MaybeUninit<OpenObject>,
) -> Result<Loaded<'obj>, CaptureError> {
    libbpf_rs::set_print(Some((PrintLevel::Warn, keep_warning)));
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(CaptureError::NoBtf);
    }
    let btf = Btf::from_vmlinux().map_err(|_| CaptureError::NoBtf)?;
    let cpus =
        libbpf_rs::num_possible_cpus().map_err(|e| CaptureError::bpf("count the CPUs", e))?;

    let mut open = EstatsSkelBuilder::default().open(storage).map_err(load_error)?;
    let settings = open.maps.rodata_data.as_mut().expect("the object has settings");
    settings.resolution_ns = plan.resolution_ns;
    settings.filter_pid = plan.by_process;
    settings.filter_netns = !plan.filters.netns.is_empty();
    settings.filter_cgroup = !plan.filters.cgroups.is_empty();
    settings.filter_port = !plan.filters.ports.is_empty();
    settings.filter_addr = !plan.filters.addresses.is_empty();
    if let Some(snapshots) = plan.snapshots {
        settings.sample = snapshots.sample;
        settings.changed_only = snapshots.changed_only;
    }
    let sized =
        |action: &str, r: libbpf_rs::Result<()>| r.map_err(|e| CaptureError::bpf(action, e));
    sized("size the rings", open.maps.hook_rings.set_max_entries(cpus as u32))?;
    sized("size the rings", open.maps.lifecycle_ring.set_max_entries(plan.lifecycle_ring_bytes))?;
    sized("size the rings", open.maps.socket_ring.set_max_entries(plan.socket_ring_bytes))?;

    // Their memory is taken at once: a recording that asks for no processes pays for none.
    if !plan.by_process {
        sized("size the filters", open.maps.pids.set_max_entries(1))?;
    }

    let unusable = unusable(plan, &btf);
    let unused = |i: usize| unusable.iter().any(|(at, _)| *at == i);
    let wanted = |name: &OsStr| {
        let mut serves = POINTS
            .iter()
            .enumerate()
            .filter(|(_, p)| p.programs.iter().any(|(program, _)| base(name) == *program))
            .peekable();
        if name == "poll" && plan.snapshots.is_none() {
            return false;
        }
        // Programs of no point serve the recorder itself.
        serves.peek().is_none() || serves.any(|(i, _)| !unused(i))
    };
    for mut program in open.open_object_mut().progs_mut() {
        if !wanted(program.name()) {
            program.set_autoload(false);
        }
    }
    let mut skel = open.load().map_err(load_error)?;
    let rings = make_rings(&skel, cpus, plan.hooks_ring_bytes)?;
    let hz = measure_hz(&mut skel)?;
    let variables = skel.maps.bss_data.as_mut().expect("the object has variables");
    variables.hz = hz;
    let own_pid = variables.recorder_pid;
    let loaded = Loaded { skel, rings, hz, own_pid, unusable };
    plan.filters.install(&loaded.filter_maps())?;
    Ok(loaded)
}

/// What the name of a program that stands in for another ends with.
const AGAIN: &str = "_again";

/// The name that [`POINTS`] has for a program.
fn base(name: &OsStr) -> &str {
    let name = name.to_str().expect("a program's name is ASCII");
    name.strip_suffix(AGAIN).unwrap_or(name)
}

/// The places that this kernel or this plan does not allow, and why.
fn unusable(plan: &Plan<'_>, btf: &Btf<'_>) -> Vec<(usize, String)> {
    let release = host::release();
    let reason = |point: &Point| -> Option<String> {
        if point.hooks.iter().any(|hook| plan.without.contains(hook)) {
            return Some("left out on request".to_owned());
        }
        if point.is_function() && plan.hooks == Some(HookSet::Tracepoint) {
            return Some("function hooks are not in the tracepoint set".to_owned());
        }
        if !(point.kernels[0]..point.kernels[1]).contains(&release) {
            return Some("for other kernels".to_owned());
        }
        point.programs.iter().find_map(|(_, target)| match target {
            Target::Tracepoint(name) if !has_tracepoint(btf, name) => {
                Some(format!("this kernel has no tracepoint {name}"))
            }
            Target::Function(name) => function::obstacle(name),
            Target::Tracepoint(_) | Target::Cgroup | Target::Iterator => None,
        })
    };
    let all = POINTS.iter().enumerate();
    all.filter_map(|(i, point)| reason(point).map(|reason| (i, reason))).collect()
}

fn make_rings(
    skel: &EstatsSkel<'_>,
    cpus: usize,
    bytes: u32,
) -> Result<Vec<MapHandle>, CaptureError> {
    // SAFETY: all-zero options are the defaults; the size field says how much of them we know.
    let mut opts: libbpf_rs::libbpf_sys::bpf_map_create_opts = unsafe { std::mem::zeroed() };
    opts.sz = size_of_val(&opts) as libbpf_rs::libbpf_sys::size_t;
    (0..cpus as u32)
        .map(|cpu| {
            let ring =
                MapHandle::create(MapType::RingBuf, Some("estats_hooks"), 0, 0, bytes, &opts)
                    .and_then(|ring| {
                        let fd = ring.as_fd().as_raw_fd().to_ne_bytes();
                        skel.maps.hook_rings.update(&cpu.to_ne_bytes(), &fd, MapFlags::ANY)?;
                        Ok(ring)
                    });
            ring.map_err(|e| {
                CaptureError::bpf(format!("make a ring of {bytes} bytes for CPU {cpu}"), e)
            })
        })
        .collect()
}

/// The kernel's HZ by its own jiffies: a config file need not exist or fit.
fn measure_hz(skel: &mut EstatsSkel<'_>) -> Result<u32, CaptureError> {
    let read = || -> Result<(u64, u64), CaptureError> {
        let ran = skel.progs.probe_kernel.test_run(ProgramInput::default());
        ran.map_err(|e| CaptureError::bpf("measure the timer frequency", e))?;
        let variables = skel.maps.bss_data.as_ref().expect("the object has variables");
        // SAFETY: a valid reference; volatile, because the kernel writes behind its back.
        let jiffies = unsafe { std::ptr::read_volatile(&raw const variables.jiffies) };
        Ok((jiffies, clock::monotonic_ns()))
    };
    let (j0, t0) = read()?;
    thread::sleep(Duration::from_millis(100));
    let (j1, t1) = read()?;
    let measured = (j1 - j0) as f64 * 1e9 / (t1 - t0) as f64;
    // The choices of kernel/Kconfig.hz; 100 ms tell them apart (at 250 Hz within 4 %).
    let choices = [100, 250, 300, 1000];
    Ok(choices
        .into_iter()
        .min_by(|a, b| {
            let off = |hz: u32| (measured / f64::from(hz)).ln().abs();
            off(*a).total_cmp(&off(*b))
        })
        .expect("there are choices"))
}

impl Loaded<'_> {
    fn filter_maps(&self) -> filter::Maps<'_> {
        let maps = &self.skel.maps;
        filter::Maps {
            ports: &maps.ports,
            addrs: &maps.addrs,
            pids: &maps.pids,
            cgroups: &maps.cgroups,
            netnses: &maps.netnses,
        }
    }

    /// The program of that name, and the one that stands in for it (bpf/turn.bpf.h).
    fn programs(&self, name: &str) -> impl Iterator<Item = ProgramMut<'_>> {
        [name.to_owned(), name.to_owned() + AGAIN].into_iter().filter_map(|n| self.program(&n))
    }

    fn program(&self, name: &str) -> Option<ProgramMut<'_>> {
        self.skel.object().progs_mut().find(|p| p.name() == OsStr::new(name))
    }

    /// Attaches all points. set_state comes last: connections begin to be followed there, and
    /// then every other hook is in place, and the programs know which.
    pub(super) fn attach(&mut self, by_process: bool) -> Result<Attached, CaptureError> {
        let root = cgroup::mount().map(|m| cgroup::open_root(&m));
        let mut attached = Attached { links: Vec::new(), hooks: Vec::new(), status: Vec::new() };
        if by_process {
            for name in ["process_fork", "process_exit"] {
                let program = self.program(name).expect("the object has the program");
                let link = program
                    .attach()
                    .map_err(|e| CaptureError::bpf(format!("follow processes ({FORK:?})"), e))?;
                attached.links.push(link);
            }
        }
        let (first, others) = POINTS.split_first().expect("there are points");
        for (i, point) in others.iter().enumerate() {
            self.attach_point(i + 1, point, root.as_ref(), &mut attached);
        }
        let mask = attached.hooks.iter().fold(0, |mask, hook| mask | 1 << (*hook as u64));
        self.skel.maps.bss_data.as_mut().expect("the object has variables").hooked = mask;
        self.attach_point(0, first, root.as_ref(), &mut attached);
        attached.status.sort_by_key(|s| Hook::ALL.iter().position(|h| h.name() == s.hook));
        Ok(attached)
    }

    /// Counts what the kernel does not run of the programs that make records.
    pub(super) fn skips(&self) -> Result<Skips, CaptureError> {
        let mut skips = Skips::default();
        for (i, point) in POINTS.iter().enumerate() {
            if self.unusable.iter().any(|(at, _)| *at == i) {
                continue;
            }
            for (name, _) in point.programs {
                let programs: Vec<_> = self.programs(name).collect();
                skips
                    .watch(&programs, point.hooks[0])
                    .map_err(|e| CaptureError::bpf("watch the programs", e.into()))?;
            }
        }
        Ok(skips)
    }

    /// Attaches all programs of a place or none, and notes what became of it. Of several places
    /// for one hook the first that can be had is used, and only its note stays.
    fn attach_point(
        &self,
        at: usize,
        point: &Point,
        root: Option<&std::io::Result<OwnedFd>>,
        attached: &mut Attached,
    ) {
        let served = |hook: &Hook| attached.hooks.contains(hook);
        if point.hooks.iter().all(served) {
            return;
        }
        let links = match self.unusable.iter().find(|(i, _)| *i == at) {
            Some((_, reason)) => Err(reason.clone()),
            None => point
                .programs
                .iter()
                .flat_map(|(name, target)| self.programs(name).map(move |p| (p, *target)))
                .filter_map(|(program, target)| attach_program(&program, target, root).transpose())
                .collect::<Result<Vec<Link>, String>>(),
        };
        attached.status.retain(|s| !point.hooks.iter().any(|hook| s.hook == hook.name()));
        let reason = links.as_ref().err().cloned();
        attached.status.extend(point.hooks.iter().map(|hook| HookStatus {
            hook: hook.name().to_owned(),
            point: point.section.to_owned(),
            attached: reason.is_none(),
            reason: reason.clone(),
        }));
        if let Ok(links) = links {
            attached.links.extend(links);
            attached.hooks.extend(point.hooks);
        }
    }
}

fn attach_program(
    program: &ProgramMut<'_>,
    target: Target,
    root: Option<&std::io::Result<OwnedFd>>,
) -> Result<Option<Link>, String> {
    match target {
        Target::Tracepoint(_) | Target::Function(_) => {
            program.attach().map(Some).map_err(|e| e.to_string())
        }
        Target::Cgroup => match root {
            None => Err("cgroup v2 is not mounted".to_owned()),
            Some(Err(e)) => Err(format!("cannot open the cgroup v2 mount: {e}")),
            Some(Ok(fd)) => {
                program.attach_cgroup(fd.as_raw_fd()).map(Some).map_err(|e| e.to_string())
            }
        },
        Target::Iterator => Ok(None),
    }
}
