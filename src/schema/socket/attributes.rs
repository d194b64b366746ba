// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Attributes that only dumps of inet_diag have, and counters of the network namespace. See the parent module.

#[rustfmt::skip]
macro_rules! attributes {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

    /// Class id of the socket's cgroup (net_cls of cgroup v1); where there is none, SO_PRIORITY.
    class_id {
        ty: U32, unit: "", source: "INET_DIAG_CLASS_ID", needs: "a poll by netlink",
        read: Netlink,
    }
    /// Bits of socket options: 1 IP_RECVERR, 2 a socket of connections (always), 4 IP_FREEBIND, 8
    /// IP_HDRINCL, 16 IP_MULTICAST_LOOP, 32 IP_TRANSPARENT, 64 IP_MULTICAST_ALL, 128 IP_NODEFRAG, 256
    /// IP_BIND_ADDRESS_NO_PORT, 512 IP_RECVERR_RFC4884, 1024 a Fast Open that waits for data to send
    /// (TCP_FASTOPEN_CONNECT).
    sockopt {
        ty: U16, unit: "", source: "INET_DIAG_SOCKOPT", needs: "a poll by netlink, Linux 5.10",
        read: Netlink,
    }
    /// Version of the protocol as in its records: 771 (0x0303) TLS 1.2, 772 (0x0304) TLS 1.3.
    tls_version {
        ty: U16, unit: "", source: "TLS_INFO_VERSION", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS of which one direction has its keys",
        read: Netlink,
    }
    /// Cipher, TLS_CIPHER_* of linux/tls.h: 51 AES-GCM-128, 52 AES-GCM-256, 53 AES-CCM-128, 54
    /// CHACHA20-POLY1305, 55 SM4-GCM, 56 SM4-CCM, 57 ARIA-GCM-128, 58 ARIA-GCM-256.
    tls_cipher {
        ty: U16, unit: "", source: "TLS_INFO_CIPHER", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS of which one direction has its keys",
        read: Netlink,
    }
    /// Where sent data is encrypted, TLS_CONF_* of linux/tls.h: 1 the application, since there are no
    /// keys, 2 the kernel, 3 the network device, 4 a device that speaks TCP and TLS itself.
    tls_tx_conf {
        ty: U16, unit: "", source: "TLS_INFO_TXCONF", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// Where received data is decrypted, TLS_CONF_* of linux/tls.h: 1 the application, since there are
    /// no keys, 2 the kernel, 3 the network device, 4 a device that speaks TCP and TLS itself.
    tls_rx_conf {
        ty: U16, unit: "", source: "TLS_INFO_RXCONF", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// 1 if files are sent without a copy (TLS_TX_ZEROCOPY_RO, Linux 5.19). NULL if not: a kernel that
    /// does not know of it reports the same.
    tls_zc_ro_tx {
        ty: U8, unit: "", source: "TLS_INFO_ZC_RO_TX", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// 1 if no padding is expected in what is received (TLS_RX_EXPECT_NO_PAD, Linux 6.0). NULL if not: a
    /// kernel that does not know of it reports the same.
    tls_rx_no_pad {
        ty: U8, unit: "", source: "TLS_INFO_RX_NO_PAD", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// Most bytes of data in a TLS record that is sent (TLS_TX_MAX_PAYLOAD_LEN); NULL on kernels that
    /// have no such option.
    tls_tx_max_payload_len {
        ty: U16, unit: "bytes", source: "TLS_INFO_TX_MAX_PAYLOAD_LEN", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// Token by which the peer knows the MPTCP connection, in subflows that this end joined to it; 0 in
    /// others.
    mptcp_token_rem {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_TOKEN_REM", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Token of the MPTCP connection here: `mptcp_id` of connections, and what `ss -M` shows.
    mptcp_token_loc {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_TOKEN_LOC", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Where the next data to send begins in the subflow, in bytes from its first.
    mptcp_relwrite_seq {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_RELWRITE_SEQ", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Data sequence number that the current mapping of received data begins at: 64 random bits and what
    /// was sent since, so it may be negative in a column of Int64.
    mptcp_map_seq {
        ty: U64, unit: "", source: "MPTCP_SUBFLOW_ATTR_MAP_SEQ", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Sequence number of the subflow that the current mapping begins at, counted from its first.
    mptcp_map_sfseq {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_MAP_SFSEQ", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Sequence number of the subflow (TCP) that its own count begins at.
    mptcp_ssn_offset {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_SSN_OFFSET", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Octets of the current mapping.
    mptcp_map_datalen {
        ty: U16, unit: "bytes", source: "MPTCP_SUBFLOW_ATTR_MAP_DATALEN", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Bits of the subflow, MPTCP_SUBFLOW_FLAG_* of linux/mptcp.h: 1 the peer and 2 this end offered
    /// MP_CAPABLE, 4 the peer and 8 this end MP_JOIN, 16 the peer and 32 this end called it a backup, 64
    /// fully established, 128 connected, 256 a mapping is in force.
    mptcp_flags {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_FLAGS", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Id of the peer's address.
    mptcp_id_rem {
        ty: U8, unit: "", source: "MPTCP_SUBFLOW_ATTR_ID_REM", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Id of the local address.
    mptcp_id_loc {
        ty: U8, unit: "", source: "MPTCP_SUBFLOW_ATTR_ID_LOC", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Connections that arrived at a full accept queue of the namespace. Since the namespace exists.
    ListenOverflows {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// Connections that listening sockets of the namespace did not accept, with those of full accept queues. Since the namespace exists.
    ListenDrops {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// SYN cookies that the namespace sent. Since the namespace exists.
    SyncookiesSent {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// Connections that the namespace made from valid SYN cookies. Since the namespace exists.
    SyncookiesRecv {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// Acknowledgments to the namespace with invalid SYN cookies. Since the namespace exists.
    SyncookiesFailed {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// SYNs that arrived at a full SYN queue of the namespace and were answered with a SYN cookie. Since the namespace exists.
    TCPReqQFullDoCookies {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// SYNs that arrived at a full SYN queue of the namespace and were dropped. Since the namespace exists.
    TCPReqQFullDrop {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// Fast Open requests that arrived at a full Fast Open queue of the namespace. Since the namespace exists.
    TCPFastOpenListenOverflow {
        ty: U64, unit: "", source: "TcpExt", needs: "a listening socket",
        read: Netstat,
    }
    /// Why the kernel dropped a packet: its number of the reason, which another kernel may not have. The
    /// manifest has the names (`drop_reasons`).
    drop_reason {
        ty: U32, unit: "", source: "enum skb_drop_reason", needs: "a dropped packet, Linux 5.17",
        read: Dropped,
    }
    /// Which way a dropped packet went: 1 received, 2 sent.
    drop_way {
        ty: U8, unit: "", source: "struct sk_buff", needs: "a dropped packet",
        read: Dropped,
    }
    /// Segments of a dropped packet: more than 1 of a super-packet.
    drop_segments {
        ty: U16, unit: "", source: "struct sk_buff", needs: "a dropped packet",
        read: Dropped,
    }
    /// Payload of a dropped packet.
    drop_payload_bytes {
        ty: U32, unit: "bytes", source: "struct sk_buff", needs: "a dropped packet",
        read: Dropped,
    }

} };
}
