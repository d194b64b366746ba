// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From records to rows: their order, the connections and the packets that they are of, and what follows
//! from them. Nothing here reads a clock, a file or the environment.

#[cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
pub mod audit;
#[cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
pub mod estats;
pub mod flows;
#[cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
pub(crate) mod identity;
#[cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
pub mod limits;
pub mod packets;
pub(crate) mod rows;
pub mod rtt;
pub mod time;
