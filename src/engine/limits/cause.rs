// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The causes, in the words of the tables.

/// Why the sender did not send more: the causes of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitCause {
    /// The connection is not established yet.
    Startup,
    /// The application has written nothing that waits.
    Application,
    /// The application waits for room in the send buffer, and all that is in it is under way.
    SendBuffer,
    /// Nagle's algorithm: less than a segment waits for the acknowledgment of what is under way.
    Nagle,
    /// The pace that the application itself set (SO_MAX_PACING_RATE).
    AppRate,
    /// The pace of the congestion control.
    CcRate,
    /// The congestion window: what the network carries, as the congestion control knows it.
    Network,
    /// The receiver's window.
    Receiver,
    /// The receiver's window, small because its application does not read.
    ReceiverApp,
    /// The host's own stack: the device's queue, TCP small queues.
    Host,
    /// Nothing is acknowledged, timeout after timeout.
    PathDead,
}

impl LimitCause {
    /// All, in the order in which tables and pages show them.
    pub const ALL: [Self; 11] = [
        Self::Startup,
        Self::Application,
        Self::SendBuffer,
        Self::Nagle,
        Self::AppRate,
        Self::CcRate,
        Self::Network,
        Self::Receiver,
        Self::ReceiverApp,
        Self::Host,
        Self::PathDead,
    ];

    /// The column of connections with its share.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Startup => "limited_startup",
            Self::Application => "limited_application",
            Self::SendBuffer => "limited_send_buffer",
            Self::Nagle => "limited_nagle",
            Self::AppRate => "limited_app_rate",
            Self::CcRate => "limited_cc_rate",
            Self::Network => "limited_network",
            Self::Receiver => "limited_receiver",
            Self::ReceiverApp => "limited_receiver_app",
            Self::Host => "limited_host",
            Self::PathDead => "limited_path_dead",
        }
    }

    /// The word in the tables: the column's name without what all have.
    pub const fn name(self) -> &'static str {
        self.column().split_at("limited_".len()).1
    }

    /// In whose share it is contained where it cannot be distinguished; itself where nothing has it.
    pub const fn within(self) -> Self {
        match self {
            Self::SendBuffer => Self::Application,
            Self::AppRate => Self::CcRate,
            Self::ReceiverApp => Self::Receiver,
            Self::Nagle | Self::CcRate => Self::Host,
            Self::Startup
            | Self::Application
            | Self::Network
            | Self::Receiver
            | Self::Host
            | Self::PathDead => self,
        }
    }
}
