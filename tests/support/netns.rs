// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Network namespaces: made fresh, entered by a thread of their own, removed when dropped.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where iproute2 keeps its named namespaces.
const RUN_NETNS: &str = "/run/netns";
/// Names begin with this and the process id, so that what a killed run left behind is known as
/// such.
const PREFIX: &str = "estats-test-";

/// A network namespace with `lo` up, known to `ip netns` under a name of its own.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace; `role` becomes part of its name.
    pub fn new(role: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static REAP: Once = Once::new();
        REAP.call_once(remove_left_behind);
        let n = COUNTER.fetch_add(1, Ordering::SeqCst);
        let name = format!("{PREFIX}{}-{n}-{role}", std::process::id());
        ip(&["netns", "add", &name]);
        let netns = Self { name };
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// The name, as `ip netns exec` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip -n NAME ARGS`.
    pub fn ip(&self, args: &[&str]) {
        ip(&[&["-n", self.name.as_str()], args].concat());
    }

    /// Runs `tc ARGS` inside the namespace, its words separated by blanks.
    pub fn tc(&self, args: &str) {
        let output = self.command("tc").args(args.split(' ')).output().expect("tc can be run");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tc {args}: {}", error.trim());
    }

    /// A command that runs inside the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a closure on a thread of its own inside the namespace. Sockets and TUN devices made
    /// there belong to it for ever, and can be used from any thread afterwards.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let joined = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter();
                    f()
                })
                .join()
        });
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Sets a sysctl of the namespace, `name` below /proc/sys/net with slashes.
    pub fn sysctl(&self, name: &str, value: &str) {
        self.run(|| {
            // /proc/sys/net shows the namespace of the thread that looks.
            let path = Path::new("/proc/sys/net").join(name);
            fs::write(&path, value).unwrap_or_else(|e| panic!("{}={value}: {e}", path.display()));
        });
    }

    /// Sets a sysctl of the namespace, if this kernel has it and takes this value.
    pub fn takes_sysctl(&self, name: &str, value: &str) -> bool {
        self.run(|| fs::write(Path::new("/proc/sys/net").join(name), value).is_ok())
    }

    /// Asks for accurate ECN from now on, if this kernel can (7.0). Linux 6.18 has parts of it and refuses the
    /// setting; 5.10 takes every number, and means RFC 3168 by it.
    pub fn asks_for_accurate_ecn(&self) -> bool {
        !self.takes_sysctl("ipv4/tcp_ecn", "99") && self.takes_sysctl("ipv4/tcp_ecn", "3")
    }

    /// A file below /proc/net as the namespace sees it.
    pub fn proc_net(&self, file: &str) -> String {
        self.run(|| {
            let path = Path::new("/proc/thread-self/net").join(file);
            fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
    }

    /// Whether some TCP socket listens on the port.
    pub fn listens(&self, port: u16) -> bool {
        // Columns: sl local_address rem_address st; 0A is TCP_LISTEN.
        let suffix = format!(":{port:04X}");
        ["tcp", "tcp6"].iter().any(|file| {
            self.proc_net(file).lines().skip(1).any(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                columns.get(1).is_some_and(|local| local.ends_with(&suffix))
                    && columns.get(3) == Some(&"0A")
            })
        })
    }

    /// Waits until no connection is left but in TIME_WAIT, which is no longer a socket.
    pub fn wait_closed(&self) {
        let begun = Instant::now();
        loop {
            let open: Vec<String> = ["tcp", "tcp6"]
                .iter()
                .flat_map(|file| {
                    let table = self.proc_net(file);
                    table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
                })
                // 06 is TCP_TIME_WAIT, 0A TCP_LISTEN.
                .filter(|line| !matches!(line.split_whitespace().nth(3), Some("06" | "0A")))
                .collect();
            if open.is_empty() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "still open: {open:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn enter(&self) {
        let path = Path::new(RUN_NETNS).join(&self.name);
        let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        // SAFETY: setns changes the calling thread only, which is ours and ends after the closure.
        let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "setns {}: {}", path.display(), std::io::Error::last_os_error());
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // No panic here: it may run while another panic unwinds, and what stays behind is removed
        // by the next run.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Runs `ip` and panics with its output if it fails.
pub fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("the ip command can be run");
    assert!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// Removes namespaces of test processes that no longer exist.
fn remove_left_behind() {
    let Ok(entries) = fs::read_dir(RUN_NETNS) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}
