//! Dumps of inet_diag over netlink: polls where there is no iterator. Own code for one request and its
//! answer: netlink-packet-sock-diag 0.5.0, the crate for it, has `struct tcp_info` of Linux 5.4, while its
//! fields here are a list of the schema.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::clock;
use crate::wire::{Snapshot, diag::decode_diag};

/// include/uapi/linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// struct nlmsghdr, struct inet_diag_req_v2.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// A datagram of a dump is at most this large (32 KiB in netlink_dump()).
const BUFFER: usize = 1 << 16;
/// INET_DIAG_MEMINFO to INET_DIAG_SHUTDOWN; the others come by themselves, to whoever may see them.
const EXTENSIONS: u8 = 0xff;
/// States of connections, a bit each (include/net/tcp_states.h): ESTABLISHED, SYN_SENT, SYN_RECV,
/// FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING. SYN_RECV is that of request sockets, which
/// have no `struct tcp_info`, and of Fast Open, which has.
const STATES: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// A socket of netlink; it belongs to the namespace in which it was made.
#[derive(Debug)]
pub(super) struct Diag {
    fd: OwnedFd,
    sequence: u32,
}

impl Diag {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the call touches no memory of ours.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_SOCK_DIAG,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, sequence: 0 })
    }

    /// Gives every connection of the namespace, of both families. The kernel fills a datagram when
    /// it is received, so that is a row's time: when the message that holds it had come.
    pub(super) fn dump<E: From<io::Error>>(
        &mut self,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        for family in [libc::AF_INET, libc::AF_INET6] {
            self.sequence += 1;
            self.send(&request(family as u8, self.sequence))?;
            loop {
                let n = self.receive(buffer)?;
                let now = clock::monotonic_ns();
                if !messages(&buffer[..n], self.sequence, |payload| match decode_diag(payload) {
                    Some(mut snapshot) => {
                        snapshot.header.ts_ns = now;
                        take(snapshot)
                    }
                    None => Ok(()),
                })? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn send(&self, request: &[u8]) -> io::Result<()> {
        // SAFETY: the slice is there for the call.
        let n =
            unsafe { libc::send(self.fd.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(BUFFER, 0);
        loop {
            // SAFETY: the buffer is there for the call, and as long as it is said to be.
            let n = unsafe {
                libc::recv(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0)
            };
            if n >= 0 {
                return Ok(n as usize);
            }
            let e = io::Error::last_os_error();
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        }
    }
}

fn request(family: u8, sequence: u32) -> [u8; REQUEST] {
    let mut b = [0; REQUEST];
    b[..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    b[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    b[6..8].copy_from_slice(&flags.to_ne_bytes());
    b[8..12].copy_from_slice(&sequence.to_ne_bytes());
    b[HEADER] = family;
    b[HEADER + 1] = libc::IPPROTO_TCP as u8;
    b[HEADER + 2] = EXTENSIONS;
    b[HEADER + 4..HEADER + 8].copy_from_slice(&STATES.to_ne_bytes());
    b
}

/// The payloads of a datagram's messages; false after the last one of a dump.
fn messages<E: From<io::Error>>(
    mut b: &[u8],
    sequence: u32,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<bool, E> {
    let word = |b: &[u8], at: usize| {
        b.get(at..at + 4).map(|w| u32::from_ne_bytes(w.try_into().expect("four bytes")))
    };
    if b.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    while let (Some(len), Some(kind), Some(of)) = (word(b, 0), word(b, 4), word(b, 8)) {
        let Some(payload) = b.get(HEADER..len as usize) else { break };
        if of == sequence {
            match libc::c_int::from(kind as u16) {
                libc::NLMSG_DONE => return Ok(false),
                libc::NLMSG_ERROR => {
                    let code = word(payload, 0).unwrap_or(0).cast_signed();
                    return Err(io::Error::from_raw_os_error(-code).into());
                }
                kind if kind == libc::c_int::from(SOCK_DIAG_BY_FAMILY) => take(payload)?,
                _ => {}
            }
        }
        b = b.get((len as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel might send: a message, one of another dump, and the end.
    #[test]
    fn a_datagram_is_taken_apart() {
        let message = |kind: u16, sequence: u32, payload: &[u8]| {
            let mut b = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
            b.extend(kind.to_ne_bytes());
            b.extend(0_u16.to_ne_bytes());
            b.extend(sequence.to_ne_bytes());
            b.extend(0_u32.to_ne_bytes());
            b.extend(payload);
            b.resize(b.len().next_multiple_of(4), 0);
            b
        };
        let take = |b: &[u8]| {
            let mut seen = Vec::new();
            let more = messages(b, 2, |payload| {
                seen.push(payload.to_vec());
                Ok::<_, io::Error>(())
            });
            more.map(|more| (seen, more))
        };
        let some =
            [message(20, 2, b"abcde"), message(20, 1, b"old"), message(20, 2, b"f")].concat();
        assert_eq!(take(&some).unwrap(), (vec![b"abcde".to_vec(), b"f".to_vec()], true));
        let end = [some, message(3, 2, &[0; 4])].concat();
        assert!(!take(&end).unwrap().1);
        let refused = message(2, 2, &(-libc::ENOENT).to_ne_bytes());
        assert_eq!(take(&refused).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert!(take(&[]).is_err());
    }
}
