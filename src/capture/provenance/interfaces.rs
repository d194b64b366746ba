// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The interfaces of the calling thread's network namespace, by netlink and ethtool's ioctls.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use crate::{
    capture::netlink::{Netlink, Request, attributes, word},
    log::NamespaceInterface,
};

/// struct ifinfomsg
const IFINFOMSG: usize = 16;
/// Attributes of include/uapi/linux/if_link.h.
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_QDISC: u16 = 6;
const IFLA_GSO_MAX_SIZE: u16 = 41;

/// Every interface, in the order of the indices.
pub(super) fn interfaces() -> io::Result<Vec<NamespaceInterface>> {
    let mut found: Vec<NamespaceInterface> = Vec::new();
    let request =
        Request { kind: libc::RTM_GETLINK, answer: libc::RTM_NEWLINK, body: &[0; IFINFOMSG] };
    let take = |_, payload: &[u8]| -> io::Result<()> {
        found.extend(interface(payload));
        Ok(())
    };
    Netlink::new(libc::NETLINK_ROUTE)?.dump(request, &mut Vec::new(), take)?;
    let socket = any_socket()?;
    for interface in &mut found {
        interface.offloads = offloads(&socket, &interface.name);
    }
    found.sort_by_key(|interface| interface.index);
    Ok(found)
}

/// A message of RTM_NEWLINK.
fn interface(payload: &[u8]) -> Option<NamespaceInterface> {
    let mut found =
        NamespaceInterface { index: word(payload, 4)?, ..NamespaceInterface::default() };
    let text = |value: &[u8]| {
        let end = value.iter().position(|octet| *octet == 0).unwrap_or(value.len());
        String::from_utf8_lossy(&value[..end]).into_owned()
    };
    for (kind, value) in attributes(payload.get(IFINFOMSG..)?) {
        match kind {
            IFLA_IFNAME => found.name = text(value),
            IFLA_MTU => found.mtu = word(value, 0)?,
            IFLA_QDISC => found.qdisc = Some(text(value)),
            IFLA_GSO_MAX_SIZE => found.gso_max_bytes = word(value, 0),
            _ => {}
        }
    }
    Some(found)
}

/// Ioctls of interfaces want a socket of the namespace, of whatever kind.
fn any_socket() -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory of ours.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// include/uapi/linux/sockios.h
const SIOCETHTOOL: libc::c_ulong = 0x8946;
/// Commands of include/uapi/linux/ethtool.h that give one value, under the names of `ethtool -k`.
const OFFLOADS: [(&str, u32); 6] = [
    ("rx-checksumming", 0x14),
    ("tx-checksumming", 0x16),
    ("scatter-gather", 0x18),
    ("tcp-segmentation-offload", 0x1e),
    ("generic-segmentation-offload", 0x23),
    ("generic-receive-offload", 0x2b),
];
/// ETHTOOL_GFLAGS, and ETH_FLAG_LRO in its value.
const FLAGS: u32 = 0x25;
const LRO: (&str, u32) = ("large-receive-offload", 1 << 15);

/// struct ethtool_value
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

fn offloads(socket: &OwnedFd, name: &str) -> BTreeMap<String, bool> {
    let ask = |command| value(socket, name, command);
    let mut found: BTreeMap<String, bool> = OFFLOADS
        .iter()
        .filter_map(|(name, command)| Some(((*name).to_owned(), ask(*command)? != 0)))
        .collect();
    if let Some(flags) = ask(FLAGS) {
        found.insert(LRO.0.to_owned(), flags & LRO.1 != 0);
    }
    found
}

/// None where the interface does not answer this command.
fn value(socket: &OwnedFd, name: &str, command: u32) -> Option<u32> {
    let mut value = Value { command, data: 0 };
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last octet stays zero.
    let room = &mut request.ifr_name[..libc::IFNAMSIZ - 1];
    for (to, from) in room.iter_mut().zip(name.bytes()) {
        // Signed on x86-64, unsigned on arm64.
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request and the value that it leads to outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    (result == 0).then_some(value.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found() {
        let Ok(all) = interfaces() else { return };
        let lo = all.iter().find(|i| i.name == "lo").expect("every namespace has it");
        assert_eq!(lo.index, 1);
        assert!(lo.mtu >= 1500, "{lo:?}");
        assert_eq!(lo.offloads.get("tcp-segmentation-offload"), Some(&true), "{lo:?}");
    }
}
