// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which capabilities the recorder needs: in a guest it is run as the user `nobody` with a few of them,
//! and docs/permissions.md has the results.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::outcome::{Outcome, Verdict};
use crate::recorder::Recorder;
use crate::rows::{self, Recording};
use crate::sets::{self, HookSet};
use crate::support::flow::Flow;
use crate::support::netns::Netns;
use crate::support::tcp::Options;

/// Numbers of capabilities in include/uapi/linux/capability.h; setpriv(1) need not know the names.
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const SYS_RESOURCE: u32 = 24;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Capabilities that are tried: the heading in the document, and the capabilities; none for root with
/// all of them.
const TRIALS: &[(&str, Option<&[u32]>)] = &[
    ("root", None),
    ("BPF, PERFMON, NET_ADMIN", Some(&[BPF, PERFMON, NET_ADMIN])),
    (WITH_RESOURCE, Some(ENOUGH)),
    (PARANOID_2, Some(ENOUGH)),
    ("BPF, PERFMON", Some(&[BPF, PERFMON, SYS_RESOURCE])),
    ("BPF, NET_ADMIN", Some(&[BPF, NET_ADMIN, SYS_RESOURCE])),
    ("PERFMON, NET_ADMIN", Some(&[PERFMON, NET_ADMIN, SYS_RESOURCE])),
    ("SYS_ADMIN", Some(&[SYS_ADMIN, SYS_RESOURCE])),
];
/// Enough on every kernel.
const ENOUGH: &[u32] = &[BPF, PERFMON, NET_ADMIN, SYS_RESOURCE];
/// The trial that differs from the one before it only where BPF's memory is locked memory (before Linux
/// 5.11); on other kernels it is not made.
const WITH_RESOURCE: &str = "BPF, PERFMON, NET_ADMIN, SYS_RESOURCE";
const LOCKED: &str = "5.10";
/// With the sysctl as mainline has it: Debian's own default is 3, which is more than mainline knows.
const PARANOID_2: &str = "the same, perf_event_paranoid 2";
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Kernels whose permissions are tried: the oldest, where BPF's memory is locked memory and there are no
/// trampolines, and one that has all hook sets. Every program is loaded and attached nine times on each
/// kernel, which takes minutes under emulation, so not all kernels are tried.
pub const KERNELS: &[&str] = &[LOCKED, "6.12"];

/// Whether a trial makes a difference to a hook set on a kernel.
fn is_made(heading: &str, series: &str, set: &HookSet) -> bool {
    match heading {
        WITH_RESOURCE => series == LOCKED,
        PARANOID_2 => set.hooks == "kprobe",
        _ => true,
    }
}

/// The result of `estats-record check` with some capabilities.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Name of the hook set.
    pub set: String,
    /// Heading of the trial.
    pub capabilities: String,
    /// Exit status.
    pub status: Option<i32>,
    /// Standard error.
    pub said: String,
    /// Standard output: the JSON of `check`.
    pub check: String,
}

/// A recording that was made with [`ENOUGH`] capabilities.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Short {
    /// Name of the hook set, and of the directory.
    pub set: String,
    /// Exit status.
    pub status: Option<i32>,
    /// Standard error.
    pub said: String,
    /// In another namespace: open before the recording, and closed in it.
    pub before: (SocketAddr, SocketAddr),
    /// In another namespace: opened and closed while recording.
    pub during: (SocketAddr, SocketAddr),
    /// In another namespace: opened while recording, and open at its end.
    pub kept: (SocketAddr, SocketAddr),
    /// In the recorder's own namespace: open before the recording, and at its end.
    pub own: (SocketAddr, SocketAddr),
    /// Octets of `during`.
    pub octets: u64,
}

