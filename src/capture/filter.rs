// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The filters: parsing what the user names, and filling the maps that the kernel side asks.

use std::{
    fs,
    mem::offset_of,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt,
    path::Path,
    str::FromStr,
};

use libbpf_rs::{MapCore, MapFlags};

use super::{CaptureError, Setting, cgroup, netns, process::descendants};
use crate::schema::record::AddrKey;
use crate::wire::Snapshot;

/// An address prefix, IPv4 or IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    text: String,
    /// IPv4 as IPv4-mapped IPv6: one trie for both, and a dual-stack socket's mapped addresses
    /// match an IPv4 prefix.
    addr: Ipv6Addr,
    /// Length of the prefix in `addr`.
    bits: u32,
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (addr, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let addr: IpAddr =
            addr.parse().map_err(|_| format!("{addr:?} is neither an IPv4 nor an IPv6 address"))?;
        let (width, offset, addr) = match addr {
            IpAddr::V4(v4) => (32, 96, v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (128, 0, v6),
        };
        let bits = match bits {
            None => width,
            Some(b) => b
                .parse()
                .ok()
                .filter(|b| *b <= width)
                .ok_or_else(|| format!("prefix length {b:?} is not a number up to {width}"))?,
        };
        Ok(Self { text: text.to_owned(), addr, bits: bits + offset })
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Addresses {
    fn contain(&self, addr: Ipv6Addr) -> bool {
        let differs = u128::from(self.addr) ^ u128::from(addr);
        differs.leading_zeros() >= self.bits
    }

    fn key(&self) -> [u8; AddrKey::SIZE] {
        let mut key = [0; AddrKey::SIZE];
        key[offset_of!(AddrKey, prefix_len)..][..4].copy_from_slice(&self.bits.to_ne_bytes());
        key[offset_of!(AddrKey, addr)..][..16].copy_from_slice(&self.addr.octets());
        key
    }
}

/// Which connections are recorded. Values of one list are ORed, different lists are ANDed, and an
/// empty list lets everything pass. A connection that has a value of a negative list is left out.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Local or remote port.
    pub ports: Vec<u16>,
    /// Neither the local nor the remote port.
    pub not_ports: Vec<u16>,
    /// Local or remote address.
    pub addresses: Vec<Addresses>,
    /// Neither the local nor the remote address.
    pub not_addresses: Vec<Addresses>,
    /// Name of the owner's process, or of the thread that made the connection: the kernel keeps 15
    /// bytes of it, and no more are compared.
    pub comms: Vec<String>,
    /// Owner's process id, with the children it has and will have.
    pub pids: Vec<u32>,
    /// cgroup v2 path, with its descendants.
    pub cgroups: Vec<String>,
    /// Network namespace, by name or path.
    pub netns: Vec<String>,
}

/// Maps of the kernel side that hold the filters.
pub(super) struct Maps<'a> {
    pub ports: &'a dyn MapCore,
    pub addrs: &'a dyn MapCore,
    pub not_ports: &'a dyn MapCore,
    pub not_addrs: &'a dyn MapCore,
    pub comms: &'a dyn MapCore,
    pub pids: &'a dyn MapCore,
    pub cgroups: &'a dyn MapCore,
    pub netnses: &'a dyn MapCore,
}

fn put(map: &dyn MapCore, key: &[u8]) -> Result<(), CaptureError> {
    map.update(key, &[1], MapFlags::ANY).map_err(|e| CaptureError::bpf("set a filter", e))
}

/// A name as the kernel has it (TASK_COMM_LEN): 15 bytes at most, then zeros.
fn comm_key(name: &str) -> [u8; 16] {
    let mut key = [0; 16];
    let bytes = &name.as_bytes()[..name.len().min(15)];
    key[..bytes.len()].copy_from_slice(bytes);
    key
}

impl Filters {
    /// Whether every connection passes.
    pub fn are_empty(&self) -> bool {
        let Self { ports, not_ports, addresses, not_addresses, comms, pids, cgroups, netns } = self;
        let lists = [comms, cgroups, netns];
        (ports.is_empty() && not_ports.is_empty())
            && (addresses.is_empty() && not_addresses.is_empty())
            && (pids.is_empty() && lists.iter().all(|list| list.is_empty()))
    }

    /// Inode numbers of the namespaces asked for.
    ///
    /// # Errors
    /// [`CaptureError::Option`] for a name that is none's.
    pub(super) fn netns_inodes(&self) -> Result<Vec<u32>, CaptureError> {
        self.netns.iter().map(|name| netns::inode_of(name)).collect()
    }

    /// Checks that everything named exists.
    pub(super) fn check(&self) -> Result<(), CaptureError> {
        let mount = cgroup::mount();
        self.cgroups.iter().try_for_each(|c| cgroup::id_of(mount.as_deref(), c).map(drop))?;
        self.netns.iter().try_for_each(|n| netns::inode_of(n).map(drop))?;
        // Every connection has such a port, and is left out for it.
        let left_out = |port: &&u16| self.not_ports.contains(port);
        if let Some(port) = self.ports.iter().find(left_out)
            && self.ports.iter().all(|port| left_out(&port))
        {
            return Err(CaptureError::NoPortLeft { port: *port });
        }
        self.pids.iter().try_for_each(|p| {
            if !in_initial_pid_namespace() {
                return Err(CaptureError::OtherPids { pid: *p });
            }
            if Path::new(&format!("/proc/{p}")).exists() {
                return Ok(());
            }
            let reason = "there is no such process".to_owned();
            Err(CaptureError::Option { setting: Setting::Pid, value: p.to_string(), reason })
        })
    }

