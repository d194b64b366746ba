//! Dumps of inet_diag over netlink: polls where there is no iterator. Own code for one request and its
//! answer: netlink-packet-sock-diag 0.5.0, the crate for it, has `struct tcp_info` of Linux 5.4, while its
//! fields here are a list of the schema.

use std::{ffi::OsStr, io, sync::OnceLock};

use libbpf_rs::btf::{Btf, types::Struct};

use super::netlink::{Netlink, Request};
use crate::wire::{
    Snapshot,
    diag::{LastWord, decode_diag},
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
        mut take: impl FnMut(Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let body = &request(family as u8);
            let asked = Request { kind: SOCK_DIAG_BY_FAMILY, answer: SOCK_DIAG_BY_FAMILY, body };
            self.0.dump(asked, buffer, |now, payload| match decode_diag(payload, last_word()) {
                Some(mut snapshot) => {
                    snapshot.header.ts_ns = now;
                    take(snapshot)
                }
                None => Ok(()),
            })?;
        }
        Ok(())
    }
}

/// How this kernel lays out the last word of `struct tcp_info`: its type information says so. Without any
/// it is older than either layout.
fn last_word() -> LastWord {
    static LAYOUT: OnceLock<LastWord> = OnceLock::new();
    *LAYOUT.get_or_init(|| {
        let Ok(btf) = Btf::from_vmlinux() else { return LastWord::default() };
        let Some(info) = btf.type_by_name::<Struct<'_>>("tcp_info") else {
            return LastWord::default();
        };
        let has_mode = info.iter().any(|m| m.name == Some(OsStr::new("tcpi_ecn_mode")));
        if has_mode { LastWord::Bits } else { LastWord::Halves }
    })
}

fn request(family: u8) -> [u8; REQUEST] {
    let mut b = [0; REQUEST];
    b[0] = family;
    b[1] = libc::IPPROTO_TCP as u8;
    b[2] = EXTENSIONS;
    b[4..8].copy_from_slice(&STATES.to_ne_bytes());
    b
}
