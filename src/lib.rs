//! estats: a TCP flight recorder for stock Linux kernels.
//!
//! The modules stand in the order of the data:
//! kernel hook -> ring -> [`capture`] -> [`log`] -> [`replay`] -> [`tables`] -> Parquet.
//! ARCHITECTURE.md has the map and the invariants.

#![warn(missing_docs, missing_debug_implementations)]

pub mod schema;

pub mod wire;

pub mod log;

pub mod replay;

pub mod flow;

pub mod estats;

pub mod tables;

pub mod sink;

pub mod summary;

pub mod manual;

#[cfg(test)]
mod testing;