    /// The kernel side's test of ports and addresses (tuple_passes() of bpf/filter.bpf.h), for a socket
    /// that was read in another way.
    pub(super) fn pass(&self, s: &Snapshot) -> bool {
        let ports = [s.local_port, s.remote_port];
        let addresses = [&s.local_addr, &s.remote_addr].map(|a| match s.family as libc::c_int {
            libc::AF_INET => Ipv4Addr::new(a[0], a[1], a[2], a[3]).to_ipv6_mapped(),
            _ => Ipv6Addr::from_octets(*a),
        });
        let on = |list: &[u16]| ports.iter().any(|p| list.contains(p));
        let within =
            |list: &[Addresses]| addresses.iter().any(|a| list.iter().any(|of| of.contain(*a)));
        (self.ports.is_empty() || on(&self.ports))
            && !on(&self.not_ports)
            && (self.addresses.is_empty() || within(&self.addresses))
            && !within(&self.not_addresses)
    }

    /// Fills the maps; the kernel side asks them once per connection.
    pub(super) fn install(&self, maps: &Maps<'_>) -> Result<(), CaptureError> {
        let mount = cgroup::mount();
        for port in &self.ports {
            put(maps.ports, &port.to_ne_bytes())?;
        }
        for addresses in &self.addresses {
            put(maps.addrs, &addresses.key())?;
        }
        for port in &self.not_ports {
            put(maps.not_ports, &port.to_ne_bytes())?;
        }
        for addresses in &self.not_addresses {
            put(maps.not_addrs, &addresses.key())?;
        }
        for name in &self.comms {
            put(maps.comms, &comm_key(name))?;
        }
        for path in &self.cgroups {
            put(maps.cgroups, &cgroup::id_of(mount.as_deref(), path)?.to_ne_bytes())?;
        }
        for name in &self.netns {
            put(maps.netnses, &netns::inode_of(name)?.to_ne_bytes())?;
        }
        // Later children are followed in the kernel.
        for pid in descendants(&self.pids) {
            put(maps.pids, &pid.to_ne_bytes())?;
        }
        Ok(())
    }
}

/// Inode number of the initial PID namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const PROC_PID_INIT_INO: u64 = 0xefff_fffc;

pub(super) fn in_initial_pid_namespace() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|meta| meta.ino() == PROC_PID_INIT_INO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let v4: Addresses = "10.1.0.0/16".parse().unwrap();
        assert_eq!(v4.bits, 112);
        assert_eq!(v4.key()[14..18], [0xff, 0xff, 10, 1]);
        let v6: Addresses = "2001:db8::/32".parse().unwrap();
        assert_eq!((v6.bits, &v6.key()[4..8]), (32, &[0x20, 0x01, 0x0d, 0xb8][..]));
        assert_eq!("::1".parse::<Addresses>().unwrap().bits, 128);
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "::1/x"] {
            assert!(bad.parse::<Addresses>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sockets_read_otherwise_are_filtered_alike() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
        let filters = |ports: &[u16], addresses: &[&str]| Filters {
            ports: ports.to_vec(),
            addresses: parse(addresses),
            ..Filters::default()
        };
        let negative = |ports: &[u16], addresses: &[&str]| Filters {
            not_ports: ports.to_vec(),
            not_addresses: parse(addresses),
            ..Filters::default()
        };
        // 10.0.0.1:1000 -> 10.0.0.2:80
        let socket = crate::testing::snapshot(0, 1);
        for (ports, addresses, passes) in [
            (&[][..], &[][..], true),
            (&[80], &[], true),
            (&[81, 1000], &["10.0.0.0/30"], true),
            (&[81], &["10.0.0.2"], false),
            (&[80], &["10.0.0.3", "::/0"], true),
            (&[], &["10.0.0.4/30"], false),
            (&[], &["2001:db8::/32"], false),
        ] {
            assert_eq!(filters(ports, addresses).pass(&socket), passes, "{ports:?} {addresses:?}");
        }
        for (ports, addresses, passes) in [
            (&[][..], &[][..], true),
            (&[80], &[], false),
            (&[1000, 81], &[], false),
            (&[81], &["10.0.0.4/30", "2001:db8::/32"], true),
            (&[], &["10.0.0.0/30"], false),
        ] {
            assert_eq!(negative(ports, addresses).pass(&socket), passes, "{ports:?} {addresses:?}");
        }
    }

    #[test]
    fn names_are_as_long_as_the_kernels() {
        assert_eq!(&comm_key("curl")[..5], b"curl\0");
        assert_eq!(&comm_key("chromium-browser"), b"chromium-browse\0");
        assert_eq!(comm_key("a name of no process, ä"), comm_key("a name of no pr"));
    }
}
