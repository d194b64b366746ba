// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The two programs under test: a recorder that runs while a test makes traffic, and the tables
//! of what it recorded.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::netns::Netns;
use crate::support::pair::Pair;
use crate::support::table::{self, Row, Value};

/// Loading and attaching the programs takes a second or two; a busy host may take ten times that, and an
/// emulated machine on a busy host took more than 40 s.
const PATIENCE: Duration = Duration::from_secs(240);

/// A running recorder.
#[derive(Debug)]
pub struct Recorder {
    child: Child,
    dir: Scratch,
    stderr: Option<JoinHandle<String>>,
}

impl Recorder {
    /// Records both namespaces of a pair; attached on return.
    pub fn on(pair: &Pair) -> Self {
        Self::with(pair, &[])
    }

    /// The same with more options.
    pub fn with(pair: &Pair, options: &[&str]) -> Self {
        let namespaces = ["--all", "--netns", pair.client.name(), "--netns", pair.server.name()];
        Self::start(&[&namespaces, options].concat())
    }

    /// Records one namespace.
    pub fn inside(netns: &Netns) -> Self {
        Self::start(&["--all", "--netns", netns.name()])
    }

    fn start(arguments: &[&str]) -> Self {
        let dir = Scratch::new();
        let mut child = recorder(&dir.recording(), arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("estats-record can be started");
        let pipe = child.stderr.take().expect("stderr is piped");
        let (attached, wait) = mpsc::channel();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if line.starts_with("recording to ") {
                    // The receiver is gone if the test has given up.
                    let _ = attached.send(());
                }
                text.push_str(&line);
                text.push('\n');
            }
            text
        });
        let mut recorder = Self { child, dir, stderr: Some(stderr) };
        if wait.recv_timeout(PATIENCE).is_err() {
            let _ = recorder.child.kill();
            panic!("estats-record never said that it records:\n{}", recorder.said());
        }
        recorder
    }

    /// Ends the recording as a user does, with SIGINT, and reads what came of it.
    pub fn stop(mut self) -> Recording {
        let pid = self.child.id() as libc::pid_t;
        // SAFETY: the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGINT) };
        let status = wait(&mut self.child, PATIENCE);
        let said = self.said();
        assert_eq!(status.and_then(|s| s.code()), Some(0), "estats-record: {status:?}\n{said}");
        Recording::read(std::mem::replace(&mut self.dir, Scratch::empty()))
    }

    fn said(&mut self) -> String {
        self.stderr.take().map(|t| t.join().expect("the reader ends")).unwrap_or_default()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Only what a failed test left running; an ended child was waited for, and this does
        // nothing to it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn recorder(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-record"));
    command.arg("-o").arg(dir).arg("--quiet").args(arguments);
    command
}

/// Records a command's process tree until it ends; the recorder's output and its recording.
pub fn record_command(command: &[&str]) -> (Output, Recording) {
    let dir = Scratch::new();
    let arguments = [&["--"], command].concat();
    let mut child = recorder(&dir.recording(), &arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("estats-record can be started");
    let stdout = drain(child.stdout.take().expect("piped"));
    let stderr = drain(child.stderr.take().expect("piped"));
    let status = wait(&mut child, PATIENCE);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (stdout.join().expect("read"), stderr.join().expect("read"));
    let status = status.unwrap_or_else(|| {
        panic!("estats-record did not end:\n{}", String::from_utf8_lossy(&stderr))
    });
    (Output { status, stdout, stderr }, Recording::read(dir))
}

/// Reads a pipe to its end, beside the child that fills it.
fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).expect("a pipe can be read");
        all
    })
}

/// Waits for a child's end; `None` if it takes too long.
pub fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// A recording that is verified, without loss, and replayed.
#[derive(Debug)]
pub struct Recording {
    /// manifest.json.
    pub manifest: Json,
    connections: BTreeMap<(SocketAddr, SocketAddr), Vec<Connection>>,
    // Last: it is kept when a test fails, and removed when it passes.
    dir: Scratch,
}

/// One connection, of connections.parquet and estats.parquet.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Identity, beginning and end.
    pub identity: Row,
    /// The variables.
    pub values: Row,
}

