// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recorder that runs beside the test, however it ends, and what it leaves.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::table::{self, Row};

/// Loading and attaching the programs takes a second; a busy host may take many times that.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running recorder.
#[derive(Debug)]
pub struct Recorder {
    child: Child,
    output: PathBuf,
    scratch: Option<TempDir>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    said: Arc<Mutex<String>>,
}

/// A recorder that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` after death by a signal.
    pub code: Option<i32>,
    /// The signal, then.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The recording.
    pub dir: PathBuf,
    // Removed when the test is over.
    _scratch: Option<TempDir>,
}

/// A new place for a recording, on the disk that the build is on.
pub fn scratch() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory")
}

/// The recorder's command line without where to record: after `prefix`, which may be a program
/// that starts another.
pub fn command(prefix: &[&str]) -> Command {
    let recorder = env!("CARGO_BIN_EXE_estats-record");
    let mut command = match prefix.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(recorder);
            command
        }
        None => Command::new(recorder),
    };
    // Whoever runs the tests may have a hang-up ignored (`nohup`), which the recorder heeds.
    // SAFETY: signal() may be called between fork and exec, and touches nothing of ours.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

impl Recorder {
    /// Starts one; attached on return.
    pub fn start(arguments: &[&str]) -> Self {
        Self::under(&[], arguments)
    }

    /// Starts one through another program.
    pub fn under(prefix: &[&str], arguments: &[&str]) -> Self {
        let scratch = scratch();
        let output = scratch.path().join("run");
        Self::spawn(prefix, arguments, output, Some(scratch))
    }

    /// Starts one that records to `output`.
    pub fn into(output: PathBuf, arguments: &[&str]) -> Self {
        Self::spawn(&[], arguments, output, None)
    }

    fn spawn(
        prefix: &[&str],
        arguments: &[&str],
        output: PathBuf,
        scratch: Option<TempDir>,
    ) -> Self {
        let mut child = command(prefix)
            .arg("-o")
            .arg(&output)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("estats-record can be started");
        let stdout = text(child.stdout.take().expect("piped"), |_| {});
        let (attached, wait) = mpsc::channel();
        let said = Arc::new(Mutex::new(String::new()));
        let so_far = Arc::clone(&said);
        let stderr = text(child.stderr.take().expect("piped"), move |line| {
            let mut so_far = so_far.lock().expect("no reader panics");
            so_far.push_str(line);
            so_far.push('\n');
            if line.trim_start_matches("<6>").starts_with("recording to ") {
                // The receiver is gone if the test has given up.
                let _ = attached.send(());
            }
        });
        let mut recorder =
            Self { child, output, scratch, stdout: Some(stdout), stderr: Some(stderr), said };
        if wait.recv_timeout(PATIENCE).is_err() {
            let _ = recorder.child.kill();
            let said = recorder.stderr.take().map(|t| t.join().expect("the reader ends"));
            panic!("estats-record never said that it records:\n{}", said.unwrap_or_default());
        }
        recorder
    }

    /// Process id of what was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it records.
    pub fn dir(&self) -> &Path {
        &self.output
    }

    /// Stops it for a while, in which the traffic goes on, so that rings overflow and it comes too late.
    pub fn stopped(&self, time: Duration, mut traffic: impl FnMut()) {
        self.signal(libc::SIGSTOP);
        let begun = Instant::now();
        while begun.elapsed() < time {
            traffic();
        }
        self.signal(libc::SIGCONT);
    }

    /// What it has reported on standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("no writer panics").clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child has not been waited for, so the id is still its own.
        let result = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(result, 0, "kill: {}", std::io::Error::last_os_error());
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "estats-record does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = |t: Option<JoinHandle<String>>| t.map(|t| t.join().expect("the reader ends"));
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: said(self.stdout.take()).unwrap_or_default(),
            stderr: said(self.stderr.take()).unwrap_or_default(),
            dir: self.output.clone(),
            _scratch: self.scratch.take(),
        }
    }

    /// Ends it as a user does, with SIGINT.
    pub fn stop(self) -> Finished {
        self.signal(libc::SIGINT);
        self.wait()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Only what a failed test left running; an ended child was waited for.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads a pipe to its end, beside the child that fills it.
fn text(
    pipe: impl Read + Send + 'static,
    mut each: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            each(&line);
            text.push_str(&line);
            text.push('\n');
        }
        text
    })
}

