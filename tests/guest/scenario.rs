// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The scenarios of a guest: one table.

use std::time::Duration;

use crate::path::Path;
use crate::support::flow::Flow;
use crate::support::pair::Family;
use crate::support::tcp::Options;

/// Octets of a transfer: some 480 segments, 0.3 s at the rate of the path.
const SOME: u64 = 700_000;

/// How a scenario's connections come and go.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// One connection with this traffic, open and at rest when the recording ends: gauges in use
    /// are compared.
    Open(Traffic),
    /// One connection with this traffic, both FINs acknowledged: final values are compared.
    Closed(Traffic),
    /// This many connections, one after the other, of different sizes.
    Short(u64),
    /// This many connections at once, whose writers all wait: their receivers read late.
    Waiting(u64),
    /// A connection that is not accepted.
    Refused,
    /// A connection that its client closes with a RST after sending this many octets.
    Reset(u64),
}

/// What is sent.
pub type Traffic = fn(&Path, &Flow);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that connected.
    Client,
    /// The one that accepted.
    Server,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Name in results.
    pub name: &'static str,
    /// Address family.
    pub family: Family,
    /// What the router does to packets from client to server, in netem's words.
    pub faults: &'static str,
    /// What the client's own device does, in the words of `tc qdisc`; nothing if empty.
    pub device: &'static str,
    /// Whether explicit congestion notification is negotiated.
    pub ecn: bool,
    /// Whether the hosts may hand over several segments at once.
    pub offload: bool,
    /// Options of the client's socket and of the server's.
    pub options: (Options, Options),
    /// Connections.
    pub shape: Shape,
    /// Variables that must be above 0; if not, the scenario has shown nothing.
    pub happened: &'static [(End, &'static str)],
}

const CUBIC: Options = Options {
    congestion: c"cubic",
    nodelay: false,
    receive_buffer: None,
    send_buffer: None,
    window_clamp: None,
    delayed_ack: false,
};
const BBR: Options = Options { congestion: c"bbr", ..CUBIC };
const VEGAS: Options = Options { congestion: c"vegas", ..CUBIC };
const DCTCP: Options = Options { congestion: c"dctcp", ..CUBIC };
const RENO: Options = Options { congestion: c"reno", ..CUBIC };
/// A receiver whose window is small against the path.
const SMALL: Options = Options { receive_buffer: Some(32_768), ..CUBIC };
/// And a sender that soon has to wait.
const TIGHT: Options = Options { send_buffer: Some(32_768), ..SMALL };

const PLAIN: Scenario = Scenario {
    name: "",
    family: Family::V4,
    faults: "",
    device: "",
    ecn: false,
    offload: false,
    options: (CUBIC, CUBIC),
    shape: Shape::Refused,
    happened: &[],
};

