// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Identity: addresses and ports, tcpEStatsConnectionTable. See the parent module.

#[rustfmt::skip]
macro_rules! connection {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

    /// Recorder-assigned number of the connection, unique within one recording, never reused.
    6 ConnectIndex {
        table: Table::Connection,
        rfc: "tcpEStatsConnectIndex",
        ty: Type::U32,
        unit: "",
        kind: Kind::Identity,
        packets: exact("order of appearance"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("none on stock kernels (idiag_cookie in inet_diag == socket cookie, which allows joining with ss -e)"),
        reference: Reference::NotComparable("each numbers connections by itself"),
    }

    /// Address family of the addresses in the row: 1 IPv4, 2 IPv6.
    7 AddressType {
        table: Table::Connection,
        rfc: "tcpConnectionLocalAddressType",
        ty: Type::Enum(ADDRESS_TYPE),
        unit: "",
        kind: Kind::Identity,
        packets: exact("IP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag idiag_family (equal except for the v4-mapped case)"),
        reference: Reference::MATCHED,
    }

    /// Local IP address of the connection, 4 or 16 octets in network order.
    8 LocalAddress {
        table: Table::Connection,
        rfc: "tcpConnectionLocalAddress",
        ty: Type::Address,
        unit: "",
        kind: Kind::Identity,
        packets: exact("IP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_src: equal"),
        reference: Reference::MATCHED,
    }

    /// Remote IP address of the connection, 4 or 16 octets in network order.
    9 RemAddress {
        table: Table::Connection,
        rfc: "tcpConnectionRemAddress",
        ty: Type::Address,
        unit: "",
        kind: Kind::Identity,
        packets: exact("IP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_dst: equal"),
        reference: Reference::MATCHED,
    }

    /// Local TCP port, host byte order.
    10 LocalPort {
        table: Table::Connection,
        rfc: "tcpConnectionLocalPort",
        ty: Type::U16,
        unit: "",
        kind: Kind::Identity,
        packets: exact("TCP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_sport (network order): equal after swap"),
        reference: Reference::MATCHED,
    }

    /// Remote TCP port, host byte order.
    11 RemPort {
        table: Table::Connection,
        rfc: "tcpConnectionRemPort",
        ty: Type::U16,
        unit: "",
        kind: Kind::Identity,
        packets: exact("TCP header"),
        apply: Apply::Derived(Rule::Lifecycle),
        read: Read::No,
        sources: &[Coverage {
            quality: Quality::Exact,
            needs: &[Hook::SetState],
            how: "lifecycle record",
        }],
        tcp_info: TcpInfo::Related("inet_diag id.idiag_dport: equal after swap"),
        reference: Reference::MATCHED,
    }

} };
}
