// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Traffic of tests that do not care about the path: over the loopback device of a namespace.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::netns::Netns;
use crate::support::tcp::{Listener, Options, Stream};

/// Both ends of one connection.
#[derive(Debug)]
pub struct Both {
    /// The end that connected.
    pub client: Stream,
    /// The end that accepted.
    pub server: Stream,
}

/// 127.0.0.1 with any port.
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Listens on 127.0.0.1.
pub fn listen(netns: &Netns) -> Listener {
    Listener::bind(netns, loopback(), Options::default())
}

/// Opens a connection to a listener of the same namespace.
pub fn open(netns: &Netns, listener: &Listener) -> Both {
    let address = listener.address();
    let client = Stream::connect(netns, address, Options::default())
        .unwrap_or_else(|e| panic!("connect to {address}: {e}"));
    Both { client, server: listener.accept() }
}

impl Both {
    /// Sends this many octets to the server, which reads them.
    pub fn upload(&self, octets: u64) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.client.send(octets));
            self.server.receive(octets);
        });
    }

    /// Both FINs, the client's first.
    pub fn finish(&self) {
        self.client.finish();
        self.server.receive_end();
        self.server.finish();
        self.client.receive_end();
    }
}

/// A whole connection with `octets` octets; the client's local end.
pub fn talk(netns: &Netns, listener: &Listener, octets: u64) -> SocketAddr {
    let both = open(netns, listener);
    let local = both.client.local();
    both.upload(octets);
    both.finish();
    local
}

/// What Perl needs of its socket module, and a connection to port `$_[0]` that is closed at once.
pub const PERL_CONNECT: &str = "use Socket; $| = 1; sub c { \
     socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!; \
     connect($s, pack_sockaddr_in($_[0], inet_aton('127.0.0.1'))) or die $!; \
     syswrite($s, 'hello'); close $s }; ";

/// A Perl program in a namespace, with `PERL_CONNECT` before it.
pub fn perl(netns: &Netns, program: &str) -> Command {
    let mut command = netns.command("perl");
    command.arg("-e").arg(format!("{PERL_CONNECT}{program}"));
    command
}

/// A child process that is ended with the test. Its standard input is a pipe.
#[derive(Debug)]
pub struct Process(pub Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process"))
    }

    /// Closes its standard input, which these programs wait for, and waits for its end.
    pub fn release(&mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().expect("a child can be waited for");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Waits until it is so; panics with `what` if it takes too long.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As much as the machine gives over the loopback device, in writes of 1 kB with Nagle's algorithm
/// off, so that segments are many, until it is stopped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Both>>,
}

impl Flood {
    /// Two connections at once: one for each of two CPUs.
    pub fn start(netns: &Netns) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let listener =
            Listener::bind(netns, loopback(), Options { nodelay: true, ..Options::default() });
        let threads = (0..2).map(|_| {
            let address = listener.address();
            let options = Options { nodelay: true, ..Options::default() };
            let client = Stream::connect(netns, address, options).expect("connect");
            let both = Both { client, server: listener.accept() };
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..16 {
                        both.client.send(1000);
                    }
                    both.server.receive(16_000);
                }
                both
            })
        });
        Self { threads: threads.collect(), stop }
    }

    /// Ends it; the connections are open and have nothing under way that is not acknowledged soon.
    pub fn stop(self) -> Vec<Both> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    }
}