impl Recording {
    fn read(dir: Scratch) -> Self {
        let path = dir.recording();
        analyze(&["verify"], &path);
        analyze(&["replay"], &path);
        // Exit status 1 if anything differs from tcp_info.
        analyze(&["audit"], &path);
        let manifest = std::fs::read(path.join("manifest.json")).expect("manifest.json");
        let manifest: Json = serde_json::from_slice(&manifest).expect("manifest.json is JSON");
        assert_no_loss(&manifest);
        let found = crate::support::possible::assert_possible(&path.join("tables"));
        // Every hook saw what it had to see, and nothing had to be discarded.
        assert_eq!(found.marked, 0, "{}", path.display());
        let values: BTreeMap<i64, Row> = table::read(&path.join("tables/estats.parquet"))
            .into_iter()
            .map(|row| (row.int("conn_id"), row))
            .collect();
        let mut connections: BTreeMap<_, Vec<Connection>> = BTreeMap::new();
        for identity in table::read(&path.join("tables/connections.parquet")) {
            let key = (
                identity.endpoint("local_address", "local_port"),
                identity.endpoint("remote_address", "remote_port"),
            );
            let id = identity.int("conn_id");
            let values =
                values.get(&id).unwrap_or_else(|| panic!("estats has no conn_id {id}")).clone();
            assert_eq!(values.endpoint("LocalAddress", "LocalPort"), key.0);
            assert_eq!(values.endpoint("RemAddress", "RemPort"), key.1);
            connections.entry(key).or_default().push(Connection { identity, values });
        }
        let count: usize = connections.values().map(Vec::len).sum();
        assert_eq!(count, values.len(), "one row per connection in both tables");
        let tables =
            std::fs::read(path.join("tables/manifest.json")).expect("the tables' manifest");
        let tables: Json = serde_json::from_slice(&tables).expect("it is JSON");
        let audit = |key: &str| tables["audit"][key].as_u64().expect("a number");
        assert_eq!(audit("connections"), count as u64, "each was recorded with tcp_info");
        // The recorder has 45 variables and more with a counterpart on any kernel.
        let established = connections
            .values()
            .flatten()
            .filter(|row| row.identity.get("established") == Some(&Value::Bool(true)));
        let least = 45 * established.count() as u64;
        assert!(audit("equal") + audit("bounded") >= least, "{tables}");
        assert_eq!(audit("differs"), 0);
        // Only what has passed.
        keep(&path);
        Self { manifest, connections, dir }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.recording()
    }

    /// Copies it to $ESTATS_KEEP/notebooks/NAME, as a recording that the notebooks read.
    pub fn keep_for_notebooks(&self, name: &str) {
        copy(&self.path(), &Path::new("notebooks").join(name));
    }

    /// Whether the hooks gave the variable at all, by the manifest.
    pub fn has(&self, variable: &str) -> bool {
        let list = self.manifest["variables"].as_array().expect("a list of variables");
        let of = list.iter().find(|entry| entry["name"] == variable);
        of.unwrap_or_else(|| panic!("no variable {variable}"))["quality"] != "missing"
    }

    /// The variables of the connection with these ends, replayed once more with these options.
    pub fn replayed(&self, options: &[&str], local: SocketAddr, remote: SocketAddr) -> Row {
        let tables = self.dir.recording().with_file_name("replayed");
        let output = tables.to_str().expect("a path of ours is text");
        analyze(&[&["replay", "-o", output], options].concat(), &self.dir.recording());
        let mut rows = table::read(&tables.join("estats.parquet")).into_iter().filter(|row| {
            let local_end = row.endpoint("LocalAddress", "LocalPort");
            (local_end, row.endpoint("RemAddress", "RemPort")) == (local, remote)
        });
        rows.next().unwrap_or_else(|| panic!("no row for {local} -> {remote}"))
    }

    /// Values over time of the one connection with these ends: a row for each record of a hook.
    pub fn series(&self, local: SocketAddr, remote: SocketAddr) -> Vec<Row> {
        let id = self.one(local, remote).identity.int("conn_id");
        analyze(&["replay", "--interval", "event"], &self.path());
        let rows = table::read(&self.path().join("tables/series.parquet"));
        rows.into_iter().filter(|row| row.int("conn_id") == id).collect()
    }

