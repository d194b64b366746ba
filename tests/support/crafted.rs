// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections with a scripted peer that make a chosen thing happen a chosen number of times. Each
//! script returns figures for the variables of its connections that come from what it did itself,
//! from the packets, from `tcp_info` and from MIB counters: from anything but the recorder.

mod errors;
mod headers;
mod limits;
mod marks;
mod queues;
mod recovery;
mod setup;
mod shut;
mod stalls;
mod timers;
mod windows;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::mib::Mib;
use super::peer::{Peer, Talk};
use super::table::{Row, Value};
use super::tcp::{PATIENCE, Stream};

/// The limit between the round-trip times of `samples_after_congestion` that are small and those that
/// are not, us.
pub const LATENCY_LIMIT_US: u64 = 300_000;

/// One script.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Name in results, and of the live test.
    pub name: &'static str,
    /// Programs that it runs.
    pub programs: &'static [&'static str],
    /// Its values continue to change by themselves, so only a recording that ends with it is exact.
    pub goes_on: bool,
    /// Its figures hold where the kernel answers at once: not with emulated processors.
    pub is_prompt: bool,
    /// The script.
    pub play: fn(&Peer) -> Vec<Played>,
}

/// All scripts. Their place here is the number in their addresses.
pub const SCRIPTS: &[Script] = &[
    script("out_of_order", queues::out_of_order),
    script("unacknowledged", queues::unacknowledged),
    script("timeouts", timers::timeouts),
    Script { goes_on: true, ..script("unanswered", timers::unanswered) },
    Script { is_prompt: true, ..script("spurious_timeouts", timers::spurious) },
    script("spurious_recoveries", recovery::spurious),
    script("disorder_without_loss", recovery::disorder),
    script("samples_after_congestion", recovery::samples),
    script("window_validation", windows::validation),
    Script { programs: &["tc"], ..script("local_drops", stalls::drops) },
    script("segments_out_of_place", errors::all),
    script("ip_fields", headers::all),
    Script { goes_on: true, ..script("what_limits_the_sender", limits::by_windows) },
    script("paced", limits::by_pacing),
    script("negotiation", setup::negotiation),
    script("first_sample", setup::first_sample),
    script("marks", marks::both_ways),
    script("shut_windows", shut::both_ways),
    script("window_growth", windows::growth),
    script("lost_repeat", recovery::lost_repeat),
    script("accurate_marks", marks::accurate),
    script("late_acknowledgments", errors::late),
    script("beyond_the_window", errors::beyond),
];

const fn script(name: &'static str, play: fn(&Peer) -> Vec<Played>) -> Script {
    Script { name, programs: &[], goes_on: false, is_prompt: false, play }
}

impl Script {
    /// By its name.
    pub fn named(name: &str) -> &'static Self {
        let found = SCRIPTS.iter().find(|script| script.name == name);
        found.unwrap_or_else(|| panic!("there is no script {name}"))
    }

    /// Whether guests play it too.
    pub fn is_for_guests(&self) -> bool {
        !self.goes_on && !self.is_prompt
    }

    /// The number in its addresses; 0 would be a network that routers treat apart.
    pub fn number(&self) -> u8 {
        let place = SCRIPTS.iter().position(|other| other.name == self.name);
        u8::try_from(place.expect("a script of the table") + 1).expect("a short table")
    }
}

/// A connection that a script has made.
#[derive(Debug)]
pub struct Played {
    /// The socket, open: what it is and has stays as it is.
    pub socket: Stream,
    /// Its address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The values that its row must have.
    pub figures: Vec<Figure>,
}

/// The value that a variable must have, and its source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The variable.
    pub variable: String,
    /// The figure.
    pub is: Is,
    /// Where the figure is from.
    pub by: String,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Is {
    /// This number.
    Exactly(i64),
    /// A time, which the script can only enclose between two readings of the clock.
    Between(i64, i64),
    /// This word of an enumeration, or text.
    Word(String),
    /// This truth value.
    Truth(bool),
    /// No value: the connection has none.
    Null,
}

impl Figure {
    /// The fault of the row, if it has one.
    pub fn finding(&self, row: &Row) -> Option<String> {
        let got = row.get(&self.variable);
        let holds = match (&self.is, got) {
            (Is::Exactly(n), Some(Value::Int(got))) => n == got,
            (Is::Between(least, most), Some(Value::Int(got))) => (least..=most).contains(&got),
            (Is::Word(word), Some(Value::Text(got))) => word == got,
            (Is::Truth(truth), Some(Value::Bool(got))) => truth == got,
            (Is::Null, None) => true,
            _ => false,
        };
        let Self { variable, is, by } = self;
        (!holds).then(|| format!("{variable}: {got:?}, {is:?} by {by}"))
    }

    /// Whether it proves that the variable can be other than zero.
    pub fn is_something(&self) -> bool {
        match &self.is {
            Is::Exactly(n) => *n != 0,
            Is::Between(least, _) => *least > 0,
            Is::Word(word) => word != "none",
            Is::Truth(truth) => *truth,
            Is::Null => false,
        }
    }
}

/// Figures being collected.
#[derive(Debug, Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn push(&mut self, variable: &str, is: Is, by: &str) -> &mut Self {
        self.0.push(Figure { variable: variable.to_owned(), is, by: by.to_owned() });
        self
    }

    fn exactly(&mut self, variable: &str, n: impl TryInto<i64>, by: &str) -> &mut Self {
        let n = n.try_into().ok().expect("a figure fits 64 bits");
        self.push(variable, Is::Exactly(n), by)
    }

    fn between(&mut self, variable: &str, least: i64, most: i64, by: &str) -> &mut Self {
        assert!(least <= most, "{variable}: nothing is from {least} to {most}");
        self.push(variable, Is::Between(least, most), by)
    }

    fn truth(&mut self, variable: &str, truth: bool, by: &str) -> &mut Self {
        self.push(variable, Is::Truth(truth), by)
    }

    fn null(&mut self, variable: &str, by: &str) -> &mut Self {
        self.push(variable, Is::Null, by)
    }

    fn word(&mut self, variable: &str, word: &str, by: &str) -> &mut Self {
        self.push(variable, Is::Word(word.to_owned()), by)
    }

    /// The connection is over for the script, and stays as it is.
    fn of(self, talk: Talk<'_>) -> Played {
        let Talk { local, remote, socket, .. } = talk;
        Played { socket, local, remote, figures: self.0 }
    }
}

/// The kernel's counter is what the script did: otherwise it shows nothing.
fn counted(peer: &Peer, name: &str, n: u64) {
    assert_eq!(Mib::of(&peer.netns).must(name), n, "{name}");
}

/// Longer than the recorder waits before it reads a connection's slow values again (1 ms), on a busy
/// host too.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until what was written is acknowledged in the socket's eyes.
fn wait_acknowledged(talk: &Talk<'_>) {
    let begun = Instant::now();
    while talk.socket.info().must("tcpi_unacked") > 0 {
        assert!(begun.elapsed() < PATIENCE, "the socket has not seen the acknowledgment");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Hooks that look before each segment see what the one before has done: this one carries an octet of
/// data, so it is not a duplicate ACK.
fn look(talk: &mut Talk<'_>) {
    std::thread::sleep(PAUSE);
    talk.push_next(1);
}
