// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A pair of Ethernet interfaces between two namespaces, which see what no TUN device does: link
//! headers, VLAN tags, and super-packets.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::netns::Netns;

/// Link addresses of the two ends.
pub const MACS: [&str; 2] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"];

/// Makes the pair, both ends of this name and still down, so that nothing has passed them yet.
pub fn link(name: &str, a: &Netns, b: &Netns) {
    let one = ["link", "add", name, "address", MACS[0], "type", "veth"];
    let other = ["peer", "name", name, "address", MACS[1], "netns", b.name()];
    a.ip(&[&one[..], &other[..]].concat());
}

/// Gives an end its addresses (with prefix length) and sets it up.
pub fn up(name: &str, netns: &Netns, addresses: &[&str]) {
    for address in addresses {
        netns.add_address(address, name);
    }
    netns.ip(&["link", "set", name, "up"]);
}

/// Index of an interface.
pub fn index(name: &str, netns: &Netns) -> u32 {
    netns.run(|| {
        let text = std::fs::read_to_string("/proc/thread-self/net/dev").expect("net/dev");
        assert!(text.contains(name), "{name}: {text}");
        let name = std::ffi::CString::new(name).expect("a name has no NUL");
        // SAFETY: `name` is a C string that outlives the call.
        unsafe { libc::if_nametoindex(name.as_ptr()) }
    })
}

/// The counters of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets and bytes received.
    pub received: [u64; 2],
    /// Packets and bytes sent.
    pub sent: [u64; 2],
}

/// An interface's own counters since it was made.
pub fn counters(name: &str, netns: &Netns) -> Counters {
    let table = netns.proc_net("dev");
    let prefix = format!("{name}:");
    let line = table.lines().find_map(|l| l.trim_start().strip_prefix(&prefix));
    let numbers: Vec<u64> = line
        .unwrap_or_else(|| panic!("no {name} in {table}"))
        .split_whitespace()
        .map(|n| n.parse().expect("a number"))
        .collect();
    // bytes packets errs drop fifo frame compressed multicast, and again of what was sent
    Counters { received: [numbers[1], numbers[0]], sent: [numbers[9], numbers[8]] }
}

/// Waits until programs are attached at both places of an interface by links.
pub fn wait_attached(name: &str, netns: &Netns) {
    let index = index(name, netns);
    let begun = Instant::now();
    // enum bpf_attach_type: BPF_TCX_INGRESS, BPF_TCX_EGRESS
    while !netns.run(|| [46, 47].iter().all(|place| programs(index, *place) > 0)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing attached at {name}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Programs at a place of an interface of the calling thread's namespace.
fn programs(index: u32, place: u32) -> u32 {
    const BPF_PROG_QUERY: libc::c_long = 16;
    // union bpf_attr: target_ifindex, attach_type, query_flags, attach_flags, prog_ids (two words),
    // count, and more that stays 0.
    let mut attr = [0u32; 18];
    (attr[0], attr[1]) = (index, place);
    // SAFETY: the attributes are valid for their stated size; without prog_ids only count is written.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, attr.as_mut_ptr(), size_of_val(&attr))
    };
    if result == 0 { attr[6] } else { 0 }
}

/// Sends a whole frame, from the link header on.
pub fn send_frame(name: &str, netns: &Netns, frame: &[u8]) {
    send_frames(name, netns, &[frame.to_vec()]);
}

/// Sends whole frames.
pub fn send_frames(name: &str, netns: &Netns, frames: &[Vec<u8>]) {
    let index = index(name, netns);
    netns.run(|| {
        // SAFETY: no memory of ours is involved.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "AF_PACKET: {}", std::io::Error::last_os_error());
        // SAFETY: just made, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all-zero is a valid address.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as _;
        to.sll_ifindex = index as _;
        let len = size_of_val(&to) as _;
        for frame in frames {
            // SAFETY: frame and address are valid for their stated sizes.
            let sent = unsafe {
                let frame = (frame.as_ptr().cast(), frame.len());
                libc::sendto(fd.as_raw_fd(), frame.0, frame.1, 0, (&raw const to).cast(), len)
            };
            assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
        }
    });
}

/// A UDP datagram over IPv4 in an Ethernet frame with these VLAN tags; no checksum of UDP.
pub fn tagged_datagram(tags: &[u16], from: IpAddr, to: IpAddr, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else { panic!("IPv4 only") };
    // Broadcast, so that it arrives without ARP.
    let mut frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9]].concat();
    for id in tags {
        frame.extend([&0x8100u16.to_be_bytes()[..], &(0x2000 | id).to_be_bytes()].concat());
    }
    frame.extend(0x0800u16.to_be_bytes());
    let len = 28 + payload.len() as u16;
    let mut ip = vec![0x45, 0];
    ip.extend(len.to_be_bytes());
    ip.extend([0, 7, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum: u32 = ip.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    for word in [4000, 4001, len - 20, 0] {
        frame.extend(word.to_be_bytes());
    }
    frame.extend(payload);
    frame
}

/// Whether no program is attached by a link.
pub fn is_free(name: &str, netns: &Netns) -> bool {
    let index = index(name, netns);
    netns.run(|| [46, 47].iter().all(|place| programs(index, *place) == 0))
}
