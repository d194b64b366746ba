// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A guest, booted once however many tests ask for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::SUITE;
use crate::facts::{FILE, Output, PermissionFacts, SocketFacts};
use crate::inside::{REPLAY, SERIES};
use crate::scenario::CHOSEN;
use crate::support::gate::{self, Needs};

/// `0`: no guests. `again`: no new ones, the checks alone on what the last ones left.
const WANTED: &str = "ESTATS_GUEST";
/// When no more guests are booted: seconds since 1970. For a run whose whole time is bounded, on a host that may be
/// slow: its other tests are then still carried out. What was not tried is written at the end.
const UNTIL: &str = "ESTATS_GUEST_UNTIL";
/// Seconds for a guest, from its start to its end: several times what it takes on a machine with two
/// processors and nothing else to do (scripts/guest/run.sh shows the console when it is over).
const PATIENCE: &str = "900";
/// The same for arm64, which is slower to emulate.
const PATIENCE_ARM64: &str = "2400";
/// The test program that runs in the guests, built for arm64: they are machines of that architecture
/// then (scripts/guest/arm64.sh).
const ARM64: &str = "ESTATS_GUEST_ARM64";
const PROGRAMS: &[&str] = &["qemu-system-x86_64", "busybox", "cpio", "xz", "dash", "apt-get"];

/// The results of a guest.
#[derive(Debug)]
pub struct Visit<T = Output> {
    /// The kernel's series.
    pub series: &'static str,
    /// A directory for each hook set, with its recording, and for results.
    pub dir: PathBuf,
    /// The values of the guest's kernel and recorders.
    pub output: T,
}

/// Whether guests can run here; `None` if this test is to return at once.
pub fn enter() -> Option<MutexGuard<'static, ()>> {
    if std::env::var(WANTED).is_ok_and(|v| v == "0") {
        gate::skip(SUITE, format!("{WANTED}=0"));
        return None;
    }
    gate::enter(SUITE, Needs { programs: PROGRAMS, ..Needs::PROGRAMS })
}

/// The same for a test that has to boot a guest.
pub fn enter_to_boot() -> Option<MutexGuard<'static, ()>> {
    if std::env::var(WANTED).is_ok_and(|v| v == "again") {
        gate::skip(SUITE, format!("{WANTED}=again"));
        return None;
    }
    enter()
}

/// The guests that carry out all scenarios.
static VISITS: Visits<Output> = Visits::new("inside::inside", "guest");

/// The guest with this kernel that carries out all scenarios; `None` if it was not booted yet and the time for guests
/// is over.
pub fn in_time(series: &'static str) -> Option<&'static Visit> {
    (VISITS.has(series) || !is_late()).then(|| VISITS.to(series))
}

/// Notes that a kernel was not tried.
pub fn not_tried(series: &str) {
    gate::note(&format!("{SUITE}: Linux {series} was NOT TRIED: no more time ({UNTIL})"));
}

fn is_late() -> bool {
    let Ok(until) = std::env::var(UNTIL) else { return false };
    let until: u64 = until.parse().unwrap_or_else(|e| panic!("{UNTIL}={until}: {e}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    now.as_secs() >= until
}

/// The guest with this kernel whose sockets inet_diag reports.
pub fn sockets(series: &'static str) -> &'static Visit<SocketFacts> {
    static VISITS: Visits<SocketFacts> = Visits::new("inside::sockets", "guest-sockets");
    VISITS.to(series)
}

/// The guest with this kernel where recorders have few capabilities.
pub fn permissions(series: &'static str) -> &'static Visit<PermissionFacts> {
    static VISITS: Visits<PermissionFacts> =
        Visits::new("inside::permissions", "guest-permissions");
    VISITS.to(series)
}

impl Visit {
    /// The manifest of a hook set's recording.
    pub fn manifest(&self, set: &str) -> Result<Json, String> {
        let path = self.dir.join(set).join("manifest.json");
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// Guests of one kind, by kernel.
struct Visits<T: 'static> {
    /// The test that runs in them.
    test: &'static str,
    /// What their directories begin with.
    dir: &'static str,
    all: Mutex<BTreeMap<&'static str, Result<&'static Visit<T>, String>>>,
}

impl<T: DeserializeOwned> Visits<T> {
    const fn new(test: &'static str, dir: &'static str) -> Self {
        Self { test, dir, all: Mutex::new(BTreeMap::new()) }
    }

    /// Whether it was booted, or failed to.
    fn has(&self, series: &str) -> bool {
        let visits = self.all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        visits.contains_key(series)
    }

    /// The guest with this kernel, booted when it is first asked for. Panics, with its console, if it
    /// does not end well; then for all who ask.
    fn to(&self, series: &'static str) -> &'static Visit<T> {
        let mut visits = self.all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let visit = visits.entry(series).or_insert_with(|| {
            // For the rest of the process, as the map is.
            self.boot(series).map(|visit| &*Box::leak(Box::new(visit)))
        });
        match visit {
            Ok(visit) => visit,
            Err(why) => {
                let why = why.clone();
                drop(visits);
                panic!("the guest with Linux {series}: {why}");
            }
        }
    }

    fn boot(&self, series: &'static str) -> Result<Visit<T>, String> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let other = std::env::var_os(ARM64).map(PathBuf::from);
        let architecture = if other.is_some() { "-arm64" } else { "" };
        let name = format!("{}-{series}{architecture}", self.dir);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if std::env::var(WANTED).is_ok_and(|v| v == "again") {
            return read(series, dir);
        }
        let this = std::env::current_exe().expect("this program has a path");
        // Without debug_assertions' path: the programs are found by the paths compiled in.
        let programs = [env!("CARGO_BIN_EXE_estats-record"), env!("CARGO_BIN_EXE_estats-analyze")];
        let mut command = Command::new(top.join("scripts/guest/run.sh"));
        let patience = if other.is_some() { PATIENCE_ARM64 } else { PATIENCE };
        command.args(["--timeout", patience, "--env", &format!("{SERIES}={series}")]);
        if let Ok(chosen) = std::env::var(CHOSEN) {
            command.args(["--env", &format!("{CHOSEN}={chosen}")]);
        }
        if other.is_some() {
            // Its own programs of that architecture are put in by the script.
            command.args(["--arch", "arm64", "--env", &format!("{REPLAY}=1")]);
        } else {
            for program in programs {
                command.args(["--file", program]);
            }
        }
        let this = other.unwrap_or(this);
        command.arg("--file").arg(&this).arg("--out").arg(&dir).arg(series).arg(&this);
        command.args(["--ignored", "--exact", self.test, "--nocapture"]);
        let output = command.output().expect("scripts/guest/run.sh can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        starts_again(&errors).for_each(|line| gate::note(&format!("{SUITE}: {line}")));
        let console = format!("{}{errors}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            return Err(format!("{}\n{console}", output.status));
        }
        print!("{console}");
        read(series, dir)
    }
}

/// The lines of run.sh about a guest that was started again.
pub fn starts_again(errors: &str) -> impl Iterator<Item = &str> {
    errors.lines().filter(|line| line.starts_with("run.sh: ") && line.contains("started again"))
}

fn read<T: DeserializeOwned>(series: &'static str, dir: PathBuf) -> Result<Visit<T>, String> {
    let path = dir.join(FILE);
    let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let output = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Visit { series, dir, output })
}
