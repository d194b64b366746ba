// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Messages of inet_diag about sockets at rest, with the values of getsockopt(2) for the same sockets:
//! `testdata/sock_diag` has those of every kernel.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use crate::support::flow::Flow;
use crate::support::netns::Netns;
use crate::support::sock_diag::{Dump, Socket, hexadecimal};
use crate::support::tcp::Options;
use crate::support::tcp_info::TcpInfo;

/// include/uapi/linux/mptcp.h
const IPPROTO_MPTCP: libc::c_int = 262;
/// include/uapi/linux/tcp.h
const TCP_ULP: libc::c_int = 31;
/// include/uapi/linux/tls.h
const SOL_TLS: libc::c_int = 282;
const TLS_TX: libc::c_int = 1;
const TLS_1_3: u16 = 0x304;
const AES_GCM_128: u16 = 51;
/// TLS_CONF_BASE and TLS_CONF_SW.
const BY_APPLICATION: u64 = 1;
const BY_KERNEL: u64 = 2;
/// MPTCP_SUBFLOW_FLAG_MCAP_REM and MPTCP_SUBFLOW_FLAG_MCAP_LOC.
const CAPABLE: u64 = 3;

/// In a guest: makes sockets, lets them rest, and asks about them in both ways.
pub fn capture() -> Vec<Socket> {
    let netns = Netns::new("diag");
    let reno = Options { congestion: c"reno", ..Options::default() };
    let open = |address: &str| {
        let flow = Flow::between((&netns, reno), (&netns, reno), address.parse().expect("it"));
        flow.upload(100_000);
        flow.download(3000);
        flow
    };
    let v4 = open("127.0.0.1");
    v4.client.set_mark(0x51);
    v4.client.set_tos(true, 0x48);
    let v6 = open("::1");
    v6.client.set_tos(false, 0x20);
    v6.client.set_priority(5);
    v4.settle();
    v6.settle();
    let tls = kernel_tls(&netns);
    let mptcp = multipath(&netns);
    let messages = netns.run(messages);
    let btf = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel has type information");
    let has_ecn_mode = btf.windows(14).any(|octets| octets == b"\0tcpi_ecn_mode");
    let about = |name: &str, ends: (SocketAddr, SocketAddr), info: &[u8], ulp: &str| {
        let message = messages.iter().find(|m| {
            let port = |at: usize| u16::from_be_bytes([m[at], m[at + 1]]);
            (port(4), port(6)) == (ends.0.port(), ends.1.port())
        });
        Socket {
            name: name.to_owned(),
            has_ecn_mode,
            local: ends.0,
            remote: ends.1,
            tcp_info: hexadecimal(info),
            made: Vec::new(),
            ulp: ulp.to_owned(),
            message: hexadecimal(message.unwrap_or_else(|| panic!("no message about {name}"))),
        }
    };
    let made = |list: &[(&str, u64)]| list.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    let of_flow = |name: &str, flow: &Flow| {
        let ends = (flow.client.local(), flow.server.local());
        about(name, ends, flow.client.info().octets(), "")
    };
    let mut all = vec![
        Socket { made: made(&[("mark", 0x51), ("tos", 0x48)]), ..of_flow("IPv4", &v4) },
        Socket { made: made(&[("tclass", 0x20), ("class_id", 5)]), ..of_flow("IPv6", &v6) },
    ];
    match &tls {
        Ok((client, _server)) => {
            let socket =
                about("TLS", ends(client), TcpInfo::of(client.as_raw_fd()).octets(), "tls");
            let made = made(&[
                ("tls_version", TLS_1_3.into()),
                ("tls_cipher", AES_GCM_128.into()),
                ("tls_tx_conf", BY_KERNEL),
                ("tls_rx_conf", BY_APPLICATION),
            ]);
            all.push(Socket { made, ..socket });
        }
        Err(e) => println!("guest: no kernel TLS: {e}"),
    }
    match &mptcp {
        Ok((client, _server)) => {
            // Linux 5.10 does not give it of such a socket.
            let info = subflow_info(client.as_raw_fd()).unwrap_or_default();
            let socket = about("MPTCP", ends(client), &info, "mptcp");
            let token = token(client.as_raw_fd());
            let mut made: Vec<(String, u64)> = made(&[("mptcp_id_loc", 0), ("mptcp_id_rem", 0)]);
            made.extend(token.map(|token| ("mptcp_token_loc".to_owned(), token.into())));
            all.push(Socket { made, ..socket });
        }
        Err(e) => println!("guest: no MPTCP: {e}"),
    }
    for socket in &all {
        println!("guest: a message about {}, {} octets", socket.name, socket.message.len() / 2);
    }
    all
}

fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
    (stream.local_addr().expect("connected"), stream.peer_addr().expect("connected"))
}

/// A connection whose client the kernel encrypts.
fn kernel_tls(netns: &Netns) -> io::Result<(TcpStream, TcpStream)> {
    let (client, server) = netns.run(|| -> io::Result<_> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        Ok((client, listener.accept()?.0))
    })?;
    set(client.as_raw_fd(), libc::IPPROTO_TCP, TCP_ULP, b"tls")?;
    // struct tls12_crypto_info_aes_gcm_128: version, cipher, then 36 octets of keys.
    let mut info = [TLS_1_3.to_ne_bytes(), AES_GCM_128.to_ne_bytes()].concat();
    info.extend(0..36);
    set(client.as_raw_fd(), SOL_TLS, TLS_TX, &info)?;
    (&client).write_all(&[7; 500])?;
    // A record has a header of five octets, one of its type, and sixteen that prove it.
    (&server).read_exact(&mut [0; 500 + 22])?;
    std::thread::sleep(QUIET);
    Ok((client, server))
}

/// Longer than a delayed acknowledgment.
const QUIET: std::time::Duration = std::time::Duration::from_millis(500);

/// A connection of MPTCP with one subflow.
fn multipath(netns: &Netns) -> io::Result<(TcpStream, TcpStream)> {
    let socket = || {
        // SAFETY: the call touches no memory of ours.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, IPPROTO_MPTCP) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    let (client, server) = netns.run(|| -> io::Result<_> {
        let listener = TcpListener::from(socket()?);
        // Without an address it gets a free port of all of them.
        // SAFETY: the descriptor is open.
        if unsafe { libc::listen(listener.as_raw_fd(), 1) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let client = TcpStream::from(socket()?);
        connect(client.as_raw_fd(), listener.local_addr()?.port())?;
        Ok((client, listener.accept()?.0))
    })?;
    (&client).write_all(&[7; 3000])?;
    (&server).read_exact(&mut [0; 3000])?;
    (&server).write_all(&[7; 900])?;
    (&client).read_exact(&mut [0; 900])?;
    std::thread::sleep(QUIET);
    Ok((client, server))
}

