// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Getting records out of the kernel: load, attach, drain. The only module that knows libbpf.
//!
//! [`record`] is the whole recorder: it loads the BPF programs, takes the baseline of connections
//! that are open, drains the rings by the clock into a [`crate::log::RecordingWriter`], and ends cleanly.

#![allow(clippy::disallowed_methods, reason = "reads clocks and /proc: that is what recording is")]

mod capability;
mod cgroup;
mod clock;
mod command;
mod coverage;
mod diag;
mod drain;
mod error;
mod filter;
mod follow;
mod foreign;
mod function;
mod host;
#[cfg(test)]
mod instructions;
mod interface;
mod kprobes;
mod listeners;
mod load;
mod netlink;
mod netns;
#[cfg(test)]
mod number;
mod packets;
mod points;
mod process;
mod progress;
mod provenance;
mod rest;
mod session;
mod shared;
mod sight;
mod skips;
mod snapshot;
mod top;
mod transport;
mod unfinished;
mod walk;

pub mod check;

pub use error::{CaptureError, Setting};
pub use filter::{Addresses, Filters};
pub use interface::Attach;
pub use packets::{DIGEST_MAX, Packets};
pub use points::HookSet;
pub use progress::{Counted, Progress};
pub use session::{CaptureOptions, Notice, Outcome, record};
pub use snapshot::{PollsBy, Snapshots};
pub use transport::Transport;
