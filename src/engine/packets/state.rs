// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The TCP state machine as packets show it, and what a handshake agreed on.

use super::segment::Segment;

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    LastAck,
    Closing,
}

impl TcpState {
    /// Number in RFC 4898.
    pub const fn rfc(self) -> u64 {
        match self {
            Self::SynSent => 3,
            Self::SynReceived => 4,
            Self::Established => 5,
            Self::FinWait1 => 6,
            Self::FinWait2 => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Closing => 10,
        }
    }

    /// Number in the kernel, as lifecycle records have it.
    pub const fn kernel(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynReceived => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Closing => 11,
        }
    }
}

/// RFC 4898 number of the closed state.
pub const CLOSED: u64 = 1;
/// The kernel's number of it.
pub const KERNEL_CLOSE: u8 = 7;

/// The options of one end's SYN or SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack: bool,
    pub timestamps: bool,
    /// ECN as of RFC 3168: asked for, or agreed to.
    pub ecn: bool,
    /// Accurate ECN (RFC 9768, 3.1): asked for, or what may agree to it.
    pub accurate_ecn: bool,
    /// Its packet is ECN-capable (ECT), which no SYN of RFC 3168 is.
    pub ect: bool,
    /// With a signature or an authentication.
    pub signed: bool,
    /// The window, which is never scaled here.
    pub window: u16,
    /// The capture has cut the options: what is not here may have been there.
    pub cut: bool,
}

impl Offer {
    pub fn of(syn: &Segment) -> Self {
        let o = &syn.options;
        let all = syn.ae && syn.cwr && syn.ece;
        Self {
            mss: o.mss,
            // RFC 7323, 2.3: a larger shift counts as 14.
            window_scale: o.window_scale.map(|shift| shift.min(14)),
            sack: o.sack_permitted,
            timestamps: o.timestamps.is_some(),
            // RFC 3168, 6.1.1: a SYN asks with both bits, a SYN-ACK agrees with ECE alone.
            ecn: if syn.ack { syn.ece && !syn.cwr } else { syn.ece && syn.cwr },
            // A SYN-ACK with all three has only sent them back.
            accurate_ecn: if syn.ack { (syn.ae || syn.cwr) && !all } else { all },
            ect: syn.tos & 3 != 0,
            signed: o.signed,
            window: syn.window,
            cut: o.cut,
        }
    }

    /// Whether it is known if an option came, which is in what was read or not.
    pub const fn knows(&self, is_there: bool) -> bool {
        is_there || !self.cut
    }
}

/// Both ends' offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub ours: Offer,
    pub theirs: Offer,
    /// Whether ours came first.
    pub active: bool,
}

/// Space of the timestamp option in every segment, padding included.
const TIMESTAMP_SPACE: u32 = 12;
/// RFC 9293, 3.7.1: where no MSS option comes.
const DEFAULT_MSS: u16 = 536;
/// The MSS of the largest Ethernet frame.
const ETHERNET_MSS: u16 = 1460;

// TcpEStatsNegotiated (RFC 4898).
const ENABLED: u64 = 1;
const SELF_DISABLED: u64 = 2;
const PEER_DISABLED: u64 = 3;

impl Agreed {
    /// TcpEStatsNegotiated of an option that both ends must offer. If the two ends did not agree, the
    /// kernel's value depends on its own setting (net.ipv4.tcp_timestamps, tcp_sack, tcp_ecn). Packets
    /// show this setting in a SYN of ours, and in our answer to a SYN that has the option. There it is
    /// off if we did not use it, unless something else may be the cause (`is_excused`). Otherwise no
    /// packet shows the setting: none.
    fn negotiated(&self, ours: bool, theirs: bool, is_excused: bool) -> Option<u64> {
        let bears = self.active || theirs;
        match (ours, theirs) {
            (true, true) => Some(ENABLED),
            (true, false) => bears.then_some(PEER_DISABLED),
            (false, _) => (bears && !is_excused).then_some(SELF_DISABLED),
        }
    }

    /// Whether our SYN-ACK may be a SYN cookie without options (tcp_conn_request() of Linux 6.18).
    fn may_be_cookie(&self) -> bool {
        let o = &self.ours;
        !self.active && !o.timestamps && !o.sack && o.window_scale.is_none()
    }

