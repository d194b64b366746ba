// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! inet_diag's messages: their layouts (include/uapi/linux/inet_diag.h, tcp.h, sock_diag.h), and
//! one of them -> [`Snapshot`]. Pure, and in the byte order of the machine, as netlink is.

use super::decode::{text_of, u16_at, u32_at, u64_at};
use super::{Header, NO_CPU, Snapshot, SocketValues};
use crate::schema::record::Name;
use crate::schema::{Hook, SocketField as F, Why};

/// `struct tcp_info` of include/uapi/linux/tcp.h, Linux 7.3: offsets of all fields but the bit-fields at
/// 6 and 7 and those of [`LAST_WORD`]. The structure only grows at its end.
pub const TCP_INFO: &[(F, usize, usize)] = &[
    (F::tcpi_state, 0, 1),
    (F::tcpi_ca_state, 1, 1),
    (F::tcpi_retransmits, 2, 1),
    (F::tcpi_probes, 3, 1),
    (F::tcpi_backoff, 4, 1),
    (F::tcpi_options, 5, 1),
    (F::tcpi_rto, 8, 4),
    (F::tcpi_ato, 12, 4),
    (F::tcpi_snd_mss, 16, 4),
    (F::tcpi_rcv_mss, 20, 4),
    (F::tcpi_unacked, 24, 4),
    (F::tcpi_sacked, 28, 4),
    (F::tcpi_lost, 32, 4),
    (F::tcpi_retrans, 36, 4),
    (F::tcpi_last_data_sent, 44, 4),
    (F::tcpi_last_data_recv, 52, 4),
    (F::tcpi_last_ack_recv, 56, 4),
    (F::tcpi_pmtu, 60, 4),
    (F::tcpi_rcv_ssthresh, 64, 4),
    (F::tcpi_rtt, 68, 4),
    (F::tcpi_rttvar, 72, 4),
    (F::tcpi_snd_ssthresh, 76, 4),
    (F::tcpi_snd_cwnd, 80, 4),
    (F::tcpi_advmss, 84, 4),
    (F::tcpi_reordering, 88, 4),
    (F::tcpi_rcv_rtt, 92, 4),
    (F::tcpi_rcv_space, 96, 4),
    (F::tcpi_total_retrans, 100, 4),
    (F::tcpi_pacing_rate, 104, 8),
    (F::tcpi_max_pacing_rate, 112, 8),
    (F::tcpi_bytes_acked, 120, 8),
    (F::tcpi_bytes_received, 128, 8),
    (F::tcpi_segs_out, 136, 4),
    (F::tcpi_segs_in, 140, 4),
    (F::tcpi_notsent_bytes, 144, 4),
    (F::tcpi_min_rtt, 148, 4),
    (F::tcpi_data_segs_in, 152, 4),
    (F::tcpi_data_segs_out, 156, 4),
    (F::tcpi_delivery_rate, 160, 8),
    (F::tcpi_busy_time, 168, 8),
    (F::tcpi_rwnd_limited, 176, 8),
    (F::tcpi_sndbuf_limited, 184, 8),
    (F::tcpi_delivered, 192, 4),
    (F::tcpi_delivered_ce, 196, 4),
    (F::tcpi_bytes_sent, 200, 8),
    (F::tcpi_bytes_retrans, 208, 8),
    (F::tcpi_dsack_dups, 216, 4),
    (F::tcpi_reord_seen, 220, 4),
    (F::tcpi_rcv_ooopack, 224, 4),
    (F::tcpi_snd_wnd, 228, 4),
    (F::tcpi_rcv_wnd, 232, 4),
    (F::tcpi_rehash, 236, 4),
    (F::tcpi_total_rto, 240, 2),
    (F::tcpi_total_rto_recoveries, 242, 2),
    (F::tcpi_total_rto_time, 244, 4),
    (F::tcpi_received_ce, 248, 4),
    (F::tcpi_delivered_e1_bytes, 252, 4),
    (F::tcpi_delivered_e0_bytes, 256, 4),
    (F::tcpi_delivered_ce_bytes, 260, 4),
    (F::tcpi_received_e1_bytes, 264, 4),
    (F::tcpi_received_e0_bytes, 268, 4),
    (F::tcpi_received_ce_bytes, 272, 4),
];

/// The word that Linux 6.18 and 7.0 lay out differently, in a structure of one length.
pub const LAST_WORD: usize = 276;

/// Octets of `struct tcp_info` that are known: what a kernel has beyond them is kept as it is.
pub const TCP_INFO_KNOWN: usize = LAST_WORD + 4;

