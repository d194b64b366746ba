// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What a sender waits for, by the tests of the kernel's transmit loop.

use crate::schema::Var;

/// Codes of Limstate (tcpEStatsPerfSndLim*, and the two that Linux adds).
pub(super) const SENDER: u64 = 0;
const CWND: u64 = 1;
const RWIN: u64 = 2;
pub(super) const STARTUP: u64 = 3;
const TSO_DEFER: u64 = 4;
const PACE: u64 = 5;

/// tcpEStatsStackNagle: truthvalue true.
const NAGLE_ON: u64 = 1;
/// net.ipv4.tcp_tso_win_divisor: a loop waits for more window only below this part of it
/// (tcp_tso_should_defer(), net/ipv4/tcp_output.c, Linux 6.18).
const TSO_WIN_DIVISOR: u64 = 3;
/// GSO_LEGACY_MAX_SIZE: a loop sends at once what fills a super-segment.
const TSO_MOST: u64 = 65_536;

/// What the sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SenderState {
    /// The end of the handshake.
    Startup,
    /// The application, with nothing under way.
    Idle,
    /// The application, or room in the send buffer; all that was written is under way.
    Waiting,
    /// An acknowledgment, with less than a segment to send (tcp_nagle_test()).
    Nagle,
    /// The pacing timer.
    Paced,
    /// The congestion window.
    Network,
    /// The receiver's window.
    Receiver,
    /// The host's own stack.
    Host,
    /// Any answer.
    PathDead,
}

impl SenderState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Startup,
        Self::Idle,
        Self::Waiting,
        Self::Nagle,
        Self::Paced,
        Self::Network,
        Self::Receiver,
        Self::Host,
        Self::PathDead,
    ];

    /// The word in exports. What the application waits for is known when the connection is over, so both
    /// of its states have one word here, as in the tables where nothing distinguishes them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Idle | Self::Waiting => "application",
            Self::Nagle => "nagle",
            Self::Paced => "pacing",
            Self::Network => "network",
            Self::Receiver => "receiver",
            Self::Host => "host",
            Self::PathDead => "path_dead",
        }
    }
}

/// The variables that decide without Limstate.
pub const GAUGES: [Var; 6] = [
    Var::CurAppWQueue,
    Var::PipeSize,
    Var::CurCwnd,
    Var::CurRetxQueue,
    Var::CurRwinRcvd,
    Var::CurMSS,
];

/// The values that the loop tests, in octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauges {
    queue: Option<u64>,
    pipe: Option<u64>,
    cwnd: Option<u64>,
    unacknowledged: Option<u64>,
    window: Option<u64>,
    mss: Option<u64>,
    nagle: Option<u64>,
}

impl Gauges {
    pub(super) fn of(values: &impl Fn(Var) -> Option<u64>) -> Self {
        let [queue, pipe, cwnd, unacknowledged, window, mss] = GAUGES.map(values);
        Self { queue, pipe, cwnd, unacknowledged, window, mss, nagle: values(Var::Nagle) }
    }

    /// Nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.unacknowledged == Some(0)
    }

    /// Octets in the send buffer.
    pub(super) fn in_buffer(&self) -> Option<u64> {
        Some(self.queue?.saturating_add(self.unacknowledged?))
    }

    /// The state of a sender with nothing in flight: it waits for room in the window, or for the
    /// application. The queue may hold data that is about to be sent.
    pub(super) fn at_rest(&self) -> SenderState {
        let (queue, mss) = (self.queue.unwrap_or(0), self.mss.unwrap_or(1));
        match self.window {
            Some(window) if queue > 0 && queue.min(mss) > window => SenderState::Receiver,
            Some(_) | None => SenderState::Idle,
        }
    }

    /// Where no window and no timer is in the way. None where the queue is not known.
    pub(super) fn of_queue(&self) -> Option<SenderState> {
        let queue = self.queue?;
        let under_way = self.unacknowledged.unwrap_or(0) > 0;
        Some(if queue == 0 {
            if under_way { SenderState::Waiting } else { SenderState::Idle }
        } else if under_way
            && self.mss.is_some_and(|mss| queue < mss)
            && self.nagle == Some(NAGLE_ON)
        {
            SenderState::Nagle
        } else {
            SenderState::Host
        })
    }

    /// The window with the least room: what a loop waits for that would fill a super-segment.
    fn narrower(&self) -> SenderState {
        match (self.room_of_receiver(), self.room_of_network()) {
            (Some(receiver), Some(network)) if receiver < network => SenderState::Receiver,
            _ => SenderState::Network,
        }
    }

    fn room_of_receiver(&self) -> Option<u64> {
        Some(self.window?.saturating_sub(self.unacknowledged?))
    }

    fn room_of_network(&self) -> Option<u64> {
        Some(self.cwnd?.saturating_sub(self.pipe?))
    }

    /// The tests of tcp_write_xmit(), in its order, as far as the gauges can repeat them.
    pub(super) fn by_tests(&self) -> Option<SenderState> {
        let (queue, pipe, cwnd) = (self.queue?, self.pipe?, self.cwnd?);
        let (unacknowledged, window, mss) = (self.unacknowledged?, self.window?, self.mss?);
        if queue == 0 {
            return self.of_queue();
        }
        if pipe >= cwnd {
            return Some(SenderState::Network);
        }
        if unacknowledged.saturating_add(queue.min(mss)) > window {
            return Some(SenderState::Receiver);
        }
        let state = self.of_queue()?;
        let room = self.room_of_receiver()?.min(self.room_of_network()?);
        let defers = queue > mss && room < TSO_MOST && room < cwnd.min(window) / TSO_WIN_DIVISOR;
        Some(if state == SenderState::Host && defers { self.narrower() } else { state })
    }
}

/// The state by Limstate. Its value "sender" has several causes, which `of_queue` distinguishes.
pub(super) fn of_limstate(
    limstate: u64,
    gauges: &Gauges,
    of_queue: Option<SenderState>,
) -> Option<SenderState> {
    match limstate {
        SENDER | STARTUP => of_queue,
        CWND => Some(SenderState::Network),
        RWIN => Some(SenderState::Receiver),
        TSO_DEFER => Some(gauges.narrower()),
        PACE => Some(SenderState::Paced),
        _ => None,
    }
}
