// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Processes by /proc: their parents, and their names.

use std::{collections::BTreeMap, fs};

/// Fields of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    state: u8,
    pub parent: u32,
    /// Process group.
    pub group: u32,
}

impl Stat {
    /// Whether it has ended and is only there until its parent asks how.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// None if there is no such process.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The process's name stands in parentheses and may hold anything: count from the last one.
    let after = stat.iter().rposition(|&c| c == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after..]).ok()?.split_whitespace();
    Some(Stat {
        state: fields.next()?.bytes().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

/// A process's name; empty if it is gone.
pub(super) fn comm(pid: u32) -> String {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned()
}

/// The processes and all that descend from them now.
pub(super) fn descendants(roots: &[u32]) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok())
            && let Some(stat) = stat(pid)
        {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = roots.to_vec();
    let mut next = 0;
    while next < found.len() {
        found.extend(children.remove(&found[next]).unwrap_or_default());
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_descends_from_its_parent() {
        let own = stat(std::process::id()).unwrap();
        assert!(!own.is_over());
        assert!(descendants(&[own.parent]).contains(&std::process::id()));
    }
}
