// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! estats: a TCP flight recorder for stock Linux kernels.
//!
//! The modules stand in the order of the data:
//! kernel hook -> ring -> `capture` -> [`log`] -> replay -> tables -> Parquet.
//! ARCHITECTURE.md has the map and the invariants.

#![warn(missing_docs)]
// clippy.toml lists the methods. No clock, environment, file or hash-map order between log and tables.
#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]

pub mod schema;

/// Why neither program works on this machine; `None` where they do. A recording has its numbers in little
/// endian, and the libraries that read them and write the tables take the machine's own order for that.
pub const UNFIT_MACHINE: Option<&str> = if cfg!(target_endian = "big") {
    Some(
        "this machine is big-endian, where recordings are neither made nor read: copy the recording to a little-endian machine, such as x86-64 or arm64",
    )
} else {
    None
};

pub mod wire;

#[cfg(feature = "record")]
pub mod capture;

pub mod log;

#[allow(clippy::disallowed_methods, reason = "reads captures; still no clock")]
pub mod import;

pub mod time;

pub mod identity;

pub mod packets;

pub mod rtt;

pub mod flows;

pub mod limits;

pub mod estats;

pub mod rows;

pub mod audit;

pub mod tables;

#[allow(clippy::disallowed_methods, reason = "writes the tables")]
pub mod sink;

pub mod replay;

pub mod transform;

pub mod export;

pub mod three_ways;

#[allow(clippy::disallowed_methods, reason = "reads the tables")]
pub mod summary;

pub mod traffic;

pub mod report;

pub mod diff;

pub mod compare;

pub mod manual;

#[cfg(feature = "query")]
#[allow(clippy::disallowed_methods, reason = "reads the tables")]
pub mod query;

pub(crate) mod base64;
#[allow(clippy::disallowed_methods, reason = "makes files")]
pub mod private;
pub mod units;
pub mod visible;

#[cfg(test)]
mod testing;
