// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `struct tcp_info`, the kernel's own values of a socket.
//!
//! Neither libc nor the headers of a distribution have the newest fields, and an older kernel
//! returns fewer of them. So the layout of Linux 7.3 stands here as a table (the structure only
//! ever grows at its end), and a field beyond the length the kernel returned has no value.

use std::io;
use std::os::fd::RawFd;

/// One field: name, offset and width in octets.
struct Field(&'static str, usize, usize);

/// include/uapi/linux/tcp.h of Linux 7.3, without the bit-fields at offsets 6 and 7 and the word at 276,
/// whose layout is not the same in 6.18.
const FIELDS: &[Field] = &[
    Field("tcpi_state", 0, 1),
    Field("tcpi_ca_state", 1, 1),
    Field("tcpi_retransmits", 2, 1),
    Field("tcpi_probes", 3, 1),
    Field("tcpi_backoff", 4, 1),
    Field("tcpi_options", 5, 1),
    Field("tcpi_rto", 8, 4),
    Field("tcpi_ato", 12, 4),
    Field("tcpi_snd_mss", 16, 4),
    Field("tcpi_rcv_mss", 20, 4),
    Field("tcpi_unacked", 24, 4),
    Field("tcpi_sacked", 28, 4),
    Field("tcpi_lost", 32, 4),
    Field("tcpi_retrans", 36, 4),
    Field("tcpi_fackets", 40, 4),
    Field("tcpi_last_data_sent", 44, 4),
    Field("tcpi_last_ack_sent", 48, 4),
    Field("tcpi_last_data_recv", 52, 4),
    Field("tcpi_last_ack_recv", 56, 4),
    Field("tcpi_pmtu", 60, 4),
    Field("tcpi_rcv_ssthresh", 64, 4),
    Field("tcpi_rtt", 68, 4),
    Field("tcpi_rttvar", 72, 4),
    Field("tcpi_snd_ssthresh", 76, 4),
    Field("tcpi_snd_cwnd", 80, 4),
    Field("tcpi_advmss", 84, 4),
    Field("tcpi_reordering", 88, 4),
    Field("tcpi_rcv_rtt", 92, 4),
    Field("tcpi_rcv_space", 96, 4),
    Field("tcpi_total_retrans", 100, 4),
    Field("tcpi_pacing_rate", 104, 8),
    Field("tcpi_max_pacing_rate", 112, 8),
    Field("tcpi_bytes_acked", 120, 8),
    Field("tcpi_bytes_received", 128, 8),
    Field("tcpi_segs_out", 136, 4),
    Field("tcpi_segs_in", 140, 4),
    Field("tcpi_notsent_bytes", 144, 4),
    Field("tcpi_min_rtt", 148, 4),
    Field("tcpi_data_segs_in", 152, 4),
    Field("tcpi_data_segs_out", 156, 4),
    Field("tcpi_delivery_rate", 160, 8),
    Field("tcpi_busy_time", 168, 8),
    Field("tcpi_rwnd_limited", 176, 8),
    Field("tcpi_sndbuf_limited", 184, 8),
    Field("tcpi_delivered", 192, 4),
    Field("tcpi_delivered_ce", 196, 4),
    Field("tcpi_bytes_sent", 200, 8),
    Field("tcpi_bytes_retrans", 208, 8),
    Field("tcpi_dsack_dups", 216, 4),
    Field("tcpi_reord_seen", 220, 4),
    Field("tcpi_rcv_ooopack", 224, 4),
    Field("tcpi_snd_wnd", 228, 4),
    Field("tcpi_rcv_wnd", 232, 4),
    Field("tcpi_rehash", 236, 4),
    Field("tcpi_total_rto", 240, 2),
    Field("tcpi_total_rto_recoveries", 242, 2),
    Field("tcpi_total_rto_time", 244, 4),
    Field("tcpi_received_ce", 248, 4),
    Field("tcpi_delivered_e1_bytes", 252, 4),
    Field("tcpi_delivered_e0_bytes", 256, 4),
    Field("tcpi_delivered_ce_bytes", 260, 4),
    Field("tcpi_received_e1_bytes", 264, 4),
    Field("tcpi_received_e0_bytes", 268, 4),
    Field("tcpi_received_ce_bytes", 272, 4),
];

/// Milliseconds since something: they grow while nothing happens.
const CLOCKS: &[&str] =
    &["tcpi_last_data_sent", "tcpi_last_ack_sent", "tcpi_last_data_recv", "tcpi_last_ack_recv"];

/// Bits of `tcpi_options`.
pub mod options {
    /// Timestamps negotiated.
    pub const TIMESTAMPS: u64 = 1;
    /// SACK negotiated.
    pub const SACK: u64 = 2;
    /// Window scaling negotiated.
    pub const WSCALE: u64 = 4;
    /// ECN negotiated.
    pub const ECN: u64 = 8;
}

/// Kernel states in `tcpi_state`.
pub mod state {
    /// ESTABLISHED.
    pub const ESTABLISHED: u64 = 1;
    /// CLOSE: the connection is over, the socket still there with its counters as they were.
    pub const CLOSE: u64 = 7;
}

/// `tcpi_snd_ssthresh` while it was never set (TCP_INFINITE_SSTHRESH).
pub const INFINITE_SSTHRESH: u64 = 0x7fff_ffff;

/// Names of all fields, of the newest kernel.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|field| field.0)
}

