// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder in a guest: one process for each hook set.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::facts::Recorded;
use crate::sets::HookSet;

/// Loading takes a second or two on real hardware, ten to twenty times that under emulation, and
/// the machine that emulates may have other things to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// A recorder that runs, or that failed to.
#[derive(Debug)]
pub struct Recorder {
    set: &'static HookSet,
    child: Child,
    stderr: JoinHandle<String>,
    loading: Option<Duration>,
}

/// The recorder, started by these words if there are any.
fn command(under: &[String], set: &HookSet) -> Command {
    let recorder = env!("CARGO_BIN_EXE_estats-record");
    let mut command = match under {
        [] => Command::new(recorder),
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg(recorder);
            command
        }
    };
    command.args(set.options).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The output of `estats-record check --json` for a hook set; its complaints are shown.
pub fn check(set: &HookSet) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-record"));
    let output = command.arg("check").args(set.options).arg("--json").output();
    let output = output.expect("estats-record can be started");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("JSON is UTF-8")
}

impl Recorder {
    /// Records the whole host into `out/SET`; attached on return, if it can be.
    pub fn start(out: &Path, set: &'static HookSet) -> Self {
        Self::start_under(&[], out, set)
    }

    /// The same with words before the recorder's own: a program that starts it.
    pub fn start_under(under: &[String], out: &Path, set: &'static HookSet) -> Self {
        let begun = Instant::now();
        let mut command = command(under, set);
        command
            .args(set.also)
            .arg("--quiet")
            .arg("-o")
            .arg(out.join(set.name))
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("estats-record can be started");
        let pipe = child.stderr.take().expect("stderr is piped");
        let (attached, wait) = mpsc::channel();
        let stderr = std::thread::spawn(move || listen(pipe, &attached));
        // An error here means that it ended, or that the time is over: its output and status have the
        // reason.
        let loading = wait.recv_timeout(PATIENCE).ok().map(|()| begun.elapsed());
        println!("guest: recorder of the {} set, {:.1} s", set.name, begun.elapsed().as_secs_f64());
        Self { set, child, stderr, loading }
    }

    /// Ends the recording as a user does, with SIGINT.
    pub fn stop(self, check: Option<String>) -> Recorded {
        let (set, loading) = (self.set.name.to_owned(), self.loading);
        let (status, said) = self.end();
        Recorded {
            set,
            said,
            status: status.filter(|_| loading.is_some()),
            loading: loading.unwrap_or_default().as_secs_f64(),
            check,
        }
    }

    /// Ends the recording: its exit status, and its messages.
    pub fn end(mut self) -> (Option<i32>, String) {
        let pid = self.child.id() as libc::pid_t;
        if self.loading.is_some() {
            // SAFETY: the child has not been waited for, so the id is still its own.
            unsafe { libc::kill(pid, libc::SIGINT) };
        } else {
            let _ = self.child.kill(); // it may have ended
        }
        // The guest itself ends after its time, so this wait is bounded.
        let status = self.child.wait().expect("a child can be waited for").code();
        let said = self.stderr.join().expect("the reader ends with the pipe");
        if status != Some(0) {
            println!(
                "guest: the recorder of the {} set ended with {status:?}:\n{said}",
                self.set.name
            );
        }
        (status, said)
    }
}

/// All its messages; signals when it records.
fn listen(pipe: ChildStderr, attached: &Sender<()>) -> String {
    let mut text = String::new();
    let mut reader = BufReader::new(pipe);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        if line.starts_with("recording to ") {
            // The receiver is gone if the time is over.
            let _ = attached.send(());
        }
        text.push_str(&line);
        line.clear();
    }
    text
}
