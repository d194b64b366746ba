// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Messages to the service manager: sd_notify(3), a datagram for each. Without a manager nothing is sent.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Time between two lines of state.
const STATE: Duration = Duration::from_secs(10);

/// The service manager that has started this process, if one has.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the recorder lives, at most.
    every: Option<Duration>,
    alive: Option<Instant>,
    stated: Option<Instant>,
}

impl Manager {
    /// The one that the environment names.
    ///
    /// # Errors
    /// If there is one that cannot be reached.
    pub fn of_environment() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let text = |name| env::var(name).ok();
        let usec = text("WATCHDOG_USEC").filter(|_| {
            // It may be that of the process that started this one.
            text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string())
        });
        Self::at(&name, usec.as_deref())
    }

    /// The one behind a socket, which waits for so many microseconds for a sign of life.
    fn at(name: &OsStr, usec: Option<&str>) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // Rings are not read while a manager does not read.
        socket.set_nonblocking(true)?;
        let usec = usec.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        let every = usec.map(|usec| Duration::from_micros(usec) / 2);
        Ok(Self { socket: Some(socket), every, ..Self::default() })
    }

    /// A message that does not arrive is not sent again: the next one of its kind comes soon.
    fn send(&self, message: &str) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.send(message.as_bytes()).is_ok())
    }

    /// The hooks are attached.
    pub fn ready(&self, state: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(state)));
    }

    /// The recording ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=ending the recording");
    }

    /// A round of the rings is done. Reports it if it is time to.
    pub fn alive(&mut self) {
        let Some(every) = self.every else { return };
        if self.alive.is_none_or(|last| last.elapsed() >= every) && self.send("WATCHDOG=1") {
            self.alive = Some(Instant::now());
        }
    }

    /// Sends the state, now and then.
    pub fn state(&mut self, state: impl FnOnce() -> String) {
        if self.socket.is_some() && self.stated.is_none_or(|last| last.elapsed() >= STATE) {
            self.send(&format!("STATUS={}", line(&state())));
            self.stated = Some(Instant::now());
        }
    }
}

/// A message has a line for each word of it, and a state is one.
fn line(text: &str) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 200];
        let size = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..size].to_vec()).unwrap())
    }

    #[test]
    fn messages_arrive_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("estats-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets =
            [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&address).unwrap()];
        let names = [path.into_os_string(), format!("@{name}").into()];
        for (socket, name) in sockets.iter().zip(names) {
            socket.set_nonblocking(true).unwrap();
            let mut manager = Manager::at(&name, Some("60000000")).unwrap();
            manager.ready("recording to\nrun");
            assert_eq!(heard(socket).unwrap(), "READY=1\nSTATUS=recording to run");
            // Once, and then after half of the time.
            manager.alive();
            manager.alive();
            assert_eq!(heard(socket).unwrap(), "WATCHDOG=1");
            assert_eq!(heard(socket), None);
            manager.alive = Instant::now().checked_sub(Duration::from_secs(31));
            manager.alive();
            assert_eq!(heard(socket).unwrap(), "WATCHDOG=1");
            manager.state(|| "1 connection".to_owned());
            manager.state(|| unreachable!("too early"));
            assert_eq!(heard(socket).unwrap(), "STATUS=1 connection");
            manager.stopping();
            assert!(heard(socket).unwrap().starts_with("STOPPING=1\n"));
        }
    }

    #[test]
    fn without_a_manager_nothing_is_sent_and_nothing_fails() {
        let mut nobody = Manager::default();
        nobody.ready("");
        nobody.alive();
        nobody.state(|| unreachable!("nobody hears it"));
        assert!(Manager::at(OsStr::new("/nonexistent/notify"), None).is_err());
        // A socket that is full does not hold the recorder up.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _full = UnixDatagram::bind(&path).unwrap();
        let mut manager = Manager::at(path.as_os_str(), Some("0")).unwrap();
        assert_eq!(manager.every, None, "no watchdog");
        (0..10_000).for_each(|_| manager.stopping());
        manager.alive();
    }
}
