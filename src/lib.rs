//! estats: a TCP flight recorder for stock Linux kernels.
//!
//! The modules stand in the order of the data:
//! kernel hook -> ring -> `capture` -> [`log`] -> replay -> tables -> Parquet.
//! ARCHITECTURE.md has the map and the invariants.

#![warn(missing_docs)]
// clippy.toml lists them: no clock, environment, file or hash-map order between log and tables.
#![deny(clippy::disallowed_methods)]

pub mod schema;

pub mod wire;

#[cfg(feature = "record")]
pub mod capture;

pub mod log;

#[allow(clippy::disallowed_methods, reason = "reads captures; still no clock")]
pub mod import;

pub mod replay;

pub mod transform;

pub mod packets;
pub mod rtt;

pub mod accounting;

pub mod flow;

pub mod audit;
pub mod estats;
pub mod limits;

pub mod tables;

#[allow(clippy::disallowed_methods, reason = "writes the tables")]
pub mod sink;

pub mod export;

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

#[allow(clippy::disallowed_methods, reason = "makes files")]
pub mod private;
pub mod units;
pub mod visible;

#[cfg(test)]
mod testing;
