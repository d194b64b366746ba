// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A laboratory for TCP on one machine: two network namespaces, a link between them whose faults are
//! chosen and counted, sockets with every option stated, and the kernel's own values (`struct tcp_info`
//! of a socket, the MIB counters of a namespace) to compare with.
//!
//! It needs root and `/dev/net/tun`, nothing else: netem is missing from many kernels, so the link
//! is a thread of the test process between two TUN devices. That has two further merits: every
//! fault can be placed on a chosen packet, and the link knows the packets that crossed it, which
//! makes it an oracle of its own.

#![allow(
    dead_code,
    reason = "each test program is compiled with all of this and uses its own part"
)]

pub mod audit;
pub mod crafted;
pub mod flow;
pub mod gate;
pub mod impair;
pub mod link;
pub mod mib;
pub mod netns;
pub mod packet;
pub mod packet_socket;
pub mod pair;
pub mod peer;
pub mod possible;
pub mod proved;
pub mod segment;
pub mod sock_diag;
pub mod stall;
pub mod table;
pub mod tcp;
pub mod tcp_info;
pub mod trust;
pub mod veth;