/// All scenarios. Their place here is the number in their addresses.
pub const SCENARIOS: &[Scenario] = &[
    // First, when nothing else is open: what it lacks marks all rows of its seconds as lossy.
    Scenario {
        name: "many writers that wait",
        offload: true,
        options: (TIGHT, TIGHT),
        shape: Shape::Waiting(16),
        ..PLAIN
    },
    Scenario {
        name: "clean",
        offload: true,
        shape: Shape::Closed(exchange),
        happened: &[(End::Client, "CountRTT"), (End::Server, "CountRTT")],
        ..PLAIN
    },
    Scenario {
        name: "clean, IPv6",
        family: Family::V6,
        offload: true,
        options: (RENO, RENO),
        shape: Shape::Open(exchange),
        happened: &[(End::Client, "CountRTT"), (End::Server, "CountRTT")],
        ..PLAIN
    },
    Scenario {
        name: "loss, CUBIC",
        faults: "loss 2%",
        shape: Shape::Closed(upload),
        happened: &[(End::Client, "CongSignals"), (End::Client, "SegsRetrans")],
        ..PLAIN
    },
    Scenario {
        name: "loss, Reno",
        faults: "loss 2%",
        options: (RENO, RENO),
        shape: Shape::Open(upload),
        happened: &[(End::Client, "CongSignals"), (End::Server, "DupAcksOut")],
        ..PLAIN
    },
    Scenario {
        name: "reordering",
        faults: "reorder 3%",
        shape: Shape::Closed(upload),
        happened: &[(End::Server, "DupAcksOut"), (End::Client, "SACKsRcvd")],
        ..PLAIN
    },
    Scenario {
        name: "duplication",
        faults: "duplicate 3%",
        shape: Shape::Open(upload),
        happened: &[(End::Client, "DSACKDups")],
        ..PLAIN
    },
    Scenario {
        name: "congestion marks",
        faults: "loss 2% ecn", // marks instead of losing
        ecn: true,
        shape: Shape::Closed(upload),
        happened: &[(End::Server, "CERcvd"), (End::Client, "ECNsignals")],
        ..PLAIN
    },
    Scenario {
        name: "blackout",
        shape: Shape::Closed(blackout),
        happened: &[(End::Client, "Timeouts"), (End::Client, "SubsequentTimeouts")],
        ..PLAIN
    },
    Scenario {
        name: "zero window",
        options: (CUBIC, SMALL),
        shape: Shape::Closed(zero_window),
        happened: &[(End::Server, "ZeroRwinSent"), (End::Client, "ZeroRwinRcvd")],
        ..PLAIN
    },
    Scenario {
        name: "limited by the application",
        shape: Shape::Closed(pauses),
        happened: &[(End::Client, "CountRTT")],
        ..PLAIN
    },
    Scenario {
        name: "limited by the receiver",
        options: (CUBIC, SMALL),
        shape: Shape::Open(upload),
        happened: &[(End::Client, "CountRTT")],
        ..PLAIN
    },
    // Open at the end, so that their private values are those of the end's snapshot.
    Scenario {
        name: "BBR",
        options: (BBR, CUBIC),
        shape: Shape::Open(upload),
        happened: &[(End::Client, "CountRTT")],
        ..PLAIN
    },
    Scenario {
        name: "Vegas",
        options: (VEGAS, CUBIC),
        shape: Shape::Open(upload),
        happened: &[(End::Client, "CountRTT")],
        ..PLAIN
    },
    Scenario {
        name: "DCTCP",
        faults: "loss 2% ecn",
        ecn: true,
        options: (DCTCP, DCTCP),
        shape: Shape::Open(upload),
        happened: &[(End::Client, "ECNsignals")],
        ..PLAIN
    },
    // Some compilers put tcp_slow_start() into tcp_reno_cong_avoid(), some do not.
    Scenario {
        name: "slow start of Reno",
        options: (RENO, RENO),
        shape: Shape::Closed(upload),
        happened: &[(End::Client, "SlowStart")],
        ..PLAIN
    },
    // Its queue holds the sender back (TCP small queues), with several segments in an skb.
    Scenario {
        name: "slow device",
        device: "tbf rate 10mbit burst 10kb limit 1mb",
        offload: true,
        shape: Shape::Open(upload),
        happened: &[(End::Client, "SndLimTimeSnd")],
        ..PLAIN
    },
    Scenario { name: "short connections", offload: true, shape: Shape::Short(20), ..PLAIN },
    Scenario { name: "refused", ..PLAIN },
    Scenario { name: "reset", shape: Shape::Reset(50_000), ..PLAIN },
];

/// Environment variable: names of scenarios with semicolons between them, where time is short. Only
/// these are then carried out, and no scripts.
pub const CHOSEN: &str = "ESTATS_GUEST_SCENARIOS";

/// The scenarios to carry out; `None` for all there is. Panics at a name that is none.
pub fn chosen() -> Option<Vec<&'static Scenario>> {
    let names = std::env::var(CHOSEN).ok()?;
    Some(names.split(';').map(Scenario::named).collect())
}

impl Scenario {
    /// The one of this name.
    pub fn named(name: &str) -> &'static Self {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.unwrap_or_else(|| panic!("no scenario is called {name:?}"))
    }

    /// The number in its addresses; 0 would be a network that routers treat apart.
    pub fn number(&self) -> u8 {
        let place = SCENARIOS.iter().position(|other| other.name == self.name);
        u8::try_from(place.expect("a scenario of the table") + 1).expect("a short table")
    }
}

fn exchange(_: &Path, flow: &Flow) {
    flow.exchange(SOME);
}

fn upload(_: &Path, flow: &Flow) {
    flow.upload(SOME);
}

/// Nothing passes for as long as the retransmission timer needs to run out three times (230, 460
/// and 920 ms after the last ACK, about).
fn blackout(path: &Path, flow: &Flow) {
    // First some, so that the timer knows the path; it begins at a second.
    flow.upload(SOME / 2);
    path.forward("loss 100%");
    std::thread::scope(|scope| {
        scope.spawn(|| flow.upload(SOME / 2));
        std::thread::sleep(Duration::from_millis(1200));
        path.forward("");
    });
}

fn zero_window(_: &Path, flow: &Flow) {
    let octets = SOME / 4;
    std::thread::scope(|scope| {
        scope.spawn(|| flow.client.send(octets));
        std::thread::sleep(Duration::from_millis(900));
        flow.server.receive(octets);
    });
}

fn pauses(_: &Path, flow: &Flow) {
    for _ in 0..15 {
        flow.upload(5_000);
        std::thread::sleep(Duration::from_millis(20));
    }
}
