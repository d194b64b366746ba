// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Attaching what was loaded, and what became of it.

use std::os::fd::{AsFd as _, AsRawFd as _};

use libbpf_rs::{Link, ProgramMut};

use super::{Loaded, OWN_DATAGRAMS};
use crate::{
    capture::{
        CaptureError, Filters, HookSet, capability,
        cgroup::{self, Hierarchy},
        foreign,
        packets::Packets,
        points::{FORK, POINTS, Point, Target, WRITTEN},
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
    /// Programs are run where a socket's lock has been taken: [`Hook::Sweep`] without an iterator.
    pub locks: bool,
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
                let reason = format!("no hook {hook}: {reason}");
                return Err(CaptureError::Unavailable { option, reason });
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
    pub(in crate::capture) fn attach(
        &self,
        by_process: bool,
        filters: &Filters,
    ) -> Result<Attached, CaptureError> {
        let root = &place_for_cgroups(filters);
        let mut attached = Attached {
            links: Vec::new(),
            hooks: Vec::new(),
            status: Vec::new(),
            loaded_as: self.set,
            functions: false,
            locks: false,
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
            let link = attach_program(&program, Target::Cgroup, root);
            let fault = |reason| CaptureError::Unavailable { option: "--packets", reason };
            attached.links.extend(link.map_err(fault)?.map(|link| (None, link)));
        }
        let mut points = POINTS.iter().enumerate().filter(|(_, point)| point.is_in(self.set));
        let first = points.next().expect("there are points");
        for (i, point) in points {
            self.attach_point(i, point, root, &mut attached);
        }
        self.note_retransmit_error(&mut attached);
        if !attached.hooks.contains(&Hook::Sendmsg)
            && let Some(program) = self.program(WRITTEN.0).filter(|p| p.autoload())
        {
            // Without it what is written into a closed window is seen with the next hook.
            attached.links.extend(program.attach().ok().map(|link| (None, link)));
        }
        let mask = attached.hooks.iter().fold(0, |mask, hook| mask | 1 << (*hook as u64));
        self.variables.set("hooked", mask)?;
        // Programs at one tracepoint run in the order in which they came.
        self.attach_account("account_close", &mut attached);
        self.attach_point(first.0, first.1, root, &mut attached);
        self.attach_account("account_open", &mut attached);
        attached.status.sort_by_key(|s| Hook::ALL.iter().position(|h| h.name() == s.hook));
        Ok(attached)
    }

    /// The event of retransmissions is two hooks only where it states what the host refused.
    fn note_retransmit_error(&self, attached: &mut Attached) {
        let error = Hook::RetransmitError;
        if self.says_refused || !attached.hooks.contains(&error) {
            return;
        }
        attached.hooks.retain(|hook| *hook != error);
        for status in attached.status.iter_mut().filter(|s| s.hook == error.name()) {
            status.attached = false;
            status.reason = Some("the event does not state what the host refused".to_owned());
        }
    }

    /// The kernel's account by a program of its own (bpf/account.bpf.c), where there is one: without
    /// it the audit has nothing to compare, and all else is as it was.
    fn attach_account(&self, name: &str, attached: &mut Attached) {
        let program = self.program(name).filter(|p| p.autoload());
        attached.links.extend(program.and_then(|p| p.attach().ok()).map(|link| (None, link)));
    }

    /// Counts what the kernel does not run of the programs that make records.
    pub(in crate::capture) fn skips(&self, attached: &Attached) -> Result<Skips, CaptureError> {
        let fault = |e: std::io::Error| CaptureError::bpf("watch the programs", e.into());
        let mut skips = Skips::default();
        if let Some(kprobes) = self.kprobes()? {
            skips.watch_kprobes(kprobes);
        }
        for (hook, link) in &attached.links {
            if let Some(hook) = hook {
                skips.watch_link(link.as_fd(), *hook).map_err(fault)?;
            }
        }
        for (i, point) in POINTS.iter().enumerate() {
            if self.unusable.iter().any(|(at, _)| *at == i) || point.hooks == [Hook::Sweep] {
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
        root: &Result<&Hierarchy, String>,
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
            let looks = point.hooks == [Hook::Sweep];
            attached.locks |= looks && point.is_function();
            // A look that the kernel leaves out loses nothing: the connection still waits.
            let hook = (!looks).then_some(point.hooks[0]);
            attached.links.extend(links.into_iter().map(|link| (hook, link)));
            attached.hooks.extend(point.hooks);
            attached.functions |= point.is_function();
        }
    }
}

/// The cgroup at which programs see every socket that is recorded, or why there is none: programs
/// that saw only some of them would give values that look like those of all.
fn place_for_cgroups(filters: &Filters) -> Result<&'static Hierarchy, String> {
    let found = cgroup::hierarchy().map_err(str::to_owned)?;
    match found.part {
        // What --cgroup names was looked up in this part.
        Some(id) if filters.cgroups.is_empty() => Err(format!(
            "cgroup programs would see only the sockets of cgroup {id}, which is the root of this \
             cgroup namespace and not the host's; with CAP_DAC_READ_SEARCH the host's can be had, \
             and with --cgroup / only this one is recorded"
        )),
        Some(_) | None => Ok(found),
    }
}

/// None where there is nothing to attach: an iterator.
fn attach_program(
    program: &ProgramMut<'_>,
    target: Target,
    root: &Result<&Hierarchy, String>,
) -> Result<Option<Link>, String> {
    match target {
        Target::Tracepoint(_) => program.attach().map(Some).map_err(|e| format!("{e:#}")),
        Target::Function(_) => program.attach().map(Some).map_err(|e| {
            let refused = e.kind() == libbpf_rs::ErrorKind::PermissionDenied;
            let why = if refused { capability::obstacle_to_kprobes() } else { None };
            why.map_or_else(|| format!("{e:#}"), |why| format!("{e:#}: {why}"))
        }),
        Target::Cgroup => {
            let dir = &root.as_ref().map_err(Clone::clone)?.dir;
            program.attach_cgroup(dir.as_raw_fd()).map(Some).map_err(|e| {
                let holder = foreign::holder(dir, program.attach_type());
                holder.map_or_else(|| format!("{e:#}"), |holder| format!("{e:#}: {holder}"))
            })
        }
        // Attached to each of them, as they appear.
        Target::Interface | Target::Iterator(_) => Ok(None),
    }
}