/// `setpriv` and its options: the user `nobody`, with only these capabilities.
fn nobody_with(capabilities: &[u32]) -> Vec<String> {
    let list: String = capabilities.iter().map(|number| format!(",+cap_{number}")).collect();
    let mut words = vec!["setpriv".to_owned()];
    words.extend(["--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned));
    words.extend(
        ["inh-caps", "ambient-caps", "bounding-set"].map(|which| format!("--{which}=-all{list}")),
    );
    words
}

/// Hook sets of a series whose capabilities are tried: perf buffers are maps as others are, and the set
/// `tracepoint` has no program that the set `fentry` has not.
fn sets_of(series: &str) -> impl Iterator<Item = &'static HookSet> {
    sets::of(series).iter().filter(|set| ["fentry", "kprobe"].contains(&set.name))
}

/// In a guest: every trial.
pub fn trials(series: &str) -> Vec<Trial> {
    let mut all = Vec::new();
    for set in sets_of(series) {
        let trials = TRIALS.iter().filter(|(heading, _)| is_made(heading, series, set));
        for (heading, capabilities) in trials {
            let mut words = capabilities.map_or_else(Vec::new, nobody_with);
            words.push(env!("CARGO_BIN_EXE_estats-record").to_owned());
            words.push("check".to_owned());
            words.extend(set.options.iter().map(|word| (*word).to_owned()));
            words.push("--json".to_owned());
            let begun = std::time::Instant::now();
            let before = fs::read(PARANOID).expect("the kernel has it");
            if *heading == PARANOID_2 {
                fs::write(PARANOID, "2").expect("this is root");
            }
            let output = Command::new(&words[0]).args(&words[1..]).output();
            let output = output.expect("it can be started");
            fs::write(PARANOID, before).expect("this is root");
            let text = |octets| String::from_utf8(octets).expect("UTF-8");
            println!("guest: {} with {heading}, {:.1} s", set.name, begun.elapsed().as_secs_f64());
            all.push(Trial {
                set: set.name.to_owned(),
                capabilities: (*heading).to_owned(),
                status: output.status.code(),
                said: text(output.stderr),
                check: text(output.stdout),
            });
        }
    }
    all
}

/// Octets that a connection carries.
const OCTETS: u64 = 100_000;

/// In a guest: a recording with enough capabilities and no more, of the hook set that records most:
/// packets at sockets and interfaces, and polls.
pub fn recordings(series: &str, out: &Path) -> Vec<Short> {
    // No process writes there.
    fs::set_permissions(out, fs::Permissions::from_mode(0o777)).expect("the directory is ours");
    let most = sets::of(series).iter().filter(|set| !set.also.is_empty());
    most.map(|set| recording(set, out)).collect()
}

fn recording(set: &'static HookSet, out: &Path) -> Short {
    let (other, open_to_the_end) = (Netns::new("other"), Netns::new("open"));
    let reno = Options { congestion: c"reno", ..Options::default() };
    let address = "127.0.0.1".parse().expect("it is one");
    let open_in = |netns| Flow::between((netns, reno), (netns, reno), address);
    let open = || open_in(&other);
    let ends = |flow: &Flow| (flow.client.local(), flow.server.local());
    let home = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is up");
    let own = std::net::TcpStream::connect(home.local_addr().expect("it is bound"));
    let own = own.expect("it listens");
    let before = open();
    let recorder = Recorder::start_under(&nobody_with(ENOUGH), out, set);
    before.upload(1000);
    let before_ends = ends(&before);
    before.finish();
    let during = open();
    during.upload(OCTETS);
    during.settle();
    let during_ends = ends(&during);
    during.finish();
    let kept = open_in(&open_to_the_end);
    kept.upload(OCTETS);
    kept.settle();
    drop((before, during));
    other.wait_closed();
    let (status, said) = recorder.end();
    let (own_local, own_remote) = (own.local_addr(), own.peer_addr());
    Short {
        set: set.name.to_owned(),
        status,
        said,
        before: before_ends,
        during: during_ends,
        kept: ends(&kept),
        own: (own_local.expect("connected"), own_remote.expect("connected")),
        octets: OCTETS,
    }
}

/// A recording without CAP_SYS_ADMIN must have right values, and name what it lacks.
pub fn judge(short: &Short, dir: &Path) -> Outcome {
    let mut verdict = Verdict::default();
    let mut check = |holds: bool, words: String| {
        verdict.compared += 1;
        if !holds {
            verdict.failures.push(words);
        }
    };
    check(short.status == Some(0), format!("ended with {:?}: {}", short.status, short.said));
    let lines = || short.said.lines().filter(|line| line.starts_with("not seen: "));
    let namespaces = lines().any(|l| l.contains("in the network namespace") && l.contains("CAP_"));
    check(namespaces, format!("namespaces that cannot be entered are reported: {}", short.said));
    let recording = Recording::read(dir)?;
    let completeness = |ends: (SocketAddr, SocketAddr)| {
        let row = recording.one(ends.0, ends.1);
        row.map(|row| row.identity.text("completeness").to_owned())
    };
    let one_of = |found: &Result<String, String>, words: &[&str]| {
        found.as_ref().is_ok_and(|found| words.contains(&found.as_str()))
    };
    let during = completeness(short.during);
    check(one_of(&during, &["complete", "lossy"]), format!("during: {during:?}"));
    if let Ok(row) = recording.one(short.during.0, short.during.1)
        && !row.lossy()
    {
        // The SYN and the FIN are octets of sequence space, too.
        let acked = row.values.int("HCThruOctetsAcked");
        check(acked == short.octets as i64 + 2, format!("acknowledged {acked}"));
    }
    let kept = completeness(short.kept);
    check(one_of(&kept, &["ended_after", "lossy"]), format!("kept: {kept:?}"));
    // Nothing is known of its beginning, if it is there at all.
    let before = completeness(short.before);
    check(before.is_err() || one_of(&before, &["begun_before", "lossy"]), format!("{before:?}"));
    check(recording.polls > 0, "no polls".to_owned());
    let manifest = fs::read(dir.join("manifest.json")).map_err(|e| e.to_string())?;
    let manifest: Json = serde_json::from_slice(&manifest).map_err(|e| e.to_string())?;
    let interfaces = manifest["interfaces"].as_array().cloned().unwrap_or_default();
    let attached = interfaces.iter().any(|of| of["name"] == "lo" && of["reason"].is_null());
    check(attached, format!("the recorder's own interfaces: {interfaces:?}"));
    let own = completeness(short.own);
    check(own.as_ref().is_ok_and(|own| own != "complete"), format!("own: {own:?}"));
    Ok(verdict)
}

/// The document's cell of a trial, compared with that of root.
fn cell(trial: &Trial, root: &Trial) -> Result<String, String> {
    if trial.status != Some(0) {
        let words = trial.said.trim();
        let lacks = words.contains("CAP_") && trial.status == Some(2);
        return if lacks { Ok("refused".to_owned()) } else { Err(words.to_owned()) };
    }
    let json = |trial: &Trial| serde_json::from_str::<Json>(&trial.check);
    let (found, all) = (json(trial), json(root));
    let (found, all) = (found.map_err(|e| e.to_string())?, all.map_err(|e| e.to_string())?);
    let attached = |json: &Json| -> Vec<String> {
        let hooks = json["hooks"].as_array().into_iter().flatten();
        let attached = hooks.filter(|hook| hook["attached"] == true);
        attached.map(|hook| hook["hook"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let (mine, roots) = (attached(&found), attached(&all));
    let lacks: Vec<_> = roots.iter().filter(|hook| !mine.contains(hook)).cloned().collect();
    let (mine, roots) = (rows::qualities(&found)?, rows::qualities(&all)?);
    let missing = mine.iter().filter(|(name, q)| *q == "missing" && roots[*name] != **q).count();
    let worse = mine.iter().filter(|(name, q)| *q != "missing" && roots[*name] != **q).count();
    let without = match &lacks[..] {
        few if few.len() <= FEW => few.join(", "),
        many => format!("{} hooks", many.len()),
    };
    Ok(match (lacks.is_empty(), missing, worse) {
        (true, 0, 0) => "all".to_owned(),
        (_, 0, 0) => format!("without {without}"),
        _ => format!("without {without}: {missing} variables missing, {worse} less exact"),
    })
}

/// Hooks that are named.
const FEW: usize = 4;

/// The document, of every kernel's trials; and what was not as it has to be.
pub fn markdown(kernels: &[(&str, &[Trial])]) -> Result<String, String> {
    let mut out = String::from(include_str!("permissions.md"));
    let mut head = String::from("| kernel, hook set |");
    for (heading, _) in &TRIALS[1..] {
        let _ = write!(head, " {heading} |");
    }
    let _ = writeln!(out, "{head}\n|---|{}", "---|".repeat(TRIALS.len() - 1));
    for (series, trials) in kernels {
        for set in sets_of(series) {
            let of = |heading: &str| {
                let mut found = trials.iter();
                let found = found.find(|t| t.set == set.name && t.capabilities == heading);
                found.ok_or_else(|| format!("{series}, {}: no trial {heading}", set.name))
            };
            let root = of(TRIALS[0].0)?;
            let _ = write!(out, "| {series} {} |", set.name);
            for (heading, _) in &TRIALS[1..] {
                if !is_made(heading, series, set) {
                    out.push_str(" |");
                    continue;
                }
                let cell = cell(of(heading)?, root);
                let cell = cell.map_err(|e| format!("{series} {}, {heading}: {e}", set.name))?;
                let _ = write!(out, " {cell} |");
            }
            out.push('\n');
        }
    }
    Ok(out)
}

/// Compares with docs/permissions.md, or writes it with `BLESS=1`.
pub fn check(kernels: &[(&str, &[Trial])]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/permissions.md");
    let text = markdown(kernels).unwrap_or_else(|why| panic!("{why}"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).expect("docs can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/permissions.md differs from the guests' results; renew it with make permissions\n{text}"
    );
}
