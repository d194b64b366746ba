// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Attaching what was loaded, and what became of it.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use libbpf_rs::{Link, ProgramMut};

use super::{Loaded, OWN_DATAGRAMS, object};
use crate::{
    capture::{
        CaptureError, Filters, HookSet, Setting, capability,
        cgroup::{self, Hierarchy},
        foreign,
        kprobes::{self, Kprobe, Kprobes},
        packets::Packets,
        points::{ENDS_AT_CLOSE, FORK, POINTS, Point, Target, WRITTEN},
        skips::{BothWays, Skips},
    },
    log::{HookStatus, NotSeen},
    schema::{Hook, Place},
};

/// Attached hooks. Dropping it detaches them.
pub(in crate::capture) struct Attached {
    links: Vec<Held>,
    /// Counts what the kernel does not run of them; who writes the statistics takes it.
    pub skips: Option<Skips>,
    /// Kprobes that the kernel skips are not counted.
    kprobes_uncounted: bool,
    pub hooks: Vec<Hook>,
    pub status: Vec<HookStatus>,
    loaded_as: HookSet,
    /// Some of them are at functions.
    functions: bool,
    /// Programs are run where a socket's lock has been taken: [`Hook::Sweep`] without an iterator.
    pub locks: bool,
}

/// An attached program.
struct Held {
    link: Link,
    program: String,
    /// Which hook loses something if the kernel does not run it; none for one that follows processes,
    /// or looks at connections that still wait if it does not.
    hook: Option<Hook>,
}

impl Held {
    /// A link whose skips are losses of no hook.
    fn beside(program: &ProgramMut<'_>, link: Link) -> Self {
        Self { link, program: program.name().to_string_lossy().into_owned(), hook: None }
    }
}