/// Layout of [`LAST_WORD`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastWord {
    /// Linux 6.18 and 6.19: 16 bits of `tcpi_accecn_fail_mode`, 16 of `tcpi_accecn_opt_seen`.
    Halves,
    /// Since Linux 7.0: 2 bits of `tcpi_ecn_mode`, 2 of `tcpi_accecn_opt_seen`, 4 of
    /// `tcpi_accecn_fail_mode`, and 24 of `tcpi_options2`, of which no kernel has set one so far.
    #[default]
    Bits,
}

impl LastWord {
    /// The fields, with the first bit and the number of bits of each in a little-endian word.
    pub const fn fields(self) -> &'static [(F, u32, u32)] {
        match self {
            Self::Halves => &[(F::tcpi_accecn_fail_mode, 0, 16), (F::tcpi_accecn_opt_seen, 16, 16)],
            Self::Bits => &[
                (F::tcpi_ecn_mode, 0, 2),
                (F::tcpi_accecn_opt_seen, 2, 2),
                (F::tcpi_accecn_fail_mode, 4, 4),
            ],
        }
    }
}

/// SK_MEMINFO_* of include/uapi/linux/sock_diag.h.
pub const SKMEMINFO: [F; 9] = [
    F::skmem_rmem_alloc,
    F::skmem_rcvbuf,
    F::skmem_wmem_alloc,
    F::skmem_sndbuf,
    F::skmem_fwd_alloc,
    F::skmem_wmem_queued,
    F::skmem_optmem,
    F::skmem_backlog,
    F::skmem_drops,
];

/// struct inet_diag_meminfo: rmem, wmem, fmem, tmem.
pub const MEMINFO: [F; 4] =
    [F::skmem_rmem_alloc, F::skmem_wmem_queued, F::skmem_fwd_alloc, F::skmem_wmem_alloc];

/// INET_DIAG_*: the attributes that are read.
pub mod attribute {
    /// struct tcp_info.
    pub const INFO: u16 = 2;
    /// struct tcpvegas_info.
    pub const VEGASINFO: u16 = 3;
    /// Name of the congestion control.
    pub const CONG: u16 = 4;
    /// TOS.
    pub const TOS: u16 = 5;
    /// Traffic class, of IPv6 sockets.
    pub const TCLASS: u16 = 6;
    /// Nine words of memory.
    pub const SKMEMINFO: u16 = 7;
    /// sk_shutdown.
    pub const SHUTDOWN: u16 = 8;
    /// struct tcp_dctcp_info.
    pub const DCTCPINFO: u16 = 9;
    /// SO_MARK.
    pub const MARK: u16 = 15;
    /// struct tcp_bbr_info.
    pub const BBRINFO: u16 = 16;
    /// Class id, or SO_PRIORITY.
    pub const CLASS_ID: u16 = 17;
    /// Attributes of the upper layer protocol, to CAP_NET_ADMIN alone.
    pub const ULP_INFO: u16 = 19;
    /// Id in the cgroup v2 hierarchy (Linux 5.9).
    pub const CGROUP_ID: u16 = 21;
    /// struct inet_diag_sockopt (Linux 5.10).
    pub const SOCKOPT: u16 = 22;
}

/// INET_ULP_INFO_*: the attributes within [`attribute::ULP_INFO`].
mod ulp {
    pub const NAME: u16 = 1;
    pub const TLS: u16 = 2;
    pub const MPTCP: u16 = 3;
}

/// TLS_INFO_* of include/uapi/linux/tls.h: the type of a number's attribute, its field and width.
const TLS: [(u16, F, usize); 5] = [
    (1, F::tls_version, 2),
    (2, F::tls_cipher, 2),
    (3, F::tls_tx_conf, 2),
    (4, F::tls_rx_conf, 2),
    (7, F::tls_tx_max_payload_len, 2),
];
/// TLS_INFO_ZC_RO_TX and TLS_INFO_RX_NO_PAD, which have no value: they are there or not.
const TLS_FLAGS: [(u16, F); 2] = [(5, F::tls_zc_ro_tx), (6, F::tls_rx_no_pad)];

/// MPTCP_SUBFLOW_ATTR_* of include/uapi/linux/mptcp.h.
const MPTCP: [(u16, F, usize); 10] = [
    (1, F::mptcp_token_rem, 4),
    (2, F::mptcp_token_loc, 4),
    (3, F::mptcp_relwrite_seq, 4),
    (4, F::mptcp_map_seq, 8),
    (5, F::mptcp_map_sfseq, 4),
    (6, F::mptcp_ssn_offset, 4),
    (7, F::mptcp_map_datalen, 2),
    (8, F::mptcp_flags, 4),
    (9, F::mptcp_id_rem, 1),
    (10, F::mptcp_id_loc, 1),
];

