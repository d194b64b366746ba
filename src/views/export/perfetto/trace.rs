// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets of a Perfetto trace: tracks, and what happens on them. Numbers of fields are those of
//! `protos/perfetto/trace/perfetto_trace.proto`.

use std::io::{self, Write};

use super::proto::Message;

const TRACE_PACKET: u32 = 1;

mod packet {
    pub const CLOCK_SNAPSHOT: u32 = 6;
    pub const TIMESTAMP: u32 = 8;
    pub const SEQUENCE: u32 = 10;
    pub const TRACK_EVENT: u32 = 11;
    pub const SYSTEM_INFO: u32 = 45;
    pub const CLOCK: u32 = 58;
    pub const TRACK_DESCRIPTOR: u32 = 60;
}

/// BuiltinClock.
const REALTIME: u64 = 1;
const MONOTONIC: u64 = 3;
/// All packets come from one writer.
const SEQUENCE: u64 = 1;

/// TrackEvent.Type.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;
/// TrackDescriptor.ChildTracksOrdering.
const EXPLICIT: u64 = 3;

/// CounterDescriptor.Unit.
const TIME_NS: u64 = 1;
const SIZE_BYTES: u64 = 3;

/// The unit of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Octets.
    Octets,
    /// Microseconds.
    Microseconds,
    /// Bits per second.
    BitsPerSecond,
}

/// The kind of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// The track of a process, with its id and name.
    Process(u32, &'a str),
    /// A group, with these slices of its own.
    Slices,
    /// A counter.
    Counter(Unit),
}

/// A number, or a text, that goes with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// Arguments by name.
pub type Arguments = Vec<(&'static str, Argument)>;

/// Writes packets, one after the other.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Nothing is written yet.
    pub const fn new(out: W) -> Self {
        Self { out }
    }

    /// Hands on what was written.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Two clocks at one moment. The trace's own time is CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// Those of the output.
    pub fn clocks(&mut self, monotonic_ns: u64, realtime_ns: u64) -> io::Result<()> {
        self.packet(|p| {
            p.message(packet::CLOCK_SNAPSHOT, |snapshot| {
                for (clock, ns) in [(MONOTONIC, monotonic_ns), (REALTIME, realtime_ns)] {
                    snapshot.message(1, |c| {
                        c.number(1, clock).number(2, ns);
                    });
                }
                snapshot.number(2, MONOTONIC);
            });
        })
    }

    /// The machine: system, version, release, machine, as uname(2) has them.
    ///
    /// # Errors
    /// Those of the output.
    pub fn system(&mut self, uname: [&str; 4]) -> io::Result<()> {
        self.packet(|p| {
            p.message(packet::SYSTEM_INFO, |info| {
                info.message(1, |utsname| {
                    for (field, text) in (1..).zip(uname) {
                        utsname.text(field, text);
                    }
                });
            });
        })
    }

    /// A track, before its first event. Children stand in the order of `rank`.
    ///
    /// # Errors
    /// Those of the output.
    pub fn track(
        &mut self,
        uuid: u64,
        parent: Option<u64>,
        name: &str,
        kind: Kind<'_>,
        rank: u64,
    ) -> io::Result<()> {
        self.packet(|p| {
            p.message(packet::TRACK_DESCRIPTOR, |track| {
                track.number(1, uuid).text(2, name);
                if let Kind::Process(pid, comm) = kind {
                    track.message(3, |process| {
                        process.number(1, u64::from(pid)).text(6, comm);
                    });
                }
                if let Some(parent) = parent {
                    track.number(5, parent);
                }
                if let Kind::Counter(unit) = kind {
                    track.message(8, |counter| match unit {
                        Unit::Octets => {
                            counter.number(3, SIZE_BYTES);
                        }
                        Unit::Microseconds => {
                            counter.number(3, TIME_NS).number(4, 1_000);
                        }
                        Unit::BitsPerSecond => {
                            counter.text(6, "bit/s");
                        }
                    });
                }
                track.number(11, EXPLICIT).number(12, rank);
            });
        })
    }

    /// A slice begins.
    ///
    /// # Errors
    /// Those of the output.
    pub fn begin(
        &mut self,
        track: u64,
        ts_ns: u64,
        name: &str,
        arguments: &Arguments,
    ) -> io::Result<()> {
        self.event(track, ts_ns, SLICE_BEGIN, |event| {
            annotate(event, arguments);
            event.text(23, name);
        })
    }

    /// The last slice that began on this track ends.
    ///
    /// # Errors
    /// Those of the output.
    pub fn end(&mut self, track: u64, ts_ns: u64) -> io::Result<()> {
        self.event(track, ts_ns, SLICE_END, |_| {})
    }

    /// Something happens.
    ///
    /// # Errors
    /// Those of the output.
    pub fn instant(
        &mut self,
        track: u64,
        ts_ns: u64,
        name: &str,
        arguments: &Arguments,
    ) -> io::Result<()> {
        self.event(track, ts_ns, INSTANT, |event| {
            annotate(event, arguments);
            event.text(23, name);
        })
    }

    /// A counter has this value from now on.
    ///
    /// # Errors
    /// Those of the output.
    pub fn counter(&mut self, track: u64, ts_ns: u64, value: u64) -> io::Result<()> {
        self.event(track, ts_ns, COUNTER, |event| {
            // A signed field: larger values do not occur.
            event.number(30, value.min(i64::MAX as u64));
        })
    }

    fn event(
        &mut self,
        track: u64,
        ts_ns: u64,
        kind: u64,
        write: impl FnOnce(&mut Message),
    ) -> io::Result<()> {
        self.packet(|p| {
            p.number(packet::TIMESTAMP, ts_ns).number(packet::CLOCK, MONOTONIC);
            p.message(packet::TRACK_EVENT, |event| {
                event.number(9, kind).number(11, track);
                write(event);
            });
        })
    }

    fn packet(&mut self, write: impl FnOnce(&mut Message)) -> io::Result<()> {
        let mut trace = Message::default();
        trace.message(TRACE_PACKET, |p| {
            write(p);
            p.number(packet::SEQUENCE, SEQUENCE);
        });
        self.out.write_all(trace.octets())
    }
}

fn annotate(event: &mut Message, arguments: &Arguments) {
    for (name, value) in arguments {
        event.message(4, |annotation| {
            annotation.text(10, name);
            match value {
                Argument::Number(number) => annotation.number(3, *number),
                Argument::Text(text) => annotation.text(6, text),
            };
        });
    }
}
