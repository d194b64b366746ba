//! Attaching what was loaded, and what became of it.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use libbpf_rs::{Link, ProgramMut};

use super::{Loaded, OWN_DATAGRAMS};
use crate::{
    capture::{
        CaptureError, HookSet, cgroup,
        packets::Packets,
        points::{FORK, POINTS, Point, Target},
        skips::Skips,
    },
    log::HookStatus,
    schema::Hook,
};

/// Attached hooks. Dropping it detaches them.
pub(in crate::capture) struct Attached {
    /// With the hook that each serves; none for those that follow processes.
    links: Vec<(Option<Hook>, Link)>,
    pub hooks: Vec<Hook>,
    pub status: Vec<HookStatus>,
    loaded_as: HookSet,
    /// Some of them are at functions.
    functions: bool,
}

impl Attached {
    /// Programs attached at once.
    pub(in crate::capture) fn programs(&self) -> usize {
        self.links.len()
    }

    /// Refuses a recording that would hold no packets though it was to: other hooks do without each
    /// other, but nothing gives what these were asked for.
    pub(in crate::capture) fn must_have_packets(
        &self,
        packets: &Packets,
        without: &[Hook],
    ) -> Result<(), CaptureError> {
        let asked = [
            ("--packets", packets.sockets, [Hook::SocketIn, Hook::SocketOut]),
            (
                "--interface",
                !packets.interfaces.is_empty(),
                [Hook::InterfaceIn, Hook::InterfaceOut],
            ),
        ];
        for (option, _, hooks) in asked.into_iter().filter(|(_, wanted, _)| *wanted) {
            let missing = hooks.iter().find(|h| !without.contains(h) && !self.hooks.contains(h));
            if let Some(hook) = missing {
                let status = self.status.iter().find(|s| s.hook == hook.name());
                let reason = status.and_then(|s| s.reason.clone()).unwrap_or_default();
                let value = format!("({hook})");
                return Err(CaptureError::Option { option, value, reason });
            }
        }
        Ok(())
    }

    /// The set that these hooks make.
    pub(in crate::capture) fn set(&self) -> HookSet {
        match self.loaded_as {
            HookSet::Kprobe => HookSet::Kprobe,
            _ if self.functions => HookSet::Fentry,
            HookSet::Fentry | HookSet::Tracepoint => HookSet::Tracepoint,
        }
    }
}

impl Loaded {
    /// Attaches all points. set_state comes last: connections begin to be followed there, and
    /// then every other hook is in place, and the programs know which.
    pub(in crate::capture) fn attach(&self, by_process: bool) -> Result<Attached, CaptureError> {
        let root = cgroup::mount().map(|m| cgroup::open_root(&m));
        let mut attached = Attached {
            links: Vec::new(),
            hooks: Vec::new(),
            status: Vec::new(),
            loaded_as: self.set,
            functions: false,
        };
        if by_process {
            for name in ["process_fork", "process_exit"] {
                let program = self.program(name).expect("the object has the program");
                let link = program
                    .attach()
                    .map_err(|e| CaptureError::bpf(format!("follow processes ({FORK:?})"), e))?;
                attached.links.push((None, link));
            }
        }
        if let Some(program) = self.program(OWN_DATAGRAMS).filter(|p| p.autoload()) {
            let link = attach_program(&program, Target::Cgroup, root.as_ref());
            let fault = |reason| CaptureError::Option {
                option: "--packets",
                value: "of processes".to_owned(),
                reason,
            };
            attached.links.extend(link.map_err(fault)?.map(|link| (None, link)));
        }
        let mut points = POINTS.iter().enumerate().filter(|(_, point)| point.is_in(self.set));
        let first = points.next().expect("there are points");
        for (i, point) in points {
            self.attach_point(i, point, root.as_ref(), &mut attached);
        }
        let mask = attached.hooks.iter().fold(0, |mask, hook| mask | 1 << (*hook as u64));
        self.variables.set("hooked", mask)?;
        self.attach_point(first.0, first.1, root.as_ref(), &mut attached);
        attached.status.sort_by_key(|s| Hook::ALL.iter().position(|h| h.name() == s.hook));
        Ok(attached)
    }

    /// Counts what the kernel does not run of the programs that make records.
    pub(in crate::capture) fn skips(&self, attached: &Attached) -> Result<Skips, CaptureError> {
        let fault = |e: std::io::Error| CaptureError::bpf("watch the programs", e.into());
        let mut skips = Skips::default();
        for (hook, link) in &attached.links {
            if let Some(hook) = hook {
                skips.watch_link(link.as_fd(), *hook).map_err(fault)?;
            }
        }
        for (i, point) in POINTS.iter().enumerate() {
            if self.unusable.iter().any(|(at, _)| *at == i) {
                continue;
            }
            for (name, _) in point.programs {
                // None where only the other object needs one.
                let programs: Vec<_> = self.programs(name).collect();
                skips.watch(&programs, point.hooks[0]).map_err(fault)?;
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
            None if point.instead_of.as_ref().is_some_and(served) => {
                Err(format!("not needed: {} is attached", point.instead_of.expect("just tested")))
            }
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
            point: point.section(self.set),
            attached: reason.is_none(),
            reason: reason.clone(),
        }));
        if let Ok(links) = links {
            attached.links.extend(links.into_iter().map(|link| (Some(point.hooks[0]), link)));
            attached.hooks.extend(point.hooks);
            attached.functions |= point.is_function();
        }
    }
}

/// None where there is nothing to attach: an iterator.
fn attach_program(
    program: &ProgramMut<'_>,
    target: Target,
    root: Option<&std::io::Result<OwnedFd>>,
) -> Result<Option<Link>, String> {
    match target {
        Target::Tracepoint(_) | Target::Function(_) => {
            program.attach().map(Some).map_err(|e| format!("{e:#}"))
        }
        Target::Cgroup => match root {
            None => Err("cgroup v2 is not mounted".to_owned()),
            Some(Err(e)) => Err(format!("cannot open the cgroup v2 mount: {e}")),
            Some(Ok(fd)) => {
                program.attach_cgroup(fd.as_raw_fd()).map(Some).map_err(|e| e.to_string())
            }
        },
        // Attached to each of them, as they appear.
        Target::Interface | Target::Iterator(_) => Ok(None),
    }
}
