// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether tests of this kind can run here, and the message if they cannot.
//!
//! A test that returns early looks like one that passed. So every test that could not run is
//! counted, and the count is written to the process's real standard error when it ends (libtest
//! captures only what the print macros write). With `ESTATS_REQUIRE_LIVE=1` it fails instead.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once};

/// Environment variable that turns a skipped test into a failed one.
pub const REQUIRE: &str = "ESTATS_REQUIRE_LIVE";

/// What a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Root, network namespaces and TUN devices, here; a virtual machine has its own.
    pub lab: bool,
    /// BPF programs can be loaded.
    pub bpf: bool,
    /// These programs are installed.
    pub programs: &'static [&'static str],
}

impl Needs {
    /// The laboratory alone.
    pub const LAB: Self = Self { lab: true, bpf: false, programs: &[] };
    /// The laboratory and BPF.
    pub const BPF: Self = Self { lab: true, bpf: true, programs: &[] };
    /// Nothing but programs that any user may run.
    pub const PROGRAMS: Self = Self { lab: false, bpf: false, programs: &[] };
}

/// One test of the laboratory at a time: with two cores, two at once would disturb each other's
/// round-trip times and settling times, though not their counters.
static TURN: Mutex<()> = Mutex::new(());
/// How many tests were skipped, by suite and reason.
static SKIPPED: Mutex<BTreeMap<(&str, String), usize>> = Mutex::new(BTreeMap::new());

/// Waits for the caller's turn. `None` if a test of `suite` with these needs cannot run here: the
/// caller returns at once, and the count is written when the process ends.
pub fn enter(suite: &'static str, needs: Needs) -> Option<MutexGuard<'static, ()>> {
    let Some(reason) = obstacle(needs) else {
        // A test that failed in its turn has cleaned up by unwinding; nothing is left half done.
        return Some(TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    };
    skip(suite, reason);
    None
}

/// The message of estats-analyze if the kernel did not run a program for an event.
const NOT_RUN: &str = "were seen by no hook, as the connections themselves show";
/// How often a test is carried out at most.
const TRIES: usize = 3;
/// How many tests of a process are carried out again at most. One of some 60 was met in a run.
const REPEATS: usize = 4;
/// The tests that were carried out again.
static REPEATED: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Other lines for the end.
static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Carries out a test of `suite` that records, in its turn; `None` as in [`enter`].
///
/// A kernel may not run the programs of an event, and counts that nowhere (docs/decisions.md, the connection
/// as a witness). Linux 6.18.44 does so on a busy host for one event of some 50,000. estats finds it and
/// marks the row lossy. Then a test whose rows must be complete is carried out again, if estats has nothing
/// else to report. How many were is written when the process ends. More than a few are a failure: the
/// witness may be wrong.
pub fn record<T>(suite: &'static str, needs: Needs, test: impl Fn() -> T) -> Option<T> {
    let _turn = enter(suite, needs)?;
    for left in (0..TRIES).rev() {
        let panic = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(&test)) {
            Ok(value) => return Some(value),
            Err(panic) => panic,
        };
        let what = panic.downcast_ref::<String>().filter(|what| only_not_run(what));
        let Some(what) = what.filter(|_| left > 0 && repeat(suite)) else {
            std::panic::resume_unwind(panic);
        };
        eprintln!("{what}\n{suite}: the kernel did not run a program for an event: once more");
    }
    unreachable!("the last try returns or panics")
}

/// Whether that is all that estats-analyze had to report.
fn only_not_run(what: &str) -> bool {
    let mut reports = what.lines().filter(|line| line.starts_with("estats-analyze: ")).peekable();
    reports.peek().is_some() && reports.all(|line| line.contains(NOT_RUN))
}

/// Notes a repetition; false if there were too many.
fn repeat(suite: &str) -> bool {
    let mut repeated = REPEATED.lock().expect("nothing panics with it");
    let thread = std::thread::current();
    repeated.push(format!("{suite}: {}", thread.name().unwrap_or_default()));
    at_end();
    repeated.len() <= REPEATS
}

/// Counts a test of `suite` as skipped for this reason, or fails if none may be.
pub fn skip(suite: &'static str, reason: String) {
    assert!(
        std::env::var_os(REQUIRE).is_none_or(|v| v.is_empty() || v == "0"),
        "{suite} cannot run here: {reason} ({REQUIRE} is set, so this is a failure)"
    );
    at_end();
    *SKIPPED.lock().expect("nothing panics with it").entry((suite, reason)).or_default() += 1;
}

/// Has this line written when the process ends, of a test that passes too.
pub fn note(line: &str) {
    at_end();
    NOTED.lock().expect("nothing panics with it").push(line.to_owned());
}

/// Has [`report`] run when the process ends.
fn at_end() {
    static REPORT: Once = Once::new();
    // SAFETY: `report` is an `extern "C" fn()` that touches only statics and writes to fd 2.
    REPORT.call_once(|| assert_eq!(unsafe { libc::atexit(report) }, 0, "atexit"));
}

extern "C" fn report() {
    let write = |line: &str| {
        // SAFETY: the buffer lives across the call. A short write loses the end of one line.
        unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    };
    for ((suite, reason), count) in SKIPPED.lock().iter().flat_map(|skipped| skipped.iter()) {
        write(&format!("{suite}: {count} skipped: {reason}\n"));
    }
    for test in REPEATED.lock().iter().flat_map(|repeated| repeated.iter()) {
        write(&format!("{test} was carried out again: the kernel did not run a program\n"));
    }
    for line in NOTED.lock().iter().flat_map(|noted| noted.iter()) {
        write(&format!("{line}\n"));
    }
}

fn obstacle(needs: Needs) -> Option<String> {
    if let Some(missing) = needs.programs.iter().find(|program| !installed(program)) {
        return Some(format!("the program {missing} is not installed"));
    }
    if needs.lab { no_lab().or_else(|| if needs.bpf { no_bpf() } else { None }) } else { None }
}

fn no_lab() -> Option<String> {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Some("they need root (network namespaces, BPF)".to_owned());
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        return Some(format!("/dev/net/tun cannot be opened: {error}"));
    }
    if !installed("ip") {
        return Some("the program ip is not installed".to_owned());
    }
    // SAFETY: unshare on a thread of its own, which ends with the namespace it made.
    let unshared = std::thread::spawn(|| unsafe { libc::unshare(libc::CLONE_NEWNET) }).join();
    (unshared.ok() != Some(0)).then(|| "network namespaces cannot be made here".to_owned())
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Why BPF programs cannot be loaded here, found by making the smallest of maps.
fn no_bpf() -> Option<String> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF (/sys/kernel/btf/vmlinux)".to_owned());
    }
    // union bpf_attr of BPF_MAP_CREATE: map_type ARRAY, key_size, value_size, max_entries, flags.
    let attr: [u32; 5] = [2, 4, 4, 1, 0];
    const BPF_MAP_CREATE: libc::c_long = 0;
    // SAFETY: the attributes are valid for their stated size; the descriptor is closed below.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, attr.as_ptr(), size_of_val(&attr)) };
    if fd < 0 {
        return Some(format!("bpf(2) is refused: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was just made and is nobody else's.
    unsafe { libc::close(fd as libc::c_int) };
    None
}