/// One connection, of connections.parquet and estats.parquet.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Identity, beginning and end.
    pub identity: Row,
    /// The variables.
    pub values: Row,
}

impl Connection {
    /// Local end.
    pub fn local(&self) -> SocketAddr {
        self.identity.endpoint("local_address", "local_port")
    }

    /// Remote end.
    pub fn remote(&self) -> SocketAddr {
        self.identity.endpoint("remote_address", "remote_port")
    }

    /// How complete the row is.
    pub fn completeness(&self) -> &str {
        self.identity.text("completeness")
    }
}

impl Finished {
    /// Panics unless it ended with this exit code.
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!((self.code, self.signal), (Some(code), None), "{}", self.stderr);
        self
    }

    /// manifest.json.
    pub fn manifest(&self) -> Json {
        let text = std::fs::read(self.dir.join("manifest.json")).expect("manifest.json");
        serde_json::from_slice(&text).expect("manifest.json is JSON")
    }

    /// Records lost, by the manifest.
    pub fn lost(&self) -> u64 {
        let per_cpu = self.manifest()["totals"]["per_cpu"].clone();
        let hooks = per_cpu.as_array().into_iter().flatten().flat_map(|cpu| {
            let lost = cpu["lost_by_hook"].as_object().expect("lost_by_hook").clone();
            lost.into_iter().map(|(_, n)| n.as_u64().expect("a count"))
        });
        hooks.sum()
    }

    /// Exit code and report of `estats-analyze verify`.
    pub fn verify(&self) -> (i32, Json) {
        let output = analyze(&["verify", "--json"], &self.dir);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("verify --json: {e}: {}", String::from_utf8_lossy(&output.stderr))
        });
        (output.status.code().expect("verify ends by itself"), report)
    }

    /// Panics unless the recording is undamaged and its totals add up: every emitted record was logged,
    /// counted as lost, removed by --max-size, or was a malformed packet's.
    pub fn assert_account(&self) -> Json {
        let (_, report) = self.verify();
        assert_eq!(report["findings"], Json::Array(Vec::new()), "{report:#}");
        assert_eq!(report["closed"], Json::Bool(true));
        let cpus = report["cpus"].as_array().expect("cpus");
        assert!(!cpus.is_empty(), "nothing was recorded");
        for cpu in cpus {
            let n = |key: &str| cpu[key].as_u64().unwrap_or_else(|| panic!("{key}: {cpu}"));
            let found = n("logged") + n("lost") + n("removed") + n("left_out");
            assert_eq!(n("emitted"), found, "{cpu}");
        }
        report
    }

    /// All connections in the order of their numbers.
    pub fn connections(&self) -> Vec<Connection> {
        let output = analyze(&["replay"], &self.dir);
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 3)),
            "replay: {code:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        crate::support::possible::assert_possible(&self.dir.join("tables"));
        let table = |name: &str| table::read(&self.dir.join("tables").join(name));
        let mut rows: Vec<Connection> = table("connections.parquet")
            .into_iter()
            .zip(table("estats.parquet"))
            .map(|(identity, values)| Connection { identity, values })
            .collect();
        for row in &rows {
            assert_eq!(row.identity.int("conn_id"), row.values.int("conn_id"));
        }
        rows.sort_by_key(|row| row.identity.int("conn_id"));
        rows
    }

    /// Rows of another table.
    pub fn table(&self, name: &str) -> Vec<Row> {
        self.connections();
        table::read(&self.dir.join("tables").join(name).with_extension("parquet"))
    }

    /// The connections with this port at either end.
    pub fn with_port(&self, port: u16) -> Vec<Connection> {
        let mut rows = self.connections();
        rows.retain(|row| {
            // A connection that was never bound or never got its peer has none.
            [("local_port"), ("remote_port")]
                .iter()
                .any(|column| row.identity.number(column) == Some(i64::from(port)))
        });
        rows
    }
}

/// Runs `estats-analyze ARGUMENTS DIR`.
pub fn analyze(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(arguments)
        .arg(dir)
        .output()
        .expect("estats-analyze can be started")
}

/// Bytes of the files of a recording, without its tables.
pub fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|f| f.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
}
