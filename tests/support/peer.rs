// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A peer that is a script and not a TCP stack: it is behind a TUN device and answers a real socket
//! segment by segment. So it can do what no stack does on purpose, and knows what it did.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::link::{DEVICE, tun};
use super::netns::Netns;
use super::pair::Family;
use super::segment::{ACK, CWR, Choices, ECE, SYN, Segment};
use super::tcp::{Options, PATIENCE, Stream};

/// The peer's port.
const PORT: u16 = 7000;
/// Sequence number of the peer's SYN.
const ISS: u32 = 3_000_000_000;
/// The peer's first timestamp.
const FIRST_STAMP: u32 = 1_000_000;

/// A namespace whose only way out is to the script.
#[derive(Debug)]
pub struct Peer {
    // First, so that it is dropped first: the device goes before the namespace it is in.
    tun: OwnedFd,
    /// Where the socket is.
    pub netns: Netns,
    number: u8,
}

/// What the peer's SYN-ACK offers, and when it comes.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Octets of payload in a full segment of the socket's; the MSS option has room for timestamps
    /// besides.
    pub segment: u16,
    /// SACK permitted.
    pub sack: bool,
    /// Timestamps.
    pub stamps: bool,
    /// Shift of the windows that it advertises.
    pub wscale: Option<u8>,
    /// ECN, where the SYN asks for it.
    pub ecn: bool,
    /// Accurate ECN (RFC 9768) instead, where the SYN asks for it.
    pub accurate_ecn: bool,
    /// From the SYN to its answer.
    pub delay: Duration,
    /// TTL or hop limit of all its packets.
    pub ttl: u8,
    /// TOS or traffic class of all its packets.
    pub tos: u8,
}

impl Offer {
    /// No option but the MSS.
    pub const PLAIN: Self = Self {
        segment: 1000,
        sack: false,
        stamps: false,
        wscale: None,
        ecn: false,
        accurate_ecn: false,
        delay: Duration::ZERO,
        ttl: 64,
        tos: 0,
    };
    /// With SACK.
    pub const SACK: Self = Self { sack: true, ..Self::PLAIN };
    /// With SACK and timestamps.
    pub const STAMPS: Self = Self { stamps: true, ..Self::SACK };

    /// Accurate ECN reports that the SYN was not marked and could not have been (RFC 9768, 3.1.1).
    const fn ecn_flags(self) -> u8 {
        match (self.accurate_ecn, self.ecn) {
            (true, _) => CWR,
            (false, true) => ECE,
            (false, false) => 0,
        }
    }

    /// The same after so slow a handshake that the retransmission timer runs for three times as long
    /// (RFC 6298, 2.2): 0.9 s, in which a script can do what must be done before it runs out, on a busy
    /// host and in an emulated one too.
    pub const fn unhurried(self) -> Self {
        Self { delay: Duration::from_millis(300), ..self }
    }
}

/// A segment of the socket's, as it came to the peer.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it was read from the device, CLOCK_MONOTONIC.
    pub at: Instant,
    /// The segment.
    pub segment: Segment,
    /// Where its payload begins, 0 being the first octet of data.
    pub offset: u32,
    /// Data that had come before.
    pub again: bool,
}

impl Peer {
    /// Makes the namespace. Its addresses hold `number`, so that they identify a row.
    pub fn new(number: u8) -> Self {
        let netns = Netns::new("peer");
        let tun = netns.run(tun);
        let peer = Self { tun, netns, number };
        let netns = &peer.netns;
        let (v4, v6) = (peer.address(Family::V4, 1), peer.address(Family::V6, 1));
        netns.ip_batch(&[
            format!("link set {DEVICE} mtu 1500 up"),
            format!("addr add {v4}/24 dev {DEVICE}"),
            format!("addr add {v6}/64 dev {DEVICE} nodad"),
        ]);
        netns.sysctl("ipv4/tcp_no_metrics_save", "1");
        // No loss probes: what the timer does is then the timeout's doing alone.
        netns.sysctl("ipv4/tcp_early_retrans", "0");
        peer
    }

