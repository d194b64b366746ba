// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Dumps over netlink: a request, and the messages that answer it.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::clock;

/// struct nlmsghdr
const HEADER: usize = 16;
/// A datagram of a dump is at most this large (32 KiB in netlink_dump()).
const BUFFER: usize = 1 << 16;

/// A socket of netlink; it belongs to the namespace in which it was made.
#[derive(Debug)]
pub(super) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Type of the request's message.
    pub kind: u16,
    /// Type of the answer's messages.
    pub answer: u16,
    /// The bytes after the header.
    pub body: &'a [u8],
}

impl Netlink {
    /// A socket for a protocol, like NETLINK_ROUTE.
    pub(super) fn new(protocol: libc::c_int) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: the call touches no memory of ours.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and without another owner.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, sequence: 0 })
    }

    /// Gives the payload of every message of the answer, with the time at which the datagram that
    /// holds it had come. The kernel fills a datagram when it is received.
    pub(super) fn dump<E: From<io::Error>>(
        &mut self,
        request: Request<'_>,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.sequence += 1;
        self.send(&message(request, self.sequence))?;
        loop {
            let n = self.receive(buffer)?;
            let now = clock::monotonic_ns();
            let datagram = &buffer[..n];
            if !messages(datagram, self.sequence, request.answer, |payload| take(now, payload))? {
                return Ok(());
            }
        }
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
            // SAFETY: the buffer lives during the call, and has the stated length.
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

fn message(request: Request<'_>, sequence: u32) -> Vec<u8> {
    let mut b = vec![0; HEADER];
    b[..4].copy_from_slice(&((HEADER + request.body.len()) as u32).to_ne_bytes());
    b[4..6].copy_from_slice(&request.kind.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    b[6..8].copy_from_slice(&flags.to_ne_bytes());
    b[8..12].copy_from_slice(&sequence.to_ne_bytes());
    b.extend(request.body);
    b
}

/// The payloads of a datagram's messages; false after the last one of a dump.
fn messages<E: From<io::Error>>(
    mut b: &[u8],
    sequence: u32,
    answer: u16,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<bool, E> {
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
                kind if kind == libc::c_int::from(answer) => take(payload)?,
                _ => {}
            }
        }
        b = b.get((len as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// Four octets of the host's order.
pub(super) fn word(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at + 4).map(|w| u32::from_ne_bytes(w.try_into().expect("four bytes")))
}

/// The attributes (struct rtattr) of a message: type and value.
pub(super) fn attributes(mut b: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = word(b, 0)?.to_ne_bytes();
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        // The upper two bits are flags.
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let value = b.get(4..len)?;
        b = b.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets that a kernel might send: a message, one of another dump, and the end.
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
            let more = messages(b, 2, 20, |payload| {
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

    #[test]
    fn attributes_end_where_the_octets_do() {
        let mut b = [9_u16, 3].map(u16::to_ne_bytes).concat();
        b.extend(b"name\0\0\0\0");
        b.extend([8_u16, 4].map(u16::to_ne_bytes).concat());
        b.extend(1500_u32.to_ne_bytes());
        let all: Vec<_> = attributes(&b).collect();
        assert_eq!(all, [(3, &b"name\0"[..]), (4, &1500_u32.to_ne_bytes()[..])]);
        assert_eq!(attributes(&b[..18]).count(), 1, "cut");
        // A length that is less than its own field ends the list.
        assert_eq!(attributes(&[0; 12]).count(), 0);
    }
}
