// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Identity of a connection: who, from where, opened and closed by whom and how.
//!
//! The recorder does not interpret, so what an errno and a state at the end mean is decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::schema::Var;
use crate::wire::{Event, Lifecycle};

mod close;
mod container;

pub use close::CloseReason;
pub use container::container_id;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Which end did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The recorded host's.
    Local,
    /// The peer's.
    Remote,
    /// Neither: the connection is still open, or timed out.
    Neither,
    /// Not seen.
    Unknown,
}

impl End {
    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Neither => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// Everything known about a connection that is not a variable of the stream.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The lifecycle records merged; none if none was seen.
    known: Option<Box<Lifecycle>>,
    /// The last event of the connection's end that was seen.
    ended: Option<Event>,
}

impl Identity {
    /// Takes in a lifecycle record. A later record replaces what it knows better (the owner of an
    /// accepted connection, the congestion control) and repairs a lost one; what it does not know
    /// (an address already cleared, a cgroup already removed) stays as it was.
    pub fn learn(&mut self, record: &Lifecycle) {
        match record.event {
            Event::Open | Event::Baseline | Event::Drain | Event::Over => {}
            Event::Close | Event::End => self.ended = Some(record.event),
        }
        let Some(known) = &mut self.known else {
            self.known = Some(Box::new(record.clone()));
            return;
        };
        if record.remote_port != 0 && record.local_port != 0 {
            known.family = record.family;
            known.local_addr = record.local_addr;
            known.remote_addr = record.remote_addr;
            known.local_port = record.local_port;
            known.remote_port = record.remote_port;
        }
        if record.start_ns != 0 && (known.start_ns == 0 || record.start_ns < known.start_ns) {
            known.start_ns = record.start_ns;
        }
        if record.netns != 0 {
            known.netns = record.netns;
        }
        if record.cgroup_id != 0 && !record.cgroup_path.is_empty() {
            known.cgroup_id = record.cgroup_id;
            known.cgroup_path.clone_from(&record.cgroup_path);
        }
        if record.pid != 0 {
            known.pid = record.pid;
            known.comm.clone_from(&record.comm);
            known.uid = record.uid;
        }
        if !record.congestion.is_empty() {
            known.congestion.clone_from(&record.congestion);
        }
        if record.mptcp != 0 {
            known.mptcp = record.mptcp;
        }
        if record.active != 0 {
            known.active = record.active;
        }
        known.established = known.established.max(record.established);
        if record.first_fin != 0 {
            known.first_fin = record.first_fin;
        }
        known.old_state = record.old_state;
        known.new_state = record.new_state;
        known.sk_err = record.sk_err;
        known.header = record.header;
        known.event = record.event;
    }

    /// The lifecycle records merged into one, if there was any.
    pub fn lifecycle(&self) -> Option<&Lifecycle> {
        self.known.as_deref()
    }

    /// CLOCK_MONOTONIC at which the connection began, if a lifecycle record has it.
    pub fn start_ns(&self) -> Option<u64> {
        self.lifecycle().map(|l| l.start_ns).filter(|&ns| ns != 0)
    }

    /// Local and remote address. IPv4-mapped IPv6 is shown as the IPv4 it is.
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        let l = self.lifecycle()?;
        addresses(l.family, &l.local_addr, &l.remote_addr)
    }

    /// "ipv4" or "ipv6", by the addresses as they are shown.
    pub fn family(&self) -> Option<&'static str> {
        self.addresses().map(|(_, remote)| if remote.is_ipv4() { "ipv4" } else { "ipv6" })
    }

    /// Who opened the connection.
    pub fn opened_by(&self) -> End {
        match self.lifecycle().map(|l| l.active) {
            Some(1) => End::Local,
            Some(2) => End::Remote,
            Some(_) | None => End::Unknown,
        }
    }

    /// How the connection ended; none if it did not, or if its end was not seen.
    pub fn close_reason(&self) -> Option<CloseReason> {
        let l = self.lifecycle()?;
        match self.ended? {
            Event::Close => CloseReason::of(l.old_state, l.sk_err),
            Event::Open | Event::Baseline | Event::End | Event::Drain | Event::Over => None,
        }
    }

    /// Who ended it: whose FIN came first, else who reset it.
    pub fn closed_by(&self) -> End {
        let (Some(l), Some(ended)) = (self.lifecycle(), self.ended) else { return End::Unknown };
        match ended {
            Event::End => End::Neither,
            Event::Open | Event::Baseline | Event::Close | Event::Drain | Event::Over => {
                match l.first_fin {
                    1 => End::Local,
                    2 => End::Remote,
                    _ => self.close_reason().map_or(End::Unknown, CloseReason::by),
                }
            }
        }
    }

    /// The kernel state the connection was in when it ended, by its RFC 4898 name.
    pub fn end_state(&self) -> Option<&'static str> {
        let l = self.lifecycle()?;
        Some(match self.ended? {
            Event::Close => close::state_name(l.old_state),
            Event::Open | Event::Baseline | Event::End | Event::Drain | Event::Over => {
                close::state_name(l.new_state)
            }
        })
    }

    /// The value of a variable that comes from the lifecycle record, of the connection of this number
    /// that began at this CLOCK_MONOTONIC; addresses are text, see [`Identity::text`].
    #[allow(clippy::wildcard_enum_match_arm, reason = "a test holds the schema to these variables")]
    pub fn value(&self, var: Var, conn_id: u64, begin_ns: u64) -> Option<u64> {
        match var {
            Var::StartTs => Some(begin_ns),
            Var::ConnectIndex => Some(conn_id),
            Var::AddressType => {
                self.addresses().map(|(_, remote)| if remote.is_ipv4() { 1 } else { 2 })
            }
            Var::LocalPort => self.lifecycle().map(|l| u64::from(l.local_port)),
            Var::RemPort => self.lifecycle().map(|l| u64::from(l.remote_port)),
            Var::ActiveOpen => match self.opened_by() {
                End::Local => Some(1),
                End::Remote => Some(2),
                End::Neither | End::Unknown => None,
            },
            // A row can only state that it is known.
            Var::LocalAddress | Var::RemAddress => self.addresses().map(|_| 0),
            // The rule stands on these variables only; a test holds the schema to it.
            _ => None,
        }
    }

    /// The text of an address variable.
    pub fn text(&self, var: Var) -> Option<String> {
        let (local, remote) = self.addresses()?;
        Some(if var == Var::LocalAddress { local } else { remote }.to_string())
    }

    /// The container's id, if the cgroup path has one.
    pub fn container_id(&self) -> Option<&str> {
        container_id(&self.lifecycle()?.cgroup_path)
    }
}

/// Local and remote address of a socket of this family, as they are shown.
pub(crate) fn addresses(
    family: u16,
    local: &[u8; 16],
    remote: &[u8; 16],
) -> Option<(IpAddr, IpAddr)> {
    let local = address(family, local)?;
    let remote = address(family, remote)?;
    Some(match (local, remote) {
        // A mapped peer makes the connection IPv4, also where the local address is still `::`.
        (IpAddr::V6(a), IpAddr::V6(b)) => match (b.to_ipv4_mapped(), a.to_ipv4_mapped()) {
            (Some(b), Some(a)) => (IpAddr::V4(a), IpAddr::V4(b)),
            (Some(b), None) if a.is_unspecified() => {
                (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(b))
            }
            (Some(_) | None, Some(_) | None) => (local, remote),
        },
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => (local, remote),
    })
}

fn address(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
        AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(*bytes))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