    fn address(&self, family: Family, host: u8) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, 79, self.number, host).into(),
            Family::V6 => {
                Ipv6Addr::new(0xfd79, self.number.into(), 0, 0, 0, 0, 0, host.into()).into()
            }
        }
    }

    /// Opens a connection of a new socket with this offer in the SYN-ACK.
    pub fn connect(&self, family: Family, options: Options, offer: Offer) -> Talk<'_> {
        let v4 = family == Family::V4;
        let socket = Stream::unconnected(&self.netns, None, v4, options).expect("a socket");
        self.answer(family, socket, offer)
    }

    /// The same with a socket that is not connected yet.
    pub fn answer(&self, family: Family, socket: Stream, offer: Offer) -> Talk<'_> {
        let remote = SocketAddr::new(self.address(family, 2), PORT);
        socket.begin(remote);
        let mut talk = Talk {
            peer: self,
            local: socket.local(),
            remote,
            socket,
            first: 0,
            syn: None,
            acknowledged: 0,
            sent: 0,
            window: u16::MAX,
            echo: 0,
            marks: None,
            offer,
            begun: Instant::now(),
            arrivals: Vec::new(),
            unread: VecDeque::new(),
        };
        let syn = talk.next(PATIENCE).expect("the socket sends a SYN");
        assert_eq!(syn.segment.flags & (SYN | ACK), SYN, "{syn:?}");
        talk.first = syn.segment.seq.wrapping_add(1);
        std::thread::sleep(offer.delay);
        let stamps = talk.stamps();
        let asks = syn.segment.flags & (ECE | CWR) == ECE | CWR;
        assert!(asks || !offer.ecn, "the SYN asks for ECN: {syn:?}");
        assert!(syn.segment.ae || !offer.accurate_ecn, "the SYN asks for accurate ECN: {syn:?}");
        talk.syn = Some(syn.segment);
        talk.write(&Segment {
            seq: ISS,
            flags: SYN | ACK | offer.ecn_flags(),
            options: Choices {
                wscale: offer.wscale,
                mss: Some(offer.segment + if offer.stamps { 12 } else { 0 }),
                sack_permitted: offer.sack,
                stamps,
                ..Choices::default()
            },
            ..talk.pure()
        });
        let ack = talk.next(PATIENCE).expect("the handshake's last segment");
        assert_eq!(ack.segment.ack, ISS.wrapping_add(1), "{ack:?}");
        talk.socket.wait_connected();
        talk.marks = offer.accurate_ecn.then_some(0);
        talk.arrivals = vec![ack];
        talk
    }
}

/// A connection between a socket and the script. Offsets count octets of data from 0, in both
/// directions.
#[derive(Debug)]
pub struct Talk<'a> {
    peer: &'a Peer,
    /// The socket.
    pub socket: Stream,
    /// Its address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    syn: Option<Segment>,
    /// Sequence number of the socket's first octet of data.
    pub first: u32,
    /// What the peer acknowledges with all that it sends.
    pub acknowledged: u32,
    /// What it has sent.
    pub sent: u32,
    /// The window that it advertises.
    pub window: u16,
    /// The newest timestamp that it has seen.
    pub echo: u32,
    /// Its count of marks by accurate ECN, with which all of its segments begin at 5.
    pub marks: Option<u8>,
    offer: Offer,
    begun: Instant,
    /// All segments that came, from the handshake's last on.
    pub arrivals: Vec<Arrival>,
    unread: VecDeque<Arrival>,
}