/// struct inet_diag_msg.
const MESSAGE: usize = 72;
/// struct rtattr.
const ATTRIBUTE: usize = 4;

/// The attributes that follow the message: type, payload. Ends where one is cut.
fn attributes(mut b: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(b.get(..ATTRIBUTE).map(|b| u16_at(b, 0))?);
        let payload = b.get(ATTRIBUTE..len)?;
        // The upper two bits are flags.
        let kind = u16_at(b, 2) & 0x3fff;
        b = b.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// A text of the kernel, as far as its NUL.
fn text(payload: &[u8]) -> String {
    let mut name = [0; 16];
    let len = payload.len().min(name.len());
    name[..len].copy_from_slice(&payload[..len]);
    text_of(Name(name))
}

/// Reads the attributes of the upper layer protocol, and gives its name.
fn upper_layer(payload: &[u8], values: &mut SocketValues) -> String {
    let mut name = String::new();
    for (kind, payload) in attributes(payload) {
        let fields: &[(u16, F, usize)] = match kind {
            ulp::NAME => {
                name = text(payload);
                continue;
            }
            ulp::TLS => &TLS,
            ulp::MPTCP => &MPTCP,
            _ => continue,
        };
        for (of, value) in attributes(payload) {
            if let Some(&(_, field, width)) = fields.iter().find(|(kind, ..)| *kind == of) {
                values.set(field, number(value, 0, width));
            } else if let Some(&(_, field)) = TLS_FLAGS.iter().find(|(flag, _)| *flag == of)
                && kind == ulp::TLS
            {
                values.set(field, Some(1));
            }
        }
    }
    name
}

fn number(b: &[u8], at: usize, width: usize) -> Option<u64> {
    let b = b.get(at..at + width)?;
    Some(match width {
        1 => u64::from(b[0]),
        2 => u64::from(u16_at(b, 0)),
        4 => u64::from(u32_at(b, 0)),
        _ => u64_at(b, 0),
    })
}

/// Reads a message about a TCP socket, without the netlink header. `None` for a message without `struct
/// tcp_info`: a request or time-wait socket, which is not a connection here.
///
/// `last` is the layout that this kernel has, by its type information.
///
/// The caller sets time, number of the poll, sequence number and namespace. `priority` is never there:
/// inet_diag has it only where the socket has no class (`class_id`).
pub fn decode_diag(b: &[u8], last: LastWord) -> Option<Snapshot> {
    let message = b.get(..MESSAGE)?;
    let mut values = SocketValues::default();
    let (mut congestion, mut upper) = (String::new(), String::new());
    let mut more = Vec::new();
    let mut is_connection = false;
    let timer = message[2];
    for (field, at, width) in [
        (F::timer, 2, 1),
        (F::timer_retrans, 3, 1),
        (F::rqueue, 56, 4),
        (F::wqueue, 60, 4),
        (F::uid, 64, 4),
        (F::inode, 68, 4),
    ] {
        values.set(field, number(message, at, width));
    }
    values.set(F::timer_expires, number(message, 52, 4).filter(|_| timer != 0));
    for (kind, payload) in attributes(&b[MESSAGE..]) {
        let mut list = |fields: &[(F, usize, usize)]| {
            for &(field, at, width) in fields {
                values.set(field, number(payload, at, width));
            }
        };
        match kind {
            attribute::INFO => {
                is_connection = true;
                more = payload.get(TCP_INFO_KNOWN..).unwrap_or_default().to_vec();
                list(TCP_INFO);
                // Bit-fields, from the least significant bit.
                let scales = number(payload, 6, 1);
                values.set(F::tcpi_snd_wscale, scales.map(|b| b & 15));
                values.set(F::tcpi_rcv_wscale, scales.map(|b| b >> 4));
                let bits = number(payload, 7, 1);
                values.set(F::tcpi_delivery_rate_app_limited, bits.map(|b| b & 1));
                values.set(F::tcpi_fastopen_client_fail, bits.map(|b| b >> 1 & 3));
                let word = number(payload, LAST_WORD, 4);
                for &(field, first, bits) in last.fields() {
                    values.set(field, word.map(|w| w >> first & ((1 << bits) - 1)));
                }
            }
            attribute::SKMEMINFO => {
                for (i, field) in SKMEMINFO.into_iter().enumerate() {
                    values.set(field, number(payload, 4 * i, 4));
                }
            }
            attribute::VEGASINFO => {
                list(&[(F::vegas_enabled, 0, 4), (F::vegas_rttcnt, 4, 4)]);
                values.set(F::vegas_rtt, number(payload, 8, 4));
                values.set(F::vegas_minrtt, number(payload, 12, 4));
            }
            attribute::DCTCPINFO => list(&[
                (F::dctcp_ce_state, 2, 2),
                (F::dctcp_alpha, 4, 4),
                (F::dctcp_ab_ecn, 8, 4),
                (F::dctcp_ab_tot, 12, 4),
            ]),
            attribute::BBRINFO => {
                // Two words, the low one first on any machine.
                let halves = number(payload, 0, 4).zip(number(payload, 4, 4));
                values.set(F::bbr_bw, halves.map(|(low, high)| high << 32 | low));
                values.set(F::bbr_min_rtt, number(payload, 8, 4));
                values.set(F::bbr_pacing_gain, number(payload, 12, 4));
                values.set(F::bbr_cwnd_gain, number(payload, 16, 4));
            }
            attribute::CONG => congestion = text(payload),
            attribute::TOS => list(&[(F::tos, 0, 1)]),
            attribute::TCLASS => list(&[(F::tclass, 0, 1)]),
            attribute::SHUTDOWN => list(&[(F::shutdown, 0, 1)]),
            attribute::MARK => list(&[(F::mark, 0, 4)]),
            attribute::CGROUP_ID => list(&[(F::cgroup_id, 0, 8)]),
            attribute::CLASS_ID => list(&[(F::class_id, 0, 4)]),
            attribute::ULP_INFO => upper = upper_layer(payload, &mut values),
            attribute::SOCKOPT => {
                // Two octets of bit-fields, from the least significant bit.
                let octets = number(payload, 0, 1).zip(number(payload, 1, 1));
                values.set(F::sockopt, octets.map(|(first, second)| first | second << 8));
            }
            // Attributes of newer kernels, and those that were not asked for.
            _ => {}
        }
    }
    let port = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let address = |at: usize| -> [u8; 16] { message[at..at + 16].try_into().expect("sixteen") };
    is_connection.then(|| Snapshot {
        header: Header {
            ts_ns: 0,
            seq: 0,
            cookie: u64::from(u32_at(message, 44)) | u64::from(u32_at(message, 48)) << 32,
            generation: 0,
            cpu: NO_CPU,
            hook: Hook::Poll,
        },
        why: Why::Poll,
        poll: None,
        family: u16::from(message[0]),
        local_addr: address(8),
        remote_addr: address(24),
        local_port: port(4),
        remote_port: port(6),
        netns: 0,
        congestion,
        ulp: upper,
        tcp_info_more: more,
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message whose `struct tcp_info` ends in this word.
    fn message(word: u32) -> Vec<u8> {
        let mut b = vec![0; MESSAGE];
        b.extend(((ATTRIBUTE + LAST_WORD + 4) as u16).to_ne_bytes());
        b.extend(attribute::INFO.to_ne_bytes());
        b.resize(b.len() + LAST_WORD, 0);
        b.extend(word.to_ne_bytes());
        b
    }

    #[test]
    fn the_bit_fields_of_the_last_word_are_read_as_the_kernel_stores_them() {
        let fields = [F::tcpi_ecn_mode, F::tcpi_accecn_opt_seen, F::tcpi_accecn_fail_mode];
        let read = |word, last| {
            let snapshot = decode_diag(&message(word), last).expect("a connection");
            fields.map(|field| snapshot.values.get(field))
        };
        // AccECN, an option with counters, ACE failed both ways; bits that no kernel sets yet.
        let bits = 2 | 2 << 2 | 3 << 4 | 0xabc << 8;
        assert_eq!(read(bits, LastWord::Bits), [Some(2), Some(2), Some(3)]);
        assert_eq!(read(3 | 2 << 16, LastWord::Halves), [None, Some(2), Some(3)]);
        // Linux 6.12 ends before it.
        let mut short = message(0);
        short.truncate(MESSAGE + ATTRIBUTE + 248);
        short[MESSAGE..MESSAGE + 2].copy_from_slice(&((ATTRIBUTE + 248) as u16).to_ne_bytes());
        let snapshot = decode_diag(&short, LastWord::Bits).expect("a connection");
        assert_eq!(fields.map(|field| snapshot.values.get(field)), [None; 3]);
    }

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut b = ((ATTRIBUTE + payload.len()) as u16).to_ne_bytes().to_vec();
        b.extend(kind.to_ne_bytes());
        b.extend(payload);
        b.resize(b.len().next_multiple_of(4), 0);
        b
    }

    /// A kernel of the future: what stands behind the known fields comes through as it is.
    #[test]
    fn unknown_octets_of_a_longer_tcp_info_are_kept() {
        let message = |more: &[u8]| {
            let mut info = vec![0; TCP_INFO_KNOWN];
            info[0] = 1;
            info[80..84].copy_from_slice(&10_u32.to_ne_bytes());
            info.extend(more);
            let mut b = vec![0; MESSAGE];
            b.extend(attr(attribute::INFO, &info));
            b.extend(attr(attribute::CONG, b"cubic\0"));
            b
        };
        for more in [&[][..], &[7; 4], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]] {
            let snapshot = decode_diag(&message(more), LastWord::Bits).expect("a connection");
            assert_eq!(snapshot.tcp_info_more, more);
            let known = [F::tcpi_state, F::tcpi_snd_cwnd].map(|field| snapshot.values.get(field));
            assert_eq!((known, snapshot.congestion.as_str()), ([Some(1), Some(10)], "cubic"));
        }
        // An older kernel's is shorter than what is known.
        let mut short = vec![0; MESSAGE];
        short.extend(attr(attribute::INFO, &[1; 240]));
        assert_eq!(decode_diag(&short, LastWord::Bits).expect("it").tcp_info_more, [0; 0]);
    }

    #[test]
    fn attributes_of_sockets_and_upper_layers_are_read() {
        const NESTED: u16 = 1 << 15;
        let word = u32::to_ne_bytes;
        let half = u16::to_ne_bytes;
        let read = |upper: &[u8]| {
            let mut b = message(0);
            b.extend(attr(attribute::CLASS_ID, &word(0x10_0001)));
            b.extend(attr(attribute::SOCKOPT, &[0b0101_0010, 0b101]));
            b.extend(attr(attribute::ULP_INFO | NESTED, upper));
            decode_diag(&b, LastWord::Bits).expect("a connection")
        };
        let tls = [attr(1, &half(0x304)), attr(2, &half(52)), attr(3, &half(3)), attr(5, &[])];
        let tls = [attr(ulp::NAME, b"tls\0"), attr(ulp::TLS | NESTED, &tls.concat())].concat();
        let snapshot = read(&tls);
        let get = |field| snapshot.values.get(field);
        assert_eq!((get(F::class_id), get(F::sockopt)), (Some(0x10_0001), Some(0x552)));
        assert_eq!(snapshot.ulp, "tls");
        assert_eq!((get(F::tls_version), get(F::tls_cipher)), (Some(772), Some(52)));
        assert_eq!((get(F::tls_tx_conf), get(F::tls_rx_conf)), (Some(3), None));
        assert_eq!((get(F::tls_zc_ro_tx), get(F::tls_rx_no_pad)), (Some(1), None));
        assert_eq!(get(F::mptcp_flags), None);
        let mptcp = [
            attr(2, &word(0xdead_beef)),
            attr(4, &0x1122_3344_5566_7788_u64.to_ne_bytes()),
            attr(5, &word(9)),
            attr(7, &half(1400)),
            attr(8, &word(0x1c3)),
            attr(10, &[2]),
        ];
        let mptcp = [attr(ulp::NAME, b"mptcp\0"), attr(ulp::MPTCP, &mptcp.concat())].concat();
        let snapshot = read(&mptcp);
        let get = |field| snapshot.values.get(field);
        assert_eq!(snapshot.ulp, "mptcp");
        assert_eq!(get(F::mptcp_token_loc), Some(0xdead_beef));
        assert_eq!(get(F::mptcp_map_seq), Some(0x1122_3344_5566_7788));
        assert_eq!(get(F::mptcp_map_sfseq), Some(9));
        assert_eq!((get(F::mptcp_map_datalen), get(F::mptcp_flags)), (Some(1400), Some(0x1c3)));
        assert_eq!((get(F::mptcp_id_loc), get(F::mptcp_id_rem)), (Some(2), None));
        assert_eq!((get(F::tls_zc_ro_tx), get(F::tls_version)), (None, None));
        // Cut anywhere it is read as far as it goes.
        for end in 0..tls.len() {
            read(&tls[..end]);
        }
    }
}