fn connect(fd: RawFd, port: u16) -> io::Result<()> {
    // SAFETY: zeros are a valid address.
    let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    to.sin_family = libc::AF_INET as libc::sa_family_t;
    to.sin_port = port.to_be();
    to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let length = size_of_val(&to) as libc::socklen_t;
    // SAFETY: the address is there for the call, and as long as it is said to be.
    let result = unsafe { libc::connect(fd, (&raw const to).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set(fd: RawFd, level: libc::c_int, option: libc::c_int, value: &[u8]) -> io::Result<()> {
    let (pointer, length) = (value.as_ptr().cast(), value.len() as libc::socklen_t);
    // SAFETY: the value is valid for its length.
    let result = unsafe { libc::setsockopt(fd, level, option, pointer, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get(fd: RawFd, level: libc::c_int, option: libc::c_int) -> Option<Vec<u8>> {
    let mut octets = vec![0; 512];
    let mut length = octets.len() as libc::socklen_t;
    // SAFETY: the buffer is valid for the length given.
    let result =
        unsafe { libc::getsockopt(fd, level, option, octets.as_mut_ptr().cast(), &raw mut length) };
    octets.truncate(length as usize);
    (result == 0).then_some(octets)
}

/// `struct tcp_info` of an MPTCP socket's first subflow.
fn subflow_info(fd: RawFd) -> Option<Vec<u8>> {
    get(fd, libc::IPPROTO_TCP, libc::TCP_INFO)
}

/// The token of an MPTCP connection: the fourth number of MPTCP_INFO (Linux 5.16).
fn token(fd: RawFd) -> Option<u32> {
    const SOL_MPTCP: libc::c_int = 284;
    const MPTCP_INFO: libc::c_int = 1;
    // Eight octets of counts, flags (32 bits), token (32 bits).
    let info = get(fd, SOL_MPTCP, MPTCP_INFO)?;
    Some(u32::from_ne_bytes(info.get(12..16)?.try_into().expect("four")))
}

/// Every message about a TCP socket of this namespace that is established, without netlink's header.
/// It does not use the recorder's code for netlink, which it is to test.
fn messages() -> Vec<Vec<u8>> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const HEADER: usize = 16;
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: the call touches no memory of ours.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: just opened, and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut request = [0_u8; HEADER + 56];
        let length = request.len() as u32;
        request[..4].copy_from_slice(&length.to_ne_bytes());
        request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        request[6..8].copy_from_slice(&flags.to_ne_bytes());
        (request[16], request[17], request[18]) = (family as u8, libc::IPPROTO_TCP as u8, 0xff);
        request[20..24].copy_from_slice(&(1_u32 << 1).to_ne_bytes());
        // SAFETY: the request is there for the call.
        let n = unsafe { libc::send(fd.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
        assert_eq!(n, request.len() as isize, "{}", io::Error::last_os_error());
        'dump: loop {
            let mut octets = vec![0_u8; 1 << 16];
            // SAFETY: the buffer is there for the call, and as long as it is said to be.
            let n = unsafe { libc::recv(fd.as_raw_fd(), octets.as_mut_ptr().cast(), 1 << 16, 0) };
            assert!(n > 0, "{}", io::Error::last_os_error());
            octets.truncate(n as usize);
            let mut at = 0;
            while at + HEADER <= octets.len() {
                let length = u32::from_ne_bytes(octets[at..at + 4].try_into().expect("four"));
                let kind = u16::from_ne_bytes([octets[at + 4], octets[at + 5]]);
                match libc::c_int::from(kind) {
                    libc::NLMSG_DONE => break 'dump,
                    libc::NLMSG_ERROR => panic!("the kernel refuses the dump"),
                    _ => found.push(octets[at + HEADER..at + length as usize].to_vec()),
                }
                at += (length as usize).next_multiple_of(4);
            }
        }
    }
    found
}

/// Checks that the guest's messages are read rightly; with `BLESS=1` it becomes a file of testdata.
pub fn check(series: &str, release: &str, sockets: &[Socket]) {
    let findings: Vec<String> = sockets.iter().flat_map(Socket::findings).collect();
    assert!(findings.is_empty(), "{series}: {findings:#?}");
    assert!(sockets.len() >= 2, "{series}: {sockets:?}");
    if let Some(mptcp) = sockets.iter().find(|socket| socket.name == "MPTCP") {
        let flags = estats::schema::SocketField::mptcp_flags;
        let flags = mptcp.snapshot().values.get(flags).expect("a subflow has flags");
        assert_eq!(flags & CAPABLE, CAPABLE, "{series}: both ends offered MP_CAPABLE");
    }
    if std::env::var_os("BLESS").is_some() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sock_diag");
        fs::create_dir_all(&dir).expect("testdata can be written");
        let dump = Dump { kernel_release: release.to_owned(), sockets: sockets.to_vec() };
        let mut text = serde_json::to_string_pretty(&dump).expect("it is plain");
        text.push('\n');
        fs::write(dir.join(format!("{series}.json")), text).expect("testdata can be written");
    }
}