/// What TCP_INFO returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    octets: Vec<u8>,
}

impl TcpInfo {
    /// Reads TCP_INFO of a socket.
    pub fn of(fd: RawFd) -> Self {
        let mut octets = vec![0u8; 512]; // larger than any: the kernel says how much it filled
        let mut length = octets.len() as libc::socklen_t;
        let pointer = octets.as_mut_ptr().cast();
        // SAFETY: the buffer is valid for the length given.
        let result = unsafe {
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, pointer, &mut length)
        };
        assert_eq!(result, 0, "getsockopt TCP_INFO: {}", io::Error::last_os_error());
        octets.truncate(length as usize);
        Self { octets }
    }

    /// What TCP_INFO returned elsewhere.
    pub fn from_octets(octets: Vec<u8>) -> Self {
        Self { octets }
    }

    /// What TCP_INFO returned.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The field's value; `None` if this kernel does not have it. Panics on a name that no kernel
    /// has, which is a mistake in the caller.
    pub fn get(&self, name: &str) -> Option<u64> {
        let field = FIELDS.iter().find(|field| field.0 == name);
        let &Field(_, offset, width) = field.unwrap_or_else(|| panic!("tcp_info has no {name}"));
        let octets = self.octets.get(offset..offset + width)?;
        let mut value = [0u8; 8];
        if cfg!(target_endian = "big") {
            value[8 - width..].copy_from_slice(octets);
        } else {
            value[..width].copy_from_slice(octets);
        }
        Some(u64::from_ne_bytes(value))
    }

    /// The field's value; panics if this kernel does not have it.
    pub fn must(&self, name: &str) -> u64 {
        self.get(name).unwrap_or_else(|| panic!("this kernel's tcp_info has no {name}"))
    }

    /// Window shifts: the peer's, which we apply to what it sends, and ours.
    pub fn window_shifts(&self) -> (u64, u64) {
        let octet = u64::from(self.octets[6]);
        // Bit-fields are laid out from the least significant bit on little-endian machines and
        // from the most significant on big-endian ones.
        let (low, high) = (octet & 15, octet >> 4);
        if cfg!(target_endian = "big") { (high, low) } else { (low, high) }
    }

    /// Fields that differ, except those that count time while nothing happens.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        FIELDS
            .iter()
            .map(|field| field.0)
            .filter(|name| !CLOCKS.contains(name))
            .filter(|name| self.get(name) != later.get(name))
            .map(|name| format!("{name} {:?} -> {:?}", self.get(name), later.get(name)))
            .collect()
    }
}
