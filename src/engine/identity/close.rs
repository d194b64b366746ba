// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How a connection ended, from what the kernel had in the socket at the change to CLOSE.

use super::End;

// Kernel states, include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;
const NEW_SYN_RECV: u8 = 12;

// errno of Linux on all architectures but alpha, mips, parisc and sparc.
const EPIPE: u32 = 32;
const EHOSTDOWN: u32 = 112;
const ENETUNREACH: u32 = 101;
const ENETDOWN: u32 = 100;
const ENOPROTOOPT: u32 = 92;
const EPROTO: u32 = 71;
const EOPNOTSUPP: u32 = 95;
const ECONNABORTED: u32 = 103;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTUNREACH: u32 = 113;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both ends sent a FIN, as they should.
    Fin,
    /// The peer reset it.
    ResetReceived,
    /// We reset it: closed with SO_LINGER 0 or with data unread, or data came after the close.
    ResetSent,
    /// The peer refused it in the handshake.
    Refused,
    /// Retransmissions, probes or keepalives were not answered.
    Timeout,
    /// ICMP: no way to the peer.
    Unreachable,
    /// The application gave up before the connection was established.
    Abandoned,
    /// Taken down from outside (`ss -K`, a BPF program).
    Aborted,
    /// Another error, which is in `sk_err`.
    Error,
}

impl CloseReason {
    /// From the kernel state before CLOSE and `sk->sk_err`; none if the state does not show it.
    pub(super) fn of(old_state: u8, sk_err: u32) -> Option<Self> {
        // The error comes first: a reset in LAST_ACK ends the connection by the reset.
        match sk_err {
            0 => {}
            ECONNREFUSED => return Some(Self::Refused),
            // tcp_reset() sets EPIPE in CLOSE_WAIT, ECONNRESET in the other states.
            ECONNRESET | EPIPE => return Some(Self::ResetReceived),
            ETIMEDOUT => return Some(Self::Timeout),
            EHOSTUNREACH | ENETUNREACH | EHOSTDOWN | ENETDOWN | ENOPROTOOPT | EPROTO
            | EOPNOTSUPP => return Some(Self::Unreachable),
            ECONNABORTED => return Some(Self::Aborted),
            _ => return Some(Self::Error),
        }
        match old_state {
            FIN_WAIT2 | TIME_WAIT | LAST_ACK | CLOSING => Some(Self::Fin),
            // tcp_disconnect() and tcp_close() set sk_err, if at all, after the change of state.
            // In FIN_WAIT1 it is data that came after close(): answered by a RST.
            ESTABLISHED | SYN_RECV | FIN_WAIT1 | CLOSE_WAIT | NEW_SYN_RECV => Some(Self::ResetSent),
            // tcp_need_reset() excludes SYN_SENT: nothing is sent.
            SYN_SENT => Some(Self::Abandoned),
            CLOSE | LISTEN => None,
            _ => None,
        }
    }

    /// Which end closed it, if no FIN shows it.
    pub(super) const fn by(self) -> End {
        match self {
            Self::ResetReceived | Self::Refused => End::Remote,
            Self::ResetSent | Self::Abandoned | Self::Aborted => End::Local,
            Self::Timeout | Self::Unreachable => End::Neither,
            Self::Fin | Self::Error => End::Unknown,
        }
    }

    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Abandoned => "abandoned",
            Self::Aborted => "aborted",
            Self::Error => "error",
        }
    }
}

/// RFC 4898 name of a kernel state.
pub(super) const fn state_name(state: u8) -> &'static str {
    match state {
        ESTABLISHED => "established",
        SYN_SENT => "synSent",
        SYN_RECV | NEW_SYN_RECV => "synReceived",
        FIN_WAIT1 => "finWait1",
        FIN_WAIT2 => "finWait2",
        TIME_WAIT => "timeWait",
        CLOSE => "closed",
        CLOSE_WAIT => "closeWait",
        LAST_ACK => "lastAck",
        LISTEN => "listen",
        CLOSING => "closing",
        _ => "unknown",
    }
}