    /// tcpEStatsStackTimeStamps. With a signature, timestamps have no room in a SYN, and beside SACK
    /// none in a SYN-ACK (tcp_syn_options(), tcp_synack_options() of Linux 6.18).
    pub fn negotiated_timestamps(&self) -> Option<u64> {
        let is_excused = self.ours.signed || self.theirs.signed;
        self.negotiated(self.ours.timestamps, self.theirs.timestamps, is_excused)
    }

    /// tcpEStatsStackWillSendSACK, tcpEStatsStackWillUseSACK.
    pub fn negotiated_sack(&self) -> Option<u64> {
        self.negotiated(self.ours.sack, self.theirs.sack, self.may_be_cookie())
    }

    /// tcpEStatsStackECN. Linux refuses a SYN that can be marked (tcp_ecn_create_request() of 6.18).
    /// To what a SYN-ACK of accurate ECN comes is decided later.
    pub fn negotiated_ecn(&self) -> Option<u64> {
        if self.is_accurate_ecn() {
            return None;
        }
        let is_excused = !self.active && (self.theirs.ect || self.may_be_cookie());
        self.negotiated(self.ours.ecn, self.theirs.ecn, is_excused)
    }

    /// Whether accurate ECN was agreed on, as far as the handshake shows.
    pub const fn is_accurate_ecn(&self) -> bool {
        self.ours.accurate_ecn && self.theirs.accurate_ecn
    }

    pub const fn timestamps(&self) -> bool {
        self.ours.timestamps && self.theirs.timestamps
    }

    pub const fn sack(&self) -> bool {
        self.ours.sack && self.theirs.sack
    }

    pub const fn ecn(&self) -> bool {
        self.ours.ecn && self.theirs.ecn
    }

    /// Whether it is known what an option came to that both must offer; `is_there` in an offer.
    pub fn knows(&self, is_there: impl Fn(&Offer) -> bool) -> bool {
        let both = [&self.ours, &self.theirs];
        // One that is known not to have offered it decides.
        both.iter().all(|o| o.knows(is_there(o))) || both.iter().any(|o| !o.cut && !is_there(o))
    }

    /// Whether SACK blocks may come.
    pub fn may_sack(&self) -> bool {
        self.ours.sack && self.theirs.sack || !self.knows(|o| o.sack)
    }

    /// Whether the shifts of the windows are known.
    pub fn knows_shifts(&self) -> bool {
        self.knows(|o| o.window_scale.is_some())
    }

    /// Whether the size of the largest segments is known.
    pub fn knows_mss(&self) -> bool {
        [&self.ours, &self.theirs].iter().all(|o| o.knows(o.mss.is_some()))
            && self.knows(|o| o.timestamps)
    }

    /// Payload that surely is one segment, where that size is not known.
    pub fn surely_one(&self) -> u32 {
        let most = |o: &Offer| match o.mss {
            Some(mss) => u32::from(mss),
            None if o.cut => u32::from(ETHERNET_MSS),
            None => u32::from(DEFAULT_MSS),
        };
        most(&self.ours).min(most(&self.theirs)).saturating_sub(TIMESTAMP_SPACE)
    }

    /// Shift of the windows we send.
    pub fn our_shift(&self) -> u8 {
        self.theirs.window_scale.and(self.ours.window_scale).unwrap_or(0)
    }

    /// Shift of the windows the peer sends.
    pub fn their_shift(&self) -> u8 {
        self.ours.window_scale.and(self.theirs.window_scale).unwrap_or(0)
    }

    /// Payload of the largest segment to the end that made `offer`.
    fn largest(&self, offer: &Offer) -> u32 {
        let space = if self.timestamps() { TIMESTAMP_SPACE } else { 0 };
        u32::from(offer.mss.unwrap_or(DEFAULT_MSS)).saturating_sub(space)
    }

    /// Payload of the largest segments we send: what the peer takes, and what our link does.
    pub fn send_mss(&self) -> u32 {
        match self.ours.mss {
            Some(_) => self.largest(&self.theirs).min(self.largest(&self.ours)),
            None => self.largest(&self.theirs),
        }
    }

    /// Payload of the largest segments we receive.
    pub fn receive_mss(&self) -> u32 {
        self.largest(&self.ours)
    }
}
