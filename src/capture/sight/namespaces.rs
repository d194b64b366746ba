// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Network namespaces out of reach. Hooks see the sockets of every namespace; but what is open already
//! when a recording begins, what is still open at its end, and the polls of --snapshots are read
//! inside each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::{
    capture::{
        capability::{Capability, has},
        filter::in_initial_pid_namespace,
        netns,
    },
    log::NotSeen,
};

/// Parts of a recording that are missing for namespaces that cannot be entered.
const MISSING: &str = "connections open before the recording, last values of those open at its end, \
                       changes after a connection's last hook, snapshots, and packets of all \
                       interfaces";

/// Numbers that a sentence lists.
const LISTED: usize = 8;

/// Network namespaces that are not seen; only among `wanted`, if any are named.
pub(in crate::capture) fn unseen(wanted: &[u32]) -> Vec<NotSeen> {
    let mut found = Vec::new();
    let mut say = |by: &str, what: String| {
        found.push(NotSeen { by: by.to_owned(), what, variables: Vec::new() });
    };
    let known = netns::known();
    let mut closed: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (inode, ns) in &known {
        if let Err(e) = netns::inside(ns, || ())
            && (wanted.is_empty() || wanted.contains(inode))
        {
            closed.entry(reason(&e, Capability::SysAdmin)).or_default().push(*inode);
        }
    }
    for (why, inodes) in closed {
        let (which, plural) = (list(&inodes), plural(inodes.len()));
        say("namespaces", format!("{MISSING} in the network namespace{plural} {which}: {why}"));
    }
    if !wanted.is_empty() {
        return found;
    }
    let processes = Processes::look();
    if !processes.hidden.is_empty() {
        let (which, plural) = (list(&processes.hidden), plural(processes.hidden.len()));
        let why = reason(&io::Error::from_raw_os_error(libc::EACCES), Capability::SysPtrace);
        say(
            "processes",
            format!(
                "{MISSING} in the network namespaces of the process{} {which}: {why}",
                if plural.is_empty() { "" } else { "es" }
            ),
        );
    }
    if processes.none {
        say(
            "processes",
            format!("{MISSING} in other network namespaces: /proc shows no processes"),
        );
    } else if !in_initial_pid_namespace() {
        say(
            "processes",
            format!(
                "{MISSING} in network namespaces of processes outside this PID namespace, which \
                 /proc does not show; process ids in the tables are the host's"
            ),
        );
    } else if let Some(option) = hidepid().filter(|_| !has(Capability::SysPtrace)) {
        say(
            "processes",
            format!(
                "{MISSING} in network namespaces of other users' processes: /proc is mounted with \
                 {option}, and there is no CAP_SYS_PTRACE"
            ),
        );
    }
    found
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn list(numbers: &[u32]) -> String {
    let mut text: Vec<_> = numbers.iter().take(LISTED).map(u32::to_string).collect();
    if numbers.len() > LISTED {
        text.push(format!("and {} more", numbers.len() - LISTED));
    }
    text.join(", ")
}

/// Why something failed, and whether this capability would have helped.
pub(in crate::capture) fn reason(e: &io::Error, needed: Capability) -> String {
    if has(needed) { e.to_string() } else { format!("{e}, without {}", needed.name()) }
}

/// Processes as /proc shows them.
#[derive(Debug, Default)]
struct Processes {
    /// Those whose namespace is none that is known, or is not shown.
    hidden: Vec<u32>,
    /// There are none.
    none: bool,
}

impl Processes {
    fn look() -> Self {
        // One process of each namespace stands for all.
        let (mut links, mut closed) = (BTreeMap::new(), Vec::new());
        let mut none = true;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            none = false;
            match fs::read_link(entry.path().join("ns/net")) {
                Ok(link) => drop(links.entry(link).or_insert(entry.path())),
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => closed.push(pid),
                // It has ended, or is a zombie, which has none.
                Err(_) => {}
            }
        }
        if closed.is_empty() {
            return Self { hidden: Vec::new(), none };
        }
        let mut known: BTreeSet<u64> = links.values().filter_map(|at| mark(at).ok()).collect();
        // Those that have a name but no process that can be read.
        for ns in netns::known().into_values() {
            let inside = netns::inside(&ns, || mark(Path::new("/proc/thread-self")));
            known.extend(inside.and_then(|mark| mark));
        }
        let hidden = closed.into_iter().filter(|pid| {
            match mark(&Path::new("/proc").join(pid.to_string())) {
                Ok(mark) => known.insert(mark),
                Err(e) => e.kind() == io::ErrorKind::PermissionDenied,
            }
        });
        Self { hidden: hidden.collect(), none }
    }
}

/// A number that distinguishes the namespaces of processes that may not be inspected: each has files of
/// its own below net, with inode numbers of their own.
fn mark(process: &Path) -> io::Result<u64> {
    fs::metadata(process.join("net/dev")).map(|meta| meta.ino())
}

/// The option of /proc by which processes of others are not shown (Linux 3.3, and with words 5.8).
fn hidepid() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/proc"))?;
    let mut options = line.split(' ').nth(3)?.split(',');
    let shows = |option: &&str| {
        option.starts_with("hidepid=") && !["hidepid=0", "hidepid=off"].contains(option)
    };
    options.find(shows).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_shortened() {
        assert_eq!(list(&[1]), "1");
        assert_eq!(list(&(1..=10).collect::<Vec<_>>()), "1, 2, 3, 4, 5, 6, 7, 8, and 2 more");
    }

    #[test]
    fn a_mark_is_the_same_for_processes_of_one_namespace() {
        let own = mark(Path::new("/proc/self"));
        let by_id = mark(&Path::new("/proc").join(std::process::id().to_string()));
        assert_eq!(own.expect("it may look at itself"), by_id.expect("and by its id"));
    }
}
