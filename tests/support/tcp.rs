// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! TCP sockets with every option stated, made inside a namespace.

use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

use super::netns::Netns;
use super::tcp_info::TcpInfo;

/// No operation of a test takes longer; one that does fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Options set before the handshake. The default is CUBIC: many hosts default to BBR, which
/// ignores ssthresh and never enters slow start in the sense of RFC 4898.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// TCP_CONGESTION.
    pub congestion: &'static CStr,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// SO_RCVBUF; `None` leaves the kernel to tune it.
    pub receive_buffer: Option<libc::c_int>,
    /// SO_SNDBUF; `None` leaves the kernel to tune it.
    pub send_buffer: Option<libc::c_int>,
    /// TCP_WINDOW_CLAMP.
    pub window_clamp: Option<libc::c_int>,
    /// TCP_QUICKACK off: the handshake's last segment waits for data to go with.
    pub delayed_ack: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            congestion: c"cubic",
            nodelay: false,
            receive_buffer: None,
            send_buffer: None,
            window_clamp: None,
            delayed_ack: false,
        }
    }
}

impl Options {
    fn apply(&self, fd: RawFd) {
        let name = self.congestion.to_bytes();
        set(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, name);
        let integer = |level, option, value: Option<libc::c_int>| {
            if let Some(value) = value {
                set(fd, level, option, &value.to_ne_bytes());
            }
        };
        integer(libc::IPPROTO_TCP, libc::TCP_NODELAY, self.nodelay.then_some(1));
        integer(libc::SOL_SOCKET, libc::SO_RCVBUF, self.receive_buffer);
        integer(libc::SOL_SOCKET, libc::SO_SNDBUF, self.send_buffer);
        integer(libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, self.window_clamp);
        integer(libc::IPPROTO_TCP, libc::TCP_QUICKACK, self.delayed_ack.then_some(0));
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on the address, port 0 for any; accepted sockets inherit the options.
    pub fn bind(netns: &Netns, address: SocketAddr, options: Options) -> Self {
        let listener = netns
            .run(|| TcpListener::bind(address))
            .unwrap_or_else(|e| panic!("listen on {address}: {e}"));
        options.apply(listener.as_raw_fd());
        Self(listener)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> Stream {
        let mut polled = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        let ready = unsafe { libc::poll(&mut polled, 1, PATIENCE.as_millis() as libc::c_int) };
        assert_eq!(ready, 1, "no connection came in within {PATIENCE:?}");
        Stream::patient(self.0.accept().expect("accept").0)
    }
}

/// A connected socket.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Stream {
    /// Connects from inside the namespace.
    pub fn connect(netns: &Netns, address: SocketAddr, options: Options) -> io::Result<Self> {
        Self::connect_bound(netns, None, address, options)
    }

    /// Connects from this local address and port, 0 for any.
    pub fn connect_from(
        netns: &Netns,
        local: SocketAddr,
        address: SocketAddr,
        options: Options,
    ) -> io::Result<Self> {
        Self::connect_bound(netns, Some(local), address, options)
    }

    fn connect_bound(
        netns: &Netns,
        local: Option<SocketAddr>,
        address: SocketAddr,
        options: Options,
    ) -> io::Result<Self> {
        let stream = Self::unconnected(netns, local, address.is_ipv4(), options)?;
        stream.reconnect(address)?;
        Ok(stream)
    }

    /// A socket that is not connected yet, bound if an address is given.
    pub fn unconnected(
        netns: &Netns,
        local: Option<SocketAddr>,
        v4: bool,
        options: Options,
    ) -> io::Result<Self> {
        netns.run(|| {
            let family = if v4 { libc::AF_INET } else { libc::AF_INET6 };
            // SAFETY: plain system call; the result is checked.
            let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was just made and is nobody else's.
            let stream = Self::patient(unsafe { TcpStream::from_raw_fd(fd) });
            options.apply(fd);
            if let Some(local) = local {
                let (storage, length) = raw(local);
                // SAFETY: the storage holds a socket address of that length.
                let result = unsafe { libc::bind(fd, (&raw const storage).cast(), length) };
                if result != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(stream)
        })
    }

    /// Begins to connect and does not wait.
    pub fn begin(&self, address: SocketAddr) {
        self.0.set_nonblocking(true).expect("O_NONBLOCK");
        let error = self.reconnect(address).expect_err("nobody answers at once");
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "{error}");
    }

    /// Waits until a connection that was begun is established.
    pub fn wait_connected(&self) {
        let mut polled = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one valid pollfd.
        let ready = unsafe { libc::poll(&mut polled, 1, PATIENCE.as_millis() as libc::c_int) };
        assert_eq!((ready, polled.revents), (1, libc::POLLOUT), "not connected");
        self.0.set_nonblocking(false).expect("O_NONBLOCK");
    }

    /// Connects by TCP Fast Open (tcp(7), MSG_FASTOPEN): this many octets go with the SYN.
    pub fn fast_open(&self, address: SocketAddr, octets: usize) {
        let (storage, length) = raw(address);
        let data = vec![0x5a_u8; octets];
        let (fd, to) = (self.0.as_raw_fd(), (&raw const storage).cast());
        // SAFETY: data and address are valid for their lengths.
        let n = unsafe {
            libc::sendto(fd, data.as_ptr().cast(), octets, libc::MSG_FASTOPEN, to, length)
        };
        assert_eq!(n, octets as isize, "MSG_FASTOPEN: {}", io::Error::last_os_error());
    }

    /// Enters repair mode (TCP_REPAIR): from then on close() sends nothing.
    pub fn repair(&self) {
        set(self.0.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, &1_i32.to_ne_bytes());
    }

    /// The next sequence number to be written, read in repair mode, which is left again.
    pub fn write_seq(&self) -> u32 {
        const SEND_QUEUE: i32 = 2; // TCP_SEND_QUEUE
        const OFF_WITHOUT_PROBE: i32 = -1; // TCP_REPAIR_OFF_NO_WP
        let (fd, level) = (self.0.as_raw_fd(), libc::IPPROTO_TCP);
        self.repair();
        set(fd, level, libc::TCP_REPAIR_QUEUE, &SEND_QUEUE.to_ne_bytes());
        let mut value = 0u32;
        let mut length = size_of_val(&value) as libc::socklen_t;
        let (option, pointer) = (libc::TCP_QUEUE_SEQ, (&raw mut value).cast());
        // SAFETY: the value is valid for its length.
        let result = unsafe { libc::getsockopt(fd, level, option, pointer, &mut length) };
        assert_eq!(result, 0, "TCP_QUEUE_SEQ: {}", io::Error::last_os_error());
        set(fd, level, libc::TCP_REPAIR, &OFF_WITHOUT_PROBE.to_ne_bytes());
        value
    }

    /// Connects the socket again, after [`Self::disconnect`].
    pub fn reconnect(&self, address: SocketAddr) -> io::Result<()> {
        let (storage, length) = raw(address);
        // SAFETY: the storage holds a socket address of that length.
        let result =
            unsafe { libc::connect(self.0.as_raw_fd(), (&raw const storage).cast(), length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Dissolves the connection by connect(2) to AF_UNSPEC (connect(2), "Connectionless"; for TCP
    /// it sends a RST): the socket can connect again.
    pub fn disconnect(&self) {
        // SAFETY: zeros are a valid sockaddr, and AF_UNSPEC is zero.
        let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
        let length = size_of_val(&nowhere) as libc::socklen_t;
        // SAFETY: the address is valid for its length.
        let result = unsafe { libc::connect(self.0.as_raw_fd(), &raw const nowhere, length) };
        assert_eq!(result, 0, "connect to AF_UNSPEC: {}", io::Error::last_os_error());
    }

    /// The socket's cookie (SO_COOKIE).
    pub fn cookie(&self) -> u64 {
        let mut value = 0u64;
        let mut length = size_of_val(&value) as libc::socklen_t;
        let fd = self.0.as_raw_fd();
        let pointer = (&raw mut value).cast();
        // SAFETY: the value is valid for its length.
        let result = unsafe {
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE, pointer, &mut length)
        };
        assert_eq!(result, 0, "SO_COOKIE: {}", io::Error::last_os_error());
        value
    }

    /// The congestion control's private values (TCP_CC_INFO), as words.
    pub fn cc_info(&self) -> Vec<u32> {
        let mut words = [0u32; 5];
        let mut length = size_of_val(&words) as libc::socklen_t;
        let (fd, pointer) = (self.0.as_raw_fd(), words.as_mut_ptr().cast());
        // SAFETY: the words are valid for their length.
        let result = unsafe {
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CC_INFO, pointer, &mut length)
        };
        assert_eq!(result, 0, "TCP_CC_INFO: {}", io::Error::last_os_error());
        words[..length as usize / size_of::<u32>()].to_vec()
    }

    fn patient(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        stream.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO"); // also bounds connect
        Self(stream)
    }

    /// The local address and port.
    pub fn local(&self) -> SocketAddr {
        self.0.local_addr().expect("a connected socket has an address")
    }

    /// The peer's address and port; only while the connection exists.
    pub fn remote(&self) -> SocketAddr {
        self.0.peer_addr().expect("a connected socket has a peer")
    }

    /// Writes this many octets.
    pub fn send(&self, octets: u64) {
        let chunk = [0x5a; 65536];
        let mut left = octets;
        while left > 0 {
            let n = left.min(chunk.len() as u64) as usize;
            (&self.0).write_all(&chunk[..n]).unwrap_or_else(|e| panic!("send: {e}"));
            left -= n as u64;
        }
    }

    /// Reads exactly this many octets.
    pub fn receive(&self, octets: u64) {
        let mut chunk = [0; 65536];
        let mut left = octets;
        while left > 0 {
            let n = left.min(chunk.len() as u64) as usize;
            match (&self.0).read(&mut chunk[..n]) {
                Ok(0) => panic!("the peer closed with {left} octets missing"),
                Ok(n) => left -= n as u64,
                Err(e) => panic!("receive, {left} octets missing: {e}"),
            }
        }
    }

    /// Reads the peer's FIN, which must come next.
    pub fn receive_end(&self) {
        let n = (&self.0).read(&mut [0; 1]).unwrap_or_else(|e| panic!("wait for the FIN: {e}"));
        assert_eq!(n, 0, "data where the peer's FIN should be");
    }

    /// Reads until the connection fails; the error that ended it.
    pub fn receive_error(&self) -> io::Error {
        loop {
            match (&self.0).read(&mut [0; 4096]) {
                Ok(0) => panic!("a FIN where an error should be"),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Sends a FIN.
    pub fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Closes with a RST (SO_LINGER with no time).
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: a plain structure of two integers, seen as its octets.
        let octets = unsafe {
            std::slice::from_raw_parts((&raw const linger).cast::<u8>(), size_of_val(&linger))
        };
        set(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, octets);
    }

    /// The limit of the advertised window now in force (TCP_WINDOW_CLAMP).
    pub fn window_clamp(&self) -> libc::c_int {
        let mut value: libc::c_int = 0;
        let mut length = size_of_val(&value) as libc::socklen_t;
        let (fd, level, option) = (self.0.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP);
        // SAFETY: the value is valid for its length.
        let result =
            unsafe { libc::getsockopt(fd, level, option, (&raw mut value).cast(), &mut length) };
        assert_eq!(result, 0, "getsockopt: {}", io::Error::last_os_error());
        value
    }

    /// Sends an octet of urgent data.
    pub fn urgent(&self) {
        let octet = b'!';
        // SAFETY: one octet of a live variable.
        let n =
            unsafe { libc::send(self.0.as_raw_fd(), (&raw const octet).cast(), 1, libc::MSG_OOB) };
        assert_eq!(n, 1, "MSG_OOB: {}", io::Error::last_os_error());
    }

    /// Probes the peer after `seconds` seconds without traffic, and again after each.
    pub fn keep_alive(&self, seconds: i32) {
        let fd = self.0.as_raw_fd();
        set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1_i32.to_ne_bytes());
        for option in [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL] {
            set(fd, libc::IPPROTO_TCP, option, &seconds.to_ne_bytes());
        }
    }

    /// Sets TOS (IP_TOS) or traffic class (IPV6_TCLASS) of what is sent.
    pub fn set_tos(&self, v4: bool, tos: u8) {
        let (level, option) = if v4 {
            (libc::IPPROTO_IP, libc::IP_TOS)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        };
        set(self.0.as_raw_fd(), level, option, &i32::from(tos).to_ne_bytes());
    }

    /// Sets SO_PRIORITY.
    pub fn set_priority(&self, priority: i32) {
        set(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY, &priority.to_ne_bytes());
    }

    /// SO_MAX_PACING_RATE, in octets a second.
    pub fn pace(&self, rate: u32) {
        set(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &rate.to_ne_bytes());
    }

    /// TCP_CORK: less than a segment waits until this is off again, or for 200 ms.
    pub fn cork(&self, on: bool) {
        let value = i32::from(on).to_ne_bytes();
        set(self.0.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CORK, &value);
    }

    /// TCP_USER_TIMEOUT: how long data may stay without an acknowledgment.
    pub fn user_timeout(&self, milliseconds: u32) {
        let option = libc::TCP_USER_TIMEOUT;
        set(self.0.as_raw_fd(), libc::IPPROTO_TCP, option, &milliseconds.to_ne_bytes());
    }

    /// Sets SO_MARK.
    pub fn set_mark(&self, mark: libc::c_int) {
        set(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes());
    }

    /// TCP_INFO now.
    pub fn info(&self) -> TcpInfo {
        TcpInfo::of(self.0.as_raw_fd())
    }
}

fn set(fd: RawFd, level: libc::c_int, option: libc::c_int, value: &[u8]) {
    let (pointer, length) = (value.as_ptr().cast(), value.len() as libc::socklen_t);
    // SAFETY: the value is valid for its length.
    let result = unsafe { libc::setsockopt(fd, level, option, pointer, length) };
    assert_eq!(result, 0, "setsockopt {level}/{option}: {}", io::Error::last_os_error());
}

fn raw(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: zeros are a valid sockaddr_storage, which is as large and aligned as any address.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let pointer = &raw mut storage;
    let length = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: as above.
            let to = unsafe { &mut *pointer.cast::<libc::sockaddr_in>() };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = v4.port().to_be();
            to.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let to = unsafe { &mut *pointer.cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = v6.port().to_be();
            to.sin6_addr.s6_addr = v6.ip().octets();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}