    /// All connections, by local and remote end.
    pub fn all(&self) -> impl Iterator<Item = (&(SocketAddr, SocketAddr), &Connection)> {
        self.connections.iter().flat_map(|(key, rows)| rows.iter().map(move |row| (key, row)))
    }

    /// The one connection with these ends; panics if there is none or another like it.
    pub fn one(&self, local: SocketAddr, remote: SocketAddr) -> &Connection {
        match self.connections.get(&(local, remote)).map(Vec::as_slice) {
            Some([one]) => one,
            Some(more) => panic!("{} rows for {local} -> {remote}", more.len()),
            None => {
                let keys: Vec<_> = self.connections.keys().collect();
                panic!("no row for {local} -> {remote}; there are {keys:?}")
            }
        }
    }
}

impl Connection {
    /// Panics unless these columns of connections.parquet hold these words.
    pub fn assert_identity(&self, expected: &[(&str, &str)]) {
        for (column, word) in expected {
            assert_eq!(self.identity.text(column), *word, "{column} of {:?}", self.identity);
        }
    }
}

/// Copies the recording to $ESTATS_KEEP/SCENARIO/run, the scenario named after the test, so that golden
/// recordings are real traffic (scripts/record-testdata.sh). If a test makes several, the first one is
/// copied.
fn keep(run: &Path) {
    let test = std::thread::current();
    let test = test.name().expect("tests run on threads with their names");
    let scenario = test.rsplit("::").next().expect("a name").replace('_', "-");
    copy(run, &Path::new(&scenario).join("run"));
}

/// Copies the recording to $ESTATS_KEEP/NAME, unless something is there.
fn copy(run: &Path, name: &Path) {
    let Some(root) = std::env::var_os("ESTATS_KEEP") else { return };
    let to = Path::new(&root).join(name);
    if to.exists() {
        return;
    }
    std::fs::create_dir_all(&to).expect("ESTATS_KEEP can be written");
    for file in std::fs::read_dir(run).expect("a recording is a directory") {
        let file = file.expect("it can be listed");
        if file.file_type().expect("it has a type").is_dir() {
            continue; // the tables
        }
        std::fs::copy(file.path(), to.join(file.file_name())).expect("it can be copied");
    }
}

fn analyze(arguments: &[&str], dir: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(arguments)
        .arg(dir)
        .output()
        .expect("estats-analyze can be started");
    assert!(
        output.status.success() && output.status.signal().is_none(),
        "estats-analyze {} {}: {}\n{}{}",
        arguments.join(" "),
        dir.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The ledger's sum: all that was emitted was logged.
fn assert_no_loss(manifest: &Json) {
    let totals = &manifest["totals"];
    let cpus = totals["per_cpu"].as_array().unwrap_or_else(|| panic!("totals: {totals}"));
    assert!(!cpus.is_empty(), "totals name no CPU");
    let mut emitted = 0;
    for cpu in cpus {
        assert_eq!(cpu["emitted"], cpu["logged"], "records lost: {totals}");
        emitted += cpu["emitted"].as_u64().expect("emitted is a count");
        let lost = cpu["lost_by_hook"].as_object().expect("lost_by_hook is a map");
        assert!(lost.values().all(|n| n.as_u64() == Some(0)), "records lost: {totals}");
    }
    assert!(emitted > 0, "nothing was recorded");
    assert_eq!(totals["map_failures"].as_u64(), Some(0), "connections without state: {totals}");
}

/// A directory for one recording, kept if the test fails, so that it can be looked at.
#[derive(Debug)]
struct Scratch(Option<TempDir>);

impl Scratch {
    fn new() -> Self {
        Self(Some(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory")))
    }

    fn empty() -> Self {
        Self(None)
    }

    fn recording(&self) -> PathBuf {
        self.0.as_ref().expect("only a moved-from scratch is empty").path().join("run")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take()
            && std::thread::panicking()
        {
            eprintln!("the recording is kept: {}", dir.keep().display());
        }
    }
}
