// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The loads of bench/cost.py: a TCP ping-pong of one thread, or packets that the kernel drops, and what a message
//! costs it.
//!
//! One thread owns both ends, each in its own network namespace with veth between them, and is
//! pinned to a CPU. Every message is one segment, sent and received before the next goes the other
//! way, so its whole path (system calls, TCP, veth, softirq, whatever is attached to them) runs on
//! this thread, and the thread's CPU time is the cost. CPU time, not wall time: other load of the
//! machine lengthens the latter. Two processes were refused: they add scheduling, which varies more
//! between two runs than what is measured.
//!
//! `resets` are TCP segments to a port without a socket: each is a packet of TCP that the kernel drops, and answers with
//! nothing. `datagrams` fill the queue of a UDP socket that nobody reads: each is dropped, and is no packet of TCP.

#![allow(clippy::disallowed_methods, reason = "a load generator, not part of the library")]

use std::{
    ffi::CString,
    io::{self, Error, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, FromRawFd as _, OwnedFd},
};

/// Fits one segment behind the usual 1500-octet MTU with timestamps.
const MESSAGE: usize = 1448;
/// Messages before the first one that counts: slow start, caches, the recorder's first records.
const WARM_UP: u32 = 2000;

const USAGE: &str =
    "usage: pingpong CLIENT_NETNS SERVER_NETNS SERVER_ADDRESS PORT CPU CHUNKS MESSAGES [LOAD]
LOAD is messages (as without it), resets or datagrams;
prints the CPU time per message in nanoseconds: first quartile, median, third quartile of CHUNKS
chunks of MESSAGES messages";

struct Arguments {
    client: String,
    server: String,
    address: SocketAddrV4,
    cpu: usize,
    chunks: usize,
    messages: u32,
    load: Load,
}

/// What is sent.
#[derive(Clone, Copy)]
enum Load {
    Messages,
    Resets,
    Datagrams,
}

impl Load {
    fn named(name: &str) -> Option<Self> {
        match name {
            "messages" => Some(Self::Messages),
            "resets" => Some(Self::Resets),
            "datagrams" => Some(Self::Datagrams),
            _ => None,
        }
    }
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
        load: given.next().map_or(Some(Load::Messages), |name| Load::named(&name))?,
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

/// The header of a TCP segment with a reset, to this port. The kernel looks for a socket after it has compared the
/// checksum, so that has to be right.
fn reset(from: Ipv4Addr, to: SocketAddrV4) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[0..2].copy_from_slice(&40_000_u16.to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    (segment[12], segment[13]) = (5 << 4, 4);
    let pseudo = [&from.octets()[..], &to.ip().octets(), &[0, 6, 0, 20], &segment].concat();
    let words = pseudo.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    segment[16..18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    segment
}

/// The address from which this namespace sends to another one.
fn own_address(to: SocketAddrV4) -> io::Result<Ipv4Addr> {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    probe.connect(to)?;
    match probe.local_addr()?.ip() {
        std::net::IpAddr::V4(own) => Ok(own),
        std::net::IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// A raw socket whose packets are the segments given to it.
fn raw_tcp(to: SocketAddrV4) -> io::Result<UdpSocket> {
    // SAFETY: the descriptor is owned at once. send(2) and connect(2) work on it as on a UDP socket.
    let socket = unsafe {
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = checked(libc::socket(libc::AF_INET, flags, libc::IPPROTO_TCP), "a raw socket")?;
        UdpSocket::from_raw_fd(fd)
    };
    socket.connect(to)?;
    Ok(socket)
}

/// Sends what the kernel drops on the other side, before the call returns.
fn drop_packets(a: &Arguments, messages: u32) -> io::Result<impl FnMut(u32) -> io::Result<()>> {
    enter(&a.server)?;
    let unread = UdpSocket::bind(a.address)?;
    enter(&a.client)?;
    let (socket, packet) = match a.load {
        Load::Resets => (raw_tcp(a.address)?, reset(own_address(a.address)?, a.address).to_vec()),
        Load::Datagrams | Load::Messages => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(a.address)?;
            (socket, vec![0; MESSAGE])
        }
    };
    let send = move |messages: u32| -> io::Result<()> {
        let _held = &unread;
        for _ in 0..messages {
            socket.send(&packet)?;
        }
        Ok(())
    };
    send(messages)?;
    Ok(send)
}

/// The two ends of a connection, after some messages.
fn play_messages(a: &Arguments) -> io::Result<impl FnMut(u32) -> io::Result<()>> {
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
    Ok(move |messages| play(&mut ends, messages))
}

fn run(a: &Arguments) -> io::Result<()> {
    pin(a.cpu)?;
    match a.load {
        Load::Messages => measure(a, play_messages(a)?),
        Load::Resets | Load::Datagrams => measure(a, drop_packets(a, WARM_UP)?),
    }
}

fn measure(a: &Arguments, mut send: impl FnMut(u32) -> io::Result<()>) -> io::Result<()> {
    let mut per_message = Vec::with_capacity(a.chunks);
    for _ in 0..a.chunks {
        let before = cpu_ns()?;
        send(a.messages)?;
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