impl Attached {
    /// States that kprobes may have been skipped without a count.
    pub(in crate::capture) fn uncounted_kprobes(&self) -> Option<NotSeen> {
        self.kprobes_uncounted.then(|| NotSeen {
            by: "kernel".to_owned(),
            what: "the kernel does not run a kprobe that interrupts another, and on this one \
                   nothing counts that: counts may be too low, and no row is marked lossy for it"
                .to_owned(),
            variables: Vec::new(),
        })
    }

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
            (Setting::Packets, packets.sockets, Place::Socket),
            (Setting::Interface, !packets.interfaces.is_empty(), Place::Interface),
        ];
        for (setting, _, place) in asked.into_iter().filter(|(_, wanted, _)| *wanted) {
            let missing = Hook::at(place).find(|h| !without.contains(h) && !self.hooks.contains(h));
            if let Some(hook) = missing {
                let status = self.status.iter().find(|s| s.hook == hook.name());
                let reason = status.and_then(|s| s.reason.clone()).unwrap_or_default();
                let reason = format!("no hook {hook}: {reason}");
                return Err(CaptureError::Unavailable { setting, reason });
            }
        }
        Ok(())
    }

    /// The set that these hooks make.
    pub(in crate::capture) fn set(&self) -> HookSet {
        match self.loaded_as {
            HookSet::Kprobe => HookSet::Kprobe,
            HookSet::Fentry | HookSet::Tracepoint if self.functions => HookSet::Fentry,
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
            skips: None,
            kprobes_uncounted: false,
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
                attached.links.push(Held::beside(&program, link));
            }
        }
        if let Some(program) = self.program(OWN_DATAGRAMS).filter(|p| p.autoload()) {
            let link = attach_program(&program, Target::Cgroup, root);
            let fault = |reason| CaptureError::Unavailable { setting: Setting::Packets, reason };
            attached.links.extend(link.map_err(fault)?.map(|link| Held::beside(&program, link)));
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
            attached.links.extend(program.attach().ok().map(|link| Held::beside(&program, link)));
        }
        let mask = attached.hooks.iter().fold(0, |mask, hook| mask | 1 << (*hook as u64));
        self.variables.set("hooked", mask)?;
        // Before the first connection, and after all kprobes.
        self.count_skips(&mut attached)?;
        // Programs at one tracepoint run in the order in which they came.
        if let Some(program) = self.program(ENDS_AT_CLOSE) {
            let fault = |e| CaptureError::bpf("count ends of functions that were not seen", e);
            let link = program.attach().map_err(fault)?;
            attached.links.push(Held::beside(&program, link));
        }
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

    /// Attaches the separate program that reads tcp_info (bpf/account.bpf.c), if there is one. Without
    /// it the audit has nothing to compare, and everything else is unchanged.
    fn attach_account(&self, name: &str, attached: &mut Attached) {
        let program = self.program(name).filter(|p| p.autoload());
        let held = |p: ProgramMut<'_>| Some(Held::beside(&p, p.attach().ok()?));
        attached.links.extend(program.and_then(held));
    }

    /// Counts what the kernel does not run of the programs that make records, from now on.
    fn count_skips(&self, attached: &mut Attached) -> Result<(), CaptureError> {
        let fault = |e: io::Error| CaptureError::bpf("watch the programs", e.into());
        let mut skips = Skips::default();
        let numbers = object::kprobes(self.object.progs().map(|p| (p.name(), p.section())));
        let number = |program: &str| numbers.iter().position(|name| name == program);
        let mut kprobes = Vec::new();
        for held in &attached.links {
            let Some(hook) = held.hook else { continue };
            let link = held.link.as_fd();
            let counts_missed = !self.sleeps(&held.program, hook);
            if let Some(at) = number(&held.program) {
                let is_end = self.is_end(&held.program) && counts_missed;
                let kprobe = Kprobe { number: at + 1, hook, is_end, counts_missed, link };
                kprobes.push((kprobe, &*held.program));
            }
            if !self.runs_counted && counts_missed {
                skips.watch_link(link, hook).map_err(fault)?;
            }
        }
        let by_us = self.runs_counted
            && !kprobes.is_empty()
            && self.count_kprobes(&kprobes, &mut skips).map_err(fault)?;
        attached.kprobes_uncounted = are_uncounted(!kprobes.is_empty(), self.counts_kprobes, by_us);
        for (i, point) in POINTS.iter().enumerate() {
            if self.unusable.iter().any(|(at, _)| *at == i) || point.hooks == [Hook::Sweep] {
                continue;
            }
            for (name, _) in point.programs {
                if self.runs_counted && number(name).is_some() {
                    continue;
                }
                // None where only the other object needs one.
                let programs: Vec<_> = self.programs(name).collect();
                let hook = point.hooks[0];
                let is_end = self.is_end(name) && !self.sleeps(name, hook);
                skips.watch(&programs, hook, is_end).map_err(fault)?;
            }
        }
        let ends: Vec<_> = self.programs(ENDS_AT_CLOSE).collect();
        skips.watch(&ends, Hook::SetState, false).map_err(fault)?;
        attached.skips = Some(skips);
        Ok(())
    }

    /// Whether the program is at the end of a function that sleeps: tcp_sendmsg_locked(). If the kernel
    /// has no room for this end, it need not be of a recorded connection, so the kernel's count of that
    /// is left out. The programs notice those of recorded connections (bpf/ends.bpf.h), whether they
    /// were counted here or not.
    fn sleeps(&self, program: &str, hook: Hook) -> bool {
        hook == Hook::Sendmsg && self.is_end(program)
    }

    /// A kretprobe.
    fn is_end(&self, program: &str) -> bool {
        let section = self.program(program).map(|p| p.section().to_owned());
        section.is_some_and(|s| s.as_encoded_bytes().starts_with(b"kretprobe/"))
    }

    /// Counts these kprobes, given with their programs, if that can be done.
    fn count_kprobes(
        &self,
        attached: &[(Kprobe<'_>, &str)],
        skips: &mut Skips,
    ) -> io::Result<bool> {
        let programs: Vec<_> =
            kprobes::PROGRAMS.iter().filter_map(|name| self.programs(name).next()).collect();
        let programs: Vec<_> = programs.iter().map(|program| program.as_fd()).collect();
        let Ok(programs) = programs.try_into() else { return Ok(false) };
        let of = |(kprobe, program): &(Kprobe<'_>, &str)| {
            Some([
                self.program(program)?.as_fd().try_clone_to_owned(),
                kprobe.link.try_clone_to_owned(),
            ])
        };
        let both = self.counts_kprobes.then(|| BothWays::new(attached.iter().filter_map(of)));
        let both = both.transpose()?;
        let map = |name| self.map(name).map_err(io::Error::other);
        let all: Vec<_> = attached.iter().map(|(kprobe, _)| *kprobe).collect();
        let maps = [map("kprobes")?, map("cpu_kprobes")?];
        let Some(kprobes) = Kprobes::new(programs, maps, &all)? else { return Ok(false) };
        skips.watch_kprobes(kprobes);
        if let Some(mut both) = both {
            both.begun()?;
            skips.compare(both);
        }
        Ok(true)
    }

    /// Attaches all programs of a place or none, and notes the result. If there are several places for
    /// one hook, the first possible one is used, and only its note stays.
    fn attach_point(
        &self,
        at: usize,
        point: &Point,
        root: &Result<&Hierarchy, String>,
        attached: &mut Attached,
    ) {
        let served = |hook: &Hook| attached.hooks.contains(hook);
        // Those that no place before has.
        let hooks: Vec<Hook> = point.hooks.iter().copied().filter(|h| !served(h)).collect();
        if hooks.is_empty() {
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
                .filter_map(|(program, target)| {
                    let link = attach_program(&program, target, root).transpose()?;
                    Some(link.map(|link| Held::beside(&program, link)))
                })
                .collect::<Result<Vec<Held>, String>>(),
        };
        attached.status.retain(|s| !hooks.iter().any(|hook| s.hook == hook.name()));
        let reason = links.as_ref().err().cloned();
        attached.status.extend(hooks.iter().map(|hook| HookStatus {
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
            attached.links.extend(links.into_iter().map(|held| Held { hook, ..held }));
            attached.hooks.extend(hooks);
            attached.functions |= point.is_function();
        }
    }
}

/// Whether there are kprobes whose skips are not counted.
fn are_uncounted(attached: bool, by_kernel: bool, by_us: bool) -> bool {
    attached && !by_kernel && !by_us
}

/// The cgroup at which programs see every socket that is recorded, or why there is none: programs
/// that saw only some of them would give values that look like those of all.
fn place_for_cgroups(filters: &Filters) -> Result<&'static Hierarchy, String> {
    let found = cgroup::hierarchy().map_err(str::to_owned)?;
    match found.part {
        // The names of filters were looked up in this part.
        Some(id) if filters.cgroups.is_empty() => Err(format!(
            "cgroup programs would see only the sockets of cgroup {id}, which is the root of this \
             cgroup namespace and not the host's; with CAP_DAC_READ_SEARCH the host's can be had, \
             and with the cgroup / as a filter only this one is recorded"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncounted_kprobes_are_named_only_where_there_are_some() {
        assert!(are_uncounted(true, false, false));
        assert!(!are_uncounted(false, false, false), "perf_event_paranoid 3 allows none");
        assert!(!are_uncounted(true, true, false));
        assert!(!are_uncounted(true, false, true));
    }
}
