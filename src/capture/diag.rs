// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Dumps of inet_diag over netlink: polls where there is no iterator. Own code for one request and its
//! answer: netlink-packet-sock-diag 0.5.0, the crate for it, has `struct tcp_info` of Linux 5.4, while its
//! fields here are a list of the schema.

use std::{io, sync::OnceLock};

use libbpf_rs::btf::{
    Btf,
    types::{MemberAttr, Struct},
};

use super::netlink::{Netlink, Request};
use crate::{
    log::NotSeen,
    wire::{
        Snapshot,
        diag::{LastWord, TCP_INFO_KNOWN, decode_diag},
    },
};

/// include/uapi/linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// struct inet_diag_req_v2
const REQUEST: usize = 56;
/// INET_DIAG_MEMINFO to INET_DIAG_SHUTDOWN; the others come by themselves, to whoever may see them.
const EXTENSIONS: u8 = 0xff;
/// States of connections, a bit each (include/net/tcp_states.h): ESTABLISHED, SYN_SENT, SYN_RECV,
/// FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING. SYN_RECV is that of request sockets, which
/// have no `struct tcp_info`, and of Fast Open, which has.
const STATES: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
/// LISTEN.
const LISTEN: u32 = 1 << 10;

/// A socket of netlink; it belongs to the namespace in which it was made.
#[derive(Debug)]
pub(super) struct Diag(Netlink);

impl Diag {
    pub(super) fn new() -> io::Result<Self> {
        Netlink::new(libc::NETLINK_SOCK_DIAG).map(Self)
    }

    /// Gives every connection of the namespace, of both families. A row's time is when the message
    /// that holds it had come.
    pub(super) fn dump<E: From<io::Error>>(
        &mut self,
        buffer: &mut Vec<u8>,
        take: impl FnMut(Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        self.dump_states(STATES, buffer, take)
    }

    /// Gives every listening socket of the namespace in the same way: the kernel visits only these.
    pub(super) fn dump_listeners<E: From<io::Error>>(
        &mut self,
        buffer: &mut Vec<u8>,
        take: impl FnMut(Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        self.dump_states(LISTEN, buffer, take)
    }

    fn dump_states<E: From<io::Error>>(
        &mut self,
        states: u32,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let body = &request(family as u8, states);
            let asked = Request { kind: SOCK_DIAG_BY_FAMILY, answer: SOCK_DIAG_BY_FAMILY, body };
            self.0.dump(asked, buffer, |now, payload| {
                match decode_diag(payload, tcp_info().last) {
                    Some(mut snapshot) => {
                        snapshot.header.ts_ns = now;
                        take(snapshot)
                    }
                    None => Ok(()),
                }
            })?;
        }
        Ok(())
    }
}

/// This kernel's `struct tcp_info`, by its type information.
#[derive(Debug, Default)]
struct TcpInfo {
    /// Without type information a kernel is older than either layout.
    last: LastWord,
    /// Fields beyond those that are known, in their order.
    unknown: Vec<String>,
}

fn tcp_info() -> &'static TcpInfo {
    static FOUND: OnceLock<TcpInfo> = OnceLock::new();
    FOUND.get_or_init(|| {
        let Ok(btf) = Btf::from_vmlinux() else { return TcpInfo::default() };
        let Some(info) = btf.type_by_name::<Struct<'_>>("tcp_info") else {
            return TcpInfo::default();
        };
        TcpInfo::of(info.iter().map(|member| {
            let (MemberAttr::Normal { offset } | MemberAttr::BitField { offset, .. }) = member.attr;
            (member.name.unwrap_or_default().to_string_lossy().into_owned(), offset / 8)
        }))
    })
}

impl TcpInfo {
    /// Made from its fields: each has a name and an offset in octets.
    fn of(fields: impl Iterator<Item = (String, u32)>) -> Self {
        let fields: Vec<_> = fields.collect();
        let has_mode = fields.iter().any(|(name, _)| name == "tcpi_ecn_mode");
        let last = if has_mode { LastWord::Bits } else { LastWord::Halves };
        let beyond = fields.into_iter().filter(|(_, at)| *at as usize >= TCP_INFO_KNOWN);
        Self { last, unknown: beyond.map(|(name, _)| name).collect() }
    }

    /// The fields of a newer kernel that a recording lacks.
    fn not_seen(&self) -> Option<NotSeen> {
        let names = self.unknown.join(", ");
        (!names.is_empty()).then(|| NotSeen {
            by: "kernel".to_owned(),
            what: format!(
                "fields of this kernel's struct tcp_info that estats does not know: {names}; polls \
                 by netlink keep their octets (column tcp_info_more of sockets)"
            ),
            variables: Vec::new(),
        })
    }
}

/// Fields of this kernel's `struct tcp_info` that have no columns of their own, if there are any.
pub(super) fn unknown_fields() -> Option<NotSeen> {
    tcp_info().not_seen()
}

fn request(family: u8, states: u32) -> [u8; REQUEST] {
    let mut b = [0; REQUEST];
    b[0] = family;
    b[1] = libc::IPPROTO_TCP as u8;
    b[2] = EXTENSIONS;
    b[4..8].copy_from_slice(&states.to_ne_bytes());
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_later_kernel_are_named() {
        let of = |fields: &[(&str, u32)]| {
            TcpInfo::of(fields.iter().map(|(name, at)| ((*name).to_owned(), *at)))
        };
        let old = of(&[("tcpi_state", 0), ("tcpi_accecn_fail_mode", 276)]);
        assert_eq!((old.last, old.not_seen()), (LastWord::Halves, None));
        let known = [("tcpi_state", 0), ("tcpi_ecn_mode", 276), ("tcpi_options2", 277)];
        assert_eq!(of(&known).not_seen(), None);
        let later = [&known[..], &[("tcpi_first", 280), ("tcpi_second", 288)]].concat();
        let later = of(&later);
        assert_eq!(later.last, LastWord::Bits);
        let said = later.not_seen().expect("two fields").what;
        assert!(said.contains("tcpi_first, tcpi_second; polls by netlink"), "{said}");
    }
}
