// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The load of bench/cost.py: a TCP ping-pong of one thread, and what a message costs it.
//!
//! One thread owns both ends, each in its own network namespace with veth between them, and is
//! pinned to a CPU. Every message is one segment, sent and received before the next goes the other
//! way, so its whole path (system calls, TCP, veth, softirq, whatever is attached to them) runs on
//! this thread, and the thread's CPU time is the cost. CPU time, not wall time: other load of the
//! machine lengthens the latter. Two processes were refused: they add scheduling, which varies more
//! between two runs than what is measured.

#![allow(clippy::disallowed_methods, reason = "a load generator, not part of the library")]

use std::{
    ffi::CString,
    io::{self, Error, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd as _, OwnedFd},
};

/// Fits one segment behind the usual 1500-octet MTU with timestamps.
const MESSAGE: usize = 1448;
/// Messages before the first one that counts: slow start, caches, the recorder's first records.
const WARM_UP: u32 = 2000;

const USAGE: &str =
    "usage: pingpong CLIENT_NETNS SERVER_NETNS SERVER_ADDRESS PORT CPU CHUNKS MESSAGES
prints the CPU time per message in nanoseconds: first quartile, median, third quartile of CHUNKS
chunks of MESSAGES messages";

struct Arguments {
    client: String,
    server: String,
    address: SocketAddrV4,
    cpu: usize,
    chunks: usize,
    messages: u32,
}

fn arguments() -> Option<Arguments> {
    let mut given = std::env::args().skip(1);
    let parsed = Arguments {
        client: given.next()?,
        server: given.next()?,
        address: SocketAddrV4::new(
            given.next()?.parse::<Ipv4Addr>().ok()?,
            given.next()?.parse().ok()?,
        ),
        cpu: given.next()?.parse().ok()?,
        chunks: given.next()?.parse().ok().filter(|n| *n > 0)?,
        messages: given.next()?.parse().ok().filter(|n| *n > 0)?,
    };
    given.next().is_none().then_some(parsed)
}

fn checked(result: libc::c_int, action: &str) -> io::Result<libc::c_int> {
    if result >= 0 {
        return Ok(result);
    }
    let e = Error::last_os_error();
    Err(Error::new(e.kind(), format!("{action}: {e}")))
}

/// Moves this thread into a named network namespace; its sockets stay where they were made.
fn enter(netns: &str) -> io::Result<()> {
    let path = CString::new(format!("/run/netns/{netns}"))?;
    let action = format!("enter the network namespace {netns}");
    // SAFETY: a valid C string; the descriptor is owned at once.
    let fd = unsafe {
        let fd = checked(libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC), &action)?;
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: a valid descriptor.
    checked(unsafe { libc::setns(fd.as_raw_fd(), libc::CLONE_NEWNET) }, &action).map(drop)
}

fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: a CPU set is plain bits, all zero is the empty set; CPU_SET ignores what is outside.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    checked(result, &format!("pin to CPU {cpu}")).map(drop)
}

/// The default may be bbr, which paces and whose model makes runs differ.
fn use_cubic(socket: &impl AsRawFd) -> io::Result<()> {
    let name = b"cubic";
    // SAFETY: a valid descriptor and a buffer of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    };
    checked(result, "choose cubic").map(drop)
}

/// CPU time of this thread in nanoseconds, softirq work done on top of it included.
fn cpu_ns() -> io::Result<u64> {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the result.
    checked(
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) },
        "read the clock",
    )?;
    Ok(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
}

/// `messages` messages, there and back in turn.
fn play(ends: &mut [TcpStream; 2], messages: u32) -> io::Result<()> {
    let mut buffer = [0; MESSAGE];
    for i in 0..messages as usize {
        ends[i % 2].write_all(&buffer)?;
        ends[(i + 1) % 2].read_exact(&mut buffer)?;
    }
    Ok(())
}

fn run(a: &Arguments) -> io::Result<()> {
    pin(a.cpu)?;
    enter(&a.server)?;
    let listener = TcpListener::bind(a.address)?;
    // The accepted end inherits it.
    use_cubic(&listener)?;
    enter(&a.client)?;
    let client = TcpStream::connect(a.address)?;
    let (server, _) = listener.accept()?;
    use_cubic(&client)?;
    let mut ends = [client, server];
    for end in &ends {
        end.set_nodelay(true)?;
    }
    play(&mut ends, WARM_UP)?;
    let mut per_message = Vec::with_capacity(a.chunks);
    for _ in 0..a.chunks {
        let before = cpu_ns()?;
        play(&mut ends, a.messages)?;
        per_message.push((cpu_ns()? - before) / u64::from(a.messages));
    }
    per_message.sort_unstable();
    let at = |quarter: usize| per_message[quarter * (a.chunks - 1) / 4];
    println!("{} {} {}", at(1), at(2), at(3));
    Ok(())
}

fn main() -> std::process::ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return 2.into();
    };
    match run(&arguments) {
        Ok(()) => 0.into(),
        Err(e) => {
            eprintln!("pingpong: {e}");
            1.into()
        }
    }
}
