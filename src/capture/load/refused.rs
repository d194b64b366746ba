// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Programs that this kernel refuses: a recording is made without them, and states what it lacks.

use libbpf_rs::{OpenObject, ProgramType};

use super::warnings;
use crate::{
    capture::{
        capability,
        points::{ENDS_AT_CLOSE, POINTS},
    },
    log::NotSeen,
    schema::{Hook, Var},
};

/// Programs without which there is no recording: connections begin and end there, their memory is freed,
/// and the recorder learns the clocks and follows processes.
const NEEDED: [&str; 6] =
    ["set_state", ENDS_AT_CLOSE, "destroy", "probe_kernel", "process_fork", "process_exit"];

/// A program that the kernel's verifier refused, or that libbpf could not fit to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Its name in the BPF object.
    pub program: String,
    /// Why, in one line.
    pub reason: String,
    /// The verifier's last lines.
    pub log: String,
}

impl Refused {
    /// The program that the last load failed by, if a recording can do without it and it is not one
    /// of these already.
    pub(super) fn next(already: &[Self]) -> Option<Self> {
        // Without capabilities every program is refused, and none by its own fault.
        if !capability::missing_for_bpf().is_empty() {
            return None;
        }
        let found = Self::of(warnings::refused()?);
        let is_needed = NEEDED.contains(&found.program.as_str());
        (!is_needed && !already.iter().any(|r| r.program == found.program)).then_some(found)
    }

    fn of((program, log): (String, String)) -> Self {
        let is_framing = |l: &str| {
            l.is_empty() || l.starts_with("processed ") || l.contains(" PROG LOAD LOG --")
        };
        // A field or symbol that this kernel lacks is named here. The verifier's last line names only
        // the invalid instruction.
        let relocation = log.lines().find_map(|l| l.split_once("<invalid CO-RE relocation>"));
        let last = log.lines().rev().map(str::trim).find(|l| !is_framing(l));
        let reason = match relocation {
            Some(_) => log.lines().rev().map(str::trim).find(|l| l.contains("CO-RE relocation")),
            None => last,
        };
        let reason = reason.unwrap_or("no reason was given").to_owned();
        Self { program, reason, log }
    }

    /// The reason as the hooks of the program have it.
    pub(super) fn status(&self) -> String {
        format!("{PREFIX}{}: {}", self.program, self.reason)
    }

    /// The hooks that it serves.
    fn hooks(&self) -> impl Iterator<Item = Hook> {
        let name = self.name();
        POINTS.iter().filter(|p| p.has(name)).flat_map(|p| p.hooks).copied()
    }

    /// Its name, or that of the program for which it stands in.
    fn name(&self) -> &str {
        self.program.strip_suffix(super::AGAIN).unwrap_or(&self.program)
    }

    /// What recordings lack without the program: `attached` are the hooks that they have, `all` those
    /// that they would have if no program were refused.
    fn costs(&self, attached: &[Hook], all: &[Hook]) -> NotSeen {
        let hooks: Vec<Hook> = self.hooks().filter(|h| !attached.contains(h)).collect();
        let (name, mut worse) = (self.name(), Vec::new());
        let (mut missing, mut degraded) = (0, 0);
        for var in Var::ALL {
            let (now, before) = (var.source(attached), var.source(all));
            // Others may be refused that the variable needs too.
            if !before.is_some_and(|c| c.needs.iter().any(|hook| hooks.contains(hook))) {
                continue;
            }
            if now.is_none() {
                missing += 1;
            } else if before.map(|c| c.quality) != now.map(|c| c.quality) {
                degraded += 1;
            } else {
                continue;
            }
            worse.push(var.name().to_owned());
        }
        let costs = match (missing, degraded) {
            (0, 0) if hooks.iter().any(|h| h.is_packet()) => {
                "packets are not recorded there".into()
            }
            (0, 0) if hooks == [Hook::Poll] => "snapshots are taken by inet_diag".into(),
            (0, 0) if name.starts_with("account_") => {
                "audit has no tcp_info to compare with".into()
            }
            (0, 0) if hooks.iter().any(|h| h.is_baseline()) => {
                "connections that are open already are not recorded".into()
            }
            (0, 0) if hooks.contains(&Hook::Sweep) => {
                "final values of open connections are missing".into()
            }
            (0, 0) if self.program.ends_with(super::AGAIN) => {
                "events that the kernel skips for its first program are missing".into()
            }
            (0, 0) => "no variable is affected".into(),
            (0, n) => format!("{n} variables are less exact"),
            (n, 0) => format!("{n} variables are missing"),
            (n, m) => format!("{n} variables are missing, {m} less exact"),
        };
        NotSeen {
            by: "kernel".to_owned(),
            what: format!(
                "the kernel refuses the program {}: {}; {costs}",
                self.program, self.reason
            ),
            variables: worse,
        }
    }
}

