// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings, captures and references that somebody has made to do harm.

mod attacks;
mod forged;
mod inputs;
mod mutations;
mod shown;
