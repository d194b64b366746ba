// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From records to rows: their order, the connections and the packets that they are of, and what follows
//! from them. Nothing here reads a clock, a file or the environment.

pub mod audit;
pub mod estats;
pub mod flows;
pub(crate) mod identity;
pub mod keyframe;
pub mod limits;
pub mod packets;
pub(crate) mod rows;
pub mod rtt;
pub mod time;