/// The beginning of the status of a hook whose program was refused.
const PREFIX: &str = "the kernel refuses the program ";

/// Whether a hook is missing for this reason, and its cost is stated with the program.
pub(in crate::capture) fn is_status(reason: &str) -> bool {
    reason.starts_with(PREFIX)
}

/// What the recording lacks without these programs.
pub(in crate::capture) fn not_seen(refused: &[Refused], attached: &[Hook]) -> Vec<NotSeen> {
    let all: Vec<Hook> =
        attached.iter().copied().chain(refused.iter().flat_map(Refused::hooks)).collect();
    refused.iter().map(|r| r.costs(attached, &all)).collect()
}

/// Names of programs, separated by commas, that are spoiled before they are loaded, so that this
/// kernel really refuses them: tests of what a recording does then need a kernel that does. Builds
/// for use do not read it.
const SPOIL: &str = "ESTATS_SPOIL_PROGRAMS";

/// Spoils what [`SPOIL`] names.
pub(super) fn spoil(open: &mut OpenObject) {
    let names = if cfg!(debug_assertions) { std::env::var(SPOIL).ok() } else { None };
    let Some(names) = names else { return };
    for mut program in open.progs_mut() {
        if !names.split(',').any(|name| program.name() == name) {
            continue;
        }
        // Programs of this type may read no packets and have no place in the kernel's functions.
        program.set_prog_type(ProgramType::SocketFilter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: &str = "prog 'interface_in': -- BEGIN PROG LOAD LOG --
; offset = head + network - data; @ packet.bpf.h:132
41: (0f) r8 += r2
R8 pointer += pointer prohibited
processed 41 insns (limit 1000000) max_states_per_insn 0 total_states 4 peak_states 4 mark_read 2
-- END PROG LOAD LOG --";

    const FIELD: &str = "prog 'tcp_probe': -- BEGIN PROG LOAD LOG --
11: <invalid CO-RE relocation>
failed to resolve CO-RE relocation <byte_off> [29] struct tcp_sock.gone (0:12 @ offset 80)
processed 11 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --";

    fn refused(program: &str, log: &str) -> Refused {
        Refused::of((program.to_owned(), log.to_owned()))
    }

    #[test]
    fn the_reason_is_the_verifiers_last_line_or_the_field_that_is_not_there() {
        assert_eq!(refused("interface_in", POINTER).reason, "R8 pointer += pointer prohibited");
        let field = refused("tcp_probe", FIELD).reason;
        assert!(field.contains("struct tcp_sock.gone"), "{field}");
        assert_eq!(refused("x", "").reason, "no reason was given");
    }

    #[test]
    fn a_refused_program_costs_the_variables_of_its_hooks() {
        let without = |out: &[Hook]| -> Vec<Hook> {
            Hook::ALL.iter().copied().filter(|h| !out.contains(h)).collect()
        };
        let probe = refused("tcp_probe", FIELD).costs(&without(&[Hook::TcpProbe]), Hook::ALL);
        assert!(!probe.variables.is_empty(), "{probe:?}");
        assert!(probe.what.contains("variables are"), "{probe:?}");
        let packets =
            refused("interface_in", POINTER).costs(&without(&[Hook::InterfaceIn]), Hook::ALL);
        assert_eq!(packets.variables, [""; 0]);
        assert!(packets.what.ends_with("packets are not recorded there"), "{packets:?}");
        let second = refused("tcp_probe_again", FIELD).costs(Hook::ALL, Hook::ALL);
        assert!(second.what.contains("skips for its first program"), "{second:?}");
    }
}
