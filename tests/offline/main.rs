// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! All that needs neither root, nor BPF, nor a network, nor a guest, in one program: each test program
//! links the whole library, and one of a few hundred megabytes is enough. `tests/offline golden::` runs
//! one module.
//!
//! A test of this program does not change what others can see: the current directory, the environment, the
//! mask of new files, handlers of signals. Programs get such settings when they are started.
//! Tests that a second one would disturb take their turn (`gate::enter`), and those that write a document
//! with `BLESS=1` have a lock or are alone with it.
//!
//! Some tests need other programs (tshark, tcptrace, chromium). Without them they are counted as
//! skipped, and with `ESTATS_REQUIRE_LIVE=1` they fail.

#[path = "../common/mod.rs"]
mod common;
#[path = "../fuzzed/mod.rs"]
mod fuzzed;
#[path = "../support/mod.rs"]
mod support;

mod arguments;
#[cfg(feature = "record")]
mod btf;
mod captures;
mod caught;
mod compare;
mod dependencies;
mod diff;
mod docs;
mod drops;
mod export;
mod flows;
mod formats;
mod fuzz;
mod golden;
mod headers;
mod hostile;
mod import;
mod layers;
mod limits;
mod log;
mod mistakes;
mod packets;
#[cfg(feature = "query")]
mod query;
mod reference;
mod replay;
mod report;
mod rtt;
mod shell;
mod sock_diag;
mod summary;
mod terminal;
mod transform;
mod unit;
mod values;
mod week;
mod whole;
