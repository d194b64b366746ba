// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A capture by a packet socket without a filter, packet(7), into a pcap file.
//!
//! Not tcpdump, which always attaches a filter. A kernel may leave out BPF programs for some packets
//! (docs/decisions.md); that it leaves out filters of sockets too was not measured. Without a filter the
//! question does not arise.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::netns::Netns;

/// LINKTYPE_ETHERNET and LINKTYPE_RAW.
const ETHERNET: u32 = 1;
const RAW: u32 = 101;
/// More than the largest packet that segmentation offload makes.
const SNAPLEN: usize = 262_144;

/// A capture that runs until it is stopped.
#[derive(Debug)]
pub struct PacketSocket {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Captured>>,
    into: PathBuf,
}

/// Frames with their time, in nanoseconds since 1970.
#[derive(Debug, Default)]
struct Captured {
    link_type: u32,
    frames: Vec<(u64, Vec<u8>)>,
    dropped: u32,
}

impl PacketSocket {
    /// Captures from now on.
    pub fn start(netns: &Netns, device: &str, into: &Path) -> Self {
        let socket = netns.run(|| bound(device)).unwrap_or_else(|e| panic!("{device}: {e}"));
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let thread = std::thread::spawn(move || receive(&socket, &until).expect("packets"));
        Self { over, thread: Some(thread), into: into.to_owned() }
    }

    /// Writes what there was.
    pub fn stop(mut self) {
        self.over.store(true, Ordering::Release);
        let captured = self.thread.take().expect("it runs").join().expect("the capture ends");
        assert_eq!(captured.dropped, 0, "packets that had no room in the socket");
        std::fs::write(&self.into, pcap(&captured)).expect("a capture can be written");
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        // Only after a failed test; nothing of it is kept then.
        self.over.store(true, Ordering::Release);
    }
}

/// A packet socket of all protocols at this device, with times.
fn bound(device: &str) -> io::Result<OwnedFd> {
    let all = (libc::ETH_P_ALL as u16).to_be();
    // Protocol 0: nothing is received before it is bound.
    // SAFETY: socket(2) takes no pointers; the descriptor is new and ours.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let name = CString::new(device)?;
    // SAFETY: a string with its final zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let wait = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
    option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &(64 << 20 as libc::c_int))?;
    option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
    option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &wait)?;
    // SAFETY: all zeros is a valid address, and bind() reads as much as it is given.
    let result = unsafe {
        let mut addr: libc::sockaddr_ll = std::mem::zeroed();
        addr.sll_family = libc::AF_PACKET as u16;
        addr.sll_protocol = all;
        addr.sll_ifindex = index as i32;
        let len = size_of_val(&addr) as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const addr).cast(), len)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = (&raw const *value).cast();
    // SAFETY: the value is as long as is stated.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives until it is over and nothing is left.
fn receive(socket: &OwnedFd, over: &AtomicBool) -> io::Result<Captured> {
    let mut captured = Captured { link_type: ETHERNET, ..Captured::default() };
    let mut buffer = vec![0_u8; SNAPLEN];
    loop {
        // Read before the queue is looked at, or what came between the two would be missing.
        let last = over.load(Ordering::Acquire);
        // SAFETY: all zeros is valid for these; the kernel writes within the stated lengths.
        let (n, from, ns) = unsafe {
            let mut from: libc::sockaddr_ll = std::mem::zeroed();
            let mut control = [0_u64; 16];
            let mut iov =
                libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_name = (&raw mut from).cast();
            message.msg_namelen = size_of_val(&from) as libc::socklen_t;
            message.msg_iov = &raw mut iov;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control);
            let n = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
            let error = io::Error::last_os_error();
            if n < 0 && error.kind() == io::ErrorKind::WouldBlock {
                if last {
                    break;
                }
                continue;
            }
            if n < 0 {
                return Err(error);
            }
            let mut ns = 0;
            let mut header = libc::CMSG_FIRSTHDR(&raw const message);
            while !header.is_null() {
                if (*header).cmsg_type == libc::SCM_TIMESTAMPNS {
                    let time = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                    ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
                }
                header = libc::CMSG_NXTHDR(&raw const message, header);
            }
            (n as usize, from, ns)
        };
        let loopback = from.sll_hatype == libc::ARPHRD_LOOPBACK;
        if loopback && from.sll_pkttype == libc::PACKET_OUTGOING {
            // Comes once more, as received; libpcap leaves it out as well.
            continue;
        }
        if !loopback && from.sll_hatype != libc::ARPHRD_ETHER {
            captured.link_type = RAW;
        }
        captured.frames.push((ns, buffer[..n].to_vec()));
    }
    captured.dropped = dropped(socket)?;
    Ok(captured)
}

/// tp_drops of struct tpacket_stats.
fn dropped(socket: &OwnedFd) -> io::Result<u32> {
    let mut statistics = [0_u32; 2];
    let mut len = size_of_val(&statistics) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            statistics.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(statistics[1]) }
}

/// Little endian, with nanoseconds.
fn pcap(captured: &Captured) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(0xa1b2_3c4d_u32.to_le_bytes());
    b.extend(2_u16.to_le_bytes());
    b.extend(4_u16.to_le_bytes());
    for field in [0, 0, SNAPLEN as u32, captured.link_type] {
        b.extend(field.to_le_bytes());
    }
    for (ns, frame) in &captured.frames {
        let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
        for field in [seconds as u32, rest as u32, frame.len() as u32, frame.len() as u32] {
            b.extend(field.to_le_bytes());
        }
        b.extend(frame);
    }
    b
}