impl Talk<'_> {
    /// The peer's clock, in milliseconds.
    pub fn clock(&self) -> u32 {
        FIRST_STAMP + self.begun.elapsed().as_millis() as u32
    }

    fn stamps(&self) -> Option<(u32, u32)> {
        self.offer.stamps.then(|| (self.clock(), self.echo))
    }

    /// An acknowledgment without data, as everything stands: to be changed and written.
    pub fn pure(&self) -> Segment {
        // AE, CWR and ECE are the counter (RFC 9768, 3.2.2).
        let ace = self.marks.map_or(0, |marks| marks.wrapping_add(5) & 7);
        let flag = |bit: u8, flag: u8| if ace & bit != 0 { flag } else { 0 };
        Segment {
            from: self.remote,
            to: self.local,
            ttl: self.offer.ttl,
            tos: self.offer.tos,
            seq: ISS.wrapping_add(1).wrapping_add(self.sent),
            ack: self.first.wrapping_add(self.acknowledged),
            flags: ACK | flag(2, CWR) | flag(1, ECE),
            ae: ace & 4 != 0,
            window: self.window,
            options: Choices { stamps: self.stamps(), ..Choices::default() },
            payload: 0,
        }
    }

    /// Hands a segment to the socket. The kernel has handled it on return: TUN receives in the
    /// context of the writer.
    pub fn write(&self, segment: &Segment) {
        let packet = segment.packet();
        let fd = self.peer.tun.as_raw_fd();
        // SAFETY: the packet is valid for its length.
        let n = unsafe { libc::write(fd, packet.as_ptr().cast(), packet.len()) };
        assert_eq!(n, packet.len() as isize, "{segment:?}: {}", io::Error::last_os_error());
    }

    /// The next segment of this connection's, if one comes in time.
    pub fn next(&mut self, within: Duration) -> Option<Arrival> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(arrival) = self.unread.pop_front() {
                return Some(arrival);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let fd = self.peer.tun.as_raw_fd();
            let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            let ready = unsafe { libc::poll(&mut polled, 1, left.as_millis() as libc::c_int) };
            if ready == 1 {
                self.take();
            } else if left.is_zero() {
                return None;
            }
        }
    }

    /// Reads all that the device has.
    fn take(&mut self) {
        let mut buffer = [0u8; 2048];
        loop {
            let fd = self.peer.tun.as_raw_fd();
            // SAFETY: the buffer is valid for its length.
            let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            let Ok(n) = usize::try_from(n) else { return };
            let at = Instant::now();
            let Some(segment) = Segment::read(&buffer[..n]) else { continue };
            if segment.from != self.local || segment.to != self.remote {
                continue;
            }
            if let Some((value, _)) = segment.options.stamps {
                self.echo = value;
            }
            let offset = segment.seq.wrapping_sub(self.first);
            let before = |a: &Arrival| a.segment.payload > 0 && a.offset >= offset;
            let again = segment.payload > 0 && self.arrivals.iter().any(before);
            let arrival = Arrival { at, segment, offset, again };
            self.arrivals.push(arrival.clone());
            self.unread.push_back(arrival);
        }
    }

    /// Waits until new data up to this offset has come.
    pub fn data(&mut self, to: u32) -> Arrival {
        loop {
            let arrival = self
                .next(PATIENCE)
                .unwrap_or_else(|| panic!("no data up to {to}: {:#?}", self.arrivals));
            if !arrival.again && arrival.offset + arrival.segment.payload as u32 == to {
                return arrival;
            }
        }
    }

    /// Waits until what begins at this offset comes once more.
    pub fn repeat(&mut self, offset: u32) -> Arrival {
        loop {
            let arrival = self
                .next(PATIENCE)
                .unwrap_or_else(|| panic!("no repeat of {offset}: {:#?}", self.arrivals));
            if arrival.again && arrival.offset == offset {
                return arrival;
            }
        }
    }

    /// Sends through the socket and waits until all of it has come.
    pub fn request(&mut self, octets: u32) -> Arrival {
        let end = self.highest() + octets;
        self.socket.send(octets.into());
        self.data(end)
    }

    /// Acknowledges all up to this offset.
    pub fn ack(&mut self, to: u32) {
        self.acknowledged = to;
        self.write(&self.pure());
    }

    /// Repeats the last acknowledgment: a duplicate ACK.
    pub fn duplicate(&self) {
        self.write(&self.pure());
    }

    /// Acknowledges nothing new, but reports by SACK that this has arrived.
    pub fn sack(&self, from: u32, to: u32) {
        let mut segment = self.pure();
        segment.options.sack = vec![(self.first.wrapping_add(from), self.first.wrapping_add(to))];
        self.write(&segment);
    }

    /// Sends data that begins at this offset of the peer's.
    pub fn push(&mut self, offset: u32, octets: u32) {
        let seq = ISS.wrapping_add(1).wrapping_add(offset);
        self.write(&Segment { seq, payload: octets as usize, ..self.pure() });
    }

    /// Sends the next octets of the peer's data, in order.
    pub fn push_next(&mut self, octets: u32) {
        self.push(self.sent, octets);
        self.sent += octets;
    }

    /// End of all data that has come.
    pub fn highest(&self) -> u32 {
        let ends = self.arrivals.iter().filter(|a| a.segment.payload > 0);
        ends.map(|a| a.offset + a.segment.payload as u32).max().unwrap_or(0)
    }

    /// How often data came that had come before.
    pub fn repeats(&self) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.again).count()
    }

    /// Reads what has come in the meantime.
    pub fn drain(&mut self) {
        self.take();
        self.unread.clear();
    }

    /// The socket's SYN.
    pub fn syn(&self) -> &Segment {
        self.syn.as_ref().expect("it is there once the connection is")
    }

    /// Sequence number of the peer's next octet of data.
    pub fn next_seq(&self) -> u32 {
        ISS.wrapping_add(1).wrapping_add(self.sent)
    }

    /// The window that the socket advertised last, not scaled.
    pub fn advertised(&self) -> u16 {
        self.arrivals.last().map_or(0, |arrival| arrival.segment.window)
    }
}
