//! From a recording to its tables.

pub mod ledger;
pub mod order;
