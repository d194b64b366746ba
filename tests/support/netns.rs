// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Network namespaces: made fresh, entered by a thread of their own, removed when dropped.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::OnceLock;
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
        static PREPARED: OnceLock<Result<(), String>> = OnceLock::new();
        PREPARED.get_or_init(prepare).as_ref().unwrap_or_else(|why| panic!("{why}"));
        let n = COUNTER.fetch_add(1, Ordering::SeqCst);
        let netns = Self { name: format!("{PREFIX}{}-{n}-{role}", std::process::id()) };
        let made = std::thread::scope(|scope| scope.spawn(|| make(&netns.path())).join());
        made.expect("a thread that does not panic")
            .unwrap_or_else(|e| panic!("{}: {e}", netns.name));
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

    /// Gives a device an address with its prefix length. An IPv6 address can be bound at once:
    /// without `nodad` the kernel checks first that no other host has it, on `lo` too, and
    /// listening on it fails in that time.
    pub fn add_address(&self, address: &str, device: &str) {
        let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        self.ip(&[&["address", "add", address, "dev", device], nodad].concat());
    }

    /// Runs these lines of `ip` inside the namespace, in one process.
    pub fn ip_batch(&self, lines: &[String]) {
        batch(Command::new("ip").args(["-n", &self.name]), lines);
    }

    /// Runs `tc ARGS` inside the namespace, its words separated by blanks.
    pub fn tc(&self, args: &str) {
        let mut command = Command::new("tc");
        command.args(["-n", &self.name]).args(args.split_whitespace());
        let output = command.output().expect("tc can be run");
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

    /// Sets an attribute of a device, `name` below /sys/class/net.
    pub fn device_attribute(&self, name: &str, value: &str) {
        self.run(|| {
            show_sysfs().unwrap_or_else(|e| panic!("/sys of {}: {e}", self.name));
            let path = Path::new("/sys/class/net").join(name);
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

    fn path(&self) -> PathBuf {
        Path::new(RUN_NETNS).join(&self.name)
    }

    fn enter(&self) {
        let path = self.path();
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
        let path = self.path();
        if let Ok(name) = words(&path) {
            // SAFETY: the name is a string with its 0.
            unsafe { libc::umount2(name.as_ptr(), libc::MNT_DETACH) };
        }
        let _ = fs::remove_file(path);
    }
}

/// What `ip netns add` and `ip link set lo up` do, without a process for each. Under emulation, starting a process
/// takes a third of a second, and a test has up to three namespaces. To be called on a thread of its own, which stays
/// inside.
fn make(path: &Path) -> io::Result<()> {
    // SAFETY: it changes the calling thread only.
    done(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    fs::File::create_new(path)?;
    mount(c"/proc/thread-self/ns/net", &words(path)?, c"none", libc::MS_BIND)?;
    // SAFETY: it makes a descriptor.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    done(socket)?;
    // SAFETY: the descriptor is new and ours.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char; // signed on x86-64, unsigned on arm64
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).expect("a flag of 16 bits");
    // SAFETY: the request is an ifreq with a name that ends by a 0.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })
}

/// Gives the calling thread a /sys that shows its network namespace, as `ip netns exec` does: sysfs shows that of
/// the process that mounted it.
fn show_sysfs() -> io::Result<()> {
    // SAFETY: it changes the calling thread only.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // Or the host's /sys would change too.
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_SLAVE)?;
    mount(c"sysfs", c"/sys", c"sysfs", 0)
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the names are strings with their 0; no file system here takes data.
    done(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, ptr::null())
    })
}

fn words(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs these lines of `ip` in one process.
pub fn ip_batch(lines: &[String]) {
    batch(&mut Command::new("ip"), lines);
}

fn batch(command: &mut Command, lines: &[String]) {
    command.args(["-batch", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command can be run");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    // Some hundred bytes: a pipe takes them though nobody reads yet. A command that ends early says why itself.
    let _ = stdin.write_all((lines.join("\n") + "\n").as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the command can be waited for");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{lines:#?}: {}", error.trim());
}

/// Runs `ip` and panics with its output if it fails.
pub fn ip(args: &[&str]) {
    try_ip(args).unwrap_or_else(|why| panic!("{why}"));
}

fn try_ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output();
    let output = output.map_err(|e| format!("the ip command cannot be run: {e}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    let is_done = output.status.success();
    if is_done { Ok(()) } else { Err(format!("ip {}: {}", args.join(" "), error.trim())) }
}

/// Has `ip` make its directory with a mount that is shared, as the first namespace needs it. Removes namespaces of
/// test processes that no longer exist.
fn prepare() -> Result<(), String> {
    let first = format!("{PREFIX}{}-first", std::process::id());
    try_ip(&["netns", "add", &first])?;
    try_ip(&["netns", "del", &first])?;
    let entries = fs::read_dir(RUN_NETNS).map_err(|e| format!("{RUN_NETNS}: {e}"))?;
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
    Ok(())
}
