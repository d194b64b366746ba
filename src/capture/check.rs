// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `estats-record check`: what this kernel offers, found by loading and attaching for real.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{
    CaptureError, Filters, HookSet, Packets, Snapshots, Transport,
    capability::{self, MissingCapability},
    coverage, diag, host,
    load::{self, Refused},
    sight,
};
use crate::log::{HookStatus, Host, NotSeen, VariableStatus};

/// What this kernel offers.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The machine and its kernel.
    pub host: Host,
    /// Capabilities that this process does not have, and what each costs.
    pub missing_capabilities: Vec<MissingCapability>,
    /// The hook set that was tried.
    pub hook_set: &'static str,
    /// Every hook, attached or not and why.
    pub hooks: Vec<HookStatus>,
    /// Programs attached at once.
    pub programs: usize,
    /// Every variable with its quality under these hooks.
    pub variables: Vec<VariableStatus>,
    /// What a recording would not see.
    pub not_seen: Vec<NotSeen>,
    /// Programs that this kernel does not take, with the verifier's last lines.
    pub refused: Vec<Refused>,
    /// libbpf's warnings while loading.
    pub warnings: Vec<String>,
}

/// Loads and attaches every hook of the set, or of the best that the kernel has, and detaches them
/// again.
///
/// # Errors
/// [`CaptureError`] if nothing at all can be loaded.
pub fn check(
    hooks: Option<HookSet>,
    transport: Option<Transport>,
    btf: Option<&Path>,
) -> Result<CheckReport, CaptureError> {
    let filters = Filters::default();
    let packets = Packets {
        sockets: true,
        interfaces: vec!["lo".to_owned()],
        attach: None,
        digest_bytes: 0,
        ring_bytes: 4096,
    };
    let plan = load::Plan {
        filters: &filters,
        hooks,
        transport,
        btf,
        without: &[],
        by_process: false,
        resolution_ns: 1_000_000,
        hooks_ring_bytes: 4096,
        lifecycle_ring_bytes: 4096,
        socket_ring_bytes: 4096,
        snapshots: Some(Snapshots {
            interval: std::time::Duration::from_secs(1),
            sample: 1,
            changed_only: true,
            by: None,
        }),
        packets: Some(&packets),
    };
    let loaded = load::load(&plan)?;
    let attached = loaded.attach(false, &filters)?;
    let mut host = host::host();
    host.hz = Some(loaded.hz);
    let mut not_seen = sight::of_hooks(&attached.hooks, &attached.status);
    not_seen.extend(load::not_seen(&loaded.refused, &attached.hooks));
    not_seen.extend(attached.uncounted_kprobes());
    not_seen.extend(sight::of_cgroups());
    not_seen.extend(sight::of_modules());
    not_seen.extend(diag::unknown_fields());
    not_seen.extend(sight::unseen(&[]));
    Ok(CheckReport {
        host,
        missing_capabilities: capability::missing(),
        hook_set: attached.set().name(),
        programs: attached.programs(),
        not_seen,
        hooks: attached.status,
        variables: coverage::variables(&attached.hooks),
        refused: loaded.refused,
        warnings: load::warnings(),
    })
}

impl CheckReport {
    /// The verifier's last lines about each program that was refused.
    pub fn logs(&self) -> String {
        let each = self.refused.iter().map(|r| format!("\nprogram {}:\n{}\n", r.program, r.log));
        each.collect()
    }

    /// Number of variables of each quality.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for variable in &self.variables {
            *counts.entry(variable.quality.as_str()).or_default() += 1;
        }
        counts
    }
}

impl std::fmt::Display for CheckReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = &self.host;
        writeln!(f, "{} {} ({})", host.kernel_release, host.machine, host.hostname)?;
        let cgroup = host.cgroup_v2.as_deref().unwrap_or("no place that others see");
        writeln!(f, "cgroup v2 at {cgroup}")?;
        if let Some(hz) = host.hz {
            writeln!(f, "HZ {hz}")?;
        }
        for it in &self.missing_capabilities {
            writeln!(f, "without {}: {}", it.capability, it.costs)?;
        }
        writeln!(f, "\nhooks of the {} set: {} programs", self.hook_set, self.programs)?;
        for hook in &self.hooks {
            let state = hook.reason.as_deref().unwrap_or("ok");
            writeln!(f, "  {:14} {:30} {state}", hook.hook, hook.point)?;
        }
        let counts: Vec<_> = self.counts().iter().map(|(q, n)| format!("{n} {q}")).collect();
        writeln!(f, "\n{} variables: {}", self.variables.len(), counts.join(", "))?;
        for variable in self.variables.iter().filter(|v| v.reason.is_some()) {
            let reason = variable.reason.as_deref().unwrap_or_default();
            writeln!(f, "  {:20} {:12} {reason}", variable.name, variable.quality)?;
        }
        for it in &self.not_seen {
            writeln!(f, "not seen: {}", it.what)?;
        }
        for warning in &self.warnings {
            writeln!(f, "libbpf: {warning}")?;
        }
        Ok(())
    }
}
