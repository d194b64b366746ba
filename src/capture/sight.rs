// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Limits of what the recorder sees, found when it starts: printed at once, and kept in the manifest.

mod namespaces;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub(super) use self::namespaces::{reason, unseen};

use super::{
    capability::{Capability, has},
    cgroup, load,
};
use crate::{
    log::{HookStatus, NotSeen},
    schema::{Hook, Quality, Var},
};

/// Reasons of hooks that the options leave out: these are not reported.
pub(super) const ON_REQUEST: &[&str] = &[LEFT_OUT, NO_FUNCTIONS];
/// The reason of `--without`.
pub(super) const LEFT_OUT: &str = "left out on request";
/// The reason of `--hooks tracepoint`.
pub(super) const NO_FUNCTIONS: &str = "function hooks are not in the tracepoint set";

/// The variables that cannot be recorded since hooks are missing, by the reason for that.
pub(super) fn of_hooks(attached: &[Hook], status: &[HookStatus]) -> Vec<NotSeen> {
    let mut by_reason: BTreeMap<&str, (BTreeSet<&str>, Vec<String>)> = BTreeMap::new();
    for var in Var::ALL {
        if var.source(attached).is_some_and(|source| source.quality != Quality::Missing) {
            continue;
        }
        // The source that needs least, of those that give it.
        let mut sources = var.def().sources.iter().rev();
        let least = sources.find(|source| source.quality != Quality::Missing);
        let needs = least.map_or(&[][..], |source| source.needs);
        for hook in needs.iter().filter(|hook| !attached.contains(hook)) {
            let reason = status.iter().find(|s| s.hook == hook.name() && !s.attached);
            let reason = reason.and_then(|s| s.reason.as_deref()).unwrap_or("no reason is known");
            let (hooks, variables) = by_reason.entry(reason).or_default();
            hooks.insert(hook.name());
            if variables.last().is_none_or(|last| last != var.name()) {
                variables.push(var.name().to_owned());
            }
        }
    }
    // The cost of a refused program is stated with the program.
    let is_stated = |reason: &str| ON_REQUEST.contains(&reason) || load::is_status(reason);
    let wanted = by_reason.into_iter().filter(|(reason, _)| !is_stated(reason));
    wanted
        .map(|(reason, (hooks, variables))| {
            let hooks: Vec<_> = hooks.into_iter().collect();
            let plural = if hooks.len() == 1 { "" } else { "s" };
            NotSeen {
                by: "hooks".to_owned(),
                what: format!(
                    "{} of {} variables cannot be recorded because the hook{plural} {} {} missing: {reason}",
                    variables.len(),
                    Var::ALL.len(),
                    hooks.join(", "),
                    if hooks.len() == 1 { "is" } else { "are" }
                ),
                variables,
            }
        })
        .collect()
}

/// The facts of cgroups that are not known.
pub(super) fn of_cgroups() -> Option<NotSeen> {
    let reason = cgroup::obstacle_to_paths()?;
    let what = format!("paths of cgroups (the column cgroup): {reason}");
    Some(NotSeen { by: "cgroups".to_owned(), what, variables: Vec::new() })
}

/// Modules with a congestion control whose own state is read, where the kernel shows their type
/// information.
const MODULES: [&str; 3] = ["tcp_bbr", "tcp_vegas", "tcp_dctcp"];

/// The fields of congestion controls that BPF programs cannot read: the kernel gives the type
/// information of its modules to CAP_SYS_ADMIN alone (BPF_BTF_GET_NEXT_ID), and fields of an unknown
/// structure are NULL.
pub(super) fn of_modules() -> Option<NotSeen> {
    if has(Capability::SysAdmin) {
        return None;
    }
    let is_module = |name: &&str| Path::new("/sys/kernel/btf").join(name).exists();
    let modules: Vec<_> = MODULES.into_iter().filter(is_module).collect();
    (!modules.is_empty()).then(|| NotSeen {
        by: "kernel".to_owned(),
        what: format!(
            "private values of the congestion controls of modules ({}) in snapshots that BPF programs \
             make: the type information of modules takes CAP_SYS_ADMIN",
            modules.join(", ")
        ),
        variables: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(hook: Hook, reason: &str) -> HookStatus {
        HookStatus {
            hook: hook.name().to_owned(),
            reason: Some(reason.to_owned()),
            ..HookStatus::default()
        }
    }

    #[test]
    fn missing_variables_are_listed_by_reason() {
        let without = [Hook::Egress, Hook::Handshake];
        let attached: Vec<_> =
            Hook::ALL.iter().copied().filter(|hook| !without.contains(hook)).collect();
        let all = without.map(|hook| status(hook, "no cgroup"));
        let found = of_hooks(&attached, &all);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].variables.iter().any(|name| name == "CurRwinSent"), "{found:?}");
        let lost = Var::ALL.iter().filter(|v| v.source(&attached).is_none()).count();
        assert!(lost > 10, "{lost}");
        assert_eq!(found[0].variables.len(), lost);
        let words = format!("{lost} of {} variables cannot be recorded", Var::ALL.len());
        assert!(found[0].what.starts_with(&words), "{found:?}");
        assert!(found[0].what.ends_with(": no cgroup"), "{found:?}");
        let asked = without.map(|hook| status(hook, LEFT_OUT));
        assert_eq!(of_hooks(&attached, &asked), [], "reasons on request are not reported");
        assert_eq!(of_hooks(Hook::ALL, &[]), []);
    }
}
