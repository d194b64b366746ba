// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! libbpf's warnings: they contain the verifier's log when a load fails.

use std::sync::Mutex;

use libbpf_rs::PrintLevel;

use crate::capture::{
    CaptureError,
    capability::{self, Capability},
};

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep(_: PrintLevel, text: String) {
    let mut kept = WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if kept.len() == 40 {
        kept.remove(0);
    }
    kept.push(text.trim_end().to_owned());
}

/// Keeps libbpf's warnings from now on, instead of printing them.
pub(super) fn listen() {
    libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
}

/// The warnings that libbpf has given since [`listen`], oldest first.
pub(in crate::capture) fn warnings() -> Vec<String> {
    WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// The program that was refused last, with the last of the words about it: the verifier's, or
/// libbpf's if it could not fit the program to the kernel. `None` if none was.
pub(super) fn refused() -> Option<(String, String)> {
    /// Its last instructions and its reason; the whole log can be a megabyte.
    const LINES: usize = 24;
    // libbpf: prog 'NAME': -- BEGIN PROG LOAD LOG --
    fn name(text: &str) -> Option<&str> {
        text.split_once("prog '")?.1.split('\'').next()
    }
    let warnings = warnings();
    let log = warnings.iter().rev().find(|text| text.contains("PROG LOAD LOG"));
    if let Some(log) = log {
        let lines: Vec<&str> = log.lines().collect();
        return Some((
            name(log)?.to_owned(),
            lines[lines.len().saturating_sub(LINES)..].join("\n"),
        ));
    }
    // The first warning has the cause. The others only state that the program cannot be prepared and
    // loaded.
    let first = warnings.iter().find(|text| text.contains("prog '") && text.contains("failed"))?;
    let (_, words) = first.split_once("': ")?;
    if is_of_memory(words) {
        return None;
    }
    Some((name(first)?.to_owned(), words.to_owned()))
}

/// Old kernels count the memory of programs against a limit, which is not a fault of the program. libbpf
/// ends its words with the name of the error (`errstr()`, libbpf 1.7).
fn is_of_memory(words: &str) -> bool {
    ["-ENOMEM", "-EPERM"].iter().any(|error| words.ends_with(error))
}

/// Forgets warnings about programs that are left out.
pub(super) fn forget() {
    WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
}

/// Why the programs could not be loaded.
#[allow(clippy::wildcard_enum_match_arm, reason = "libbpf-rs adds kinds; all others are one to us")]
pub(super) fn load_error(source: libbpf_rs::Error) -> CaptureError {
    match source.kind() {
        libbpf_rs::ErrorKind::PermissionDenied if capability::are_of_a_user_namespace() => {
            CaptureError::UserNamespace
        }
        libbpf_rs::ErrorKind::PermissionDenied if !capability::missing_for_bpf().is_empty() => {
            CaptureError::Privilege(capability::missing_for_bpf())
        }
        // A refusal of the verifier has its log, and EACCES.
        libbpf_rs::ErrorKind::PermissionDenied
            if refused().is_none()
                && capability::memory_is_locked()
                && locked_memory_bytes() != libc::RLIM_INFINITY
                && !capability::has(Capability::SysResource) =>
        {
            CaptureError::LockedMemory(locked_memory())
        }
        // The verifier returns EACCES too, but it also has a log.
        libbpf_rs::ErrorKind::PermissionDenied if refused().is_none() => {
            CaptureError::NoBpf(source)
        }
        _ if let Some((_, words)) = refused() => CaptureError::Rejected(words),
        _ => match warnings() {
            words if words.is_empty() => CaptureError::bpf("load the BPF programs", source),
            words => CaptureError::Unfit { source, words: words.join("\n") },
        },
    }
}

/// The limit of locked memory, in words.
fn locked_memory() -> String {
    format!("RLIMIT_MEMLOCK, {} bytes", locked_memory_bytes())
}

fn locked_memory_bytes() -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is there for the call.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    limit.rlim_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_memory_is_not_a_refusal_of_the_program() {
        assert!(is_of_memory("BPF program load failed: -EPERM"));
        assert!(is_of_memory("BPF program load failed: -ENOMEM"));
        assert!(!is_of_memory("BPF program load failed: -EINVAL"));
        assert!(!is_of_memory("failed to find kernel BTF type ID of 'tcp_bad_csum': -ESRCH"));
    }
}
